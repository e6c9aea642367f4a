/* The framed protocol between isobath and a user's depth program (docs/EXEC.md): messages of a 16-byte header and a payload. Pure
 * functions; everything that comes from the program is checked here. */
#ifndef IB_PIPELINE_EXEC_EXEC_PROTOCOL_H
#define IB_PIPELINE_EXEC_EXEC_PROTOCOL_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

#define IB_EXEC_HEADER 16 /* "IBX1", type, size of the payload; all numbers little-endian */
#define IB_EXEC_FRAME_HEAD 16 /* index, pts_us: what precedes a frame's pixels */
#define IB_EXEC_TEXT_MAX 65536 /* bytes of a hello or an error */
#define IB_EXEC_SIDE_MAX 16384 /* of the program's depth map */

typedef enum ib_exec_type {
    IB_EXEC_HELLO = 1, /* both ways: a JSON object */
    IB_EXEC_FRAME = 2, /* to the program: index, pts_us, RGB24 rows */
    IB_EXEC_DEPTH = 3, /* from the program: index, float32 rows */
    IB_EXEC_ERROR = 4, /* from the program: text */
    IB_EXEC_END = 5    /* to the program: no more frames */
} ib_exec_type;

typedef struct ib_exec_header {
    ib_exec_type type;
    uint64_t size; /* of the payload */
} ib_exec_header;

/* What a program says of itself. */
typedef struct ib_exec_hello {
    char name[64];
    int width, height; /* of its depth maps */
    int metric;        /* 1: metres, 0: relative disparity */
} ib_exec_hello;

void ib_exec_write_header(unsigned char bytes[IB_EXEC_HEADER], ib_exec_type type, uint64_t size);
void ib_exec_write_frame_head(unsigned char bytes[IB_EXEC_FRAME_HEAD], int64_t index, int64_t pts_us);
/* A header from the program. `hello` NULL: its hello is still to come, so nothing but a hello or an error is allowed; else a depth
 * map of its size or an error. Errors: ISOBATH_ERR_MODEL. */
isobath_status ib_exec_read_header(const unsigned char bytes[IB_EXEC_HEADER], const ib_exec_hello *hello, ib_diag *diag,
                                   ib_exec_header *out);
/* The JSON text of the program's hello. Errors: ISOBATH_ERR_MODEL. */
isobath_status ib_exec_read_hello(const char *text, size_t size, ib_diag *diag, ib_exec_hello *out);
/* Index of a DEPTH payload. */
int64_t ib_exec_read_index(const unsigned char bytes[8]);

#endif
