/* NumPy arrays as streams; see npy_stream.h. Files are read with pread, not mapped: a file that becomes shorter under
 * us is an error line and not a SIGBUS. */
#include "sink/npy_stream.h"

#include "base/half.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define IN_BYTES ((size_t)256 << 10)
#define WORK_BYTES ((size_t)256 << 10)

struct ib_npy_stream {
    int fd;
    char *path; /* "file.npz: member depths.npy", for error lines */
    ib_diag *diag;
    int deflated;
    int64_t start, packed, plain; /* of the bytes in the file; plain: of the array with its header */
    /* inflate */
    z_stream z;
    int z_open;
    int64_t position, consumed; /* plain bytes given so far, packed bytes taken so far */
    uint8_t *in, *work;
    /* the array */
    ib_npy_type type;
    int item_bytes;
    int rank;
    int64_t shape[4], elements, data_offset;
};

static const struct {
    const char *descr;
    ib_npy_type type;
    int bytes;
} types[] = {{"<f2", IB_NPY_F16, 2}, {"<f4", IB_NPY_F32, 4}, {"<f8", IB_NPY_F64, 8},
             {"|u1", IB_NPY_U8, 1},  {"<u2", IB_NPY_U16, 2}, {"<i8", IB_NPY_I64, 8}};

static isobath_status read_file(ib_npy_stream *s, int64_t offset, void *out, size_t n)
{
    uint8_t *p = out;
    while (n > 0) {
        ssize_t got = pread(s->fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: cannot read at byte %" PRId64 ": %s", s->path, offset,
                           got < 0 ? strerror(errno) : "the file ends too early");
        p += got;
        offset += got;
        n -= (size_t)got;
    }
    return ISOBATH_OK;
}

static isobath_status rewind_inflate(ib_npy_stream *s)
{
    if (s->z_open) inflateEnd(&s->z);
    memset(&s->z, 0, sizeof s->z);
    s->z_open = inflateInit2(&s->z, -15) == Z_OK;
    s->position = s->consumed = 0;
    return s->z_open ? ISOBATH_OK : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->path);
}

/* The next n plain bytes. */
static isobath_status inflate_next(ib_npy_stream *s, uint8_t *out, size_t n)
{
    while (n > 0) {
        if (s->z.avail_in == 0 && s->consumed < s->packed) {
            int64_t left = s->packed - s->consumed;
            size_t take = left < (int64_t)IN_BYTES ? (size_t)left : IN_BYTES;
            IB_TRY(read_file(s, s->start + s->consumed, s->in, take));
            s->consumed += (int64_t)take;
            s->z.next_in = s->in;
            s->z.avail_in = (uInt)take;
        }
        uInt room = n < ((size_t)1 << 30) ? (uInt)n : (uInt)1 << 30;
        s->z.next_out = out;
        s->z.avail_out = room;
        int code = inflate(&s->z, Z_NO_FLUSH);
        size_t made = room - s->z.avail_out;
        out += made;
        n -= made;
        s->position += (int64_t)made;
        if (n > 0 && (code == Z_STREAM_END || (code != Z_OK && code != Z_BUF_ERROR) ||
                      (made == 0 && s->z.avail_in == 0 && s->consumed == s->packed)))
            return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                           "%s: damaged deflate stream after %" PRId64 " of %" PRId64 " bytes", s->path, s->position,
                           s->plain);
    }
    return ISOBATH_OK;
}

/* Plain bytes [offset, offset + n), which the caller has checked to lie inside. */
static isobath_status read_plain(ib_npy_stream *s, int64_t offset, void *out, size_t n)
{
    if (!s->deflated) return read_file(s, s->start + offset, out, n);
    if (!s->z_open || offset < s->position) IB_TRY(rewind_inflate(s));
    while (s->position < offset) {
        int64_t skip = offset - s->position;
        IB_TRY(inflate_next(s, s->work, skip < (int64_t)WORK_BYTES ? (size_t)skip : WORK_BYTES));
    }
    return inflate_next(s, out, n);
}

/* The value behind 'key': in the header's dictionary; NULL when it is missing. */
static const char *header_value(const char *text, const char *key)
{
    const char *p = strstr(text, key);
    if (!p) return NULL;
    p += strlen(key);
    while (*p == ' ') p++;
    if (*p++ != ':') return NULL;
    while (*p == ' ') p++;
    return p;
}

