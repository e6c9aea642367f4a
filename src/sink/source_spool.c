/* Source pictures on disk; see source_spool.h. */
#include "sink/source_spool.h"

#include "sink/file.h"
#include "sink/queue.h"
#include "sink/yuv.h"
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

typedef struct scratch { /* of one thread */
    uint8_t *rgb, *yuv, *packed;
    struct isal_zstream *stream;
    uint8_t *level_buf;
} scratch;

struct ib_source_spool {
    ib_sink_config config;
    ib_diag *diag;
    int width, height; /* even sides are stored */
    char *folder;
    int threads;
    scratch *scratch;
    size_t picture_bytes, packed_capacity;
    int64_t first; /* of this process */
    int64_t synced; /* pictures [0, synced) are durable */
    ib_frame_queue *queue;
};

static char *spool_folder(const ib_sink_config *config)
{
    return ib_text("%s/.%s_vis_source_spool", config->folder, config->name);
}

static char *picture_path(const ib_source_spool *spool, int64_t i)
{
    return ib_text("%s/%08" PRId64 ".yuv", spool->folder, i);
}

static isobath_status store(void *ctx, ib_depth_frame *frame, int thread)
{
    ib_source_spool *spool = ctx;
    scratch *s = &spool->scratch[thread];
    const uint8_t *rgb = frame->rgb;
    if (!rgb)
        return ib_fail(spool->diag, ISOBATH_ERR_INTERNAL, "frame %" PRId64 " came without its source picture",
                       frame->index);
    if (frame->rgb_width != spool->width || frame->rgb_height != spool->height) {
        ib_rgb_resize(rgb, frame->rgb_width, frame->rgb_height, s->rgb, spool->width, spool->height);
        rgb = s->rgb;
    }
    int w = (spool->width + 1) & ~1, h = (spool->height + 1) & ~1;
    uint8_t *planes[3] = {s->yuv, s->yuv + (size_t)w * (size_t)h, s->yuv + (size_t)w * (size_t)h * 5 / 4};
    int strides[3] = {w, w / 2, w / 2};
    ib_yuv_paint_rgb(rgb, spool->width, spool->height, planes, strides, 0, 0);
    struct isal_zstream *z = s->stream;
    isal_deflate_stateless_init(z);
    z->hist_bits = 0; /* the init leaves it as it was */
    z->next_in = s->yuv;
    z->avail_in = (uint32_t)spool->picture_bytes;
    z->next_out = s->packed;
    z->avail_out = (uint32_t)spool->packed_capacity;
    z->level = 1;
    z->level_buf = s->level_buf;
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->end_of_stream = 1;
    if (isal_deflate_stateless(z) != COMP_OK || z->avail_in != 0)
        return ib_fail(spool->diag, ISOBATH_ERR_INTERNAL, "deflate of source picture %" PRId64 " failed", frame->index);
    char *path = picture_path(spool, frame->index);
    isobath_status st = path ? ib_write_file(path, s->packed, z->total_out, 0, spool->diag)
                             : ib_fail(spool->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", spool->folder);
    free(path);
    return st;
}

isobath_status ib_source_spool_open(const ib_sink_config *config, int width, int height, ib_diag *diag,
                                    ib_source_spool **out)
{
    *out = NULL;
    ib_source_spool *spool = calloc(1, sizeof *spool);
    if (!spool) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the source pictures");
    spool->config = *config;
    spool->diag = diag;
    spool->width = width;
    spool->height = height;
    spool->picture_bytes = (size_t)((width + 1) & ~1) * (size_t)((height + 1) & ~1) * 3 / 2;
    spool->packed_capacity = spool->picture_bytes + spool->picture_bytes / 32 + 4096;
    spool->threads = ib_sink_threads(config);
    spool->folder = spool_folder(config);
    spool->first = spool->synced = config->resume ? config->resume->count : 0;
    spool->config.resume = NULL;
    spool->scratch = calloc((size_t)spool->threads, sizeof *spool->scratch);
    int ok = spool->folder && spool->scratch;
    for (int i = 0; ok && i < spool->threads; i++) {
        scratch *s = &spool->scratch[i];
        s->rgb = malloc((size_t)width * (size_t)height * 3);
        s->yuv = malloc(spool->picture_bytes);
        s->packed = malloc(spool->packed_capacity);
        s->stream = malloc(sizeof *s->stream);
        s->level_buf = malloc(ISAL_DEF_LVL1_DEFAULT);
        ok = s->rgb && s->yuv && s->packed && s->stream && s->level_buf;
    }
    static const ib_frame_queue_ops ops = {store, NULL};
    isobath_status st = ok ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the source pictures");
    if (st == ISOBATH_OK && !config->resume) st = ib_remove_part(spool->folder, diag);
    if (st == ISOBATH_OK) st = ib_make_folder(spool->folder, diag);
    if (st == ISOBATH_OK) {
        st = ib_frame_queue_create(spool->threads, config->queue_bytes, &ops, spool, diag, &spool->queue);
    }
    if (st != ISOBATH_OK)
        ib_source_spool_close(spool);
    else
        *out = spool;
    return st;
}

void ib_source_spool_close(ib_source_spool *spool)
{
    if (!spool) return;
    ib_frame_queue_destroy(spool->queue);
    if (spool->folder && !spool->config.resumable) ib_remove_part(spool->folder, NULL);
    for (int i = 0; spool->scratch && i < spool->threads; i++) {
        scratch *s = &spool->scratch[i];
        free(s->rgb);
        free(s->yuv);
        free(s->packed);
        free(s->stream);
        free(s->level_buf);
    }
    free(spool->scratch);
    free(spool->folder);
    free(spool);
}

isobath_status ib_source_spool_push(ib_source_spool *spool, ib_depth_frame *frame)
{
    return ib_frame_queue_push(spool->queue, frame);
}
isobath_status ib_source_spool_finish(ib_source_spool *spool) { return ib_frame_queue_drain(spool->queue); }

static char *path_of(const void *ctx, int64_t i) { return picture_path(ctx, i); }

isobath_status ib_source_spool_flush(ib_source_spool *spool, int64_t *frames)
{
    int64_t done = spool->first + ib_frame_queue_done(spool->queue);
    if (done < *frames) *frames = done;
    if (done <= spool->synced) return ISOBATH_OK;
    IB_TRY(ib_sync_files(spool->folder, path_of, spool, spool->synced, done, spool->diag));
    spool->synced = done;
    return ISOBATH_OK;
}

void ib_source_spool_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = spool_folder(config);
    if (path) add(ctx, path);
    free(path);
}

size_t ib_source_spool_picture_bytes(const ib_source_spool *spool) { return spool->picture_bytes; }

isobath_status ib_source_spool_read(const ib_source_spool *spool, int64_t i, uint8_t *yuv)
{
    char *path = picture_path(spool, i);
    uint8_t *data = NULL;
    size_t size;
    struct inflate_state *state = malloc(sizeof *state);
    isobath_status st = path && state ? ib_read_file(path, spool->packed_capacity, spool->diag, &data, &size)
                                      : ib_fail(spool->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", spool->folder);
    if (st == ISOBATH_OK) {
        isal_inflate_init(state);
        state->next_in = data;
        state->avail_in = (uint32_t)size;
        state->next_out = yuv;
        state->avail_out = (uint32_t)spool->picture_bytes;
        if (isal_inflate_stateless(state) != ISAL_DECOMP_OK || state->total_out != spool->picture_bytes)
            st = ib_fail(spool->diag, ISOBATH_ERR_IO, "%s: changed by someone else during the run", path);
    }
    free(state);
    free(data);
    free(path);
    return st;
}
