/* Arrays in NumPy's format, plain (.npy) or as a member of a ZIP archive (.npz, stored or deflated, ZIP64). */
#ifndef IB_SINK_NPY_STREAM_H
#define IB_SINK_NPY_STREAM_H

#include "base/diag.h"
#include <stdint.h>

/* What a byte range of a file holds, as the central directory of an archive says. */
typedef struct ib_zip_member {
    char name[128];
    int deflated;
    uint32_t crc;
    int64_t packed, plain; /* bytes */
    int64_t header_offset;
} ib_zip_member;

/* Lists the members of an archive (at most `max`; more are ignored). `fd` is open for reading, `path` for error lines.
 * Checks that every member lies inside the file. Errors: ISOBATH_ERR_INPUT. */
isobath_status ib_zip_list(int fd, const char *path, ib_diag *diag, ib_zip_member *members, int max, int *count);

typedef enum ib_npy_type {
    IB_NPY_F16,
    IB_NPY_F32,
    IB_NPY_F64,
    IB_NPY_U8,
    IB_NPY_U16,
    IB_NPY_I64,
    IB_NPY_TEXT
} ib_npy_type;

typedef struct ib_npy_stream ib_npy_stream;

/* Opens an array. `member` NULL: the file itself is an .npy. `fd` stays the caller's and must outlive the stream.
 * Errors: ISOBATH_ERR_INPUT (not an array, a type that is not handled, sizes that contradict each other). */
isobath_status ib_npy_open(int fd, const char *path, const ib_zip_member *member, ib_diag *diag, ib_npy_stream **out);
void ib_npy_close(ib_npy_stream *stream); /* NULL allowed */
ib_npy_type ib_npy_get_type(const ib_npy_stream *stream);
/* Rank (0..4) and dimensions. */
int ib_npy_rank(const ib_npy_stream *stream);
const int64_t *ib_npy_shape(const ib_npy_stream *stream);
/* Elements [first, first + count) as float, or as stored for IB_NPY_I64. Forward reads are fast; going back in a
 * deflated member starts over. Errors: ISOBATH_ERR_INPUT (damaged or short data). */
isobath_status ib_npy_read_float(ib_npy_stream *stream, int64_t first, int64_t count, float *out);
isobath_status ib_npy_read_int64(ib_npy_stream *stream, int64_t first, int64_t count, int64_t *out);

/* The string of a scalar text array (ASCII; other letters become '?'), cut to fit. */
isobath_status ib_npy_read_text(ib_npy_stream *stream, char *out, size_t size);

#endif
