/* Frames that wait; see frame_spool.h. */
#include "sink/frame_spool.h"

#include "sink/file.h"
#include "sink/formats.h"
#include "sink/queue.h"
#include <inttypes.h>
#include <stdlib.h>

struct ib_frame_spool {
    ib_sink_config config;
    ib_diag *diag;
    ib_quant quant;
    ib_png_store *store;   /* NULL when png16 keeps the frames */
    ib_frame_queue *queue; /* likewise */
    char *folder;
    float min, max;
    int exponent;
    int64_t first; /* of this process */
    int64_t *times_us, count, capacity;
    int threads;
    ib_png_reader **readers; /* of threads, made when they are needed */
};

static isobath_status spool_work(void *ctx, ib_depth_frame *frame, int thread)
{
    return ib_png_store_write(((ib_frame_spool *)ctx)->store, frame, thread);
}

/* What the frames of an earlier process say. */
static isobath_status restore(ib_frame_spool *spool, const ib_sink_resume *resume)
{
    spool->first = resume->count;
    for (int64_t i = 0; resume->frames && i < resume->count; i++) {
        const ib_frame_record *f = &resume->frames[i];
        if (i == 0 || f->min < spool->min) spool->min = f->min;
        if (i == 0 || f->max > spool->max) spool->max = f->max;
        IB_TRY(ib_times_append(&spool->times_us, &spool->count, &spool->capacity, f->pts_us, spool->diag));
    }
    spool->count = resume->count;
    return ISOBATH_OK;
}

static char *spool_folder(const ib_sink_config *config, const char *suffix)
{
    return config->png16_present ? ib_text("%s/%s_depths_png16", config->folder, config->name)
                                 : ib_text("%s/.%s_%s_spool", config->folder, config->name, suffix);
}

isobath_status ib_frame_spool_open(const ib_sink_config *config, const char *suffix, ib_diag *diag,
                                   ib_frame_spool **out)
{
    *out = NULL;
    ib_frame_spool *spool = calloc(1, sizeof *spool);
    if (!spool) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a spool");
    spool->config = *config;
    spool->config.png_level = 0;
    spool->diag = diag;
    spool->folder = spool_folder(config, suffix);
    int threads = spool->threads = ib_sink_threads(config);
    static const ib_frame_queue_ops ops = {spool_work, NULL};
    isobath_status st = spool->folder ? ib_quant_init(config, diag, &spool->quant)
                                      : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a spool");
    if (st == ISOBATH_OK && !config->png16_present) {
        st = ib_png_store_open(&spool->config, spool->folder, threads, diag, &spool->store);
        if (st == ISOBATH_OK)
            st = ib_frame_queue_create(threads, config->queue_bytes, &ops, spool, diag, &spool->queue);
    }
    if (st == ISOBATH_OK && config->resume) st = restore(spool, config->resume);
    spool->config.resume = NULL;
    if (st != ISOBATH_OK)
        ib_frame_spool_close(spool);
    else
        *out = spool;
    return st;
}

void ib_frame_spool_close(ib_frame_spool *spool)
{
    if (!spool) return;
    ib_frame_queue_destroy(spool->queue);
    if (spool->store) {
        if (!spool->config.resumable) ib_png_store_remove(spool->store);
        ib_png_store_close(spool->store);
    }
    for (int i = 0; spool->readers && i < spool->threads; i++) ib_png_reader_destroy(spool->readers[i]);
    free(spool->readers);
    free(spool->times_us);
    free(spool->folder);
    free(spool);
}

isobath_status ib_frame_spool_push(ib_frame_spool *spool, ib_depth_frame *frame)
{
    if (frame->index != spool->count)
        return ib_fail(spool->diag, ISOBATH_ERR_INTERNAL, "%s: frame %" PRId64 " came, expected %" PRId64,
                       spool->folder, frame->index, spool->count);
    if (spool->count == 0 || frame->min < spool->min) spool->min = frame->min;
    if (spool->count == 0 || frame->max > spool->max) spool->max = frame->max;
    IB_TRY(ib_times_append(&spool->times_us, &spool->count, &spool->capacity, frame->pts_us, spool->diag));
    if (!spool->store) return ISOBATH_OK;
    IB_TRY(ib_png_store_announce(spool->store, frame));
    return ib_frame_queue_push(spool->queue, frame);
}

