/* The public stream: see include/isobath/stream.h. The thread that calls isobath_stream_run does everything in order: network,
 * guard, rendering, sinks, pipe; reading the source and writing files have threads of their own. */
#include <isobath/stream.h>

#include "model/stream.h"
#include "pipeline/stream/depth_pipe.h"
#include "pipeline/stream/lag.h"
#include "pipeline/stream/latency.h"
#include "pipeline/stream/live.h"
#include "pipeline/stream/stream_setup.h"
#include "pipeline/report/status.h"
#include "pipeline/guided.h"
#include "pipeline/run.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/lock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct isobath_stream {
    ib_diag diag;
    isobath_stream_options options;
    ib_setup setup;
    ib_run run; /* sinks, log and manifest */
    ib_run_counters counters;
    atomic_int cancelled, stopped;
    ib_stream *network, *fp32; /* fp32: opened when a frame must be redone */
    ib_vda *windows, *windows_fp32; /* with a lag, in place of network and fp32 */
    ib_lag *lag;
    int64_t ready_us[IB_LAG_MAX]; /* of the frames that wait for their window */
    int waiting;
    ib_backend *fp32_backend;
    ib_live *live;
    ib_depth_pipe *pipe;
    int pipe_gone; /* its reader is */
    ib_guided *guided; /* with --upsample guided */
    float *raw; /* (h,w) of the network */
    json_t *redone; /* for the manifest */
    ib_latency latency, compute;
    ib_busy network_busy;
    isobath_stream_summary summary;
};

void isobath_stream_options_init(isobath_stream_options *options)
{
    *options = (isobath_stream_options){.pipe_fd = 1, .drop = -1};
    isobath_run_options_init(&options->run);
}

static void note_redo(const isobath_stream *s, const char *what)
{
    const isobath_run_options *o = &s->setup.options;
    char line[160];
    snprintf(line, sizeof line, "values that are not finite: the %s is redone in fp32 (see the summary and the manifest)", what);
    if (o->note) o->note(o->note_ctx, line);
}

static isobath_status open_windows_redo(void *ctx, ib_vda **vda)
{
    isobath_stream *s = ctx;
    note_redo(s, "window");
    isobath_status st = ib_setup_open_network(&s->setup, IB_F32, s->run.compute_pool, &s->diag, &s->fp32_backend, &s->windows_fp32, NULL);
    *vda = s->windows_fp32;
    return st;
}

static isobath_status open_lag(isobath_stream *s)
{
    ib_setup *p = &s->setup;
    IB_TRY(ib_setup_open_network(p, p->act, s->run.compute_pool, &s->diag, &s->run.device, &s->windows, s->run.model_sha256));
    ib_lag_options o = {.vda = s->windows, .shape = &p->shape, .step = s->options.lag, .metric = p->config.metric,
                        .open_redo = p->act == IB_F32 ? NULL : open_windows_redo, .ctx = s, .diag = &s->diag};
    return ib_lag_create(&o, &s->lag);
}

isobath_status isobath_stream_create(const isobath_stream_options *options, isobath_stream **out)
{
    isobath_stream *s = calloc(1, sizeof *s);
    *out = s;
    if (!s) return ISOBATH_ERR_MEMORY;
    ib_diag_init(&s->diag);
    s->options = *options;
    s->run = (ib_run){.setup = &s->setup, .diag = &s->diag, .counters = &s->counters, .cancelled = &s->cancelled};
    isobath_status st = ib_stream_setup(&s->options, &s->setup, &s->diag);
    return st == ISOBATH_OK ? st : ib_fail(&s->diag, st, "%s", isobath_status_name(st));
}

const isobath_plan *isobath_stream_plan(const isobath_stream *s) { return &s->setup.plan; }

static isobath_status open_network(isobath_stream *s, ib_dtype act, ib_backend **backend, ib_stream **network, char sha256[65])
{
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->setup.model_path, &s->diag, &ckpt));
    isobath_status st = ib_setup_open_backend(&s->setup, act, s->run.compute_pool, &s->diag, backend);
    if (st == ISOBATH_OK) st = ib_stream_create(*backend, ckpt, &s->setup.config, &s->setup.shape, &s->diag, network);
    if (st == ISOBATH_OK && sha256) st = ib_setup_hash_model(&s->setup, &s->diag, sha256);
    ib_checkpoint_close(ckpt);
    return st;
}

