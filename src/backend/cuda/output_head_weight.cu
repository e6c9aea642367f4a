/* The packed weight of output_head (head.cuh has where its parts begin), f32 words: [tap 9][ci padded to 8][32]; the 32 of the 1x1;
 * the 3x3 as TF32 operands [ci / 8][dx][dy][lane 32][n tile 4][2]; 32 scales; the 3x3 divided by those as f16 operands
 * [ci / 16][dx][dy][lane][n tile][2]; the same as f16 rows [dy][dx][32][ci padded to 8], for output_head_rows.cu. */
#include "backend/cuda/head.cuh"
#include <math.h>
#include <string.h>

extern "C" {
#include "base/diffuse.h"
}

size_t ib_cuda_head_bytes(int64_t ci) { return (size_t)head_words(ci) * sizeof(float); }

/* cvt.rna.tf32 on the host: nearest, ties away from zero; NaN and infinity unchanged. */
static float round_tf32(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7f800000u) != 0x7f800000u) u = (u + 0x1000u) & ~0x1fffu;
    memcpy(&x, &u, 4);
    return x;
}

/* Power of two that brings the largest of `count` weights into [0.5, 1); 1 where there is none. */
static float scale_of(const float *w, int64_t count)
{
    float most = 0.0f;
    int exponent = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabsf(w[i]) > most) most = fabsf(w[i]);
    if (!(most > 0.0f) || isinf(most)) return 1.0f;
    frexpf(most, &exponent);
    return ldexpf(1.0f, exponent < -100 ? -100 : exponent > 100 ? 100 : exponent);
}

void ib_cuda_head_pack(const float *src, int64_t ci, float *dst)
{
    const int64_t k = head_k(ci);
    float *tf32 = dst + head_tf32(ci), *scales = dst + head_scales(ci);
    uint16_t *f16 = (uint16_t *)(dst + head_f16(ci)), *rows = (uint16_t *)(dst + head_rows(ci));
    memset(dst, 0, ib_cuda_head_bytes(ci));
    for (int64_t co = 0; co < 32; co++) {
        const int64_t n_tile = co / 8, n = co % 8;
        scales[co] = scale_of(src + co * ci * 9, ci * 9);
        for (int64_t c = 0; c < ci; c++) {
            float tf32_error[9], f16_error[9]; /* rounded by error diffusion */
            for (int64_t tap = 0; tap < 9; tap++) {
                const float w = src[(co * ci + c) * 9 + tap];
                const int64_t by_column = tap % 3 * 3 + tap / 3; /* dx, then dy */
                /* B operands: n = lane / 4; TF32: k = lane % 4 (+ 4); f16: k = lane % 4 * 2 + {0, 1} (+ 8) */
                const int64_t lane8 = n * 4 + c % 4, lane16 = n * 4 + c % 8 / 2;
                dst[(tap * k + c) * 32 + co] = w;
                const float for_tf32 = ib_diffuse_target(tf32_error, 3, (int)tap, w);
                const float for_f16 = ib_diffuse_target(f16_error, 3, (int)tap, w / scales[co]);
                const float word = round_tf32(for_tf32);
                const uint16_t half = ib_f32_to_f16(for_f16);
                tf32_error[tap] = ib_diffuse_error(word, for_tf32);
                f16_error[tap] = ib_diffuse_error(ib_f16_to_f32(half), for_f16);
                tf32[(((c / 8 * 9 + by_column) * 32 + lane8) * 4 + n_tile) * 2 + c % 8 / 4] = word;
                f16[((((c / 16 * 9 + by_column) * 32 + lane16) * 4 + n_tile) * 2 + c % 16 / 8) * 2 + c % 2] = half;
                rows[(tap * 32 + co) * k + c] = half;
            }
        }
    }
    memcpy(dst + head_last(ci), src + 32 * ci * 9, 32 * sizeof(float));
}
