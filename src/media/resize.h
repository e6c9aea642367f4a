/* Reducing RGB8 pictures (max_res) and turning them upright; exact arithmetic in docs/MEDIA.md. */
#ifndef IB_MEDIA_RESIZE_H
#define IB_MEDIA_RESIZE_H

#include "base/diag.h"
#include "base/pool.h"
#include <stddef.h>
#include <stdint.h>

#define IB_RESIZE_BITS 14 /* weights of one output sample sum to 2^14 */

/* The filter of one axis: output i = sum over k < taps of weights[i*taps + k] * input[first[i] + k]. */
typedef struct ib_resize_axis {
    int in, out, taps;
    int32_t *first;   /* [out] */
    int16_t *weights; /* [out*taps], >= 0, sum exactly 2^14 per output */
} ib_resize_axis;

/* Antialiased bilinear (triangle) filter, half-pixel centres, for in -> out samples (either way).
 * Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_resize_axis_init(ib_resize_axis *axis, int in, int out, ib_diag *diag);
void ib_resize_axis_free(ib_resize_axis *axis);

typedef struct ib_resize ib_resize;
/* From in_w x in_h to out_w x out_h, all positive. The pool may be NULL and must outlive the object.
 * Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_resize_create(int in_w, int in_h, int out_w, int out_h, ib_pool *pool, ib_diag *diag,
                                ib_resize **out);
void ib_resize_destroy(ib_resize *resize); /* NULL allowed */
/* src: rows of in_w*3 bytes, src_stride apart; dst: contiguous. Same bytes for any pool. One caller at a time. */
void ib_resize_run(ib_resize *resize, const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst);

/* An upright picture from a stored one: dst(x, y) = src(x', y'), where transpose swaps the axes first and the flips act
 * on the result. */
typedef struct ib_orientation {
    int transpose, hflip, vflip;
} ib_orientation;
static inline int ib_orientation_is_identity(ib_orientation o) { return !o.transpose && !o.hflip && !o.vflip; }
/* Degrees clockwise that the picture is turned by (flips apart): 0, 90, 180, 270. */
int ib_orientation_degrees(ib_orientation o);
/* width, height: of src, contiguous RGB8; dst: contiguous, height x width when transposed. */
void ib_orient(ib_orientation o, const uint8_t *src, int width, int height, uint8_t *dst, ib_pool *pool);

#endif
