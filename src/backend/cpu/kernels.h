/* Assembles the templates into one table; included once by every isa_*.c, which defines IB_CPU_TABLE (the table's
 * name), IB_CPU_ISA (a string) and, for bfloat16 activations, IB_CPU_BF16; IB_CPU_TILES and IB_CPU_AMX: k_tiles.h. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/vec.h"
#include "base/sanitize.h"

#include "backend/cpu/k_product.h"

#include "backend/cpu/k_attention.h"
#ifdef IB_CPU_TILES
#include "backend/cpu/k_tiles.h"

#include "backend/cpu/k_attend_amx.h"
#endif
#include "backend/cpu/k_image.h"
#include "backend/cpu/k_norm.h"
#include "backend/cpu/k_winograd.h"

const ib_cpu_kernels IB_CPU_TABLE = {
    .isa = IB_CPU_ISA,
    .act = ACT_TYPE,
    .vector = VL,
    .panel_width = NR,
#ifdef IB_CPU_TILES
    .row_tile = 2 * TILE,
    .inner = 2 * TILE,
    .product = k_product_tiles,
#else
    .row_tile = ROW_TILE,
    .inner = ACT_PAIR,
    .product = k_product,
#endif
    .pad_row = k_pad_row,
    .wino_input = k_wino_input,
#ifndef IB_CPU_BF16
    .panel = k_panel,
#endif
    .wino_output = k_wino_output,
    .wino_finish = k_wino_finish,
    .pack_keys = k_pack_keys,
    .pack_values = k_pack_values,
#ifdef IB_CPU_TILES
    .query_tile = TILE,
    .attend_scratch = k_attend_amx_scratch,
    .attend = k_attend_amx,
#else
    .query_tile = ROW_TILE,
    .attend_scratch = k_attend_scratch,
    .attend = k_attend,
#endif
    .layernorm = k_layernorm,
    .channel_sums = k_channel_sums,
    .channel_affine = k_channel_affine,
    .lerp_row = k_lerp_row,
    .head_row = k_head_row,
    .convert = k_convert,
    .count_nonfinite = k_count_nonfinite,
    .hlerp = k_hlerp,
    .vlerp = k_vlerp,
    .render_row = k_render_row,
    .row_sums = k_row_sums,
    .cubic_h = k_cubic_h,
    .cubic_v = k_cubic_v,
};
