/* What a checkpoint is, without running it. */
#ifndef ISOBATH_INFO_H
#define ISOBATH_INFO_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isobath_model_info {
    char path[4096];
    char name[64];      /* "vits", "vitb", "vitl", "nano" ... */
    char format[16];    /* "safetensors", "pytorch" */
    char sha256[65];
    int metric;         /* 1: metres, 0: relative disparity */
    int noncommercial;  /* 1: the published weights of this size are CC-BY-NC-4.0 */
    int width, depth, heads, features, position_grid, input_size;
    int taps[4], out_channels[4];
    int64_t tensors, parameters;
    size_t file_bytes;
} isobath_model_info;

/* Memory and work at a network size, in fp32 and in a half type, frame by frame as the CPU runs it. */
typedef struct isobath_model_cost {
    int network_width, network_height;
    size_t weights_bytes[2], features_bytes[2], activations_bytes[2]; /* [0] fp32, [1] fp16 or bf16 */
    double flops_per_frame; /* per output frame: encoder once, head 32/22 times */
} isobath_model_cost;

/* Reads the checkpoint that `model` (a path or a known name, NULL: the default) means. On failure `error` (may be NULL)
 * holds one line. Errors: ISOBATH_ERR_MODEL, IO, MEMORY. Thread-safe. */
isobath_status isobath_model_inspect(const char *model, isobath_model_info *info, char *error, size_t error_size);
/* Plans a source of width x height at input_size (0: the model's own). Errors: as above, and USAGE. Thread-safe. */
isobath_status isobath_model_plan(const char *model, int width, int height, int input_size, isobath_model_cost *cost,
                                  char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
