/* The ZIP container; see zip_writer.h. Layout: PKWARE APPNOTE 6.3, sections 4.3.7 (local header), 4.3.12 (central
 * directory), 4.3.14 to 4.3.16 (end records), 4.5.3 (ZIP64 extra field). */
#include "sink/zip_writer.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MEMBERS 8
#define FULL32 0xffffffffu
/* 1980-01-01 00:00, the earliest that the format can say */
#define DOS_DATE 0x0021

typedef struct member {
    char name[64];
    int method; /* 0 stored, 8 deflated */
    uint32_t crc;
    uint64_t plain, packed, header_offset;
} member;

struct ib_zip_writer {
    ib_out_file *file;
    ib_diag *diag;
    member members[MAX_MEMBERS];
    int count;
    int64_t data_offset;
};

static uint8_t *put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v) { return put16(put16(p, v & 0xffff), v >> 16); }
static uint8_t *put64(uint8_t *p, uint64_t v) { return put32(put32(p, (uint32_t)v), (uint32_t)(v >> 32)); }

isobath_status ib_zip_writer_create(ib_out_file *file, ib_diag *diag, ib_zip_writer **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a ZIP writer");
    (*out)->file = file;
    (*out)->diag = diag;
    return ISOBATH_OK;
}

void ib_zip_writer_destroy(ib_zip_writer *zip) { free(zip); }

/* The local header always has the ZIP64 field, so that sizes of any length can be patched in. */
static uint8_t *local_header(uint8_t *p, const member *m, int padding)
{
    size_t name = strlen(m->name);
    p = put32(p, 0x04034b50);
    p = put16(p, 45);
    p = put16(p, 0);
    p = put16(p, (uint32_t)m->method);
    p = put32(p, (uint32_t)DOS_DATE << 16);
    p = put32(p, m->crc);
    p = put32(p, FULL32);
    p = put32(p, FULL32);
    p = put16(p, (uint32_t)name);
    p = put16(p, 20 + (uint32_t)padding);
    memcpy(p, m->name, name);
    p += name;
    p = put16(p, 1);
    p = put16(p, 16);
    p = put64(p, m->plain);
    p = put64(p, m->packed);
    if (padding >= 4) { /* field 0xd935: alignment padding, as zipalign writes it */
        memset(p, 0, (size_t)padding);
        put16(put16(p, 0xd935), (uint32_t)padding - 4);
        p += padding;
    }
    return p;
}

isobath_status ib_zip_begin(ib_zip_writer *zip, const char *name, int deflated, int align)
{
    uint8_t header[512];
    if (zip->count == MAX_MEMBERS || strlen(name) >= sizeof zip->members[0].name || align > 256)
        return ib_fail(zip->diag, ISOBATH_ERR_INTERNAL, "ZIP member %s does not fit", name);
    member *m = &zip->members[zip->count++];
    memset(m, 0, sizeof *m);
    strcpy(m->name, name);
    m->method = deflated ? 8 : 0;
    m->header_offset = (uint64_t)ib_out_file_size(zip->file);
    int64_t end = (int64_t)m->header_offset + 30 + (int64_t)strlen(name) + 20;
    int padding = (int)((align - end % align) % align);
    while (padding > 0 && padding < 4) padding += align; /* a field needs four bytes */
    uint8_t *p = local_header(header, m, padding);
    IB_TRY(ib_out_file_write(zip->file, header, (size_t)(p - header)));
    zip->data_offset = ib_out_file_size(zip->file);
    return ISOBATH_OK;
}

isobath_status ib_zip_write(ib_zip_writer *zip, const void *data, size_t size)
{
    return ib_out_file_write(zip->file, data, size);
}

int64_t ib_zip_data_offset(const ib_zip_writer *zip) { return zip->data_offset; }

isobath_status ib_zip_end(ib_zip_writer *zip, uint32_t crc, int64_t plain_size)
{
    member *m = &zip->members[zip->count - 1];
    m->crc = crc;
    m->plain = (uint64_t)plain_size;
    m->packed = (uint64_t)(ib_out_file_size(zip->file) - zip->data_offset);
    uint8_t crc_bytes[4], sizes[16];
    put32(crc_bytes, crc);
    put64(put64(sizes, m->plain), m->packed);
    IB_TRY(ib_out_file_patch(zip->file, (int64_t)m->header_offset + 14, crc_bytes, 4));
    return ib_out_file_patch(zip->file, (int64_t)m->header_offset + 30 + (int64_t)strlen(m->name) + 4, sizes, 16);
}

/* One entry of the central directory; its ZIP64 field holds just the values that need it. */
static uint8_t *central_entry(uint8_t *p, const member *m)
{
    int big_plain = m->plain >= FULL32, big_packed = m->packed >= FULL32, big_offset = m->header_offset >= FULL32;
    int big = big_plain + big_packed + big_offset;
    size_t name = strlen(m->name);
    p = put32(p, 0x02014b50);
    p = put16(p, 3 << 8 | 45); /* made by: Unix */
    p = put16(p, 45);
    p = put16(p, 0);
    p = put16(p, (uint32_t)m->method);
    p = put32(p, (uint32_t)DOS_DATE << 16);
    p = put32(p, m->crc);
    p = put32(p, big_packed ? FULL32 : (uint32_t)m->packed);
    p = put32(p, big_plain ? FULL32 : (uint32_t)m->plain);
    p = put16(p, (uint32_t)name);
    p = put16(p, big ? 4 + 8 * (uint32_t)big : 0);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put32(p, 0100644u << 16);
    p = put32(p, big_offset ? FULL32 : (uint32_t)m->header_offset);
    memcpy(p, m->name, name);
    p += name;
    if (big) {
        p = put16(p, 1);
        p = put16(p, 8 * (uint32_t)big);
        if (big_plain) p = put64(p, m->plain);
        if (big_packed) p = put64(p, m->packed);
        if (big_offset) p = put64(p, m->header_offset);
    }
    return p;
}

isobath_status ib_zip_finish(ib_zip_writer *zip)
{
    uint8_t buf[MAX_MEMBERS * 160 + 128], *p = buf;
    uint64_t start = (uint64_t)ib_out_file_size(zip->file);
    for (int i = 0; i < zip->count; i++) p = central_entry(p, &zip->members[i]);
    uint64_t size = (uint64_t)(p - buf);
    if (start >= FULL32) {
        p = put32(p, 0x06064b50); /* ZIP64 end of central directory */
        p = put64(p, 44);
        p = put16(p, 3 << 8 | 45);
        p = put16(p, 45);
        p = put32(p, 0);
        p = put32(p, 0);
        p = put64(p, (uint64_t)zip->count);
        p = put64(p, (uint64_t)zip->count);
        p = put64(p, size);
        p = put64(p, start);
        p = put32(p, 0x07064b50); /* its locator */
        p = put32(p, 0);
        p = put64(p, start + size);
        p = put32(p, 1);
    }
    p = put32(p, 0x06054b50);
    p = put16(p, 0);
    p = put16(p, 0);
    p = put16(p, (uint32_t)zip->count);
    p = put16(p, (uint32_t)zip->count);
    p = put32(p, (uint32_t)size);
    p = put32(p, start >= FULL32 ? FULL32 : (uint32_t)start);
    p = put16(p, 0);
    return ib_out_file_write(zip->file, buf, (size_t)(p - buf));
}
