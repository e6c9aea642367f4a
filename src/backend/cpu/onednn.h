/* Products of bfloat16 by oneDNN, for processors with AMX, which only that library reaches here. The library is used in
 * the one way that keeps bits independent of everything: single-threaded, on tiles of a fixed number of rows. */
#ifndef IB_BACKEND_CPU_ONEDNN_H
#define IB_BACKEND_CPU_ONEDNN_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

#define IB_ONEDNN_ROWS 64 /* rows of every product */

typedef struct ib_onednn ib_onednn;
typedef struct ib_onednn_product ib_onednn_product; /* a packed weight with its primitive */

/* For calls from `threads` threads. ISOBATH_ERR_UNSUPPORTED when this build has no oneDNN or the library fails. */
isobath_status ib_onednn_open(int threads, ib_diag *diag, ib_onednn **out);
void ib_onednn_close(ib_onednn *dnn); /* NULL allowed */
/* "2.6.3", for the kind. */
void ib_onednn_version(char *buf, size_t size);

/* Packs w, f32 (n,k), as bfloat16 in the layout that the library prefers. *bytes: memory that it takes. */
isobath_status ib_onednn_product_create(ib_onednn *dnn, const float *w, int64_t n, int64_t k, ib_diag *diag,
                                        ib_onednn_product **out, size_t *bytes);
void ib_onednn_product_destroy(ib_onednn_product *product); /* NULL allowed */
/* dst, f32 (IB_ONEDNN_ROWS,n) = src, bfloat16 (IB_ONEDNN_ROWS,k), times the weight; both 64-byte aligned. `thread` is
 * one of those of open; each runs one product at a time. Returns 0, or -1 when the library failed. */
int ib_onednn_product_run(ib_onednn_product *product, int thread, const void *src, float *dst);

#endif
