/* Making a plan: one exact reading of the input; see shard.h. */
#include "pipeline/cluster/shard_task.h"
#include "pipeline/exec/exec.h"
#include "pipeline/shots.h"
#include "sink/file.h"
#include "weights/checkpoint.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAMES_PER_SEGMENT 1000 /* where nobody says how many segments */

/* What one reading finds. */
typedef struct reading {
    ib_shard *shard;
    ib_diag *diag;
    int64_t frame_cap, shot_cap;
} reading;

static isobath_status grow(void **list, int64_t count, int64_t *cap, size_t size, ib_diag *diag)
{
    if (count < *cap) return ISOBATH_OK;
    int64_t next = *cap ? 2 * *cap : 1024;
    void *p = realloc(*list, (size_t)next * size);
    if (!p) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    *list = p;
    *cap = next;
    return ISOBATH_OK;
}

/* Frame s->frames of the video; rgb NULL: not one that has a checksum. */
static isobath_status take_frame(reading *r, int64_t pts_us, int starts_shot, const uint8_t *rgb, size_t bytes)
{
    ib_shard *s = r->shard;
    int64_t cap = r->frame_cap;
    IB_TRY(grow((void **)&s->pts_us, s->frames, &r->frame_cap, sizeof *s->pts_us, r->diag));
    IB_TRY(grow((void **)&s->checks, s->frames, &cap, sizeof *s->checks, r->diag));
    if (s->frames == 0 || starts_shot) {
        IB_TRY(grow((void **)&s->shots, s->shot_count, &r->shot_cap, sizeof *s->shots, r->diag));
        s->shots[s->shot_count++] = (ib_shot){s->frames, 0};
    }
    if (s->frames % IB_SHARD_CHECK_EVERY == 0) s->checks[s->frames / IB_SHARD_CHECK_EVERY] = rgb ? libdeflate_crc32(0, rgb, bytes) : 0;
    s->pts_us[s->frames++] = pts_us;
    s->shots[s->shot_count - 1].count++;
    return ISOBATH_OK;
}

/* Every picture is looked at, for cuts. */
static isobath_status read_detecting(isobath_task *t, reading *r)
{
    ib_setup *s = &t->setup;
    ib_source_cuts cuts = {.detect = 1};
    ib_source *source;
    isobath_status st = ib_source_start(s->media, s->source_queue_bytes, &cuts, NULL, &t->diag, &source);
    for (ib_source_frame *f; st == ISOBATH_OK && !t->cancelled && (f = ib_source_next(source));) {
        st = take_frame(r, f->pts_us, f->starts_shot, f->rgb, (size_t)f->width * (size_t)f->height * 3);
        ib_source_frame_unref(f);
        atomic_fetch_add(&t->done, 1);
    }
    if (st == ISOBATH_OK) st = ib_diag_status(&t->diag);
    if (st == ISOBATH_OK) st = ib_repeats_copy(&t->shard.repeats, ib_source_repeats(source), &t->diag);
    ib_source_destroy(source);
    return st;
}

/* Only pictures that get a checksum are made; the others are decoded and counted. */
static isobath_status read_counting(isobath_task *t, reading *r)
{
    ib_setup *s = &t->setup;
    int64_t *list = NULL, count = 0, next = 0;
    size_t bytes = (size_t)s->plan.source_width * (size_t)s->plan.source_height * 3;
    uint8_t *rgb = malloc(bytes);
    isobath_status st = rgb ? ISOBATH_OK : ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a picture");
    if (st == ISOBATH_OK && s->options.cuts) st = ib_cuts_read(s->options.cuts, &t->diag, &list, &count);
    for (int got = 1; st == ISOBATH_OK && got && !t->cancelled;) {
        int64_t i = t->shard.frames;
        ib_media_frame meta;
        st = ib_media_read(s->media, i % IB_SHARD_CHECK_EVERY ? NULL : rgb, &meta, &got);
        if (st != ISOBATH_OK || !got) break;
        while (next < count && list[next] < i) next++;
        st = take_frame(r, meta.pts_us, next < count && list[next] == i, rgb, bytes);
        if (st == ISOBATH_OK) st = ib_repeats_add(&t->shard.repeats, &meta, &t->diag);
        atomic_fetch_add(&t->done, 1);
    }
    free(list);
    free(rgb);
    return st;
}

