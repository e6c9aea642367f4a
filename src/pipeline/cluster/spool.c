/* Spool files; see spool.h. Layout, little-endian:
 *
 *   magic "ISOBSPL2", head (fixed size), CRC-32 of both
 *   blocks: for every window its maps, those of the chain (0, 1, 12) first, so that the chain reads one piece of it
 *   index: per window redone, nonfinite, slots, offset, then size, CRC-32 and largest value of each of its maps by slot
 *   trailer: offset of the index, its CRC-32, magic again
 *
 * The trailer is written last and the file gets its name after a sync, so a file that was cut off has no trailer. */
#include "pipeline/cluster/spool_file.h"

#include "base/bytes.h"
#include "base/crc.h"
#include "sink/file.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t below(int bits) { return bits >= 32 ? 0xffffffffu : ((uint32_t)1 << (bits < 0 ? 0 : bits)) - 1; }

uint32_t ib_spool_chain_slots(int64_t k, int64_t n, int temporal, int metric)
{
    if (!temporal || metric) return 0;
    int last = k == ib_plan_windows(n) - 1;
    return 1u | (k > 0 ? 2u : 0) | (last ? 0 : 1u << 12);
}

uint32_t ib_spool_slots(int64_t k, int64_t n, int temporal, int metric, int all_weights)
{
    int64_t first, end, start = IB_PLAN_STEP * k;
    if (!temporal) {
        ib_plan_new_frames(k, n, &first, &end);
        return end > first ? below((int)(end - start)) & ~below((int)(first - start)) : 0;
    }
    uint32_t slots = ib_spool_chain_slots(k, n, temporal, metric);
    ib_plan_final_frames(k, n, &first, &end);
    if (end > first) slots |= below((int)(end - start)) & ~below((int)(first - start));
    if (k > 0 && !all_weights) slots &= ~(1u << 2) | ib_spool_chain_slots(k, n, temporal, metric);
    if (k < ib_plan_windows(n) - 1) { /* what the next window fades from */
        ib_plan_final_frames(k + 1, n, &first, &end);
        int64_t fades = end - (start + IB_PLAN_STEP) < IB_PLAN_OVERLAP ? end - (start + IB_PLAN_STEP) : IB_PLAN_OVERLAP;
        uint32_t tail = fades > 2 ? below((int)fades + IB_PLAN_STEP) & ~below(24) : 0;
        if (!all_weights) tail &= ~(1u << 31);
        slots |= tail;
    }
    return slots;
}

struct ib_spool_writer {
    ib_diag *diag;
    char *path, *tmp;
    int fd;
    ib_spool_head head;
    ib_spool_packer *packer;
    uint8_t *packed;
    ib_spool_entry *entries;
    int64_t count;
    uint64_t offset;
};

static void put_head(const ib_spool_head *h, uint8_t out[IB_SPOOL_HEAD_BYTES])
{
    memset(out, 0, IB_SPOOL_HEAD_BYTES);
    memcpy(out, IB_SPOOL_MAGIC, 8);
    memcpy(out + 8, h->plan, strnlen(h->plan, 64));
    uint8_t *p = ib_put64(out + 72, (uint64_t)h->segment);
    p = ib_put64(ib_put64(p, (uint64_t)h->first), (uint64_t)h->count);
    p = ib_put32(ib_put32(p, (uint32_t)h->width), (uint32_t)h->height);
    memcpy(p, h->kind, strnlen(h->kind, 127));
    memcpy(p + 128, h->decoder, strnlen(h->decoder, 95));
    ib_put32(out + IB_SPOOL_HEAD_BYTES - 4, libdeflate_crc32(0, out, IB_SPOOL_HEAD_BYTES - 4));
}

static isobath_status write_all(ib_spool_writer *w, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t left = size; left;) {
        ssize_t n = write(w->fd, p, left);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ib_fail(w->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", w->path, strerror(errno));
        p += n;
        left -= (size_t)n;
    }
    w->offset += size;
    return ISOBATH_OK;
}

void ib_spool_abort(ib_spool_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->tmp);
    }
    ib_spool_packer_destroy(w->packer);
    free(w->packed);
    free(w->entries);
    free(w->path);
    free(w->tmp);
    free(w);
}

