/* The central directory of a ZIP archive, with every number checked against the file (APPNOTE 6.3). */
#include "sink/npy_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END_BYTES 22
#define MAX_COMMENT 65535
#define MAX_DIRECTORY ((uint64_t)16 << 20)

static uint32_t get16(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }
static uint32_t get32(const uint8_t *p) { return get16(p) | get16(p + 2) << 16; }
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static int read_at(int fd, uint64_t offset, void *out, size_t n)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        p += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 1;
}

/* Finds the directory: its offset, size and number of entries. 0: there is none. */
static int find_directory(int fd, uint64_t file_size, uint64_t *offset, uint64_t *size, uint64_t *entries)
{
    uint64_t tail = file_size < END_BYTES + MAX_COMMENT ? file_size : END_BYTES + MAX_COMMENT;
    uint8_t *buf = malloc((size_t)tail + 1);
    int64_t at = -1;
    if (buf && tail >= END_BYTES && read_at(fd, file_size - tail, buf, (size_t)tail))
        for (int64_t i = (int64_t)tail - END_BYTES; i >= 0 && at < 0; i--)
            if (get32(buf + i) == 0x06054b50 && get16(buf + i + 20) == (uint64_t)((int64_t)tail - i - END_BYTES))
                at = i;
    int found = at >= 0;
    if (found) {
        *entries = get16(buf + at + 10);
        *size = get32(buf + at + 12);
        *offset = get32(buf + at + 16);
        if (*entries == 0xffff || *size == 0xffffffff || *offset == 0xffffffff) { /* ZIP64 */
            uint64_t end = file_size - tail + (uint64_t)at;
            uint8_t locator[20], record[56];
            found = end >= 20 && read_at(fd, end - 20, locator, 20) && get32(locator) == 0x07064b50 &&
                    read_at(fd, get64(locator + 8), record, 56) && get32(record) == 0x06064b50;
            if (found) {
                *entries = get64(record + 32);
                *size = get64(record + 40);
                *offset = get64(record + 48);
            }
        }
    }
    free(buf);
    return found;
}

/* One entry at p; the ZIP64 field gives what the 32-bit numbers cannot. Returns its length, 0 when it is damaged. */
static uint64_t parse_entry(const uint8_t *p, uint64_t left, ib_zip_member *m, int *method, int *flags)
{
    if (left < 46 || get32(p) != 0x02014b50) return 0;
    uint64_t name = get16(p + 28), extra = get16(p + 30), length = 46 + name + extra + get16(p + 32);
    if (length > left) return 0;
    memset(m, 0, sizeof *m);
    if (name < sizeof m->name) memcpy(m->name, p + 46, (size_t)name);
    *flags = (int)get16(p + 8);
    *method = (int)get16(p + 10);
    uint64_t plain = get32(p + 24), packed = get32(p + 20), offset = get32(p + 42);
    m->crc = get32(p + 16);
    m->deflated = *method == 8;
    for (const uint8_t *e = p + 46 + name, *end = e + extra; end - e >= 4;) {
        uint64_t id = get16(e), n = get16(e + 2);
        e += 4;
        if (n > (uint64_t)(end - e)) return 0;
        const uint8_t *v = e;
        e += n;
        if (id != 1) continue;
        uint64_t *fields[3] = {&plain, &packed, &offset};
        for (int i = 0; i < 3; i++) {
            if (*fields[i] != 0xffffffff) continue;
            if (e - v < 8) return 0;
            *fields[i] = get64(v);
            v += 8;
        }
    }
    if ((plain | packed | offset) >> 62) return 0;
    m->plain = (int64_t)plain;
    m->packed = (int64_t)packed;
    m->header_offset = (int64_t)offset;
    return length;
}

isobath_status ib_zip_list(int fd, const char *path, ib_diag *diag, ib_zip_member *members, int max, int *count)
{
    *count = 0;
    struct stat sb;
    uint64_t offset = 0, size = 0, entries = 0, file_size;
    if (fstat(fd, &sb) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    file_size = (uint64_t)sb.st_size;
    if (!find_directory(fd, file_size, &offset, &size, &entries))
        return ib_fail(diag, ISOBATH_ERR_INPUT,
                       "%s: not a ZIP archive, or its end is missing (an unfinished download?)", path);
    if (size > MAX_DIRECTORY || offset > file_size || size > file_size - offset)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: the directory of the archive lies outside the file", path);
    uint8_t *directory = malloc((size_t)size + 1);
    if (!directory) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    isobath_status st = ISOBATH_OK;
    if (!read_at(fd, offset, directory, (size_t)size))
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read the directory of the archive", path);
    const uint8_t *p = directory;
    for (uint64_t i = 0; st == ISOBATH_OK && i < entries && *count < max; i++) {
        ib_zip_member *m = &members[*count];
        int method, flags;
        uint64_t n = parse_entry(p, size - (uint64_t)(p - directory), m, &method, &flags);
        if (n == 0)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: entry %llu of the archive's directory is damaged", path,
                         (unsigned long long)i + 1);
        else if (flags & 1 || (method != 0 && method != 8))
            st = ib_fail(diag, ISOBATH_ERR_INPUT,
                         "%s: member %s is encrypted or packed by method %d; expected stored or deflated", path,
                         m->name, method);
        else if ((uint64_t)m->header_offset > file_size ||
                 (uint64_t)m->packed > file_size - (uint64_t)m->header_offset || (method == 0 && m->packed != m->plain))
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: member %s lies outside the file", path, m->name);
        p += n;
        if (st == ISOBATH_OK) (*count)++;
    }
    free(directory);
    return st;
}
