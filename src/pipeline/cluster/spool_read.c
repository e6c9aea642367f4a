/* Reading spool files; see spool.h, and spool.c for the layout. Whatever the file holds, nothing is read outside it and no more memory
 * taken than the file's size and its windows explain. */
#include "base/bytes.h"
#include "base/crc.h"
#include "pipeline/cluster/spool_file.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ib_spool {
    ib_diag *diag;
    char *path;
    int fd;
    ib_spool_head head;
    ib_spool_entry *entries;
    ib_spool_packer *packer;
    uint8_t *packed;
    size_t packed_capacity;
};

static isobath_status damaged(const ib_spool *s, const char *what)
{
    return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: damaged spool file: %s", s->path, what);
}

static isobath_status read_at(ib_spool *s, void *data, size_t size, uint64_t offset)
{
    for (uint8_t *p = data; size;) {
        ssize_t n = pread(s->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ib_fail(s->diag, ISOBATH_ERR_IO, "%s: cannot read: %s", s->path, strerror(errno));
        if (n == 0) return damaged(s, "it ends too early");
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return ISOBATH_OK;
}

static isobath_status read_head(ib_spool *s)
{
    uint8_t b[IB_SPOOL_HEAD_BYTES];
    uint32_t crc, width, height;
    uint64_t segment, first, count;
    ib_spool_head *h = &s->head;
    IB_TRY(read_at(s, b, sizeof b, 0));
    ib_get32(b + sizeof b - 4, &crc);
    if (memcmp(b, IB_SPOOL_MAGIC, 8) != 0) return damaged(s, "it does not begin like one");
    if (crc != libdeflate_crc32(0, b, sizeof b - 4)) return damaged(s, "the checksum of its head is wrong");
    memcpy(h->plan, b + 8, 64);
    const uint8_t *p = ib_get64(ib_get64(ib_get64(b + 72, &segment), &first), &count);
    p = ib_get32(ib_get32(p, &width), &height);
    memcpy(h->kind, p, 127);
    memcpy(h->decoder, p + 128, 95);
    if (!count || count > IB_SPOOL_MOST_WINDOWS || first > INT64_MAX / 64 || segment > INT32_MAX || !width || !height || width > 16384 || height > 16384)
        return damaged(s, "its head makes no sense");
    h->segment = (int64_t)segment;
    h->first = (int64_t)first;
    h->count = (int64_t)count;
    h->width = (int32_t)width;
    h->height = (int32_t)height;
    return ISOBATH_OK;
}

static const uint8_t *get_entry(const uint8_t *p, ib_spool_entry *e)
{
    uint32_t redone;
    uint64_t nonfinite;
    p = ib_get64(ib_get32(p, &redone), &nonfinite);
    e->window = (ib_spool_window){(int32_t)redone, (int64_t)nonfinite};
    p = ib_get64(ib_get32(p, &e->slots), &e->offset);
    for (int i = 0; i < IB_PLAN_WINDOW; i++) p = ib_get_float(ib_get32(ib_get32(p, &e->size[i]), &e->crc[i]), &e->max[i]);
    return p;
}

static isobath_status read_index(ib_spool *s, uint64_t file_size)
{
    uint8_t t[IB_SPOOL_TRAILER_BYTES];
    uint64_t at, bytes = (uint64_t)s->head.count * IB_SPOOL_ENTRY_BYTES;
    uint32_t crc;
    if (file_size < sizeof t + IB_SPOOL_HEAD_BYTES) return damaged(s, "it ends too early");
    IB_TRY(read_at(s, t, sizeof t, file_size - sizeof t));
    ib_get32(ib_get64(t, &at), &crc);
    if (memcmp(t + 12, IB_SPOOL_MAGIC, 8) != 0) return damaged(s, "its end is missing");
    if (bytes > file_size || at != file_size - sizeof t - bytes) return damaged(s, "its index is not where it should be");
    uint8_t *index = malloc(bytes);
    s->entries = malloc((size_t)s->head.count * sizeof *s->entries);
    isobath_status st = index && s->entries ? read_at(s, index, bytes, at) : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->path);
    if (st == ISOBATH_OK && libdeflate_crc32(0, index, bytes) != crc) st = damaged(s, "the checksum of its index is wrong");
    const uint8_t *p = index;
    size_t bound = ib_spool_bound(s->head.width, s->head.height);
    for (int64_t i = 0; st == ISOBATH_OK && i < s->head.count; i++) {
        ib_spool_entry *e = &s->entries[i];
        p = get_entry(p, e);
        uint64_t end = e->offset;
        for (int slot = 0; slot < IB_PLAN_WINDOW && st == ISOBATH_OK; slot++) {
            if (e->size[slot] > bound || (e->size[slot] != 0) != (e->slots >> slot & 1)) st = damaged(s, "its index makes no sense");
            end += e->size[slot];
        }
        if (st == ISOBATH_OK && (e->offset > at || end > at)) st = damaged(s, "its index makes no sense");
    }
    free(index);
    return st;
}

isobath_status ib_spool_open(const char *path, ib_diag *diag, ib_spool **out)
{
    *out = NULL;
    ib_spool *s = calloc(1, sizeof *s);
    struct stat sb;
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    s->diag = diag;
    s->path = strdup(path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    isobath_status st = s->path ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    if (st == ISOBATH_OK && (s->fd < 0 || fstat(s->fd, &sb) != 0)) st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (st == ISOBATH_OK) st = read_head(s);
    if (st == ISOBATH_OK) st = read_index(s, (uint64_t)sb.st_size);
    if (st == ISOBATH_OK && !(s->packer = ib_spool_packer_create(0))) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    if (st != ISOBATH_OK) ib_spool_close(s);
    else *out = s;
    return st;
}

void ib_spool_close(ib_spool *s)
{
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    ib_spool_packer_destroy(s->packer);
    free(s->packed);
    free(s->entries);
    free(s->path);
    free(s);
}

const ib_spool_head *ib_spool_get_head(const ib_spool *s) { return &s->head; }
ib_spool_window ib_spool_get_window(const ib_spool *s, int64_t window) { return s->entries[window - s->head.first].window; }

float ib_spool_get_max(const ib_spool *s, int64_t window, int slot) { return s->entries[window - s->head.first].max[slot]; }

isobath_status ib_spool_read(ib_spool *s, int64_t window, int slot, float *map)
{
    char text[96];
    const ib_spool_entry *e = &s->entries[window - s->head.first];
    uint64_t offset = e->offset;
    if (!(e->slots >> slot & 1)) {
        snprintf(text, sizeof text, "map %d of window %lld is not in it", slot, (long long)window);
        return damaged(s, text);
    }
    uint32_t chain = e->slots & IB_SPOOL_CHAIN_SLOTS, rest = e->slots & ~(uint32_t)IB_SPOOL_CHAIN_SLOTS;
    for (int i; (i = ib_spool_next_slot(&chain, &rest)) != slot;) offset += e->size[i];
    size_t size = e->size[slot];
    if (size > s->packed_capacity) {
        free(s->packed);
        s->packed_capacity = 0;
        s->packed = malloc(size);
        if (!s->packed) return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->path);
        s->packed_capacity = size;
    }
    IB_TRY(read_at(s, s->packed, size, offset));
    int sound = ib_crc32(0, s->packed, size) == e->crc[slot];
    if (sound && ib_spool_unpack(s->packer, s->packed, size, s->head.width, s->head.height, map)) return ISOBATH_OK;
    snprintf(text, sizeof text, "map %d of window %lld %s", slot, (long long)window, sound ? "cannot be unpacked" : "has a wrong checksum");
    return damaged(s, text);
}

isobath_status ib_spool_read_into(ib_spool *s, int64_t window, int slot, float *map, ib_diag *diag)
{
    s->diag = diag;
    isobath_status st = ib_spool_read(s, window, slot, map);
    s->diag = NULL;
    return st;
}

isobath_status ib_spool_verify(ib_spool *s)
{
    float *map = malloc((size_t)s->head.width * (size_t)s->head.height * sizeof *map);
    isobath_status st = map ? ISOBATH_OK : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->path);
    for (int64_t i = 0; st == ISOBATH_OK && i < s->head.count; i++)
        for (int slot = 0; slot < IB_PLAN_WINDOW && st == ISOBATH_OK; slot++)
            if (s->entries[i].slots >> slot & 1) st = ib_spool_read(s, s->head.first + i, slot, map);
    free(map);
    return st;
}
