/* Reads depth results back, ours or foreign, as float frames: PNG, EXR and NumPy files or folders of them, npz and npy
 * videos, 16-bit grey video. One frame at a time: memory does not grow with the length. */
#ifndef IB_DEPTHIO_DEPTH_READER_H
#define IB_DEPTHIO_DEPTH_READER_H

#include "sink/sink.h"

typedef struct ib_depth_reader ib_depth_reader;

typedef struct ib_depth_reader_info {
    int64_t frames;
    int width, height;
    const char *format;   /* "png16", "png8", "npz", "npy", "exr", "video" */
    ib_depth_kind kind;   /* as the file or the input scale says; disparity when neither does */
    int kind_known;       /* 0: neither says */
    int scale_known;      /* 1: the files are ours, or an input scale was given; float data needs none */
    int integers;         /* 1: samples are whole numbers, and the scale applies */
    double full_scale;    /* the largest sample of the format (255, 65535 ...); 0: floats, or none */
    double scale, offset; /* depth = (sample + offset) * scale; 1, 0 for float data without an input scale */
    int has_invalid;      /* 1: a sample of 0 means "no depth" */
    int has_times;
} ib_depth_reader_info;

/* Opens a folder that `run` or `join` wrote (its manifest says where the depth is), a folder (of PNG, EXR, npy or npz
 * files, in the order of the numbers in their names), a single such file, or a grey video. npz: member depths, depth,
 * disparity or the only array; arrays are (N,H,W), (H,W), (N,1,H,W), (N,H,W,1). EXR: channel Z, depth, Y, R or the only
 * one. `input_scale` NULL: as the files say; else see ib_depth_scale_parse. Errors: ISOBATH_ERR_INPUT with one line,
 * ISOBATH_ERR_USAGE (the scale), ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_reader_open_as(const char *path, const char *input_scale, ib_diag *diag, ib_depth_reader **out);
isobath_status ib_depth_reader_open(const char *path, ib_diag *diag, ib_depth_reader **out); /* as the files say */
/* For integer files that do not say their scale: depth = (q + offset) * scale from now on. Nothing for float data. */
void ib_depth_reader_set_scale(ib_depth_reader *reader, double scale, double offset);
void ib_depth_reader_close(ib_depth_reader *reader); /* NULL allowed */
const ib_depth_reader_info *ib_depth_reader_get_info(const ib_depth_reader *reader);
/* Frame i as float (H,W): any i, any order (forwards is fast). Samples that mean "no depth" become 0. */
isobath_status ib_depth_reader_read(ib_depth_reader *reader, int64_t i, float *depth);
/* The same with a mask (H,W): 1 where there is a depth. What is not finite, below 0, or "no depth" (metric: also 0)
 * is invalid, and 0 in `depth`. Returns through *valid_count how many are valid (NULL allowed). */
isobath_status ib_depth_reader_read_valid(ib_depth_reader *reader, int64_t i, float *depth, uint8_t *valid,
                                          int64_t *valid_count);
/* pts_us of frame i, or -1 when the file has no times. */
int64_t ib_depth_reader_time_us(const ib_depth_reader *reader, int64_t i);

/* What a text says about samples. */
typedef struct ib_depth_scale {
    double scale, offset;
    int has_invalid; /* 1: a sample of 0 is no depth */
    int metric;      /* 1: metres; -1: the text does not say */
} ib_depth_scale;
/* "mm", "cm", "m": metres, 0 is no depth; "1/N": metres = sample / N, 0 is no depth (KITTI 1/256, TUM 1/5000);
 * "unit": the format's range is 0..1; "raw": the samples themselves; "S" or "S,OFFSET": (sample + OFFSET) * S.
 * `full_scale` of the samples; 0: floats. ISOBATH_ERR_USAGE with one line. */
isobath_status ib_depth_scale_parse(const char *text, double full_scale, ib_diag *diag, ib_depth_scale *out);

#endif
