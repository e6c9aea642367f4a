/* Opening backends by name, and what each needs to know. */
#ifndef IB_BACKEND_BACKEND_H
#define IB_BACKEND_BACKEND_H

#include "op/op.h"

typedef struct ib_backend_options {
    ib_dtype act;        /* IB_F32, IB_BF16 (cpu with the hardware, cuda) or IB_F16 (cuda) */
    int device;          /* cuda: ordinal */
    const char *isa;     /* cpu: NULL for the best, or "sse4", "avx2", "avx512", "amx" to pin the instruction path */
    ib_pool *pool;       /* host threads; NULL: the calling thread only */
    ib_diag *diag;
    int taps_first;      /* null: that of the backend that it stands for (op/op.h) */
} ib_backend_options;

/* The scalar oracle; f32 only (other act: ISOBATH_ERR_UNSUPPORTED), but f16/bf16 tensors are read and written, so that
 * checkop can compare: every op accepts act = any float type and computes in double. */
isobath_status ib_ref_open(const ib_backend_options *options, ib_backend **out);
/* Vector code. ISOBATH_ERR_UNSUPPORTED when `isa` or `act` is not available on this machine. */
isobath_status ib_cpu_open(const ib_backend_options *options, ib_backend **out);
/* Validates nothing more than op.c, computes nothing, counts. Buffers are fake addresses that must not be touched. */
isobath_status ib_null_open(const ib_backend_options *options, ib_backend **out);
/* Loads the CUDA module (isobath_cuda.so) on first use. ISOBATH_ERR_UNSUPPORTED when there is no module or no driver,
 * ISOBATH_ERR_DEVICE when the device is missing or unfit; the line says which and what to do. */
isobath_status ib_cuda_open(const ib_backend_options *options, ib_backend **out);
/* Number of CUDA devices that ib_cuda_open could open; 0 without driver or module. */
int ib_cuda_device_count(void);

/* Work that the null backend saw since it was opened or reset. */
typedef struct ib_null_counts {
    double flops;        /* 2 per multiply-add of linear, conv, attention */
    double bytes;        /* each tensor read or written once per op */
    size_t buffer_bytes; /* now allocated through buffer_alloc */
    size_t buffer_peak;
    size_t weight_bytes; /* of packed weights in the activation type */
    int64_t calls;
} ib_null_counts;
ib_null_counts ib_null_get_counts(const ib_backend *null_backend);
void ib_null_reset_counts(ib_backend *null_backend);

void ib_backend_close(ib_backend *backend); /* NULL allowed */

/* The entry point that the CUDA module exports, found by dlsym. */
#define IB_CUDA_MODULE_SYMBOL "ib_cuda_module_v1"
typedef struct ib_cuda_module {
    unsigned abi; /* IB_CUDA_MODULE_ABI: changes whenever op.h does; a mismatch refuses to load */
    isobath_status (*device_count)(ib_diag *diag, int *count);
    isobath_status (*open)(const ib_backend_options *options, ib_backend **out);
} ib_cuda_module;
#define IB_CUDA_MODULE_ABI 8u

#endif
