/* Reads depth results back, ours or foreign: png16 folders, npz, npy (more formats join the same interface). */
#ifndef IB_SINK_DEPTH_READER_H
#define IB_SINK_DEPTH_READER_H

#include "sink/sink.h"

typedef struct ib_depth_reader ib_depth_reader;

typedef struct ib_depth_reader_info {
    int64_t frames;
    int width, height;
    const char *format;   /* "png16", "npz", "npy" ... */
    ib_depth_kind kind;   /* as the file says; disparity when it does not */
    int kind_known;       /* 0: the file does not say */
    double scale, offset; /* of 16-bit data: depth = (q + offset) * scale; 1, 0 for float data */
    int has_times;
} ib_depth_reader_info;

/* Opens a folder of PNG files (ours, or grey ones of 8 or 16 bits in the order of the numbers in their names), one PNG
 * file, an .npz (member depths, depth, disparity or the only array) or .npy, (N,H,W) or (H,W). Errors:
 * ISOBATH_ERR_INPUT with one line, ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_reader_open(const char *path, ib_diag *diag, ib_depth_reader **out);
/* For 16- and 8-bit files that do not say their scale: depth = (q + offset) * scale from now on. */
void ib_depth_reader_set_scale(ib_depth_reader *reader, double scale, double offset);
void ib_depth_reader_close(ib_depth_reader *reader);
const ib_depth_reader_info *ib_depth_reader_get_info(const ib_depth_reader *reader);
/* Frame i as float (H,W): any i, any order (sequential is fast). 16-bit invalid values (metric 0) become 0. */
isobath_status ib_depth_reader_read(ib_depth_reader *reader, int64_t i, float *depth);
/* pts_us of frame i, or -1 when the file has no times. */
int64_t ib_depth_reader_time_us(const ib_depth_reader *reader, int64_t i);

#endif