static isobath_status parse_shape(ib_npy_stream *s, const char *p)
{
    s->rank = 0;
    s->elements = 1;
    if (!p || *p++ != '(') return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: array header without a shape", s->path);
    for (;;) {
        while (*p == ' ' || *p == ',') p++;
        if (*p == ')') return ISOBATH_OK;
        char *end;
        errno = 0;
        long long n = strtoll(p, &end, 10);
        if (end == p || errno || n < 0 || s->rank == 4 || n > (1ll << 40) ||
            __builtin_mul_overflow(s->elements, (int64_t)n, &s->elements) || s->elements > (1ll << 48))
            return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: array of a shape that is not handled: %.60s", s->path, p);
        s->shape[s->rank++] = n;
        p = end;
        if (*p == 'L') p++; /* Python 2 */
    }
}

static isobath_status parse_header(ib_npy_stream *s)
{
    uint8_t fixed[12];
    char text[4097];
    if (s->plain < 12) return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: too short for an array", s->path);
    IB_TRY(read_plain(s, 0, fixed, 12));
    if (memcmp(fixed, "\x93NUMPY", 6) != 0 || fixed[6] < 1 || fixed[6] > 3)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: not a NumPy array", s->path);
    int64_t at = fixed[6] == 1 ? 10 : 12;
    uint32_t length = fixed[6] == 1 ? (uint32_t)(fixed[8] | fixed[9] << 8)
                                    : (uint32_t)fixed[8] | (uint32_t)fixed[9] << 8 | (uint32_t)fixed[10] << 16 |
                                          (uint32_t)fixed[11] << 24;
    if (length >= sizeof text || at + length > s->plain)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: array header of %u bytes; expected at most %zu", s->path,
                       length, sizeof text - 1);
    IB_TRY(read_plain(s, at, text, length));
    text[length] = 0;
    s->data_offset = at + length;
    const char *descr = header_value(text, "'descr'"), *order = header_value(text, "'fortran_order'");
    size_t t = 0, count = sizeof types / sizeof *types;
    while (t < count && !(descr && descr[0] == '\'' && strncmp(descr + 1, types[t].descr, 3) == 0 && descr[4] == '\''))
        t++;
    int letters = descr && strncmp(descr, "'<U", 3) == 0 ? atoi(descr + 3) : 0;
    if (t < count) {
        s->type = types[t].type;
        s->item_bytes = types[t].bytes;
    } else if (letters > 0 && letters <= 256) {
        s->type = IB_NPY_TEXT;
        s->item_bytes = 4 * letters;
    } else
        return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                       "%s: array of type %.12s; expected float16, 32, 64, uint8 or 16, int64", s->path,
                       descr ? descr : "?");
    if (!order || strncmp(order, "False", 5) != 0)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: array in Fortran order; save it with numpy.ascontiguousarray",
                       s->path);
    IB_TRY(parse_shape(s, header_value(text, "'shape'")));
    if (s->elements * s->item_bytes > s->plain - s->data_offset)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                       "%s: array of %" PRId64 " elements in %" PRId64 " bytes: the file is too short", s->path,
                       s->elements, s->plain - s->data_offset);
    return ISOBATH_OK;
}

/* Where the member's data begin: behind its local header, whose lengths may differ from the directory's. */
static isobath_status locate_member(ib_npy_stream *s, const ib_zip_member *member, int64_t file_size)
{
    uint8_t h[30];
    IB_TRY(read_file(s, member->header_offset, h, 30));
    s->start = member->header_offset + 30 + (h[26] | h[27] << 8) + (h[28] | h[29] << 8);
    if (memcmp(h, "PK\x03\x04", 4) != 0 || s->start > file_size || member->packed > file_size - s->start)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: its local header is damaged", s->path);
    s->deflated = member->deflated;
    s->packed = member->packed;
    s->plain = member->plain;
    /* deflate cannot shrink below 1/1032: a larger claim is a lie */
    if (s->plain / 1040 > s->packed)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: claims %" PRId64 " bytes from %" PRId64, s->path, s->plain,
                       s->packed);
    return ISOBATH_OK;
}