/* For the status file, from its thread. */
static void report_progress(void *ctx, isobath_progress *p)
{
    isobath_stream *s = ctx;
    ib_run_counters *c = &s->counters;
    *p = (isobath_progress){.frames_hint = s->setup.plan.frames_hint, .fraction = -1, .left_s = -1, .slowest = "network"};
    p->frames_done = p->frames_decoded = atomic_load(&c->frames_done);
    p->guards = atomic_load(&c->guards);
    p->elapsed_s = (double)(ib_now_us() - atomic_load(&c->start_us)) * 1e-6;
    double t = p->elapsed_s > 0 ? p->elapsed_s : 1;
    p->frames_per_s = (double)p->frames_done / t;
    p->network_share = (double)atomic_load(&s->network_busy) * 1e-6 / t;
    p->align_share = (double)atomic_load(&c->align) * 1e-6 / t;
    p->write_share = (double)atomic_load(&c->write) * 1e-6 / t;
    if (p->network_share + p->align_share + p->write_share < 0.5) p->slowest = "decode"; /* the source sets the pace */
    else if (p->write_share > p->network_share) p->slowest = "write";
    if (p->frames_hint <= 0 || !p->frames_done) return;
    p->fraction = p->frames_done < p->frames_hint ? (double)p->frames_done / (double)p->frames_hint : 1;
    p->left_s = p->elapsed_s * (1 - p->fraction) / p->fraction;
}

static int report_device(void *ctx, int i, isobath_device_progress *d)
{
    isobath_stream *s = ctx;
    isobath_progress p;
    if (i) return 0;
    report_progress(s, &p);
    *d = (isobath_device_progress){.frames = p.frames_done, .busy = p.network_share};
    snprintf(d->name, sizeof d->name, "%s", s->setup.options.devices);
    snprintf(d->kind, sizeof d->kind, "%s", s->setup.plan.device);
    return 1;
}

static isobath_status open_status(isobath_stream *s)
{
    const ib_status_source source = {report_progress, report_device, s};
    char *path = ib_text("%s/%s_isobath.status.json", s->setup.options.output, s->setup.name);
    isobath_status st = path ? ib_status_start(path, s->setup.name, "stream", &source, &s->diag, &s->run.status)
                             : ib_fail(&s->diag, ISOBATH_ERR_MEMORY, "out of memory for the status file");
    free(path);
    return st;
}

static void summarize(isobath_stream *s)
{
    isobath_stream_summary *m = &s->summary;
    m->dropped = s->live ? ib_live_dropped(s->live) : 0;
    m->reconnects = s->live ? ib_live_reconnects(s->live) : 0;
    m->elapsed_s = (double)(ib_now_us() - atomic_load(&s->counters.start_us)) * 1e-6;
    m->frames_per_s = m->elapsed_s > 0 ? (double)m->frames / m->elapsed_s : 0;
    m->latency_p50_ms = ib_latency_ms(&s->latency, 0.5);
    m->latency_p90_ms = ib_latency_ms(&s->latency, 0.9);
    m->latency_p99_ms = ib_latency_ms(&s->latency, 0.99);
    m->latency_max_ms = (double)s->latency.max_us * 1e-3;
    m->network_p50_ms = ib_latency_ms(&s->compute, 0.5);
}

/* While ib_live_next waits. */
static void report_silence(void *ctx, double seconds)
{
    isobath_stream *s = ctx;
    if (!s->options.progress) return;
    summarize(s);
    s->summary.silent_s = seconds;
    s->options.progress(s->options.progress_ctx, &s->summary);
    s->summary.silent_s = 0;
}

