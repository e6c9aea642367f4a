/* Frames of one growing step; see png_store.h. Every frame remembers the exponent it was written with, so the finishing
 * pass touches only those that an increase left behind. */
#include "sink/png_store.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "sink/file.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct stored_frame {
    int64_t pts_us, bytes, clamped;
    int exponent;
    char sha256[65];
} stored_frame;

struct ib_png_store {
    ib_sink_config config;
    ib_quant quant;
    char *folder;
    ib_diag *diag;
    int threads;
    ib_png_encoder **encoder; /* of every thread */
    ib_sha256_pair hash_two;
    atomic_int exponent;  /* only grows */
    pthread_mutex_t lock; /* of frames */
    stored_frame *frames; /* of frames [first, count) */
    int64_t first, count, capacity;
    int64_t synced; /* frames [0, synced) are durable */
    int shared;     /* other processes write into this folder, too */
    int finish_durable;
    atomic_int finish_status; /* first failure of the finishing pass */
};

char *ib_png_store_path(const char *folder, int64_t number)
{
    return ib_text("%s/frame_%05" PRId64 ".png", folder, number);
}

/* frame_ digits .png, perhaps .tmp behind; depth.json likewise. */
static int is_ours(const char *name)
{
    if (strcmp(name, "depth.json") == 0 || strcmp(name, "depth.json.tmp") == 0) return 1;
    if (strncmp(name, "frame_", 6) != 0) return 0;
    const char *p = name + 6;
    size_t digits = strspn(p, "0123456789");
    p += digits;
    return digits >= 5 && strncmp(p, ".png", 4) == 0 && (p[4] == 0 || ib_is_unfinished(p + 4));
}

/* Removes what a run leaves in such a folder: unfinished files, and those from frame number `from` on (and depth.json
 * with them); from < 0: only unfinished ones. */
static void clean_folder(const char *folder, int64_t from)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (!is_ours(e->d_name)) continue;
        int tmp = n > 4 && strcmp(e->d_name + n - 4, ".tmp") == 0;
        int late = from >= 0 && (e->d_name[0] == 'd' || strtoll(e->d_name + 6, NULL, 10) >= from);
        if (tmp || late) unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
}

