/* src: NAME_src.mp4, the source pictures that the depth belongs to, frame for frame and at its size. */
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/formats.h"
#include "sink/queue.h"
#include "sink/video_writer.h"
#include "sink/yuv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct src_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_video_stream *stream;
    ib_frame_queue *queue;
    char *name, *path;
    int threads, width, height; /* even */
    uint8_t **yuv;              /* per thread */
    int64_t count;
    ib_video_result result;
} src_sink;

static void src_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_src.mp4", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

/* Twice: segments, and the file made of them. */
static double src_bytes_per_frame(const ib_sink_config *config)
{
    return 2 * 0.4 * config->rgb_width * config->rgb_height + 1024;
}

static isobath_status src_work(void *ctx, ib_depth_frame *frame, int thread)
{
    src_sink *sink = ctx;
    size_t luma = (size_t)sink->width * (size_t)sink->height;
    uint8_t *yuv = sink->yuv[thread], *planes[3] = {yuv, yuv + luma, yuv + luma * 5 / 4};
    int strides[3] = {sink->width, sink->width / 2, sink->width / 2};
    if (!frame->rgb || frame->rgb_width != sink->config.rgb_width || frame->rgb_height != sink->config.rgb_height)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: frame %" PRId64 " came without its source picture",
                       sink->name, frame->index);
    ib_yuv_paint_rgb(frame->rgb, frame->rgb_width, frame->rgb_height, planes, strides, 0, 0);
    return ISOBATH_OK;
}

static isobath_status src_commit(void *ctx, ib_depth_frame *frame, int thread)
{
    src_sink *sink = ctx;
    return ib_video_stream_write(sink->stream, sink->yuv[thread], frame->pts_us);
}

static void src_close(ib_sink *base)
{
    src_sink *sink = (src_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    ib_video_stream_close(sink->stream);
    for (int i = 0; sink->yuv && i < sink->threads; i++) free(sink->yuv[i]);
    free(sink->yuv);
    free(sink->name);
    free(sink->path);
    free(sink);
}

static isobath_status src_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    src_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the src sink");
    sink->config = *config;
    sink->count = config->resume ? config->resume->count : 0;
    sink->diag = diag;
    sink->width = (config->rgb_width + 1) & ~1;
    sink->height = (config->rgb_height + 1) & ~1;
    sink->threads = ib_sink_threads(config);
    if (sink->threads > 2) sink->threads = 2; /* the encoder has threads of its own; these only convert */
    sink->name = ib_text("%s_src.mp4", config->name);
    sink->path = ib_text("%s/%s_src.mp4", config->folder, config->name);
    sink->yuv = calloc((size_t)sink->threads, sizeof *sink->yuv);
    int ok = sink->name && sink->path && sink->yuv;
    for (int i = 0; ok && i < sink->threads; i++)
        ok = (sink->yuv[i] = malloc((size_t)sink->width * (size_t)sink->height * 3 / 2)) != NULL;
    static const ib_frame_queue_ops ops = {src_work, src_commit};
    ib_video_format format = {.kind = IB_VIDEO_H264,
                              .path = sink->path,
                              .width = sink->width,
                              .height = sink->height,
                              .fps = config->fps,
                              .pixel_aspect = config->rgb_aspect,
                              .resumable = config->resumable,
                              .sound_from = config->source_path};
    isobath_status st = ok ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the src sink");
    if (st == ISOBATH_OK && config->resume && config->resume->count && !config->resume->frames)
        st = ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: one file cannot be written in parts", sink->name);
    if (st == ISOBATH_OK) st = ib_video_stream_open(&format, config->resume, diag, &sink->stream);
    if (st == ISOBATH_OK)
        st = ib_frame_queue_create(sink->threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    if (st != ISOBATH_OK)
        src_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status src_push(ib_sink *base, ib_depth_frame *frame)
{
    src_sink *sink = (src_sink *)base;
    sink->count++;
    return ib_frame_queue_push(sink->queue, frame);
}

/* Whole segments only, and all of it after the last frame. */
static isobath_status src_flush(ib_sink *base, int64_t *frames)
{
    int64_t done = ib_video_stream_durable(((src_sink *)base)->stream);
    if (done < *frames) *frames = done;
    return ISOBATH_OK;
}

static int src_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return 0;
}

static void src_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    (void)base, (void)first, (void)end, (void)state; /* the segments say it all */
}

static isobath_status src_drain(ib_sink *base)
{
    src_sink *sink = (src_sink *)base;
    IB_TRY(ib_frame_queue_drain(sink->queue));
    return ib_video_stream_end(sink->stream);
}

static void src_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_src.mp4", config->folder, config->name);
    if (path) ib_video_parts(path, add, ctx);
    free(path);
}

static isobath_status src_finish(ib_sink *base)
{
    src_sink *sink = (src_sink *)base;
    IB_TRY(ib_frame_queue_drain(sink->queue));
    return ib_video_stream_finish(sink->stream, &sink->result);
}

static json_t *src_describe(ib_sink *base)
{
    src_sink *sink = (src_sink *)base;
    json_t *object = ib_describe_file("src", &sink->config, sink->name, sink->diag);
    ib_json_set(&object, "frames", json_integer(sink->count));
    ib_json_set(&object, "encoder", json_string(sink->result.encoder));
    ib_json_set(&object, "sound", sink->result.has_sound ? json_string(sink->result.sound) : json_null());
    return object;
}

const ib_sink_format ib_sink_src = {
    .name = "src",
    .summary = "the source pictures as a video (H.264), frame for frame with the depth",
    .wants_rgb = 1,
    .first_pass_order = 0,
    .outputs = src_outputs,
    .bytes_per_frame = src_bytes_per_frame,
    .open = src_open,
    .push = src_push,
    .uses = IB_USES_NO_DEPTH,
    .flush = src_flush,
    .state_bytes = src_state_bytes,
    .save = src_save,
    .granularity = IB_VIDEO_SEGMENT_FRAMES,
    .drain = src_drain,
    .parts = src_parts,
    .finish = src_finish,
    .describe = src_describe,
    .close = src_close,
};
