/* Checkpoints: names -> tensors, from .safetensors or PyTorch .pth, memory-mapped. Knows nothing of models. */
#ifndef IB_WEIGHTS_CHECKPOINT_H
#define IB_WEIGHTS_CHECKPOINT_H

#include "base/diag.h"
#include "tensor/tensor.h"

#define IB_CHECKPOINT_MAX_RANK 8

/* One tensor of a checkpoint. `data` points into the mapping and is valid until ib_checkpoint_close; it may be
 * unaligned. Strides are in elements (a .pth may hold transposed views); safetensors are contiguous. */
typedef struct ib_checkpoint_tensor {
    const char *name;
    ib_dtype dtype; /* IB_F32, IB_F16 or IB_BF16 */
    int rank;
    int64_t dim[IB_CHECKPOINT_MAX_RANK];
    int64_t stride[IB_CHECKPOINT_MAX_RANK];
    const void *data;
    int64_t count; /* product of dim */
} ib_checkpoint_tensor;

typedef struct ib_checkpoint ib_checkpoint;

/* Opens by content, not by extension. Errors, each with one line that names the file, the place and what was expected:
 * ISOBATH_ERR_MODEL (no such file, truncated, oversized, overlapping, duplicate, unknown dtype, forbidden pickle opcode
 * or global...), ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. The object is immutable and may be read from several threads. */
isobath_status ib_checkpoint_open(const char *path, ib_diag *diag, ib_checkpoint **out);
void ib_checkpoint_close(ib_checkpoint *checkpoint); /* NULL allowed */

size_t ib_checkpoint_count(const ib_checkpoint *checkpoint);
const ib_checkpoint_tensor *ib_checkpoint_at(const ib_checkpoint *checkpoint, size_t i);           /* in file order */
const ib_checkpoint_tensor *ib_checkpoint_find(const ib_checkpoint *checkpoint, const char *name); /* NULL: absent */
const char *ib_checkpoint_path(const ib_checkpoint *checkpoint);
const char *ib_checkpoint_format(const ib_checkpoint *checkpoint); /* "safetensors" or "pytorch" */
/* safetensors __metadata__ value, NULL when absent. */
const char *ib_checkpoint_metadata(const ib_checkpoint *checkpoint, const char *key);
/* SHA-256 of the file in hex, computed on first call (thread-safe); NULL on a read error. */
const char *ib_checkpoint_sha256(ib_checkpoint *checkpoint);

/* Converts a tensor to contiguous f32: dst holds `count` floats. */
void ib_checkpoint_read_f32(const ib_checkpoint_tensor *tensor, float *dst);
/* The same values where they are, or NULL: only tensors that are contiguous f32 already, at an address that allows it. */
const float *ib_checkpoint_f32(const ib_checkpoint_tensor *tensor);

/* Writes tensors as .safetensors (x.tmp, then renamed). `dtype` converts every tensor. */
isobath_status ib_safetensors_write(const char *path, const ib_checkpoint *source, ib_dtype dtype, ib_diag *diag);

/* The two readers, over memory: what the fuzz targets call. `name` is used in error texts. The checkpoint refers to
 * `data`, which must outlive it. */
isobath_status ib_safetensors_parse(const void *data, size_t size, const char *name, ib_diag *diag,
                                    ib_checkpoint **out);
isobath_status ib_torch_pth_parse(const void *data, size_t size, const char *name, ib_diag *diag, ib_checkpoint **out);

#endif
