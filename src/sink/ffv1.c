/* ffv1: NAME_depths.mkv, lossless 16-bit grey video with the scale of png16 in the file's metadata. The final step is
 * known at the end only, so the frames wait on disk (frame_spool.h). */
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/formats.h"
#include "sink/frame_spool.h"
#include "sink/queue.h"
#include "sink/video_writer.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_FRAMES 16 /* that one thread encodes in a go; every frame is a key frame */

typedef struct ffv1_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_frame_spool *spool;
    char *name;
    int threads;
    ib_video_result result;
} ffv1_sink;

static void ffv1_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_depths.mkv", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

/* Twice: segments, and the file made of them. */
static double ffv1_bytes_per_frame(const ib_sink_config *config)
{
    return 2 * 1.5 * config->width * config->height + 1024 + ib_frame_spool_bytes_per_frame(config);
}

static void ffv1_close(ib_sink *base)
{
    ffv1_sink *sink = (ffv1_sink *)base;
    if (!sink) return;
    ib_frame_spool_close(sink->spool);
    free(sink->name);
    free(sink);
}

static isobath_status ffv1_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    ffv1_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the ffv1 sink");
    sink->config = *config;
    sink->diag = diag;
    sink->threads = ib_sink_threads(config);
    sink->name = ib_text("%s_depths.mkv", config->name);
    int ok = sink->name != NULL;
    isobath_status st = ok ? ib_frame_spool_open(config, "ffv1", diag, &sink->spool)
                           : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the ffv1 sink");
    if (st != ISOBATH_OK)
        ffv1_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status ffv1_push(ib_sink *base, ib_depth_frame *frame)
{
    return ib_frame_spool_push(((ffv1_sink *)base)->spool, frame);
}

static isobath_status ffv1_flush(ib_sink *base, int64_t *frames)
{
    ffv1_sink *sink = (ffv1_sink *)base;
    return ib_frame_spool_flush(sink->spool, frames);
}

static int ffv1_state_bytes(const ib_sink_config *config) { return ib_frame_spool_state_bytes(config); }

static void ffv1_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    ib_frame_spool_save(((ffv1_sink *)base)->spool, first, end, state);
}

static isobath_status ffv1_drain(ib_sink *base)
{
    ffv1_sink *sink = (ffv1_sink *)base;
    return ib_frame_spool_drain(sink->spool);
}

static void ffv1_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    ib_frame_spool_parts(config, "ffv1", add, ctx);
    char *path = ib_text("%s/%s_depths.mkv", config->folder, config->name);
    if (path) ib_video_parts(path, add, ctx);
    free(path);
}

static isobath_status draw(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3])
{
    ffv1_sink *sink = ctx;
    const uint16_t *q;
    IB_TRY(ib_frame_spool_read(sink->spool, i, thread, &q));
    for (int y = 0; y < sink->config.height; y++)
        memcpy(planes[0] + (ptrdiff_t)y * strides[0], q + (ptrdiff_t)y * sink->config.width, (size_t)sink->config.width * 2);
    return ISOBATH_OK;
}

static isobath_status ffv1_finish(ib_sink *base)
{
    ffv1_sink *sink = (ffv1_sink *)base;
    IB_TRY(ib_frame_spool_finish(sink->spool));
    const ib_quant *quant = ib_frame_spool_quant(sink->spool);
    int metric = quant->kind == IB_DEPTH_METRIC;
    char *path = ib_text("%s/%s", sink->config.folder, sink->name);
    char *scale = ib_text("%.17g", ib_quant_scale(quant, ib_frame_spool_exponent(sink->spool)));
    char *offset = ib_text("%.17g", ib_quant_offset(quant));
    ib_video_tag tags[] = {{"ISOBATH_KIND", metric ? "metric" : "disparity"},
                           {"ISOBATH_UNIT", metric ? "metre" : "relative"},
                           {"ISOBATH_SCALE", scale},
                           {"ISOBATH_OFFSET", offset},
                           {"ISOBATH_INVALID", "0"}};
    ib_video_job job = {
        .format = {.kind = IB_VIDEO_FFV1_GRAY16,
                   .path = path,
                   .width = sink->config.width,
                   .height = sink->config.height,
                   .fps = sink->config.fps,
                   .pixel_aspect = ib_sink_aspect(&sink->config),
                   .resumable = sink->config.resumable,
                   .tags = tags,
                   .tag_count = ib_quant_has_invalid(quant) ? 5 : 4},
        .frames = ib_frame_spool_count(sink->spool),
        .times_us = ib_frame_spool_times_us(sink->spool),
        .group = GROUP_FRAMES,
        .threads = sink->threads,
        .draw = draw,
        .ctx = sink,
        .cancelled = sink->config.cancelled,
        .cancel_ctx = sink->config.cancel_ctx,
    };
    isobath_status st = path && scale && offset
                            ? ib_video_encode(&job, sink->diag, &sink->result)
                            : ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    free(path);
    free(scale);
    free(offset);
    return st;
}

static json_t *ffv1_describe(ib_sink *base)
{
    ffv1_sink *sink = (ffv1_sink *)base;
    json_t *object = ib_describe_file("ffv1", &sink->config, sink->name, sink->diag);
    ib_describe_kind(&object, sink->config.kind);
    ib_describe_scale(&object, ib_frame_spool_quant(sink->spool), ib_frame_spool_exponent(sink->spool));
    ib_json_set(&object, "frames", json_integer(ib_frame_spool_count(sink->spool)));
    return object;
}

const ib_sink_format ib_sink_ffv1 = {
    .name = "ffv1",
    .summary = "one lossless 16-bit grey video (Matroska) with the scale in its metadata",
    .first_pass_order = 1,
    .outputs = ffv1_outputs,
    .bytes_per_frame = ffv1_bytes_per_frame,
    .open = ffv1_open,
    .push = ffv1_push,
    .uses = IB_USES_DEPTH_WITHOUT_PNG16,
    .flush = ffv1_flush,
    .state_bytes = ffv1_state_bytes,
    .save = ffv1_save,
    .granularity = 1,
    .drain = ffv1_drain,
    .parts = ffv1_parts,
    .finish = ffv1_finish,
    .describe = ffv1_describe,
    .close = ffv1_close,
};
