/* Parameters of a network on a backend: packed weights and f32 vectors, made from a checkpoint's tensors by name.
 * On the null backend nothing is read and only sizes count. */
#ifndef IB_MODEL_PARAMS_H
#define IB_MODEL_PARAMS_H

#include "model/budget.h"
#include "model/config.h"
#include "op/op.h"

/* Owns everything that it made; freed in one go. One thread at a time. */
typedef struct ib_params {
    ib_backend *backend;
    const ib_checkpoint *checkpoint; /* NULL on the null backend */
    ib_budget *budget; /* NULL: none */
    size_t budget_bytes;
    ib_diag *diag;
    ib_weight **weights;
    size_t weight_count, weight_cap;
    void **buffers;
    size_t buffer_count, buffer_cap;
    size_t vector_bytes; /* of the f32 vectors; the weights say their own bytes */
    char prefix[160];    /* put before every name */
} ib_params;

void ib_params_init(ib_params *params, ib_backend *backend, const ib_checkpoint *checkpoint, ib_budget *budget,
                    ib_diag *diag);
void ib_params_free(ib_params *params);

/* Sets the prefix of the names that follow, printf-style. */
void ib_params_prefix(ib_params *params, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `count` f32 values of tensor prefix+name on the device. */
isobath_status ib_params_vector(ib_params *params, const char *name, int64_t count, ib_tensor *out);
/* Host values on the device as a vector; src may be NULL on the null backend. */
isobath_status ib_params_upload(ib_params *params, const float *src, int64_t count, ib_tensor *out);

/* Frees a vector that was uploaded, before its time. */
void ib_params_drop(ib_params *params, ib_tensor *vector);

/* A packed weight from tensor prefix+name. */
isobath_status ib_params_weight(ib_params *params, const char *name, ib_weight_kind kind, int64_t out_channels,
                                int64_t in_channels, int kernel, ib_weight **out);
/* The same from host data (canonical layout of op.h). */
isobath_status ib_params_pack(ib_params *params, const float *data, ib_weight_kind kind, int64_t out_channels,
                              int64_t in_channels, int kernel, ib_weight **out);

/* A fresh host copy of tensor prefix+name as f32 (free it); on the null backend *out = NULL and no error. */
isobath_status ib_params_read(ib_params *params, const char *name, int64_t count, float **out);

/* Bytes on the device: packed weights and vectors. */
size_t ib_params_bytes(const ib_params *params);

#endif