/* Takes over the frames that an earlier process wrote. */
static isobath_status restore(ib_png_store *store, const ib_sink_resume *resume)
{
    store->first = store->count = store->synced = resume->count;
    store->shared = !resume->frames;
    if (store->shared) return ISOBATH_OK;
    store->first = 0;
    store->capacity = resume->count > 256 ? resume->count : 256;
    store->frames = calloc((size_t)store->capacity, sizeof *store->frames);
    if (!store->frames) return ib_fail(store->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", store->folder);
    int exponent = atomic_load(&store->exponent);
    const uint8_t *p = resume->state;
    for (int64_t i = 0; i < resume->count; i++) {
        stored_frame *f = &store->frames[i];
        uint32_t e;
        uint64_t bytes, clamped;
        p = ib_get64(ib_get64(ib_get32(p, &e), &bytes), &clamped);
        *f = (stored_frame){resume->frames[i].pts_us, (int64_t)bytes, (int64_t)clamped, (int)e, ""};
        ib_sha256_unpack(p, f->sha256);
        p += 32;
        int needed = ib_quant_exponent(&store->quant, resume->frames[i].max);
        if (f->exponent > exponent) exponent = f->exponent;
        if (needed > exponent) exponent = needed;
        char *path = ib_png_store_path(store->folder, store->config.start_number + i);
        int missing = !path || access(path, R_OK) != 0;
        isobath_status st = missing ? ib_fail(store->diag, ISOBATH_ERR_IO, "%s: is missing since the run was stopped: begin again with "
                                              "--overwrite", path ? path : store->folder) : ISOBATH_OK;
        free(path);
        IB_TRY(st);
    }
    atomic_store(&store->exponent, exponent);
    return ISOBATH_OK;
}

isobath_status ib_png_store_open(const ib_sink_config *config, const char *folder, int threads, ib_diag *diag,
                                 ib_png_store **out)
{
    *out = NULL;
    ib_quant quant;
    IB_TRY(ib_quant_init(config, diag, &quant));
    ib_png_store *store = calloc(1, sizeof *store);
    if (!store) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    pthread_mutex_init(&store->lock, NULL);
    store->config = *config;
    store->quant = quant;
    store->diag = diag;
    store->threads = threads;
    store->hash_two = ib_sha256_pair_find();
    atomic_init(&store->exponent, ib_quant_exponent(&quant, config->largest));
    atomic_init(&store->finish_status, ISOBATH_OK);
    store->folder = strdup(folder);
    store->encoder = calloc((size_t)threads, sizeof *store->encoder);
    isobath_status st = ISOBATH_OK;
    if (!store->folder || !store->encoder) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    for (int i = 0; st == ISOBATH_OK && i < threads; i++)
        st = ib_png_encoder_create(config->width, config->height, config->png_level, diag, &store->encoder[i]);
    if (st == ISOBATH_OK) st = ib_make_folder(folder, diag);
    if (st == ISOBATH_OK && config->resume) st = restore(store, config->resume);
    if (st != ISOBATH_OK) {
        ib_png_store_close(store);
        return st;
    }
    if (!store->shared) clean_folder(folder, config->start_number + store->count);
    store->config.resume = NULL;
    *out = store;
    return ISOBATH_OK;
}

void ib_png_store_close(ib_png_store *store)
{
    if (!store) return;
    if (store->folder && !store->shared) clean_folder(store->folder, -1);
    for (int i = 0; store->encoder && i < store->threads; i++) ib_png_encoder_destroy(store->encoder[i]);
    pthread_mutex_destroy(&store->lock);
    free(store->encoder);
    free(store->frames);
    free(store->folder);
    free(store);
}

void ib_png_store_remove(ib_png_store *store)
{
    clean_folder(store->folder, 0);
    rmdir(store->folder);
}

/* A step that holds `max`; what others have raised it to meanwhile stays. */
static void raise_exponent(ib_png_store *store, float max)
{
    int needed = ib_quant_exponent(&store->quant, max), was = atomic_load(&store->exponent);
    while (was < needed && !atomic_compare_exchange_weak(&store->exponent, &was, needed)) continue;
}

isobath_status ib_png_store_announce(ib_png_store *store, const ib_depth_frame *frame)
{
    if (frame->index != store->count || frame->width != store->config.width || frame->height != store->config.height)
        return ib_fail(store->diag, ISOBATH_ERR_INTERNAL,
                       "%s: frame %" PRId64 " of %dx%d came, expected %" PRId64 " of %dx%d", store->folder,
                       frame->index, frame->width, frame->height, store->count, store->config.width,
                       store->config.height);
    raise_exponent(store, frame->max);
    pthread_mutex_lock(&store->lock);
    isobath_status st = ISOBATH_OK;
    if (store->count - store->first == store->capacity) {
        int64_t capacity = store->capacity ? 2 * store->capacity : 256;
        stored_frame *frames = realloc(store->frames, (size_t)capacity * sizeof *frames);
        if (frames) {
            store->frames = frames;
            store->capacity = capacity;
        } else
            st = ib_fail(store->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", store->folder);
    }
    if (st == ISOBATH_OK) store->frames[store->count++ - store->first] = (stored_frame){.pts_us = frame->pts_us};
    pthread_mutex_unlock(&store->lock);
    return st;
}

/* Rows of a frame: of its depth, quantised as the writer takes them, or of a file that gets a larger step; or made one by one. */
typedef struct rows {
    const ib_quant *quant;
    const float *depth; /* NULL: `made`, or `q` shifted right */
    const uint16_t *q;
    const ib_frame_rows *made;
    float *row;   /* of `made`; NULL: it cuts them itself */
    float factor; /* then */
    int width, exponent, shift;
    int64_t clamped; /* -1: a depth that cannot be */
} rows;

static int make_row(void *ctx, int y, uint16_t *q)
{
    rows *r = ctx;
    size_t at = (size_t)y * (size_t)r->width;
    if (r->made && !r->row) {
        if (!r->made->next_cut(r->made->ctx, r->factor, q)) r->clamped = -1;
        return r->clamped >= 0;
    }
    if (r->made || r->depth) {
        if (r->made) r->made->next(r->made->ctx, r->row);
        int64_t clamped = ib_quant_apply(r->quant, r->exponent, r->made ? r->row : r->depth + at, r->width, q);
        r->clamped = clamped < 0 || r->clamped < 0 ? -1 : r->clamped + clamped;
    } else
        for (int x = 0; x < r->width; x++) q[x] = r->shift > 15 ? 0 : (uint16_t)(r->q[at + (size_t)x] >> r->shift);
    ib_png_big_endian(q, r->width, q);
    return r->clamped >= 0;
}

static isobath_status impossible(const ib_png_store *store, int64_t index)
{
    return ib_fail(store->diag, ISOBATH_ERR_INTERNAL, "%s: frame %" PRId64 " holds a depth that is negative, not finite or above its stated maximum",
                   store->folder, index);
}

/* Compresses frame `index`; *data is NULL when a row could not be made. */
static isobath_status encode(ib_png_store *store, int64_t index, int64_t pts_us, int exponent, rows *r, ib_png_encoder *encoder, const uint8_t **data,
                             size_t *size)
{
    const ib_quant *quant = &store->quant;
    int metric = quant->kind == IB_DEPTH_METRIC;
    ib_png_text texts[7];
    memset(texts, 0, sizeof texts);
#define TEXT(i, k, ...) \
    (strcpy(texts[i].key, "isobath:" k), snprintf(texts[i].value, sizeof texts[i].value, __VA_ARGS__))
    TEXT(0, "kind", "%s", metric ? "metric" : "disparity");
    TEXT(1, "unit", "%s", metric ? "metre" : "relative");
    TEXT(2, "scale", "%.17g", ib_quant_scale(quant, exponent));
    TEXT(3, "offset", "%.17g", ib_quant_offset(quant));
    TEXT(4, "frame", "%" PRId64, index);
    TEXT(5, "time_us", "%" PRId64, pts_us);
    TEXT(6, "invalid", "0");
#undef TEXT
    return ib_png_encode_rows(encoder, make_row, r, texts, ib_quant_has_invalid(quant) ? 7 : 6, store->diag, data, size);
}

/* Writes the file of frame `index`, and notes its size; its digest is noted already. */
static isobath_status write_hashed(ib_png_store *store, int64_t index, const uint8_t *data, size_t size, int durable, stored_frame *record)
{
    char *path = ib_png_store_path(store->folder, store->config.start_number + index);
    if (!path) return ib_fail(store->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", store->folder);
    isobath_status st = store->shared ? ib_write_file_shared(path, data, size, durable, store->diag)
                                      : ib_write_file(path, data, size, durable, store->diag);
    free(path);
    record->bytes = (int64_t)size;
    return st;
}

static isobath_status write_file(ib_png_store *store, int64_t index, const uint8_t *data, size_t size, int durable, stored_frame *record)
{
    IB_TRY(ib_sha256_memory(data, size, store->diag, record->sha256));
    return write_hashed(store, index, data, size, durable, record);
}

static isobath_status write_rows(ib_png_store *store, int64_t index, stored_frame *record, rows *r, ib_png_encoder *encoder, int durable)
{
    const uint8_t *data;
    size_t size;
    IB_TRY(encode(store, index, record->pts_us, record->exponent, r, encoder, &data, &size));
    return data ? write_file(store, index, data, size, durable, record) : impossible(store, index);
}

/* The frame's range, at the cost of rendering it once more. */
static isobath_status measure(const ib_frame_rows *made, float *row, ib_depth_frame *frame)
{
    IB_TRY(made->begin(made->ctx));
    for (int y = 0; y < frame->height; y++) made->next(made->ctx, row);
    made->range(made->ctx, &frame->min, &frame->max);
    return ISOBATH_OK;
}

isobath_status ib_png_store_pack(ib_png_store *store, ib_depth_frame *frame, const ib_frame_rows *made, int thread)
{
    const ib_quant *quant = &store->quant;
    ib_packed_frame *p = &frame->packed;
    const uint8_t *data;
    int cut = !quant->fixed && quant->kind != IB_DEPTH_METRIC; /* then quantising is what next_cut does */
    float *row = malloc((size_t)frame->width * sizeof *row);
    if (!row) return ib_fail(store->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", store->folder);
    isobath_status st = ISOBATH_OK;
    for (int again = 0; st == ISOBATH_OK; again++) {
        p->exponent = atomic_load(&store->exponent);
        rows r = {.quant = quant, .made = made, .row = cut ? NULL : row, .factor = ldexpf(1.0f, -p->exponent), .width = frame->width,
                  .exponent = p->exponent};
        st = made->begin(made->ctx);
        if (st == ISOBATH_OK) st = encode(store, frame->index, frame->pts_us, p->exponent, &r, store->encoder[thread], &data, &p->bytes);
        if (st != ISOBATH_OK) break;
        if (data) {
            p->clamped = r.clamped;
            made->range(made->ctx, &frame->min, &frame->max);
            st = ib_png_encoder_swap(store->encoder[thread], store->diag, &p->data);
            break;
        }
        st = measure(made, row, frame);
        if (st == ISOBATH_OK && (again || !(frame->min >= 0) || !isfinite(frame->max))) st = impossible(store, frame->index);
        if (st == ISOBATH_OK) raise_exponent(store, frame->max);
    }
    free(row);
    return st;
}

static void keep(ib_png_store *store, const ib_depth_frame *frame, const stored_frame *record)
{
    pthread_mutex_lock(&store->lock);
    store->frames[frame->index - store->first] = *record;
    pthread_mutex_unlock(&store->lock);
}

isobath_status ib_png_store_write(ib_png_store *store, const ib_depth_frame *frame, int thread)
{
    const ib_packed_frame *p = &frame->packed;
    stored_frame record = {.pts_us = frame->pts_us, .exponent = frame->depth ? atomic_load(&store->exponent) : p->exponent};
    if (frame->depth) {
        rows r = {.quant = &store->quant, .depth = frame->depth, .width = frame->width, .exponent = record.exponent};
        IB_TRY(write_rows(store, frame->index, &record, &r, store->encoder[thread], 0));
        record.clamped = r.clamped;
    } else {
        IB_TRY(write_file(store, frame->index, p->data, p->bytes, 0, &record));
        record.clamped = p->clamped;
    }
    keep(store, frame, &record);
    return ISOBATH_OK;
}

isobath_status ib_png_store_write_two(ib_png_store *store, const ib_depth_frame *const frame[2], int thread)
{
    const ib_packed_frame *p[2] = {&frame[0]->packed, &frame[1]->packed};
    stored_frame record[2];
    if (frame[0]->depth || frame[1]->depth) {
        IB_TRY(ib_png_store_write(store, frame[0], thread));
        return ib_png_store_write(store, frame[1], thread);
    }
    for (int i = 0; i < 2; i++) record[i] = (stored_frame){.pts_us = frame[i]->pts_us, .exponent = p[i]->exponent, .clamped = p[i]->clamped};
    IB_TRY(ib_sha256_two(store->hash_two, (const void *const[2]){p[0]->data, p[1]->data}, (const size_t[2]){p[0]->bytes, p[1]->bytes}, store->diag,
                         (char *const[2]){record[0].sha256, record[1].sha256}));
    for (int i = 0; i < 2; i++) {
        IB_TRY(write_hashed(store, frame[i]->index, p[i]->data, p[i]->bytes, 0, &record[i]));
        keep(store, frame[i], &record[i]);
    }
    return ISOBATH_OK;
}

static char *path_of(const void *ctx, int64_t i)
{
    const ib_png_store *store = ctx;
    return ib_png_store_path(store->folder, store->config.start_number + i);
}

isobath_status ib_png_store_flush(ib_png_store *store, int64_t frames)
{
    if (frames <= store->synced) return ISOBATH_OK;
    IB_TRY(ib_sync_files(store->folder, path_of, store, store->synced, frames, store->diag));
    store->synced = frames;
    return ISOBATH_OK;
}

void ib_png_store_save(ib_png_store *store, int64_t first, int64_t end, uint8_t *state)
{
    pthread_mutex_lock(&store->lock);
    for (int64_t i = first; i < end; i++) {
        const stored_frame *f = &store->frames[i - store->first];
        state = ib_put64(ib_put64(ib_put32(state, (uint32_t)f->exponent), (uint64_t)f->bytes), (uint64_t)f->clamped);
        ib_sha256_pack(f->sha256, state);
        state += 32;
    }
    pthread_mutex_unlock(&store->lock);
}

int ib_png_store_shift(const ib_quant *quant, int exponent, const ib_png_image *image)
{
    const char *text = ib_png_image_text(image, "isobath:scale");
    double scale = text ? strtod(text, NULL) : 0;
    return scale > 0 ? (int)lrint(log2(ib_quant_scale(quant, exponent) / scale)) : -1;
}

/* Brings frame i to the final step. */
static isobath_status finish_frame(ib_png_store *store, int64_t i, int thread)
{
    if (store->config.cancelled && store->config.cancelled(store->config.cancel_ctx))
        return ib_fail(store->diag, ISOBATH_ERR_INTERRUPTED, "%s: stopped before the last frames were done",
                       store->folder);
    stored_frame *record = &store->frames[i];
    int exponent = atomic_load(&store->exponent);
    char *path = ib_png_store_path(store->folder, store->config.start_number + i);
    if (!path) return ib_fail(store->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", store->folder);
    isobath_status st = ISOBATH_OK;
    if (exponent > record->exponent) {
        ib_png_image image;
        st = ib_png_read(path, store->diag, &image);
        /* a pass that was interrupted may have rewritten it already */
        int shift = st == ISOBATH_OK ? ib_png_store_shift(&store->quant, exponent, &image) : 0;
        if (st == ISOBATH_OK && (shift < 0 || image.width != store->config.width || image.height != store->config.height))
            st = ib_fail(store->diag, ISOBATH_ERR_IO, "%s: changed by someone else during the run", path);
        if (st == ISOBATH_OK) {
            rows r = {.q = image.q, .width = image.width, .shift = shift};
            record->exponent = exponent;
            st = write_rows(store, i, record, &r, store->encoder[thread], store->finish_durable); /* the old file goes when the new one is safe */
        }
        ib_png_image_free(&image);
    } else if (store->finish_durable && i >= store->synced) {
        st = ib_sync_path(path, store->diag);
    }
    free(path);
    return st;
}

static void finish_job(void *ctx, int64_t i, int thread)
{
    ib_png_store *store = ctx;
    if (atomic_load(&store->finish_status) != ISOBATH_OK) return;
    int st = finish_frame(store, i, thread), none = ISOBATH_OK;
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&store->finish_status, &none, st);
}

isobath_status ib_png_store_finish(ib_png_store *store, int durable)
{
    ib_pool *pool;
    store->finish_durable = durable;
    IB_TRY(ib_pool_create(store->threads, store->diag, &pool));
    ib_pool_run(pool, store->count, finish_job, store);
    ib_pool_destroy(pool);
    IB_TRY((isobath_status)atomic_load(&store->finish_status));
    return durable ? ib_sync_path(store->folder, store->diag) : ISOBATH_OK;
}

const ib_quant *ib_png_store_quant(const ib_png_store *store) { return &store->quant; }
int ib_png_store_exponent(const ib_png_store *store) { return atomic_load(&((ib_png_store *)store)->exponent); }
int64_t ib_png_store_frames(const ib_png_store *store) { return store->count; }

int64_t ib_png_store_bytes(const ib_png_store *store)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < store->count; i++) sum += store->frames[i].bytes;
    return sum;
}

int64_t ib_png_store_clamped(const ib_png_store *store)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < store->count; i++) sum += store->frames[i].clamped;
    return sum;
}

void ib_png_store_digest(const ib_png_store *store, char hex[65])
{
    ib_sha256 *hash = ib_sha256_create();
    for (int64_t i = 0; i < store->count; i++) {
        ib_sha256_update(hash, store->frames[i].sha256, 64);
        ib_sha256_update(hash, "\n", 1);
    }
    ib_sha256_finish(hash, hex);
}