static isobath_status open_all(isobath_stream *s)
{
    ib_run *r = &s->run;
    const ib_setup *p = &s->setup;
    const isobath_run_options *o = &p->options;
    if (p->format_count) {
        IB_TRY(ib_setup_make_folder(p, &s->diag));
        IB_TRY(ib_lock_result(o->output, p->name, 0, &s->diag, &r->lock));
        IB_TRY(ib_setup_prepare_output(p, &s->diag));
        IB_TRY(ib_run_open_log(r));
        IB_TRY(open_status(s));
    }
    IB_TRY(ib_pool_create(p->threads, &s->diag, &r->compute_pool));
    if (s->options.lag) IB_TRY(open_lag(s));
    else IB_TRY(open_network(s, p->act, &r->device, &s->network, r->model_sha256));
    ib_backend_options host = {.act = IB_F32, .isa = o->cpu_isa, .pool = r->compute_pool, .diag = &s->diag};
    IB_TRY(ib_cpu_open(&host, &r->host));
    s->raw = malloc((size_t)p->plan.network_height * (size_t)p->plan.network_width * sizeof *s->raw);
    s->redone = json_array();
    if (!s->raw || !s->redone) return ib_fail(&s->diag, ISOBATH_ERR_MEMORY, "out of memory for the stream");
    IB_TRY(ib_run_open_sinks(r));
    r->wants_rgb |= s->options.pipe == ISOBATH_STREAM_PIPE_VIEW && p->sink.preview_side_by_side;
    if (p->guided)
        IB_TRY(ib_guided_create(p->plan.network_height, p->plan.network_width, p->plan.source_height, p->plan.source_width, p->plan.output_height,
                                p->plan.output_width, &s->diag, &s->guided));
    if (p->format_count && ib_stream_is_file(o->input)) IB_TRY(ib_run_start_hash(r));
    if (s->options.pipe) IB_TRY(ib_depth_pipe_open(s->options.pipe, s->options.pipe_fd, &p->sink, &s->diag, &s->pipe));
    int drop = s->options.drop >= 0 ? s->options.drop : ib_media_is_live(o->input);
    ib_live_options live = {.input = o->input, .media = p->media_options, .drop = drop,
                            .paced = ib_stream_is_file(o->input) || p->plan.frames_hint >= 0, .idle = report_silence, .idle_ctx = s, .reconnect_s = s->options.reconnect_s, .ended = &s->stopped};
    return ib_live_start(&s->setup.media, &live, &s->diag, &s->live);
}

/* What was redone from the frame that comes next on: told in the log and the manifest. */
static isobath_status record_redo(isobath_stream *s, int64_t nonfinite)
{
    s->summary.redone++;
    atomic_fetch_add(&s->counters.guards, 1);
    ib_log_event(s->run.log, "redone", json_pack("{s:I, s:I}", "frame", (json_int_t)s->summary.frames, "nonfinite", (json_int_t)nonfinite));
    if (s->setup.format_count)
        json_array_append_new(s->redone, json_pack("{s:I, s:I}", "frame", (json_int_t)s->summary.frames, "nonfinite", (json_int_t)nonfinite));
    return ISOBATH_OK;
}

/* The frame in fp32; what is kept of it for later frames becomes finite, too. */
static isobath_status redo(isobath_stream *s, const ib_source_frame *f, int64_t nonfinite)
{
    int64_t left = nonfinite;
    if (s->setup.act != IB_F32) {
        if (!s->fp32) {
            note_redo(s, "frame");
            IB_TRY(open_network(s, IB_F32, &s->fp32_backend, &s->fp32, NULL));
        }
        IB_TRY(ib_stream_redo(s->network, s->fp32, f->rgb, f->height, f->width, s->raw, &left));
    }
    if (left)
        return ib_fail(&s->diag, ISOBATH_ERR_MODEL, "frame %lld: %lld values are not finite in fp32: the checkpoint is damaged (try: isobath doctor)",
                       (long long)s->summary.frames, (long long)left);
    return record_redo(s, nonfinite);
}

