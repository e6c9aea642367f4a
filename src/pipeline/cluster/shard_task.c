/* Tasks of a cut run; see include/isobath/task.h. */
#include "pipeline/cluster/shard_task.h"

#include "sink/file.h"
#include "sink/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void isobath_task_options_init(isobath_task_options *options) { *options = (isobath_task_options){.kind = ISOBATH_TASK_WORK, .parts = 1}; }

static int is_cancelled(void *ctx) { return atomic_load(&((isobath_task *)ctx)->cancelled); }

isobath_status ib_shard_lock(isobath_task *t, int shared)
{
    return ib_lock_result(t->shard.options.output, t->shard.name, shared, &t->diag, &t->run.lock);
}

isobath_status ib_shard_setup(isobath_task *t, const char *devices)
{
    const ib_shard *p = &t->shard;
    isobath_run_options o = p->options;
    ib_exec_hello hello;
    const ib_exec_hello *program = ib_shard_program(p, &hello);
    o.devices = devices ? devices : "null";
    if (!devices) o.precision = "fp32"; /* nothing is computed with it */
    o.threads = t->options.threads;
    o.decoders = "one"; /* it jumps to the segment */
    o.note = t->options.note;
    o.note_ctx = t->options.note_ctx;
    IB_TRY(ib_setup_init_told(&t->setup, &o, devices ? NULL : program, &t->diag));
    const isobath_plan *s = &t->setup.plan;
    if (!atomic_load(&t->settled)) memcpy(t->device, s->device, sizeof t->device);
    atomic_store(&t->settled, 1);
    t->setup.sink.cancelled = is_cancelled;
    t->setup.sink.cancel_ctx = t;
    if (s->network_width == p->network_width && s->network_height == p->network_height && s->output_width == p->output_width &&
        s->output_height == p->output_height && t->setup.config.temporal == p->temporal && t->setup.config.metric == p->metric &&
        (!program || strcmp(t->setup.config.name, p->program) == 0))
        return ISOBATH_OK;
    return ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: input or model are not what was planned with: they differ in size or kind", p->options.input);
}

static void report_progress(void *ctx, isobath_progress *p)
{
    isobath_task *t = ctx;
    int windows = t->options.kind == ISOBATH_TASK_WORK || t->options.kind == ISOBATH_TASK_CHAIN, unit = windows ? IB_PLAN_STEP : 1;
    int64_t done = atomic_load(&t->done), start = atomic_load(&t->counters.start_us);
    *p = (isobath_progress){.frames_hint = t->total * unit, .frames_done = done * unit, .windows_done = windows ? done : 0, .fraction = -1,
                            .left_s = -1, .slowest = "network"};
    if (t->options.kind == ISOBATH_TASK_SHARD) p->slowest = "decode";
    if (t->options.kind >= ISOBATH_TASK_CHAIN) p->slowest = "write";
    p->elapsed_s = (double)(ib_now_us() - start) * 1e-6;
    if (t->total > 0) p->fraction = (double)done / (double)t->total;
    if (p->fraction > 1) p->fraction = 1;
    if (p->elapsed_s > 0) p->frames_per_s = (double)p->frames_done / p->elapsed_s;
    if (p->fraction > 0) p->left_s = p->elapsed_s * (1 - p->fraction) / p->fraction;
}

static int report_device(void *ctx, int i, isobath_device_progress *out)
{
    isobath_task *t = ctx;
    if (i || t->options.kind != ISOBATH_TASK_WORK || !atomic_load(&t->settled)) return 0;
    isobath_progress p;
    report_progress(ctx, &p);
    *out = (isobath_device_progress){.frames = p.frames_done, .busy = 1};
    snprintf(out->name, sizeof out->name, "%.*s", (int)strcspn(t->device, " "), t->device);
    snprintf(out->kind, sizeof out->kind, "%s", t->device);
    return 1;
}

isobath_status ib_shard_report(isobath_task *t, const char *file, const char *what, int64_t total)
{
    ib_status_source source = {report_progress, report_device, t};
    char *path = file ? ib_shard_path(&t->shard, "%s.status.json", file)
                      : ib_text("%s/%s_isobath.status.json", t->shard.options.output, t->shard.name);
    if (!path) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a task");
    t->total = total;
    isobath_status st = ib_status_start(path, t->shard.name, what, &source, &t->diag, &t->status);
    free(path);
    return st;
}

isobath_status isobath_task_create(const isobath_task_options *options, isobath_task **out)
{
    isobath_task *t = calloc(1, sizeof *t);
    *out = t;
    if (!t) return ISOBATH_ERR_MEMORY;
    ib_diag_init(&t->diag);
    t->options = *options;
    t->run = (ib_run){.setup = &t->setup, .diag = &t->diag, .counters = &t->counters, .cancelled = &t->cancelled};
    const char **texts[] = {&t->options.folder, &t->options.name, &t->options.devices};
    for (int i = 0; i < 3; i++) {
        if (!*texts[i]) continue;
        *texts[i] = t->strings[i] = strdup(*texts[i]);
        if (!*texts[i]) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a task");
    }
    if (options->kind == ISOBATH_TASK_SHARD) return options->run ? ISOBATH_OK : ib_fail(&t->diag, ISOBATH_ERR_USAGE, "nothing to plan");
    if (!options->folder) return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "no folder named");
    return ib_shard_read(t->options.folder, t->options.name, &t->diag, &t->shard);
}

static isobath_status run(isobath_task *t)
{
    switch (t->options.kind) {
    case ISOBATH_TASK_SHARD: return ib_shard_make(t, t->options.run);
    case ISOBATH_TASK_WORK: return ib_shard_work(t);
    case ISOBATH_TASK_CHAIN: return ib_merge_chain(t);
    case ISOBATH_TASK_RENDER: return ib_merge_render(t);
    case ISOBATH_TASK_FINISH: return ib_merge_finish(t);
    case ISOBATH_TASK_MERGE: return ib_merge_all(t);
    }
    return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "unknown task");
}

isobath_status isobath_task_run(isobath_task *t)
{
    atomic_store(&t->counters.start_us, ib_now_us());
    isobath_status st = run(t);
    if (st != ISOBATH_OK) st = ib_fail(&t->diag, st, "the task failed: %s", isobath_status_name(st));
    ib_status_stop(t->status, st, t->diag.text);
    t->status = NULL;
    t->result.frames = t->shard.frames;
    t->result.windows = t->shard.windows;
    t->result.segments = t->shard.segments;
    t->result.done = atomic_load(&t->done);
    t->result.seconds = (double)(ib_now_us() - atomic_load(&t->counters.start_us)) * 1e-6;
    return st;
}

void isobath_task_cancel(isobath_task *t) { atomic_store(&t->cancelled, 1); }
void isobath_task_result_get(const isobath_task *t, isobath_task_result *out) { *out = t->result; }
const char *isobath_task_error(const isobath_task *t) { return t->diag.text; }

const char *isobath_task_output(const isobath_task *t, int i)
{
    int max = (int)(sizeof t->run.outputs / sizeof *t->run.outputs);
    return i >= 0 && i < max ? t->run.outputs[i] : NULL;
}

void isobath_task_destroy(isobath_task *t)
{
    if (!t) return;
    ib_status_stop(t->status, ISOBATH_ERR_INTERRUPTED, "");
    ib_run_free(&t->run);
    ib_setup_free(&t->setup);
    ib_shard_free(&t->shard);
    for (int i = 0; i < 3; i++) free(t->strings[i]);
    ib_diag_destroy(&t->diag);
    free(t);
}
