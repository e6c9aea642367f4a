/* exr: NAME_depths_exr/frame_%05d.exr, channel Z, and Y for those that read pictures only. */
#ifdef ISOBATH_HAVE_EXR
#include "sink/describe.h"
#include "sink/exr_encode.h"
#include "sink/file.h"
#include "sink/file_series.h"
#include "sink/formats.h"
#include "sink/queue.h"

#include <stdlib.h>
#include <string.h>

typedef struct exr_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_file_series *series;
    ib_frame_queue *queue;
    ib_exr_encoder **encoders; /* per thread */
    int threads;
    int64_t first, count; /* frames of this process: [first, count) */
} exr_sink;

static void exr_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_depths_exr", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

static double exr_bytes_per_frame(const ib_sink_config *config)
{
    double channel = (config->exr_half ? 2.0 : 4.0) * config->width * config->height;
    const char *c = config->exr_compression;
    int twice = c && (strcmp(c, "none") == 0 || strcmp(c, "piz") == 0); /* deflate finds the second channel in the first */
    return channel * (config->exr_z_only ? 1 : twice ? 2 : 1.1) + 16.0 * config->height + 4096;
}

static isobath_status exr_work(void *ctx, ib_depth_frame *frame, int thread)
{
    exr_sink *sink = ctx;
    const uint8_t *data;
    size_t size;
    IB_TRY(ib_exr_encode(sink->encoders[thread], frame, sink->diag, &data, &size));
    return ib_file_series_write(sink->series, frame->index, data, size);
}

static void exr_close(ib_sink *base)
{
    exr_sink *sink = (exr_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    ib_file_series_close(sink->series);
    for (int i = 0; sink->encoders && i < sink->threads; i++) ib_exr_encoder_destroy(sink->encoders[i]);
    free(sink->encoders);
    free(sink);
}

static isobath_status exr_check(const ib_sink_config *config, ib_diag *diag)
{
    return ib_exr_check_compression(config->exr_compression, diag);
}

static isobath_status exr_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    exr_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the exr sink");
    sink->config = *config;
    sink->first = sink->count = config->resume ? config->resume->count : 0;
    sink->diag = diag;
    sink->threads = ib_sink_threads(config);
    sink->encoders = calloc((size_t)sink->threads, sizeof *sink->encoders);
    isobath_status st =
        sink->encoders ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the exr sink");
    for (int i = 0; st == ISOBATH_OK && i < sink->threads; i++)
        st = ib_exr_encoder_create(config->width, config->height, config->exr_compression, config->exr_half,
                                   config->exr_z_only, config->kind, ib_sink_aspect(config), diag, &sink->encoders[i]);
    static const ib_frame_queue_ops ops = {exr_work, NULL};
    if (st == ISOBATH_OK) st = ib_file_series_open(config, "depths_exr", "frame_", 5, ".exr", diag, &sink->series);
    if (st == ISOBATH_OK)
        st = ib_frame_queue_create(sink->threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    if (st != ISOBATH_OK)
        exr_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status exr_push(ib_sink *base, ib_depth_frame *frame)
{
    exr_sink *sink = (exr_sink *)base;
    if (frame->index != sink->count || frame->width != sink->config.width || frame->height != sink->config.height)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "exr: a frame out of order or of another size came");
    sink->count++;
    return ib_frame_queue_push(sink->queue, frame);
}

static isobath_status exr_flush(ib_sink *base, int64_t *frames)
{
    exr_sink *sink = (exr_sink *)base;
    int64_t done = sink->first + ib_frame_queue_done(sink->queue);
    if (done < *frames) *frames = done;
    return ib_file_series_flush(sink->series, done);
}

static int exr_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return IB_SERIES_STATE_BYTES;
}

static void exr_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    ib_file_series_save(((exr_sink *)base)->series, first, end, state);
}

static isobath_status exr_drain(ib_sink *base) { return ib_frame_queue_drain(((exr_sink *)base)->queue); }

static isobath_status exr_finish_pass(ib_sink *base)
{
    exr_sink *sink = (exr_sink *)base;
    IB_TRY(ib_frame_queue_drain(sink->queue));
    return ib_file_series_finish(sink->series, sink->count);
}

static json_t *exr_describe(ib_sink *base)
{
    exr_sink *sink = (exr_sink *)base;
    json_t *object = ib_file_series_describe(sink->series, "exr", sink->count);
    ib_json_set(&object, "compression",
                        json_string(sink->config.exr_compression ? sink->config.exr_compression : "zip"));
    ib_json_set(&object, "dtype", json_string(sink->config.exr_half ? "float16" : "float32"));
    ib_json_set(&object, "channels", json_string(sink->config.exr_z_only ? "Z" : "Y,Z"));
    ib_json_set(&object, "unit", json_string(sink->config.kind == IB_DEPTH_METRIC ? "metre" : "relative"));
    return object;
}

const ib_sink_format ib_sink_exr = {
    .name = "exr",
    .summary = "OpenEXR files with a channel Z of floats",
    .first_pass_order = 0,
    .outputs = exr_outputs,
    .bytes_per_frame = exr_bytes_per_frame,
    .check = exr_check,
    .open = exr_open,
    .push = exr_push,
    .flush = exr_flush,
    .state_bytes = exr_state_bytes,
    .save = exr_save,
    .granularity = 1,
    .drain = exr_drain,
    .finish = exr_finish_pass,
    .describe = exr_describe,
    .close = exr_close,
};
#else
typedef int ib_exr_is_not_built; /* a translation unit must not be empty */
#endif