static isobath_status deliver(isobath_stream *s, const ib_source_frame *src, const float *depth)
{
    const isobath_plan *p = &s->setup.plan;
    ib_run *r = &s->run;
    const ib_plan_render how = {0};
    const ib_alignment as_is = {.scale = 1};
    ib_depth_frame *f;
    IB_TRY(ib_depth_frame_create(p->output_width, p->output_height, r->wants_rgb, p->source_width, p->source_height, &s->diag, &f));
    f->index = s->summary.frames;
    f->pts_us = src->pts_us;
    if (r->wants_rgb) memcpy(f->rgb, src->rgb, (size_t)p->source_width * (size_t)p->source_height * 3);
    int64_t start = ib_now_us();
    isobath_status st = ib_guided_render(s->guided, r->host, &how, (float *)depth, &as_is, NULL, NULL, p->network_height, p->network_width, f);
    ib_busy_add(&s->counters.align, start);
    if (st == ISOBATH_OK && s->pipe) {
        st = ib_depth_pipe_push(s->pipe, f);
        s->pipe_gone = st == ISOBATH_ERR_IO;
    }
    if (st == ISOBATH_OK && s->setup.format_count) st = ib_run_push(r, f, 1, 0);
    ib_depth_frame_unref(f);
    return st;
}

static isobath_status done_frame(isobath_stream *s, const ib_source_frame *f, const float *depth, int64_t ready_us)
{
    IB_TRY(deliver(s, f, depth));
    ib_latency_add(&s->latency, ib_now_us() - ready_us);
    s->summary.frames++;
    if (s->options.progress) {
        summarize(s);
        s->options.progress(s->options.progress_ctx, &s->summary);
    }
    return ISOBATH_OK;
}

static isobath_status one_frame(isobath_stream *s, const ib_source_frame *f, int64_t ready_us)
{
    int64_t nonfinite, start = ib_now_us();
    IB_TRY(ib_stream_frame(s->network, f->rgb, f->height, f->width, s->raw, &nonfinite));
    if (nonfinite) IB_TRY(redo(s, f, nonfinite));
    ib_busy_add(&s->network_busy, start);
    ib_latency_add(&s->compute, ib_now_us() - start);
    return done_frame(s, f, s->raw, ready_us);
}

/* The frames whose window is there. */
static isobath_status lag_frames(isobath_stream *s, int ready, int64_t nonfinite)
{
    if (nonfinite) IB_TRY(record_redo(s, nonfinite));
    for (int i = 0; i < ready; i++) IB_TRY(done_frame(s, ib_lag_frame(s->lag, i), ib_lag_depth(s->lag, i), s->ready_us[i]));
    if (ready) s->waiting = 0;
    return ISOBATH_OK;
}

static isobath_status lag_frame(isobath_stream *s, ib_source_frame *f, int64_t ready_us)
{
    int ready;
    int64_t nonfinite, start = ib_now_us();
    s->ready_us[s->waiting++] = ready_us;
    IB_TRY(ib_lag_push(s->lag, f, &ready, &nonfinite));
    ib_busy_add(&s->network_busy, start);
    ib_latency_add(&s->compute, ib_now_us() - start);
    return lag_frames(s, ready, nonfinite);
}

static isobath_status lag_end(isobath_stream *s)
{
    int ready;
    int64_t nonfinite;
    IB_TRY(ib_lag_flush(s->lag, &ready, &nonfinite));
    return lag_frames(s, ready, nonfinite);
}

/* A live source that broke off, or a pipe whose reader is gone: what came before is worth keeping. Takes the error's line out of the
 * way of what is still to do. */
static isobath_status has_broken_off(isobath_stream *s, char line[IB_DIAG_TEXT])
{
    isobath_status st = ib_diag_status(&s->diag);
    int worth = (st == ISOBATH_ERR_INPUT && !ib_stream_is_file(s->setup.options.input)) || (st == ISOBATH_ERR_IO && s->pipe_gone);
    if (!worth || !s->summary.frames) return ISOBATH_OK;
    snprintf(line, IB_DIAG_TEXT, "%s", s->diag.text);
    ib_diag_reset(&s->diag);
    return st;
}

