/* Stored zip archives; see zip.h. Layout: APPNOTE 6.3.x, sections 4.3.7 (local header), 4.3.12 (central directory),
 * 4.3.14 and 4.3.15 (zip64 end record and locator), 4.3.16 (end record). */
#include "weights/zip.h"

#include "weights/checkpoint_build.h"

#include <inttypes.h>
#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_SIZE 30
#define CENTRAL_SIZE 46
#define END_SIZE 22
#define END64_SIZE 56
#define LOCATOR_SIZE 20

static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t u32(const uint8_t *p) { return u16(p) | (uint32_t)u16(p + 2) << 16; }
static uint64_t u64(const uint8_t *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

/* Where the central directory lies. */
typedef struct directory {
    uint64_t offset, size, count;
} directory;

static isobath_status damaged(const char *path, ib_diag *diag, const char *what, uint64_t where)
{
    return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: damaged zip archive: %s (at byte %" PRIu64 ")", path, what, where);
}

/* The end record is the last thing in the file, but for a comment of known length. */
static const uint8_t *find_end(const uint8_t *data, size_t size)
{
    if (size < END_SIZE) return NULL;
    size_t furthest = size - END_SIZE > 65535 ? size - END_SIZE - 65535 : 0;
    for (size_t at = size - END_SIZE + 1; at-- > furthest;)
        if (memcmp(data + at, "PK\5\6", 4) == 0 && at + END_SIZE + u16(data + at + 20) == size) return data + at;
    return NULL;
}

static isobath_status find_directory(const uint8_t *data, size_t size, const char *path, ib_diag *diag, directory *dir)
{
    const uint8_t *end = find_end(data, size);
    if (!end)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: a zip archive without its end record (%zu bytes): the file is truncated", path, size);
    uint64_t end_at = (uint64_t)(end - data);
    uint32_t disk = u16(end + 4), start_disk = u16(end + 6);
    uint64_t here = u16(end + 8);
    *dir = (directory){.count = u16(end + 10), .size = u32(end + 12), .offset = u32(end + 16)};
    if (end_at >= LOCATOR_SIZE && memcmp(end - LOCATOR_SIZE, "PK\6\7", 4) == 0) {
        uint64_t at = u64(end - LOCATOR_SIZE + 8);
        if (at > end_at - LOCATOR_SIZE || end_at - LOCATOR_SIZE - at < END64_SIZE ||
            memcmp(data + at, "PK\6\6", 4) != 0)
            return damaged(path, diag, "the zip64 locator does not lead to a zip64 end record", end_at - LOCATOR_SIZE);
        const uint8_t *e = data + at;
        disk = u32(e + 16);
        start_disk = u32(e + 20);
        here = u64(e + 24);
        *dir = (directory){.count = u64(e + 32), .size = u64(e + 40), .offset = u64(e + 48)};
        end_at = at;
    }
    if (disk != 0 || start_disk != 0 || here != dir->count)
        return damaged(path, diag, "an archive in several parts", end_at);
    if (dir->offset > end_at || dir->size > end_at - dir->offset)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: the zip directory (%" PRIu64 " bytes at byte %" PRIu64 ") reaches beyond byte %" PRIu64
                       ": truncated or damaged",
                       path, dir->size, dir->offset, end_at);
    if (dir->count > dir->size / CENTRAL_SIZE)
        return damaged(path, diag, "the directory is too small for its number of entries", dir->offset);
    return ISOBATH_OK;
}

/* The zip64 extra field replaces those of size, packed size and offset that are saturated, in this order. */
static int read_zip64(const uint8_t *extra, size_t length, uint64_t *size, uint64_t *packed, uint64_t *offset)
{
    uint64_t *fields[3] = {size, packed, offset};
    int wanted = 0;
    for (int i = 0; i < 3; i++) wanted += *fields[i] == UINT32_MAX;
    if (!wanted) return 1;
    while (length >= 4) {
        size_t n = u16(extra + 2);
        if (n > length - 4) return 0;
        if (u16(extra) == 1) {
            const uint8_t *p = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX) continue;
                if (n < 8) return 0;
                *fields[i] = u64(p);
                p += 8;
                n -= 8;
            }
            return 1;
        }
        extra += 4 + n;
        length -= 4 + n;
    }
    return 0;
}

/* One record of the directory at `p` (at most `left` bytes); *used is its length. `limit`: where the directory starts;
 * data must end before. */
