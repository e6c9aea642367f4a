/* Checkpoints from one format and type to another. */
#ifndef ISOBATH_CONVERT_H
#define ISOBATH_CONVERT_H

#include <isobath/status.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to convert. Zeroed: the defaults. */
typedef struct isobath_convert_options {
    const char *dtype; /* "f32", "f16" or "bf16" ("fp32", "fp16" mean the same); NULL: f32 */
    int metric;        /* 1: the checkpoint gives metres whatever its file is called; 0: as the checkpoint says */
    int overwrite;     /* 1: replace an existing file */
} isobath_convert_options;

/* Writes the checkpoint that `model` (a path or a known name) means to `path` as .safetensors, every tensor in one type,
 * rounded to nearest even. Metadata is kept, and isobath.kind is added (a .pth says "metric" by its file name only). The file appears
 * under its name when it is complete. `options` may be NULL. On failure `error` (may be NULL) holds one line. Errors:
 * ISOBATH_ERR_USAGE (dtype, a name that does not end in .safetensors), ISOBATH_ERR_EXISTS, ISOBATH_ERR_MODEL (not a checkpoint
 * of the family, or a value that the type cannot hold), ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. Thread-safe. */
isobath_status isobath_convert(const char *model, const char *path, const isobath_convert_options *options, char *error,
                               size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
