/* ply: NAME_points/point%04d.ply, one coloured point cloud a frame, binary; metric depth only. In camera axes as the
 * reference writes them: X = (u - cx) Z / fx, Y = (v - cy) Z / fy, Y down, pixels row by row. */
#include "sink/describe.h"
#include "sink/camera.h"
#include "sink/file.h"
#include "sink/file_series.h"
#include "sink/formats.h"
#include "sink/queue.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FOCAL_PX 470.4
#define POINT_BYTES 15 /* three floats, three bytes of colour */
#define HEADER_BYTES 512

typedef struct ply_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_file_series *series;
    ib_frame_queue *queue;
    ib_camera_track cameras;
    int threads, stride;
    int64_t points, first, count; /* frames of this process: [first, count) */
    uint8_t **buffers; /* per thread: header and points */
} ply_sink;

static void ply_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_points", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

static int64_t point_count(const ib_sink_config *config)
{
    int stride = config->ply_stride > 1 ? config->ply_stride : 1;
    return (int64_t)((config->width + stride - 1) / stride) * ((config->height + stride - 1) / stride);
}

static double ply_bytes_per_frame(const ib_sink_config *config)
{
    return POINT_BYTES * (double)point_count(config) + HEADER_BYTES;
}

/* The camera of a frame; without a file one focal length and the middle of the picture. */
static isobath_status camera_of(const ply_sink *sink, int64_t frame, ib_camera *out)
{
    double focal = sink->config.focal_px > 0 ? sink->config.focal_px : DEFAULT_FOCAL_PX;
    double focal_y = sink->config.focal_y_px > 0 ? sink->config.focal_y_px : focal;
    *out = (ib_camera){.fx = focal, .fy = focal_y, .cx = sink->config.width / 2.0, .cy = sink->config.height / 2.0};
    if (!sink->config.camera) return ISOBATH_OK;
    const ib_camera *c = ib_camera_of(&sink->cameras, frame);
    if (!c)
        return ib_fail(sink->diag, ISOBATH_ERR_INPUT, "%s: no camera for frame %" PRId64, sink->config.camera, frame);
    *out = *c;
    return ISOBATH_OK;
}

static isobath_status ply_work(void *ctx, ib_depth_frame *frame, int thread)
{
    ply_sink *sink = ctx;
    ib_camera c;
    IB_TRY(camera_of(sink, frame->index, &c));
    if (!frame->rgb)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "frame %" PRId64 " came without its source picture",
                       frame->index);
    uint8_t *p = sink->buffers[thread];
    p += snprintf(
        (char *)p, HEADER_BYTES,
        "ply\nformat binary_little_endian 1.0\ncomment isobath: metres, camera axes (x right, y down, z forward)\n"
        "comment frame %" PRId64 " time_us %" PRId64 "\nelement vertex %" PRId64
        "\nproperty float x\nproperty float y\n"
        "property float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n",
        frame->index, frame->pts_us, sink->points);
    for (int v = 0; v < frame->height; v += sink->stride)
        for (int u = 0; u < frame->width; u += sink->stride) {
            double z = frame->depth[(ptrdiff_t)v * frame->width + u];
            float xyz[3] = {(float)((u - c.cx) * z / c.fx), (float)((v - c.cy) * z / c.fy), (float)z};
            int x = (int)((int64_t)u * frame->rgb_width / frame->width),
                y = (int)((int64_t)v * frame->rgb_height / frame->height);
            memcpy(p, xyz, 12);
            memcpy(p + 12, frame->rgb + ((ptrdiff_t)y * frame->rgb_width + x) * 3, 3);
            p += POINT_BYTES;
        }
    return ib_file_series_write(sink->series, frame->index, sink->buffers[thread], (size_t)(p - sink->buffers[thread]));
}