isobath_status ib_frame_spool_flush(ib_frame_spool *spool, int64_t *frames)
{
    if (!spool->store) return ISOBATH_OK; /* png16 keeps them and is asked itself */
    int64_t done = spool->first + ib_frame_queue_done(spool->queue);
    if (done < *frames) *frames = done;
    return ib_png_store_flush(spool->store, done);
}

void ib_frame_spool_save(ib_frame_spool *spool, int64_t first, int64_t end, uint8_t *state)
{
    if (spool->store) ib_png_store_save(spool->store, first, end, state);
}

int ib_frame_spool_state_bytes(const ib_sink_config *config) { return config->png16_present ? 0 : IB_PNG_STATE_BYTES; }

isobath_status ib_frame_spool_drain(ib_frame_spool *spool)
{
    return spool->queue ? ib_frame_queue_drain(spool->queue) : ISOBATH_OK;
}

void ib_frame_spool_parts(const ib_sink_config *config, const char *suffix, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = config->png16_present ? NULL : spool_folder(config, suffix);
    if (path) add(ctx, path);
    free(path);
}

isobath_status ib_frame_spool_finish(ib_frame_spool *spool)
{
    if (spool->queue) IB_TRY(ib_frame_queue_drain(spool->queue));
    if (spool->count == 0)
        return ib_fail(spool->diag, ISOBATH_ERR_INPUT, "%s: no frames came, so there is no video", spool->config.name);
    spool->exponent = ib_quant_exponent(&spool->quant, spool->max);
    if (!spool->readers) spool->readers = calloc((size_t)spool->threads, sizeof *spool->readers);
    return spool->readers ? ISOBATH_OK : ib_fail(spool->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", spool->folder);
}

int64_t ib_frame_spool_count(const ib_frame_spool *spool) { return spool->count; }
const int64_t *ib_frame_spool_times_us(const ib_frame_spool *spool) { return spool->times_us; }
const ib_quant *ib_frame_spool_quant(const ib_frame_spool *spool) { return &spool->quant; }
int ib_frame_spool_exponent(const ib_frame_spool *spool) { return spool->exponent; }
float ib_frame_spool_min(const ib_frame_spool *spool) { return spool->min; }
float ib_frame_spool_max(const ib_frame_spool *spool) { return spool->max; }

isobath_status ib_frame_spool_read(ib_frame_spool *spool, int64_t i, int thread, const uint16_t **q)
{
    ib_png_reader **reader = &spool->readers[thread];
    char *path = ib_png_store_path(spool->folder, spool->config.start_number + i);
    if (!*reader) *reader = ib_png_reader_create();
    const ib_png_image *image;
    isobath_status st = path && *reader ? ib_png_reader_read(*reader, path, spool->diag, &image)
                                        : ib_fail(spool->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", spool->folder);
    if (st == ISOBATH_OK) {
        /* with which step it was written is in the file itself */
        int shift = ib_png_store_shift(&spool->quant, spool->exponent, image);
        if (shift < 0 || image->width != spool->config.width || image->height != spool->config.height)
            st = ib_fail(spool->diag, ISOBATH_ERR_IO, "%s: changed by someone else during the run", path);
        int64_t n = shift > 0 ? (int64_t)image->width * image->height : 0;
        for (int64_t k = 0; st == ISOBATH_OK && k < n; k++) image->q[k] = shift > 15 ? 0 : (uint16_t)(image->q[k] >> shift);
        *q = image->q;
    }
    free(path);
    return st;
}

double ib_frame_spool_bytes_per_frame(const ib_sink_config *config)
{
    return config->png16_present ? 0 : 1.7 * config->width * config->height + 1024;
}
