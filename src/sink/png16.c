/* png16: NAME_depths_png16/frame_%05d.png and depth.json, 16-bit grey with one scale for the whole video. */
#include "base/hash.h"
#include "sink/describe.h"
#include "sink/file.h"
#include "sink/formats.h"
#include "sink/png_store.h"
#include "sink/queue.h"

#include <stdlib.h>
#include <string.h>

typedef struct png16_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_png_store *store;
    ib_frame_queue *queue;
    int64_t *times_us;
    int64_t count, capacity;
    int64_t first; /* of this process */
    char *name;   /* of the folder, below config.folder */
    char *folder; /* the whole path */
} png16_sink;

static void png16_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_depths_png16", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

/* Worst of what was measured (strong noise: 0.70 of the raw size), with a margin. */
static double png16_bytes_per_frame(const ib_sink_config *config)
{
    return 0.85 * 2.0 * config->width * config->height + 1024;
}

static isobath_status png16_work(void *ctx, ib_depth_frame *frame, int thread)
{
    return ib_png_store_write(((png16_sink *)ctx)->store, frame, thread);
}

static isobath_status png16_two(void *ctx, ib_depth_frame *const frame[2], int thread)
{
    return ib_png_store_write_two(((png16_sink *)ctx)->store, (const ib_depth_frame *const[2]){frame[0], frame[1]}, thread);
}

static void png16_close(ib_sink *base)
{
    png16_sink *sink = (png16_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    ib_png_store_close(sink->store);
    free(sink->times_us);
    free(sink->name);
    free(sink->folder);
    free(sink);
}

static isobath_status png16_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    png16_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the png16 sink");
    sink->config = *config;
    sink->first = config->resume ? config->resume->count : 0;
    sink->diag = diag;
    sink->name = ib_text("%s_depths_png16", config->name);
    sink->folder = ib_text("%s/%s_depths_png16", config->folder, config->name);
    const ib_frame_queue_ops ops = {.work = png16_work, .two = ib_sha256_pair_find() ? png16_two : NULL};
    int threads = ib_sink_threads(config);
    isobath_status st =
        sink->name && sink->folder ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the png16 sink");
    const ib_frame_record *known = config->resume ? config->resume->frames : NULL;
    for (int64_t i = 0; st == ISOBATH_OK && known && i < sink->first; i++)
        st = ib_times_append(&sink->times_us, &sink->count, &sink->capacity, known[i].pts_us, diag);
    if (st == ISOBATH_OK) st = ib_png_store_open(config, sink->folder, threads, diag, &sink->store);
    if (st == ISOBATH_OK) st = ib_frame_queue_create(threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    if (st != ISOBATH_OK)
        png16_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status png16_push(ib_sink *base, ib_depth_frame *frame)
{
    png16_sink *sink = (png16_sink *)base;
    IB_TRY(ib_times_append(&sink->times_us, &sink->count, &sink->capacity, frame->pts_us, sink->diag));
    IB_TRY(ib_png_store_announce(sink->store, frame));
    return ib_frame_queue_push(sink->queue, frame);
}

static isobath_status png16_pack(ib_sink *base, ib_depth_frame *frame, const ib_frame_rows *rows, int thread)
{
    return ib_png_store_pack(((png16_sink *)base)->store, frame, rows, thread);
}

static isobath_status png16_flush(ib_sink *base, int64_t *frames)
{
    png16_sink *sink = (png16_sink *)base;
    int64_t done = sink->first + ib_frame_queue_done(sink->queue);
    if (done < *frames) *frames = done;
    return ib_png_store_flush(sink->store, done);
}

static int png16_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return IB_PNG_STATE_BYTES;
}

static void png16_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    ib_png_store_save(((png16_sink *)base)->store, first, end, state);
}

static isobath_status png16_drain(ib_sink *base) { return ib_frame_queue_drain(((png16_sink *)base)->queue); }

/* depth.json is written last: a folder without it is not complete. */
static isobath_status write_sidecar(png16_sink *sink)
{
    json_t *json = json_pack("{s:s, s:i, s:i, s:I, s:i, s:s, s:i}", "schema", "isobath-depth-1", "width",
                             sink->config.width, "height", sink->config.height, "frames", (json_int_t)sink->count,
                             "bits", 16, "files", "frame_%05d.png", "start_number", sink->config.start_number);
    json_t *times = json_array();
    for (int64_t i = 0; i < sink->count; i++) ib_json_add(&times, json_integer(sink->times_us[i]));
    ib_describe_kind(&json, sink->config.kind);
    ib_describe_scale(&json, ib_png_store_quant(sink->store), ib_png_store_exponent(sink->store));
    ib_json_set(&json, "fps", sink->config.fps > 0 ? json_real(sink->config.fps) : json_null());
    ib_json_set(&json, "times_us", times);
    char *text = json ? ib_json_text(json) : NULL;
    json_decref(json);
    char *path = ib_text("%s/depth.json", sink->folder);
    isobath_status st = text && path ? ib_write_file(path, text, strlen(text), 1, sink->diag)
                                     : ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->folder);
    free(path);
    free(text);
    return st;
}

static isobath_status png16_finish(ib_sink *base)
{
    png16_sink *sink = (png16_sink *)base;
    IB_TRY(ib_frame_queue_drain(sink->queue));
    IB_TRY(ib_png_store_finish(sink->store, 1));
    return write_sidecar(sink);
}

static json_t *png16_describe(ib_sink *base)
{
    png16_sink *sink = (png16_sink *)base;
    char sha256[65];
    ib_png_store_digest(sink->store, sha256);
    if (!sha256[0]) return NULL;
    json_t *object = ib_describe_folder("png16", &sink->config, sink->name, "frame_%05d.png", sink->count,
                                        ib_png_store_bytes(sink->store), sha256);
    ib_describe_kind(&object, sink->config.kind);
    ib_describe_scale(&object, ib_png_store_quant(sink->store), ib_png_store_exponent(sink->store));
    ib_json_set(&object, "clamped_values", json_integer(ib_png_store_clamped(sink->store)));
    char *sidecar = ib_text("%s/depth.json", sink->name);
    ib_json_set(&object, "sidecar", sidecar ? ib_describe_file("json", &sink->config, sidecar, sink->diag) : NULL);
    free(sidecar);
    return object;
}

const ib_sink_format ib_sink_png16 = {
    .name = "png16",
    .summary = "16-bit grey PNG files with one scale for the whole video",
    .first_pass_order = 0,
    .outputs = png16_outputs,
    .bytes_per_frame = png16_bytes_per_frame,
    .open = png16_open,
    .push = png16_push,
    .pack = png16_pack,
    .flush = png16_flush,
    .state_bytes = png16_state_bytes,
    .save = png16_save,
    .granularity = 1,
    .drain = png16_drain,
    .finish = png16_finish,
    .describe = png16_describe,
    .close = png16_close,
};
