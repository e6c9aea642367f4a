/* The chain of a cut run, and its file; see merge.h. */
#include "base/bytes.h"
#include "pipeline/cluster/merge.h"
#include "sink/file.h"
#include "sink/quant.h"

#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "ISOBCHN1"
enum { HEAD_BYTES = 8 + 64 + 8 + 128 + 96 + 4, WINDOW_BYTES = 4 + 4 + 4 + 4 + 8, FRAME_BYTES = 4 + 4 };

void ib_chain_free(ib_chain *c)
{
    free(c->alignments);
    free(c->windows);
    free(c->frames);
    *c = (ib_chain){.max = 0};
}

static int by_frame(const ib_shard *s) { return s->options.stabilize_s > 0; }

static size_t file_bytes(const ib_shard *s)
{
    return HEAD_BYTES + (size_t)s->windows * WINDOW_BYTES + (by_frame(s) ? (size_t)s->frames * FRAME_BYTES : 0) + 4;
}

static isobath_status chain_alloc(const ib_shard *s, ib_diag *diag, ib_chain *out)
{
    *out = (ib_chain){.alignments = calloc((size_t)s->windows, sizeof *out->alignments), .windows = calloc((size_t)s->windows, sizeof *out->windows)};
    if (by_frame(s)) out->frames = calloc((size_t)s->frames, sizeof *out->frames);
    if (out->alignments && out->windows && (out->frames || !by_frame(s))) return ISOBATH_OK;
    ib_chain_free(out);
    return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
}

isobath_status ib_chain_write(const ib_shard *s, const ib_chain *c, ib_diag *diag)
{
    size_t size = file_bytes(s);
    uint8_t *data = calloc(1, size), *p = data;
    char *path = ib_shard_path(s, "chain.bin");
    isobath_status st = data && path ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
    if (st == ISOBATH_OK) {
        memcpy(p, MAGIC, 8);
        memcpy(p + 8, s->id, 64);
        ib_put64(p + 72, (uint64_t)s->windows);
        memcpy(p + 80, c->kind, strnlen(c->kind, 127));
        memcpy(p + 208, c->decoder, strnlen(c->decoder, 95));
        p = ib_put_float(p + 304, c->max);
        for (int64_t i = 0; i < s->windows; i++) {
            p = ib_put_float(ib_put_float(p, c->alignments[i].scale), c->alignments[i].shift);
            p = ib_put32(ib_put32(p, (uint32_t)c->alignments[i].guarded), (uint32_t)c->windows[i].redone);
            p = ib_put64(p, (uint64_t)c->windows[i].nonfinite);
        }
        for (int64_t i = 0; c->frames && i < s->frames; i++) p = ib_put_float(ib_put_float(p, c->frames[i].scale), c->frames[i].shift);
        ib_put32(p, libdeflate_crc32(0, data, size - 4));
        st = ib_write_file_shared(path, data, size, 1, diag);
    }
    free(data);
    free(path);
    return st;
}