isobath_status ib_spool_create(const char *path, const ib_spool_head *head, ib_diag *diag, ib_spool_writer **out)
{
    *out = NULL;
    ib_spool_writer *w = calloc(1, sizeof *w);
    if (!w) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    w->diag = diag;
    w->head = *head;
    w->fd = -1;
    w->path = strdup(path);
    w->tmp = ib_text("%s.XXXXXX", path);
    w->packer = ib_spool_packer_create(0);
    w->packed = malloc(ib_spool_bound(head->width, head->height));
    w->entries = calloc((size_t)head->count, sizeof *w->entries);
    isobath_status st = w->path && w->tmp && w->packer && w->packed && w->entries ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    if (st == ISOBATH_OK && (w->fd = mkstemp(w->tmp)) < 0) st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", path, strerror(errno));
    uint8_t bytes[IB_SPOOL_HEAD_BYTES];
    put_head(head, bytes);
    if (st == ISOBATH_OK) st = write_all(w, bytes, sizeof bytes);
    if (st != ISOBATH_OK) ib_spool_abort(w);
    else *out = w;
    return st;
}

isobath_status ib_spool_write(ib_spool_writer *w, const ib_spool_window *window, uint32_t slots, const float *raw)
{
    size_t map = (size_t)w->head.width * (size_t)w->head.height;
    uint32_t chain = slots & IB_SPOOL_CHAIN_SLOTS, rest = slots & ~(uint32_t)IB_SPOOL_CHAIN_SLOTS;
    if (w->count == w->head.count) return ib_fail(w->diag, ISOBATH_ERR_INTERNAL, "%s: more windows than the segment has", w->path);
    ib_spool_entry *e = &w->entries[w->count++];
    *e = (ib_spool_entry){.window = *window, .slots = slots, .offset = w->offset};
    while (chain | rest) {
        int slot = ib_spool_next_slot(&chain, &rest);
        size_t size = ib_spool_pack(w->packer, raw + (size_t)slot * map, w->head.width, w->head.height, w->packed);
        if (!size) return ib_fail(w->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", w->path);
        e->size[slot] = (uint32_t)size;
        e->crc[slot] = ib_crc32(0, w->packed, size);
        for (size_t i = 0; i < map; i++) e->max[slot] = raw[(size_t)slot * map + i] > e->max[slot] ? raw[(size_t)slot * map + i] : e->max[slot];
        IB_TRY(write_all(w, w->packed, size));
    }
    return ISOBATH_OK;
}

static void put_entry(const ib_spool_entry *e, uint8_t *p)
{
    p = ib_put64(ib_put32(p, (uint32_t)e->window.redone), (uint64_t)e->window.nonfinite);
    p = ib_put64(ib_put32(p, e->slots), e->offset);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) p = ib_put_float(ib_put32(ib_put32(p, e->size[i]), e->crc[i]), e->max[i]);
}

static isobath_status finish(ib_spool_writer *w)
{
    uint64_t index = w->offset;
    uint32_t crc = 0;
    if (w->count != w->head.count)
        return ib_fail(w->diag, ISOBATH_ERR_INTERNAL, "%s: %lld windows came, %lld were to come", w->path, (long long)w->count, (long long)w->head.count);
    for (int64_t i = 0; i < w->count; i++) {
        uint8_t bytes[IB_SPOOL_ENTRY_BYTES];
        put_entry(&w->entries[i], bytes);
        crc = libdeflate_crc32(crc, bytes, sizeof bytes);
        IB_TRY(write_all(w, bytes, sizeof bytes));
    }
    uint8_t trailer[IB_SPOOL_TRAILER_BYTES];
    memcpy(ib_put32(ib_put64(trailer, index), crc), IB_SPOOL_MAGIC, 8);
    IB_TRY(write_all(w, trailer, sizeof trailer));
    if (fchmod(w->fd, 0644) != 0 || fsync(w->fd) != 0) return ib_fail(w->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", w->path, strerror(errno));
    int failed = close(w->fd) != 0;
    w->fd = -1;
    if (failed || rename(w->tmp, w->path) != 0) {
        int error = errno;
        unlink(w->tmp);
        return ib_fail(w->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", w->path, strerror(error));
    }
    return ISOBATH_OK;
}

isobath_status ib_spool_commit(ib_spool_writer *w, int64_t *bytes)
{
    isobath_status st = finish(w);
    *bytes = (int64_t)w->offset;
    ib_spool_abort(w);
    return st;
}
