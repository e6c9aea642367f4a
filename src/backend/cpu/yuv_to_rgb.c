/* yuv_to_rgb: integers, so ref's definition is the result already. A run on the CPU does not come here: its frames are
 * RGB when they leave the decoder (media/yuv_x86.c has the fast rows). */
#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"

isobath_status ib_cpu_yuv_to_rgb(ib_backend *b, const ib_yuv_to_rgb_args *a) { return ib_ref_yuv_to_rgb(b, a); }
