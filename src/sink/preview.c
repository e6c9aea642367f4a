/* preview: NAME_vis.mp4, depth in colours with the range of the whole video. That range is known at the end only, so
 * the frames wait as 16-bit files: those of the png16 sink when it is in the run, else a hidden folder made by the same
 * code; the video has the same bytes either way. */
#include "sink/colormap.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/formats.h"
#include "sink/png_store.h"
#include "sink/queue.h"
#include "sink/video_writer.h"
#include "sink/yuv.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUP_FRAMES 48 /* of a closed group of pictures */

typedef struct preview_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_quant quant;
    ib_png_store *spool;   /* NULL when png16 keeps the frames */
    ib_frame_queue *queue; /* likewise */
    char *frames_folder;   /* where the 16-bit frames are */
    char *name;            /* of the video, below config.folder */
    int threads;
    float min, max; /* of the frames so far */
    int64_t *times_us, count, capacity;
    ib_yuv_table colours;
    /* finishing pass */
    double scale;       /* final */
    uint8_t *index_of;  /* colour index of each 16-bit value */
    uint8_t **indices;  /* per thread (H,W) */
    char encoder[64];
} preview_sink;

static void preview_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_vis.mp4", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

/* H.264 at crf 18 of smooth pictures stays below a bit per pixel; the spool counts when it is ours. */
static double preview_bytes_per_frame(const ib_sink_config *config)
{
    double pixels = (double)config->width * config->height;
    return 0.12 * pixels + 1024 + (config->png16_present ? 0 : 1.5 * pixels);
}

static isobath_status preview_work(void *ctx, ib_depth_frame *frame, int thread)
{
    return ib_png_store_write(((preview_sink *)ctx)->spool, frame, thread);
}

static void preview_close(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    if (sink->spool) {
        ib_png_store_remove(sink->spool);
        ib_png_store_close(sink->spool);
    }
    for (int i = 0; sink->indices && i < sink->threads; i++) free(sink->indices[i]);
    free(sink->indices);
    free(sink->index_of);
    free(sink->times_us);
    free(sink->frames_folder);
    free(sink->name);
    free(sink);
}

static isobath_status preview_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    uint8_t rgb[768];
    const char *map = config->grayscale ? "gray" : config->colormap ? config->colormap : "inferno";
    if (!ib_colormap_find(map, rgb))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--colormap %s: expected one of " IB_COLORMAP_NAMES, map);
    preview_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the preview sink");
    sink->config = *config;
    sink->diag = diag;
    sink->threads = ib_sink_threads(config);
    ib_yuv_table_init(&sink->colours, rgb);
    sink->name = ib_text("%s_vis.mp4", config->name);
    sink->frames_folder = config->png16_present ? ib_text("%s/%s_depths_png16", config->folder, config->name)
                                                : ib_text("%s/.%s_vis_spool", config->folder, config->name);
    isobath_status st = sink->name && sink->frames_folder
                            ? ib_quant_init(config, diag, &sink->quant)
                            : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the preview sink");
    static const ib_frame_queue_ops ops = {preview_work, NULL};
    if (st == ISOBATH_OK && !config->png16_present) {
        ib_sink_config spool = *config;
        spool.png_level = 0;
        st = ib_png_store_open(&spool, sink->frames_folder, sink->threads, diag, &sink->spool);
        if (st == ISOBATH_OK)
            st = ib_frame_queue_create(sink->threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    }
    if (st != ISOBATH_OK)
        preview_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status preview_push(ib_sink *base, ib_depth_frame *frame)
{
    preview_sink *sink = (preview_sink *)base;
    if (frame->index != sink->count)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: frame %" PRId64 " came, expected %" PRId64, sink->name,
                       frame->index, sink->count);
    if (sink->count == 0 || frame->min < sink->min) sink->min = frame->min;
    if (sink->count == 0 || frame->max > sink->max) sink->max = frame->max;
    IB_TRY(ib_times_append(&sink->times_us, &sink->count, &sink->capacity, frame->pts_us, sink->diag));
    if (!sink->spool) return ISOBATH_OK;
    IB_TRY(ib_png_store_announce(sink->spool, frame));
    return ib_frame_queue_push(sink->queue, frame);
}