isobath_status ib_chain_parse(const uint8_t *data, size_t size, const ib_shard *s, const char *where, ib_diag *diag, ib_chain *out)
{
    uint64_t windows = 0, nonfinite;
    uint32_t crc, guarded, redone;
    *out = (ib_chain){.max = 0};
    if (size < HEAD_BYTES + 4 || memcmp(data, MAGIC, 8) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a chain file", where);
    ib_get32(data + size - 4, &crc);
    if (crc != libdeflate_crc32(0, data, size - 4)) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged: its checksum is wrong", where);
    const uint8_t *p = ib_get64(data + 72, &windows);
    if (memcmp(data + 8, s->id, 64) != 0 || windows != (uint64_t)s->windows || size != file_bytes(s))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: is of another plan", where);
    IB_TRY(chain_alloc(s, diag, out));
    memcpy(out->kind, p, 127);
    memcpy(out->decoder, p + 128, 95);
    p = ib_get_float(p + 224, &out->max);
    for (int64_t i = 0; i < s->windows; i++) {
        p = ib_get_float(ib_get_float(p, &out->alignments[i].scale), &out->alignments[i].shift);
        p = ib_get64(ib_get32(ib_get32(p, &guarded), &redone), &nonfinite);
        out->alignments[i].guarded = guarded != 0;
        out->windows[i] = (ib_spool_window){redone != 0, (int64_t)nonfinite};
    }
    for (int64_t i = 0; out->frames && i < s->frames; i++) p = ib_get_float(ib_get_float(p, &out->frames[i].scale), &out->frames[i].shift);
    return ISOBATH_OK;
}

isobath_status ib_chain_read(const ib_shard *s, ib_diag *diag, ib_chain *out)
{
    uint8_t *data;
    size_t size;
    *out = (ib_chain){.max = 0};
    char *path = ib_shard_path(s, "chain.bin");
    isobath_status st = path ? ib_read_file(path, (size_t)1 << 32, diag, &data, &size) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
    if (st == ISOBATH_OK) {
        st = ib_chain_parse(data, size, s, path, diag, out);
        free(data);
    }
    free(path);
    return st;
}

/* Adds a segment's kind; a run of one kind names it once. */
static void add_kind(char *all, size_t size, const char *kind)
{
    size_t n = strlen(all);
    if (!n) snprintf(all, size, "%s", kind);
    else if (!strstr(all, kind)) snprintf(all + n, size - n, " + %s", kind);
}

enum { AHEAD = 8, CHAIN_MAPS = 3 }; /* windows that are read at once; maps of each that the chain reads */
static const int chain_slots[CHAIN_MAPS] = {0, 1, 12};

typedef struct chain_work {
    const ib_shard *shard;
    ib_diag *diag;
    ib_segments *segments;
    ib_segments **readers; /* one a thread */
    ib_backend *host;
    ib_pool *pool;
    ib_align_chain chain;
    ib_frame_chain *frames; /* with --stabilize */
    float *raw;  /* 13 maps, of which the chain reads 0, 1 and 12 */
    float *maps; /* AHEAD * CHAIN_MAPS */
    int64_t first; /* window of the maps */
    atomic_int status;
} chain_work;

static uint32_t slots_of(const ib_shard *s, int64_t w)
{
    int64_t k, shot = ib_shard_window(s, w, &k);
    return ib_spool_chain_slots(k, s->shots[shot].count, s->temporal, s->metric);
}

/* Reading and unpacking take longer than the fits: several windows at once, on all threads. */
static void read_map(void *ctx, int64_t i, int thread)
{
    chain_work *c = ctx;
    const ib_shard *s = c->shard;
    int64_t w = c->first + i / CHAIN_MAPS;
    int slot = chain_slots[i % CHAIN_MAPS], none = ISOBATH_OK;
    if (w >= s->windows || atomic_load(&c->status) != ISOBATH_OK || !(slots_of(s, w) >> slot & 1)) return;
    int st = ib_segments_map(c->readers[thread], w, slot, c->maps + (size_t)i * (size_t)s->network_width * (size_t)s->network_height);
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&c->status, &none, st);
}

static isobath_status read_ahead(chain_work *c, int64_t first)
{
    c->first = first;
    atomic_store(&c->status, ISOBATH_OK);
    ib_pool_run(c->pool, AHEAD * CHAIN_MAPS, read_map, c);
    return (isobath_status)atomic_load(&c->status);
}

static isobath_status align_windows(chain_work *c, atomic_int_fast64_t *done, const atomic_int *cancelled, ib_chain *out)
{
    const ib_shard *s = c->shard;
    size_t map = (size_t)s->network_width * (size_t)s->network_height;
    for (int64_t w = 0; w < s->windows; w++) {
        int64_t k;
        ib_spool *spool;
        if (atomic_load(cancelled)) return ib_fail(c->diag, ISOBATH_ERR_INTERRUPTED, "stopped; the chain is to be done again");
        if (w % AHEAD == 0) IB_TRY(read_ahead(c, w));
        IB_TRY(ib_segments_open(c->segments, w, &spool));
        add_kind(out->kind, sizeof out->kind, ib_spool_get_head(spool)->kind);
        add_kind(out->decoder, sizeof out->decoder, ib_spool_get_head(spool)->decoder);
        out->windows[w] = ib_spool_get_window(spool, w);
        ib_shard_window(s, w, &k);
        if (k == 0) ib_align_chain_restart(&c->chain);
        for (int i = 0; i < CHAIN_MAPS; i++)
            if (slots_of(s, w) >> chain_slots[i] & 1)
                memcpy(c->raw + (size_t)chain_slots[i] * map, c->maps + (size_t)((w - c->first) * CHAIN_MAPS + i) * map, map * sizeof *c->raw);
        if (s->temporal) IB_TRY(ib_align_chain_window(&c->chain, c->raw, &out->alignments[w]));
        else out->alignments[w] = (ib_alignment){.scale = 1, .fit_scale = 1};
        if (c->frames) IB_TRY(ib_frame_chain_window(c->frames, w, out->frames));
        atomic_fetch_add(done, 1);
    }
    return ISOBATH_OK;
}

/* No pixel of a rendered map is above this: the arithmetic is monotonous but for roundings, which 1e-5 covers. */
static float bound(float raw_max, const ib_alignment *a)
{
    float d = raw_max * a->scale + a->shift;
    return d > 0 ? d * 1.00001f : 0;
}

typedef struct candidate {
    float bound;
    int64_t frame;
} candidate;