static void ply_close(ib_sink *base)
{
    ply_sink *sink = (ply_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    ib_file_series_close(sink->series);
    ib_camera_free(&sink->cameras);
    for (int i = 0; sink->buffers && i < sink->threads; i++) free(sink->buffers[i]);
    free(sink->buffers);
    free(sink);
}

static isobath_status ply_check(const ib_sink_config *config, ib_diag *diag)
{
    ib_camera_track cameras;
    if (config->kind != IB_DEPTH_METRIC)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--format ply needs metric depth; this model gives relative disparity");
    if (config->ply_stride < 0 || !(config->focal_px >= 0) || !isfinite(config->focal_px))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--stride %d, --focal %g: expected positive numbers",
                       config->ply_stride, config->focal_px);
    if (!config->camera) return ISOBATH_OK;
    IB_TRY(ib_camera_read(config->camera, 0, diag, &cameras));
    ib_camera_free(&cameras);
    return ISOBATH_OK;
}

static isobath_status ply_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    IB_TRY(ply_check(config, diag));
    ply_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the ply sink");
    sink->config = *config;
    sink->first = sink->count = config->resume ? config->resume->count : 0;
    sink->diag = diag;
    sink->stride = config->ply_stride > 1 ? config->ply_stride : 1;
    sink->points = point_count(config);
    sink->threads = ib_sink_threads(config);
    sink->buffers = calloc((size_t)sink->threads, sizeof *sink->buffers);
    int ok = sink->buffers != NULL;
    for (int i = 0; ok && i < sink->threads; i++)
        ok = (sink->buffers[i] = malloc(HEADER_BYTES + (size_t)sink->points * POINT_BYTES)) != NULL;
    static const ib_frame_queue_ops ops = {ply_work, NULL};
    isobath_status st = ok ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the ply sink");
    if (st == ISOBATH_OK && config->camera) st = ib_camera_read(config->camera, 0, diag, &sink->cameras);
    if (st == ISOBATH_OK) st = ib_file_series_open(config, "points", "point", 4, ".ply", diag, &sink->series);
    if (st == ISOBATH_OK)
        st = ib_frame_queue_create(sink->threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    if (st != ISOBATH_OK)
        ply_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status ply_push(ib_sink *base, ib_depth_frame *frame)
{
    ply_sink *sink = (ply_sink *)base;
    sink->count++;
    return ib_frame_queue_push(sink->queue, frame);
}

static isobath_status ply_flush(ib_sink *base, int64_t *frames)
{
    ply_sink *sink = (ply_sink *)base;
    int64_t done = sink->first + ib_frame_queue_done(sink->queue);
    if (done < *frames) *frames = done;
    return ib_file_series_flush(sink->series, done);
}

static int ply_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return IB_SERIES_STATE_BYTES;
}

static void ply_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    ib_file_series_save(((ply_sink *)base)->series, first, end, state);
}

static isobath_status ply_drain(ib_sink *base) { return ib_frame_queue_drain(((ply_sink *)base)->queue); }

static isobath_status ply_finish(ib_sink *base)
{
    ply_sink *sink = (ply_sink *)base;
    IB_TRY(ib_frame_queue_drain(sink->queue));
    return ib_file_series_finish(sink->series, sink->count);
}

static json_t *ply_describe(ib_sink *base)
{
    ply_sink *sink = (ply_sink *)base;
    json_t *object = ib_file_series_describe(sink->series, "ply", sink->count);
    ib_json_set(&object, "unit", json_string("metre"));
    ib_json_set(&object, "points", json_integer(sink->points));
    return object;
}

const ib_sink_format ib_sink_ply = {
    .name = "ply",
    .summary = "one coloured point cloud a frame (metric models)",
    .wants_rgb = 1,
    .metric_only = 1,
    .first_pass_order = 0,
    .outputs = ply_outputs,
    .bytes_per_frame = ply_bytes_per_frame,
    .check = ply_check,
    .open = ply_open,
    .push = ply_push,
    .flush = ply_flush,
    .state_bytes = ply_state_bytes,
    .save = ply_save,
    .granularity = 1,
    .drain = ply_drain,
    .finish = ply_finish,
    .describe = ply_describe,
    .close = ply_close,
};