/* Packets instead of frames: who computes compares the times. */
static isobath_status read_packets(isobath_task *t, reading *r)
{
    ib_setup *s = &t->setup;
    ib_shard *p = &t->shard;
    int64_t *list = NULL, count = 0, *times, frames;
    if (s->cuts_auto) return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "--count packets looks at no picture, so it finds no cuts (--cuts auto)");
    if (s->options.on_error_repeat)
        return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "--count packets decodes nothing, so it sees no damage to repeat over (--on-error repeat)");
    IB_TRY(ib_media_packet_times(s->options.input, &s->media_options, ib_media_get_info(s->media)->stride, &t->diag, &times, &frames));
    isobath_status st = s->options.cuts ? ib_cuts_read(s->options.cuts, &t->diag, &list, &count) : ISOBATH_OK;
    for (int64_t i = 0, next = 0; st == ISOBATH_OK && i < frames; i++) {
        while (next < count && list[next] < i) next++;
        st = take_frame(r, times[i], next < count && list[next] == i, NULL, 0);
    }
    p->counted = 1;
    atomic_store(&t->done, frames);
    free(times);
    free(list);
    return st;
}

static isobath_status read_input(isobath_task *t)
{
    reading r = {.shard = &t->shard, .diag = &t->diag};
    IB_TRY(t->options.count_packets ? read_packets(t, &r) : t->setup.cuts_auto ? read_detecting(t, &r) : read_counting(t, &r));
    if (t->cancelled) return ib_fail(&t->diag, ISOBATH_ERR_INTERRUPTED, "stopped before the whole input was read");
    return t->shard.frames ? ISOBATH_OK : ib_fail(&t->diag, ISOBATH_ERR_INPUT, "%s: no frames", t->setup.options.input);
}

/* A path that means the same from every folder; NULL when it cannot be made. What is no file (a URL) stays as it is. */
static char *absolute(const char *path)
{
    if (*path == '/' || strstr(path, "://")) return strdup(path);
    char *real = realpath(path, NULL), *here;
    if (real) return real;
    here = getcwd(NULL, 0); /* a pattern */
    char *joined = here ? ib_text("%s/%s", here, path) : NULL;
    free(here);
    return joined;
}

static isobath_status model_digest(isobath_task *t)
{
    ib_checkpoint *c;
    if (ib_setup_is_exec(&t->setup)) return ISOBATH_OK;
    IB_TRY(ib_checkpoint_open(t->setup.model_path, &t->diag, &c));
    const char *hash = ib_checkpoint_sha256(c);
    snprintf(t->shard.model_sha256, sizeof t->shard.model_sha256, "%s", hash ? hash : "");
    ib_checkpoint_close(c);
    return ISOBATH_OK;
}

/* Options as the plan keeps them: nothing that depends on where it is read. */
static isobath_status fill(isobath_task *t, char *const paths[3])
{
    ib_shard *s = &t->shard;
    const isobath_plan *p = &t->setup.plan;
    const char *precision = t->options.run->precision;
    s->options = t->setup.options;
    s->options.input = paths[0];
    s->options.model = paths[1];
    if (s->options.cuts && !t->setup.cuts_auto) s->options.cuts = paths[2];
    s->options.name = t->setup.name;
    s->options.precision = precision && strcmp(precision, "auto") ? precision : "fp32";
    s->options.decoder = "software";
    snprintf(s->name, sizeof s->name, "%s", t->setup.name);
    s->network_width = p->network_width;
    s->network_height = p->network_height;
    s->output_width = p->output_width;
    s->output_height = p->output_height;
    s->temporal = t->setup.config.temporal;
    s->metric = t->setup.config.metric;
    if (ib_setup_is_exec(&t->setup)) snprintf(s->program, sizeof s->program, "%s", t->setup.config.name);
    s->shot_window = calloc((size_t)s->shot_count + 1, sizeof *s->shot_window);
    if (!s->shot_window) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    for (int64_t i = 0; i < s->shot_count; i++) s->shot_window[i + 1] = s->shot_window[i] + ib_plan_windows(s->shots[i].count);
    s->windows = s->shot_window[s->shot_count];
    s->segments = t->options.segments > 0 ? t->options.segments : (s->frames + FRAMES_PER_SEGMENT - 1) / FRAMES_PER_SEGMENT;
    if (s->segments > s->windows) s->segments = s->windows;
    return ISOBATH_OK;
}

