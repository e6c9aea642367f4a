/* An output frame row by row, with the arithmetic and the bits of ib_render: for whoever wants each row while the cache has it, such as the
 * compressor of 16-bit files. Of the cpu backend only (ib_cpu_open), one frame at a time, with no other op of that backend in between. */
#ifndef IB_BACKEND_ROWS_H
#define IB_BACKEND_ROWS_H

#include "op/op.h"

/* Begins a frame of y.dim[0] rows; nothing else of `y`, and no range, is used. The maps are read until the last row. ISOBATH_ERR_MEMORY. */
isobath_status ib_rows_begin(ib_backend *cpu, const ib_render_args *a);
/* The next row, from 0 on: f32 (W). */
void ib_rows_next(ib_backend *cpu, float *row);
/* The next row, each value times `factor` (a power of two) cut to a whole number: u16 (W), big-endian as PNG has them. 0: there is a NaN among
 * them, or one that would be 65536 or more; the row is unspecified. */
int ib_rows_next_cut(ib_backend *cpu, float factor, uint16_t *row);
/* Of the rows so far, as min_out and max_out of ib_render. */
void ib_rows_range(ib_backend *cpu, float *min, float *max);

#endif