/* The reference's trunc((d - min) / (max - min) * 255), on 16-bit values. */
static isobath_status prepare_colours(preview_sink *sink)
{
    int exponent = ib_quant_exponent(&sink->quant, sink->max);
    float ends[2] = {sink->min, sink->max};
    uint16_t q[2];
    sink->scale = ib_quant_scale(&sink->quant, exponent);
    if (ib_quant_apply(&sink->quant, exponent, ends, 2, q) < 0)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: the range %g to %g is not one of depths", sink->name,
                       (double)sink->min, (double)sink->max);
    sink->index_of = calloc(65536, 1);
    sink->indices = calloc((size_t)sink->threads, sizeof *sink->indices);
    int ok = sink->index_of && sink->indices;
    for (int i = 0; ok && i < sink->threads; i++)
        ok = (sink->indices[i] = malloc((size_t)sink->config.width * (size_t)sink->config.height)) != NULL;
    if (!ok) return ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    for (int v = q[0] + 1; v < 65536 && q[1] > q[0]; v++)
        sink->index_of[v] = v >= q[1] ? 255 : (uint8_t)((v - q[0]) * 255 / (q[1] - q[0]));
    return ISOBATH_OK;
}

/* Reads frame i and brings it to the final step; how far is in the file itself. */
static isobath_status read_indices(preview_sink *sink, int64_t i, uint8_t *indices)
{
    char *path = ib_png_store_path(sink->frames_folder, sink->config.start_number + i);
    if (!path) return ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    ib_png_image image;
    isobath_status st = ib_png_read(path, sink->diag, &image);
    if (st == ISOBATH_OK) {
        const char *text = ib_png_image_text(&image, "isobath:scale");
        double scale = text ? strtod(text, NULL) : 0;
        int shift = scale > 0 ? (int)lrint(log2(sink->scale / scale)) : -1;
        if (shift < 0 || image.width != sink->config.width || image.height != sink->config.height)
            st = ib_fail(sink->diag, ISOBATH_ERR_IO, "%s: changed by someone else during the run", path);
        int64_t n = (int64_t)image.width * image.height;
        for (int64_t k = 0; st == ISOBATH_OK && k < n; k++)
            indices[k] = sink->index_of[shift > 15 ? 0 : image.q[k] >> shift];
    }
    ib_png_image_free(&image);
    free(path);
    return st;
}

static isobath_status draw(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3])
{
    preview_sink *sink = ctx;
    IB_TRY(read_indices(sink, i, sink->indices[thread]));
    ib_yuv_paint_indexed(&sink->colours, sink->indices[thread], sink->config.width, sink->config.height, planes,
                         strides, 0, 0);
    return ISOBATH_OK;
}

static isobath_status preview_finish(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    if (sink->queue) IB_TRY(ib_frame_queue_drain(sink->queue));
    if (sink->count == 0) return ib_fail(sink->diag, ISOBATH_ERR_INPUT, "%s: no frames, so no video", sink->name);
    IB_TRY(prepare_colours(sink));
    char *path = ib_text("%s/%s", sink->config.folder, sink->name);
    if (!path) return ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    ib_video_job job = {
        .path = path,
        .width = (sink->config.width + 1) & ~1,
        .height = (sink->config.height + 1) & ~1,
        .frames = sink->count,
        .times_us = sink->times_us,
        .fps = sink->config.fps,
        .group = GROUP_FRAMES,
        .threads = sink->threads,
        .draw = draw,
        .ctx = sink,
        .cancelled = sink->config.cancelled,
        .cancel_ctx = sink->config.cancel_ctx,
    };
    isobath_status st = ib_video_encode(&job, sink->diag, sink->encoder);
    free(path);
    if (st == ISOBATH_OK && strcmp(sink->encoder, "libx264") != 0 && sink->config.note) {
        char *line = ib_text("%s: libx264 is missing, encoded with %s instead", sink->name, sink->encoder);
        if (line) sink->config.note(sink->config.note_ctx, line);
        free(line);
    }
    return st;
}

static json_t *preview_describe(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    json_t *object = ib_describe_file("preview", &sink->config, sink->name, sink->diag);
    if (!object) return NULL;
    const char *map = sink->config.grayscale ? "gray" : sink->config.colormap ? sink->config.colormap : "inferno";
    json_object_set_new(object, "frames", json_integer(sink->count));
    json_object_set_new(object, "encoder", json_string(sink->encoder));
    json_object_set_new(object, "colormap", json_string(map));
    json_object_set_new(object, "range", json_pack("[f,f]", (double)sink->min, (double)sink->max));
    return object;
}

const ib_sink_format ib_sink_preview = {
    .name = "preview",
    .summary = "a colour video (H.264) of the depth",
    .first_pass_order = 1,
    .outputs = preview_outputs,
    .bytes_per_frame = preview_bytes_per_frame,
    .open = preview_open,
    .push = preview_push,
    .finish = preview_finish,
    .describe = preview_describe,
    .close = preview_close,
};