static isobath_status read_entry(const uint8_t *data, uint64_t at, uint64_t left, uint64_t limit, const char *path,
                                 ib_diag *diag, ib_zip_entry *e, uint64_t *used)
{
    const uint8_t *p = data + at;
    if (left < CENTRAL_SIZE || memcmp(p, "PK\1\2", 4) != 0)
        return damaged(path, diag, "a directory record does not start with its signature", at);
    size_t name_length = u16(p + 28), extra_length = u16(p + 30), comment_length = u16(p + 32);
    *used = CENTRAL_SIZE + name_length + extra_length + comment_length;
    if (*used > left) return damaged(path, diag, "a directory record reaches beyond the directory", at);
    e->name = (const char *)p + CENTRAL_SIZE;
    e->name_length = name_length;
    e->crc = u32(p + 16);
    uint64_t packed = u32(p + 20), offset = u32(p + 42);
    e->size = u32(p + 24);
    ib_quoted name = ib_quote(e->name, name_length);
    if (!read_zip64(p + CENTRAL_SIZE + name_length, extra_length, &e->size, &packed, &offset))
        return damaged(path, diag, "a directory record lacks its zip64 sizes", at);
    if (u16(p + 8) & 1) return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: zip entry '%s' is encrypted", path, name.text);
    if (u16(p + 10) != 0 || packed != e->size)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: zip entry '%s' is compressed (method %u); torch.save stores entries as they are", path,
                       name.text, u16(p + 10));
    if (offset > limit || limit - offset < LOCAL_SIZE || memcmp(data + offset, "PK\3\4", 4) != 0)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: zip entry '%s' has no local header at byte %" PRIu64, path,
                       name.text, offset);
    const uint8_t *local = data + offset;
    uint64_t head = LOCAL_SIZE + (uint64_t)u16(local + 26) + u16(local + 28);
    if (head > limit - offset || e->size > limit - offset - head)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: zip entry '%s' of %" PRIu64 " bytes at byte %" PRIu64
                       " reaches into the directory at byte %" PRIu64,
                       path, name.text, e->size, offset, limit);
    if (u16(local + 26) != name_length || memcmp(local + LOCAL_SIZE, e->name, name_length) != 0)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: zip entry '%s' has another name in its local header", path,
                       name.text);
    e->data = local + head;
    return ISOBATH_OK;
}

static int compare_data(const void *a, const void *b)
{
    const ib_zip_entry *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

static int compare_text(const char *a, size_t an, const char *b, size_t bn)
{
    int order = memcmp(a, b, an < bn ? an : bn);
    return order ? order : (an > bn) - (an < bn);
}

static int compare_entries(const void *a, const void *b)
{
    const ib_zip_entry *x = a, *y = b;
    return compare_text(x->name, x->name_length, y->name, y->name_length);
}

/* No two entries share bytes, no two share a name. Leaves the entries sorted by name. */
static isobath_status check_entries(ib_zip *zip, ib_diag *diag)
{
    ib_zip_entry *e = zip->entries;
    if (zip->count == 0) return ISOBATH_OK;
    qsort(e, zip->count, sizeof *e, compare_data);
    for (size_t i = 1; i < zip->count; i++)
        if (e[i].data < e[i - 1].data + e[i - 1].size)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: zip entries '%s' and '%s' overlap", zip->path,
                           ib_quote(e[i - 1].name, e[i - 1].name_length).text,
                           ib_quote(e[i].name, e[i].name_length).text);
    qsort(e, zip->count, sizeof *e, compare_entries);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_entries(&e[i - 1], &e[i]) == 0)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: zip entry '%s' is there twice, expected once", zip->path,
                           ib_quote(e[i].name, e[i].name_length).text);
    return ISOBATH_OK;
}

isobath_status ib_zip_open(const void *data, size_t size, const char *path, ib_diag *diag, ib_zip *zip)
{
    *zip = (ib_zip){.path = path};
    directory dir = {0};
    IB_TRY(find_directory(data, size, path, diag, &dir));
    zip->entries = calloc((size_t)dir.count + 1, sizeof *zip->entries);
    if (!zip->entries) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    isobath_status st = ISOBATH_OK;
    uint64_t at = dir.offset, left = dir.size;
    for (uint64_t i = 0; st == ISOBATH_OK && i < dir.count; i++) {
        uint64_t used = 0;
        st = read_entry(data, at, left, dir.offset, path, diag, &zip->entries[i], &used);
        at += used;
        left -= st == ISOBATH_OK ? used : 0;
        zip->count++;
    }
    if (st == ISOBATH_OK) st = check_entries(zip, diag);
    if (st != ISOBATH_OK) ib_zip_free(zip);
    return st;
}

void ib_zip_free(ib_zip *zip)
{
    free(zip->entries);
    zip->entries = NULL;
    zip->count = 0;
}

ib_zip_entry *ib_zip_find(const ib_zip *zip, const char *name, size_t length)
{
    size_t lo = 0, hi = zip->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = compare_text(zip->entries[mid].name, zip->entries[mid].name_length, name, length);
        if (order == 0) return &zip->entries[mid];
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

isobath_status ib_zip_check(const ib_zip *zip, ib_zip_entry *entry, ib_diag *diag)
{
    if (entry->checked) return ISOBATH_OK;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
    uint32_t crc = crc32_gzip_refl(0, entry->data, entry->size);
    if (crc != entry->crc)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: zip entry '%s' is damaged: CRC-32 %08" PRIx32 ", expected %08" PRIx32, zip->path,
                       ib_quote(entry->name, entry->name_length).text, crc, entry->crc);
#endif
    entry->checked = 1;
    return ISOBATH_OK;
}