isobath_status ib_npy_open(int fd, const char *path, const ib_zip_member *member, ib_diag *diag, ib_npy_stream **out)
{
    *out = NULL;
    ib_npy_stream *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    s->fd = fd;
    s->diag = diag;
    if (asprintf(&s->path, member ? "%s: member %s" : "%s", path, member ? member->name : "") < 0) s->path = NULL;
    s->in = malloc(IN_BYTES);
    s->work = malloc(WORK_BYTES);
    struct stat sb;
    isobath_status st = ISOBATH_OK;
    if (!s->path || !s->in || !s->work)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    else if (fstat(fd, &sb) != 0)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    else if (member)
        st = locate_member(s, member, sb.st_size);
    else
        s->packed = s->plain = sb.st_size;
    if (st == ISOBATH_OK) st = parse_header(s);
    if (st != ISOBATH_OK)
        ib_npy_close(s);
    else
        *out = s;
    return st;
}

void ib_npy_close(ib_npy_stream *s)
{
    if (!s) return;
    if (s->z_open) inflateEnd(&s->z);
    free(s->in);
    free(s->work);
    free(s->path);
    free(s);
}

ib_npy_type ib_npy_get_type(const ib_npy_stream *s) { return s->type; }
int ib_npy_rank(const ib_npy_stream *s) { return s->rank; }
const int64_t *ib_npy_shape(const ib_npy_stream *s) { return s->shape; }

static float one_float(const uint8_t *p, ib_npy_type type)
{
    uint16_t h;
    uint32_t w;
    double d;
    switch (type) {
    case IB_NPY_F16: memcpy(&h, p, 2); return ib_f16_to_f32(h);
    case IB_NPY_F32: memcpy(&w, p, 4); return ib_f32_from_bits(w);
    case IB_NPY_F64: memcpy(&d, p, 8); return (float)d;
    case IB_NPY_U8: return *p;
    case IB_NPY_U16: memcpy(&h, p, 2); return h;
    case IB_NPY_I64:
    case IB_NPY_TEXT: break;
    }
    int64_t i;
    memcpy(&i, p, 8);
    return (float)i;
}

isobath_status ib_npy_read_float(ib_npy_stream *s, int64_t first, int64_t count, float *out)
{
    int64_t bytes = s->item_bytes;
    if (s->type == IB_NPY_TEXT || first < 0 || count < 0 || count > s->elements || first > s->elements - count)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: no elements %" PRId64 " to %" PRId64, s->path, first,
                       first + count);
    if (s->type == IB_NPY_F32) return read_plain(s, s->data_offset + first * 4, out, (size_t)count * 4);
    uint8_t chunk[8192];
    int64_t per = (int64_t)sizeof chunk / bytes;
    for (int64_t done = 0; done < count;) {
        int64_t n = count - done < per ? count - done : per;
        IB_TRY(read_plain(s, s->data_offset + (first + done) * bytes, chunk, (size_t)(n * bytes)));
        for (int64_t i = 0; i < n; i++) out[done + i] = one_float(chunk + i * bytes, s->type);
        done += n;
    }
    return ISOBATH_OK;
}

isobath_status ib_npy_read_int64(ib_npy_stream *s, int64_t first, int64_t count, int64_t *out)
{
    if (s->type != IB_NPY_I64 || first < 0 || count < 0 || count > s->elements || first > s->elements - count)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: not an int64 array of %" PRId64 " elements", s->path,
                       first + count);
    return read_plain(s, s->data_offset + first * 8, out, (size_t)count * 8);
}

isobath_status ib_npy_read_text(ib_npy_stream *s, char *out, size_t size)
{
    uint8_t letters[4 * 256];
    size_t n = (size_t)s->item_bytes / 4;
    out[0] = 0;
    if (s->type != IB_NPY_TEXT || s->elements < 1)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: not a text", s->path);
    IB_TRY(read_plain(s, s->data_offset, letters, (size_t)s->item_bytes));
    size_t i = 0;
    for (; i < n && i + 1 < size && letters[4 * i]; i++) {
        const uint8_t *p = letters + 4 * i;
        out[i] = p[0] < 128 && !p[1] && !p[2] && !p[3] ? (char)p[0] : '?';
    }
    out[i] = 0;
    return ISOBATH_OK;
}