static int by_bound(const void *a, const void *b)
{
    float x = ((const candidate *)a)->bound, y = ((const candidate *)b)->bound;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* A bound for every window: over the maps that it contributes to frames. */
static isobath_status window_bounds(chain_work *c, const ib_chain *chain, candidate *list)
{
    const ib_shard *s = c->shard;
    for (int64_t w = 0; w < s->windows; w++) {
        ib_spool *spool;
        float top = 0;
        IB_TRY(ib_segments_open(c->segments, w, &spool));
        int64_t k, start = s->shots[ib_shard_window(s, w, &k)].first + IB_PLAN_STEP * k;
        for (int slot = s->temporal && k > 0 ? 2 : 0; slot < IB_PLAN_WINDOW; slot++)
            if (ib_shard_slots(s, w) >> slot & 1) top = fmaxf(top, bound(ib_spool_get_max(spool, w, slot), ib_chain_of(chain, w, start + slot)));
        list[w] = (candidate){top, w};
    }
    return ISOBATH_OK;
}

/* The largest depth, as far as its 16-bit step needs it: frames are rendered in the order of their windows' bounds until no other can need
 * a larger step. One window nearly always is enough. */
static isobath_status find_max(chain_work *c, const ib_setup *setup, const ib_quant *quant, ib_chain *chain, candidate *list)
{
    const ib_shard *s = c->shard;
    ib_frames *frames;
    ib_depth_frame *f;
    IB_TRY(window_bounds(c, chain, list));
    qsort(list, (size_t)s->windows, sizeof *list, by_bound);
    isobath_status st = ib_frames_create(s, chain, setup, NULL, NULL, c->diag, &frames);
    for (int64_t i = 0; st == ISOBATH_OK && i < s->windows; i++) {
        if (i > 0 && ib_quant_exponent(quant, list[i].bound) <= ib_quant_exponent(quant, chain->max)) break;
        /* this window's maps are in its own frames and in those that the next one fades */
        int64_t w = list[i].frame, first, end, unused, last = w + 1 < s->windows ? w + 1 : w;
        ib_shard_final_frames(s, w, &first, &unused);
        ib_shard_final_frames(s, last, &unused, &end);
        if (last != w && end > first + 2 * IB_PLAN_WINDOW) end = first + 2 * IB_PLAN_WINDOW;
        for (int64_t n = first; st == ISOBATH_OK && n < end; n++) {
            st = ib_frames_render(frames, n, &f);
            if (st != ISOBATH_OK) break;
            if (f->max > chain->max) chain->max = f->max;
            ib_depth_frame_unref(f);
            if (ib_quant_exponent(quant, list[i].bound) <= ib_quant_exponent(quant, chain->max)) break;
        }
    }
    ib_frames_destroy(frames);
    return st;
}

isobath_status ib_chain_make(const ib_shard *s, const ib_setup *setup, atomic_int_fast64_t *done, const atomic_int *cancelled, ib_diag *diag,
                             ib_chain *out)
{
    chain_work c = {.shard = s, .diag = diag};
    ib_quant quant;
    IB_TRY(chain_alloc(s, diag, out));
    candidate *list = malloc((size_t)s->windows * sizeof *list);
    size_t map = (size_t)s->network_width * (size_t)s->network_height;
    c.raw = calloc(13 * map, sizeof *c.raw);
    c.maps = malloc(AHEAD * CHAIN_MAPS * map * sizeof *c.maps);
    c.readers = calloc((size_t)setup->threads, sizeof(ib_segments *));
    isobath_status st = list && c.raw && c.maps && c.readers ? ib_quant_init(&setup->sink, diag, &quant) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
    if (st == ISOBATH_OK) st = ib_pool_create(setup->threads, diag, &c.pool);
    ib_backend_options host = {.act = IB_F32, .isa = setup->options.cpu_isa, .pool = c.pool, .diag = diag};
    if (st == ISOBATH_OK) st = ib_cpu_open(&host, &c.host);
    if (st == ISOBATH_OK) st = ib_segments_create(s, diag, &c.segments);
    for (int i = 0; st == ISOBATH_OK && i < setup->threads; i++) st = ib_segments_create(s, diag, &c.readers[i]);
    if (st == ISOBATH_OK)
        st = ib_align_chain_init(&c.chain, c.host, s->metric, setup->options.guard, s->output_height, s->output_width, s->network_height,
                                 s->network_width, diag);
    if (st == ISOBATH_OK && out->frames) st = ib_frame_chain_create(s, c.pool, c.readers, diag, &c.frames);
    if (st == ISOBATH_OK) st = align_windows(&c, done, cancelled, out);
    /* guided upsampling would need pictures here; without the largest depth every task begins with the smallest step, and the end requantises */
    if (st == ISOBATH_OK && !setup->guided) st = find_max(&c, setup, &quant, out, list);
    ib_align_chain_free(&c.chain);
    ib_frame_chain_destroy(c.frames);
    ib_segments_destroy(c.segments);
    for (int i = 0; c.readers && i < setup->threads; i++) ib_segments_destroy(c.readers[i]);
    ib_backend_close(c.host);
    ib_pool_destroy(c.pool);
    free(c.readers);
    free(c.maps);
    free(c.raw);
    free(list);
    if (st != ISOBATH_OK) ib_chain_free(out);
    return st;
}
