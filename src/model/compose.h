/* Two linear layers in a row as one, made when the weights are loaded: for backends that want taps first (op/op.h).
 * Host memory on both sides; deterministic for any number of threads. */
#ifndef IB_MODEL_COMPOSE_H
#define IB_MODEL_COMPOSE_H

#include "base/diag.h"
#include "tensor/tensor.h"

/* A 1x1 (w0 [M,K], b0 [M]) and behind it a resize and a 3x3 (w1 [C,M,3,3]) as the LINEAR before resize_taps:
 * w [9C,K], b [9C], rows (tap, c). For a half `type` the taps are rounded to it by error diffusion (base/diffuse.h). */
isobath_status ib_compose_taps(int64_t C, int64_t M, int64_t K, ib_dtype type, const float *w0, const float *b0,
                               const float *w1, float *w, float *b, ib_diag *diag);

/* A transposed convolution (w0 [K,M,k,k], b0 [M]) and behind it a 3x3 (w1 [C,M,3,3]) as the LINEAR before overlap_add:
 * w [(k+2)^2 C,K], b [(k+2)^2 C], rows (u, v, c). */
isobath_status ib_compose_overlap(int64_t C, int64_t M, int64_t K, int k, const float *w0, const float *b0,
                                  const float *w1, float *w, float *b, ib_diag *diag);

#endif