static isobath_status finish(isobath_stream *s, const char *broken)
{
    if (s->lag && !s->pipe_gone) IB_TRY(lag_end(s));
    if (!s->summary.frames) return ib_fail(&s->diag, ISOBATH_ERR_INPUT, "%s: no frames", s->setup.options.input);
    ib_run_report_repeats(&s->run);
    if (!s->setup.format_count) return ISOBATH_OK;
    summarize(s);
    s->run.extra = json_pack("{s:s, s:O, s:I, s:I}", "mode", "stream", "redone", s->redone, "dropped", (json_int_t)s->summary.dropped,
                             "reconnects", (json_int_t)s->summary.reconnects);
    if (*broken) ib_json_set(&s->run.extra, "broke_off", json_string(broken));
    return ib_run_finish(&s->run);
}

static isobath_status process(isobath_stream *s)
{
    char broken[IB_DIAG_TEXT] = "";
    int64_t ready_us;
    IB_TRY(open_all(s));
    int64_t taken = 0; /* number of the depth that the frame becomes */
    isobath_status st = ISOBATH_OK;
    for (ib_source_frame *f; st == ISOBATH_OK && (f = ib_live_next(s->live, &ready_us)); ib_source_frame_unref(f)) {
        st = ib_repeats_add(&s->run.repeats, &(ib_media_frame){.index = taken++, .pts_us = f->pts_us, .repeated = f->repeated}, &s->diag);
        if (st == ISOBATH_OK) st = s->lag ? lag_frame(s, f, ready_us) : one_frame(s, f, ready_us);
    }
    if (st != ISOBATH_OK && !s->pipe_gone) return st;
    st = has_broken_off(s, broken);
    IB_TRY(ib_diag_status(&s->diag));
    IB_TRY(finish(s, broken));
    if (st == ISOBATH_OK) return st;
    return ib_fail(&s->diag, st, "%s (the %lld frames before that are %s)", broken, (long long)s->summary.frames,
                   s->setup.format_count ? "a complete result" : "out");
}

isobath_status isobath_stream_run(isobath_stream *s)
{
    atomic_store(&s->counters.start_us, ib_now_us());
    isobath_status st = process(s);
    if (st != ISOBATH_OK) st = ib_fail(&s->diag, st, "the stream failed: %s", isobath_status_name(st));
    atomic_store(&s->stopped, 1);
    summarize(s);
    ib_log_event(s->run.log, st == ISOBATH_OK ? "done" : "failed",
                 json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s}", "frames", (json_int_t)s->summary.frames, "dropped",
                           (json_int_t)s->summary.dropped, "redone", (json_int_t)s->summary.redone, "reconnects",
                           (json_int_t)s->summary.reconnects, "seconds", s->summary.elapsed_s, "latency_p50_ms",
                           s->summary.latency_p50_ms, "latency_p99_ms", s->summary.latency_p99_ms, "latency_max_ms",
                           s->summary.latency_max_ms, "error", s->diag.text));
    ib_log_close(s->run.log);
    s->run.log = NULL;
    ib_status_stop(s->run.status, st, s->diag.text);
    s->run.status = NULL;
    return st;
}

void isobath_stream_stop(isobath_stream *s) { atomic_store(&s->stopped, 1); }

void isobath_stream_summarize(const isobath_stream *s, isobath_stream_summary *out) { *out = s->summary; }

const char *isobath_stream_output(const isobath_stream *s, int i)
{
    int max = (int)(sizeof s->run.outputs / sizeof *s->run.outputs);
    return i >= 0 && i < max ? s->run.outputs[i] : NULL;
}

const char *isobath_stream_error(const isobath_stream *s) { return s->diag.text; }

void isobath_stream_destroy(isobath_stream *s)
{
    if (!s) return;
    atomic_store(&s->stopped, 1);
    ib_live_destroy(s->live);
    ib_lag_destroy(s->lag);
    ib_vda_destroy(s->windows);
    ib_vda_destroy(s->windows_fp32);
    ib_stream_destroy(s->network);
    ib_stream_destroy(s->fp32);
    ib_backend_close(s->fp32_backend);
    ib_depth_pipe_close(s->pipe);
    json_decref(s->redone);
    ib_guided_destroy(s->guided);
    free(s->raw);
    ib_run_free(&s->run);
    ib_setup_free(&s->setup);
    ib_diag_destroy(&s->diag);
    free(s);
}
