/* preview: NAME_vis.mp4, depth in colours with the range of the whole video, by itself or beside the source, with the
 * source's sound. The range is known at the end only, so the frames wait on disk (frame_spool.h). */
#include "sink/colormap.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/formats.h"
#include "sink/frame_spool.h"
#include "sink/queue.h"
#include "sink/source_spool.h"
#include "sink/video_writer.h"
#include "sink/yuv.h"

#include <stdlib.h>
#include <string.h>

/* Frames of a closed group of pictures: fewer in short videos, so that there is work for many cores. */
enum { MOST_FRAMES = 48, FEWEST_FRAMES = 12, GROUPS = 64 };

static int group_frames(int64_t frames)
{
    int64_t n = (frames + GROUPS - 1) / GROUPS;
    n = (n + FEWEST_FRAMES - 1) / FEWEST_FRAMES * FEWEST_FRAMES;
    return n < FEWEST_FRAMES ? FEWEST_FRAMES : n > MOST_FRAMES ? MOST_FRAMES : (int)n;
}

typedef struct scratch { /* of one thread, finishing pass */
    uint8_t *index, *source;
} scratch;

typedef struct preview_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_frame_spool *spool;
    ib_source_spool *sources; /* side by side only */
    char *name;               /* of the video, below config.folder */
    int threads;
    ib_yuv_table colours;
    uint8_t *index_of; /* colour index of each 16-bit value */
    scratch *scratch;
    ib_video_result result;
} preview_sink;

static const char *map_name(const ib_sink_config *config)
{
    return config->grayscale ? "gray" : config->colormap ? config->colormap : "inferno";
}

static void preview_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_vis.mp4", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

/* H.264 at crf 18 of smooth pictures stays below a bit per pixel; segments and spools count while they are there. */
static double preview_bytes_per_frame(const ib_sink_config *config)
{
    double pixels = (double)config->width * config->height;
    return 2 * 0.12 * pixels + 1024 + ib_frame_spool_bytes_per_frame(config) +
           (config->preview_side_by_side ? 1.4 * pixels : 0);
}

static void preview_close(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    if (!sink) return;
    ib_frame_spool_close(sink->spool);
    ib_source_spool_close(sink->sources);
    for (int i = 0; sink->scratch && i < sink->threads; i++) {
        free(sink->scratch[i].index);
        free(sink->scratch[i].source);
    }
    free(sink->scratch);
    free(sink->index_of);
    free(sink->name);
    free(sink);
}

static isobath_status preview_check(const ib_sink_config *config, ib_diag *diag)
{
    uint8_t rgb[768];
    if (!ib_colormap_find(map_name(config), rgb))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--colormap %s: expected one of " IB_COLORMAP_NAMES, map_name(config));
    return ISOBATH_OK;
}

static isobath_status preview_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    IB_TRY(preview_check(config, diag));
    uint8_t rgb[768];
    ib_colormap_find(map_name(config), rgb);
    preview_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the preview sink");
    sink->config = *config;
    sink->diag = diag;
    sink->threads = ib_sink_threads(config);
    ib_yuv_table_init(&sink->colours, rgb);
    sink->name = ib_text("%s_vis.mp4", config->name);
    isobath_status st = sink->name ? ib_frame_spool_open(config, "vis", diag, &sink->spool)
                                   : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the preview sink");
    if (st == ISOBATH_OK && config->preview_side_by_side)
        st = ib_source_spool_open(config, config->width, config->height, diag, &sink->sources);
    if (st != ISOBATH_OK)
        preview_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status preview_push(ib_sink *base, ib_depth_frame *frame)
{
    preview_sink *sink = (preview_sink *)base;
    IB_TRY(ib_frame_spool_push(sink->spool, frame));
    return sink->sources ? ib_source_spool_push(sink->sources, frame) : ISOBATH_OK;
}

static isobath_status preview_flush(ib_sink *base, int64_t *frames)
{
    preview_sink *sink = (preview_sink *)base;
    IB_TRY(ib_frame_spool_flush(sink->spool, frames));
    return sink->sources ? ib_source_spool_flush(sink->sources, frames) : ISOBATH_OK;
}

static int preview_state_bytes(const ib_sink_config *config) { return ib_frame_spool_state_bytes(config); }

static void preview_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    ib_frame_spool_save(((preview_sink *)base)->spool, first, end, state);
}

static isobath_status preview_drain(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    IB_TRY(ib_frame_spool_drain(sink->spool));
    return sink->sources ? ib_source_spool_finish(sink->sources) : ISOBATH_OK;
}

static void preview_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    ib_frame_spool_parts(config, "vis", add, ctx);
    if (config->preview_side_by_side) ib_source_spool_parts(config, add, ctx);
    char *path = ib_text("%s/%s_vis.mp4", config->folder, config->name);
    if (path) ib_video_parts(path, add, ctx);
    free(path);
}

/* The reference's trunc((d - min) / (max - min) * 255), on 16-bit values. */
static isobath_status prepare_colours(preview_sink *sink)
{
    float ends[2] = {ib_frame_spool_min(sink->spool), ib_frame_spool_max(sink->spool)};
    uint16_t q[2];
    if (ib_quant_apply(ib_frame_spool_quant(sink->spool), ib_frame_spool_exponent(sink->spool), ends, 2, q) < 0)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: the range %g to %g is not one of depths", sink->name,
                       (double)ends[0], (double)ends[1]);
    size_t pixels = (size_t)sink->config.width * (size_t)sink->config.height;
    sink->index_of = calloc(65536, 1);
    sink->scratch = calloc((size_t)sink->threads, sizeof *sink->scratch);
    int ok = sink->index_of && sink->scratch;
    for (int i = 0; ok && i < sink->threads; i++) {
        scratch *s = &sink->scratch[i];
        s->index = malloc(pixels);
        s->source = sink->sources ? malloc(ib_source_spool_picture_bytes(sink->sources)) : NULL;
        ok = s->index && (!sink->sources || s->source);
    }
    if (!ok) return ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    for (int v = q[0] + 1; v < 65536 && q[1] > q[0]; v++)
        sink->index_of[v] = v >= q[1] ? 255 : (uint8_t)((v - q[0]) * 255 / (q[1] - q[0]));
    return ISOBATH_OK;
}