static void *hash_main(void *arg)
{
    isobath_task *t = arg;
    ib_media_hash(t->setup.options.input, &t->diag, t->shard.input_sha256);
    return NULL;
}

static isobath_status make(isobath_task *t, char *paths[3])
{
    const isobath_run_options *o = &t->setup.options;
    struct stat sb;
    paths[0] = absolute(o->input);
    paths[1] = ib_setup_is_exec(&t->setup) ? strdup(t->setup.model_path) : absolute(t->setup.model_path);
    paths[2] = absolute(o->cuts ? o->cuts : "/");
    if (!paths[0] || !paths[1] || !paths[2]) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    t->shard.options.output = o->output;
    snprintf(t->shard.name, sizeof t->shard.name, "%s", t->setup.name);
    IB_TRY(ib_setup_make_folder(&t->setup, &t->diag));
    IB_TRY(ib_shard_lock(t, 0));
    IB_TRY(ib_setup_prepare_output(&t->setup, &t->diag));
    char *folder = ib_shard_path(&t->shard, "%s", ""), *plan = ib_shard_path(&t->shard, "plan.json");
    isobath_status st = folder && plan ? ISOBATH_OK : ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "out of memory for a plan");
    if (st == ISOBATH_OK && stat(plan, &sb) == 0 && !o->overwrite)
        st = ib_fail(&t->diag, ISOBATH_ERR_EXISTS, "%s exists already: use --overwrite, or another -o or --name", folder);
    if (st == ISOBATH_OK) st = ib_remove_part(folder, &t->diag); /* nothing of an earlier plan is used again */
    if (st == ISOBATH_OK) st = ib_make_folder(folder, &t->diag);
    free(folder);
    free(plan);
    IB_TRY(st);
    IB_TRY(ib_shard_report(t, "shard", "reading the input", t->setup.plan.frames_hint));
    IB_TRY(model_digest(t));
    pthread_t hash; /* beside the reading */
    if (pthread_create(&hash, NULL, hash_main, t) != 0) return ib_fail(&t->diag, ISOBATH_ERR_MEMORY, "could not start the hashing thread");
    isobath_status read = read_input(t);
    pthread_join(hash, NULL);
    IB_TRY(read);
    IB_TRY(ib_diag_status(&t->diag));
    IB_TRY(fill(t, paths));
    return ib_shard_write(&t->shard, &t->diag);
}

isobath_status ib_shard_make(isobath_task *t, const isobath_run_options *run)
{
    isobath_run_options o = *run;
    char *paths[3] = {NULL};
    if (o.input && ib_media_comes_once(o.input))
        return ib_fail(&t->diag, ISOBATH_ERR_USAGE, "%s: a pipe or live source can be read once only: tasks need an input that each can open", o.input);
    int exec = o.model && strncmp(o.model, IB_EXEC_PREFIX, strlen(IB_EXEC_PREFIX)) == 0;
    o.devices = exec ? "cpu" : "null"; /* nothing is computed here; a program is asked for the size of its maps */
    o.precision = "fp32";
    o.decoder = "software";
    t->options.run = run;
    isobath_status st = ib_setup_init(&t->setup, &o, &t->diag);
    ib_exec_close(t->setup.exec);
    t->setup.exec = NULL;
    if (st == ISOBATH_OK) st = make(t, paths);
    for (int i = 0; i < 3; i++) free(paths[i]);
    t->shard.options = (isobath_run_options){0}; /* its strings were the setup's and these */
    return st;
}