static void copy_source(const uint8_t *yuv, int width, int height, uint8_t *const planes[3], const int strides[3])
{
    for (int p = 0; p < 3; p++) {
        int w = p ? width / 2 : width, h = p ? height / 2 : height;
        for (int y = 0; y < h; y++, yuv += w) memcpy(planes[p] + (ptrdiff_t)y * strides[p], yuv, (size_t)w);
    }
}

static isobath_status draw(void *ctx, int64_t i, int thread, uint8_t *const planes[3], const int strides[3])
{
    preview_sink *sink = ctx;
    scratch *s = &sink->scratch[thread];
    int width = sink->config.width, height = sink->config.height, x0 = 0;
    if (sink->sources) {
        IB_TRY(ib_source_spool_read(sink->sources, i, s->source));
        copy_source(s->source, (width + 1) & ~1, (height + 1) & ~1, planes, strides);
        x0 = (width + 1) & ~1;
    }
    const uint16_t *q;
    IB_TRY(ib_frame_spool_read(sink->spool, i, thread, &q));
    for (int64_t k = 0; k < (int64_t)width * height; k++) s->index[k] = sink->index_of[q[k]];
    ib_yuv_paint_indexed(&sink->colours, s->index, width, height, planes, strides, x0, 0);
    return ISOBATH_OK;
}

static void note(const preview_sink *sink, const char *text)
{
    char *line = sink->config.note ? ib_text("%s: %s", sink->name, text) : NULL;
    if (line) sink->config.note(sink->config.note_ctx, line);
    free(line);
}

static isobath_status preview_finish(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    IB_TRY(ib_frame_spool_finish(sink->spool));
    if (sink->sources) IB_TRY(ib_source_spool_finish(sink->sources));
    IB_TRY(prepare_colours(sink));
    char *path = ib_text("%s/%s", sink->config.folder, sink->name);
    if (!path) return ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    ib_video_job job = {
        .format = {.kind = IB_VIDEO_H264,
                   .path = path,
                   .width = ((sink->config.width + 1) & ~1) * (sink->sources ? 2 : 1),
                   .height = (sink->config.height + 1) & ~1,
                   .fps = sink->config.fps,
                   .pixel_aspect = ib_sink_aspect(&sink->config),
                   .smooth = sink->sources == NULL,
                   .hardware = sink->config.preview_hardware,
                   .hardware_card = sink->config.preview_card,
                   .resumable = sink->config.resumable,
                   .sound_from = sink->config.source_path},
        .frames = ib_frame_spool_count(sink->spool),
        .times_us = ib_frame_spool_times_us(sink->spool),
        .group = group_frames(ib_frame_spool_count(sink->spool)),
        .threads = sink->threads,
        .draw = draw,
        .ctx = sink,
        .cancelled = sink->config.cancelled,
        .cancel_ctx = sink->config.cancel_ctx,
    };
    isobath_status st = ib_video_encode(&job, sink->diag, &sink->result);
    free(path);
    const char *encoder = sink->result.encoder, *hardware = sink->config.preview_hardware;
    if (st == ISOBATH_OK && strcmp(encoder, "libx264") != 0 && !(hardware && strcmp(encoder, hardware) == 0))
        note(sink, "libx264 is missing, another encoder was used");
    char line[320];
    snprintf(line, sizeof line, "%s encodes it, the card does not (%s)", encoder, sink->result.no_hardware);
    if (st == ISOBATH_OK && sink->result.no_hardware[0]) note(sink, line);
    if (st == ISOBATH_OK && strstr(sink->result.sound, "does not go")) note(sink, sink->result.sound);
    return st;
}

static json_t *preview_describe(ib_sink *base)
{
    preview_sink *sink = (preview_sink *)base;
    json_t *object = ib_describe_file("preview", &sink->config, sink->name, sink->diag);
    ib_json_set(&object, "frames", json_integer(ib_frame_spool_count(sink->spool)));
    ib_json_set(&object, "encoder", json_string(sink->result.encoder));
    ib_json_set(&object, "colormap", json_string(map_name(&sink->config)));
    ib_json_set(
        &object, "range",
        json_pack("[f,f]", (double)ib_frame_spool_min(sink->spool), (double)ib_frame_spool_max(sink->spool)));
    ib_json_set(&object, "side_by_side", json_boolean(sink->sources != NULL));
    ib_json_set(&object, "sound", sink->result.has_sound ? json_string(sink->result.sound) : json_null());
    return object;
}

const ib_sink_format ib_sink_preview = {
    .name = "preview",
    .summary = "a colour video (H.264) of the depth",
    .wants_rgb = 0,
    .first_pass_order = 1,
    .outputs = preview_outputs,
    .bytes_per_frame = preview_bytes_per_frame,
    .check = preview_check,
    .open = preview_open,
    .push = preview_push,
    .uses = IB_USES_DEPTH_WITHOUT_PNG16,
    .flush = preview_flush,
    .state_bytes = preview_state_bytes,
    .save = preview_save,
    .granularity = 1,
    .drain = preview_drain,
    .parts = preview_parts,
    .finish = preview_finish,
    .describe = preview_describe,
    .close = preview_close,
};
