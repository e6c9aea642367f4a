/* Vectors of VL floats for the kernel templates: SSE4.1, AVX2 with FMA, or AVX-512, by the flags of the file that
 * includes this. Arithmetic uses GCC's operators on the intrinsic types; what operators lack is a small function here.
 */
#ifndef IB_BACKEND_CPU_VEC_H
#define IB_BACKEND_CPU_VEC_H

#include "base/half.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
#define VL 16
typedef __m512 vf;
typedef __m512i vi;
#define VSET1(x) _mm512_set1_ps(x)
#define VLD(p) _mm512_loadu_ps(p)
#define VST(p, v) _mm512_storeu_ps(p, v)
#define VFMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define VROUND(x) _mm512_roundscale_ps(x, 8)
#define VSQRT(x) _mm512_sqrt_ps(x)
/* x op c ? c : x, which keeps a NaN in x. */
#define VMAXC(x, c) _mm512_max_ps(c, x)
#define VMINC(x, c) _mm512_min_ps(c, x)
#define VABS(x) _mm512_abs_ps(x)
#define VMINU(x, y) _mm512_min_epu32(x, y)
#define VMAXU(x, y) _mm512_max_epu32(x, y)
static inline int vabove(vi x, uint32_t most) { return _mm512_cmpgt_epu32_mask(x, _mm512_set1_epi32((int)most)) != 0; }
/* Cut to whole numbers 0 to 65535, in 16 bits each, big-endian; a, and b behind it. */
static inline void vst16(uint16_t *p, vf a)
{
    const __m256i swap = _mm256_set_epi64x(0x0e0f0c0d0a0b0809, 0x0607040502030001, 0x0e0f0c0d0a0b0809, 0x0607040502030001);
    _mm256_storeu_si256((__m256i *)p, _mm256_shuffle_epi8(_mm512_cvtepi32_epi16(_mm512_cvttps_epi32(a)), swap));
}
static inline void vst16_two(uint16_t *p, vf a, vf b)
{
    const __m512i even = _mm512_setr_epi32(0x020000, 0x060004, 0x0a0008, 0x0e000c, 0x120010, 0x160014, 0x1a0018, 0x1e001c, 0x220020, 0x260024, 0x2a0028,
                                           0x2e002c, 0x320030, 0x360034, 0x3a0038, 0x3e003c);
    __m512i x = _mm512_permutex2var_epi16(_mm512_cvttps_epi32(a), even, _mm512_cvttps_epi32(b));
    _mm512_storeu_si512(p, _mm512_shuffle_epi8(x, _mm512_set4_epi32(0x0e0f0c0d, 0x0a0b0809, 0x06070405, 0x02030001)));
}
static inline __mmask16 tail_mask(int64_t n) { return (__mmask16)((1u << n) - 1u); }
static inline vf vldn(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(tail_mask(n), p); }
static inline void vstn(float *p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, tail_mask(n), v); }
static inline vi vldu8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
#define VEXP_RANGE(x) (x) /* of vexp2: vscale2 gives zero for any n below its range, whatever p */
/* 2^n * p for whole n and p near 1; zero where that would be subnormal, which Intel's processors compute a hundred times slower. */
static inline vf vscale2(vf p, vf n) { return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(n, VSET1(-125.0f), _CMP_NLT_UQ), p, n); }

#elif defined(__AVX2__)
#define VL 8
typedef __m256 vf;
typedef __m256i vi;
#define VSET1(x) _mm256_set1_ps(x)
#define VLD(p) _mm256_loadu_ps(p)
#define VST(p, v) _mm256_storeu_ps(p, v)
#define VFMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define VROUND(x) _mm256_round_ps(x, 8)
#define VSQRT(x) _mm256_sqrt_ps(x)
#define VMAXC(x, c) _mm256_max_ps(c, x)
#define VMINC(x, c) _mm256_min_ps(c, x)
#define VABS(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define VMINU(x, y) _mm256_min_epu32(x, y)
#define VMAXU(x, y) _mm256_max_epu32(x, y)
static inline int vabove(vi x, uint32_t most)
{
    vi limit = _mm256_set1_epi32((int)most);
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32(VMAXU(x, limit), limit)) != -1;
}
static inline void vst16(uint16_t *p, vf v)
{
    vi whole = _mm256_cvttps_epi32(v);
    __m128i x = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storeu_si128((__m128i *)p, _mm_shuffle_epi8(x, _mm_set_epi64x(0x0e0f0c0d0a0b0809, 0x0607040502030001)));
}
static inline void vst16_two(uint16_t *p, vf a, vf b)
{
    const vi swap = _mm256_set_epi64x(0x0e0f0c0d0a0b0809, 0x0607040502030001, 0x0e0f0c0d0a0b0809, 0x0607040502030001);
    vi x = _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_cvttps_epi32(a), _mm256_cvttps_epi32(b)), 0xd8);
    _mm256_storeu_si256((__m256i *)p, _mm256_shuffle_epi8(x, swap));
}
static inline vi vldu8(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
static inline vf vscale2(vf p, vf n)
{
    vf ok = _mm256_cmp_ps(n, VSET1(-125.0f), _CMP_NLT_UQ); /* keeps NaN */
    vi e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_and_ps(ok, p * _mm256_castsi256_ps(_mm256_add_epi32(e, _mm256_set1_epi32(0x3f800000))));
}

#else
#define VL 4
typedef __m128 vf;
typedef __m128i vi;
#define VSET1(x) _mm_set1_ps(x)
#define VLD(p) _mm_loadu_ps(p)
#define VST(p, v) _mm_storeu_ps(p, v)
#define VFMA(a, b, c) ((a) * (b) + (c))
#define VROUND(x) _mm_round_ps(x, 8)
#define VSQRT(x) _mm_sqrt_ps(x)
#define VMAXC(x, c) _mm_max_ps(c, x)
#define VMINC(x, c) _mm_min_ps(c, x)
#define VABS(x) _mm_andnot_ps(_mm_set1_ps(-0.0f), x)
#define VMINU(x, y) _mm_min_epu32(x, y)
#define VMAXU(x, y) _mm_max_epu32(x, y)
static inline int vabove(vi x, uint32_t most)
{
    vi limit = _mm_set1_epi32((int)most);
    return _mm_movemask_epi8(_mm_cmpeq_epi32(VMAXU(x, limit), limit)) != 0xffff;
}
static inline void vst16(uint16_t *p, vf v)
{
    vi whole = _mm_cvttps_epi32(v);
    _mm_storel_epi64((__m128i *)p, _mm_shuffle_epi8(_mm_packus_epi32(whole, whole), _mm_set_epi64x(0, 0x0607040502030001)));
}
static inline void vst16_two(uint16_t *p, vf a, vf b)
{
    vi x = _mm_packus_epi32(_mm_cvttps_epi32(a), _mm_cvttps_epi32(b));
    _mm_storeu_si128((__m128i *)p, _mm_shuffle_epi8(x, _mm_set_epi64x(0x0e0f0c0d0a0b0809, 0x0607040502030001)));
}
static inline vf vscale2(vf p, vf n)
{
    vf ok = _mm_cmpnlt_ps(n, VSET1(-125.0f));
    vi e = _mm_slli_epi32(_mm_cvtps_epi32(n), 23);
    return _mm_and_ps(ok, p * _mm_castsi128_ps(_mm_add_epi32(e, _mm_set1_epi32(0x3f800000))));
}
#endif

#ifndef __AVX512F__
#define VEXP_RANGE(x) VMAXC(x, VSET1(-1000.0f))
static inline vf vldn(const float *p, int64_t n)
{
    float t[VL] = {0};
    memcpy(t, p, (size_t)n * 4);
    return VLD(t);
}
static inline void vstn(float *p, vf v, int64_t n)
{
    float t[VL];
    VST(t, v);
    memcpy(p, t, (size_t)n * 4);
}
#endif

/* Sum of the lanes: halves are added to each other until one is left. */
#ifdef __AVX512F__
static inline float vsum(vf v)
{
    v = v + _mm512_shuffle_f32x4(v, v, 0x4e); /* lane i + lane i + 8 */
    v = v + _mm512_shuffle_f32x4(v, v, 0xb1);
    v = v + _mm512_permute_ps(v, 0x4e);
    v = v + _mm512_permute_ps(v, 0xb1);
    return _mm512_cvtss_f32(v);
}
#else
static inline float vsum(vf v)
{
    float t[VL];
    VST(t, v);
    for (int h = VL / 2; h; h /= 2)
        for (int i = 0; i < h; i++) t[i] += t[i + h];
    return t[0];
}
#endif

/* ---- the activation type ------------------------------------------------------------------------------------------
 */

#ifdef IB_CPU_BF16
#define ACT_TYPE IB_BF16
#define ACT_PAIR 2 /* k values that one multiply-add of a lane takes */
typedef uint16_t act_t;
static inline vf widen(__m256i h) { return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16); }
static inline vf act_ld(const act_t *p) { return widen(_mm256_loadu_si256((const __m256i *)p)); }
static inline vf act_ldn(const act_t *p, int64_t n) { return widen(_mm256_maskz_loadu_epi16(tail_mask(n), p)); }
static inline void act_st(act_t *p, vf v) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v)); }
static inline void act_stn(act_t *p, vf v, int64_t n)
{
    _mm256_mask_storeu_epi16(p, tail_mask(n), (__m256i)_mm512_cvtneps_pbh(v));
}
static inline float act_get(act_t x) { return ib_bf16_to_f32(x); }
#else
#define ACT_TYPE IB_F32
#define ACT_PAIR 1
typedef float act_t;
#define act_ld(p) VLD(p)
#define act_ldn(p, n) vldn(p, n)
#define act_st(p, v) VST(p, v)
#define act_stn(p, v, n) vstn(p, v, n)
static inline float act_get(act_t x) { return x; }
#endif

/* n values (VL, or fewer at the end of a row) at index i of an array that is f32 or act. */
static inline vf any_ld(const void *p, int64_t i, int f32, int64_t n)
{
    if (f32) return n == VL ? VLD((const float *)p + i) : vldn((const float *)p + i, n);
    return n == VL ? act_ld((const act_t *)p + i) : act_ldn((const act_t *)p + i, n);
}
static inline void any_st(void *p, int64_t i, int f32, vf v, int64_t n)
{
    if (f32) {
        if (n == VL)
            VST((float *)p + i, v);
        else
            vstn((float *)p + i, v, n);
    } else {
        if (n == VL)
            act_st((act_t *)p + i, v);
        else
            act_stn((act_t *)p + i, v, n);
    }
}

/* ---- functions ----------------------------------------------------------------------------------------------------
 */

/* x < 0 ? 0 : x */
static inline vf vrelu(vf x) { return VMAXC(x, VSET1(0.0f)); }

/* 2^x for x <= 127, with relative error 7.5e-8 before rounding (a minimax polynomial of degree 5 on [-1/2, 1/2]). Zero
 * below 2^-125.5. NaN stays. */
static inline vf vexp2(vf x)
{
    x = VEXP_RANGE(x);
    vf n = VROUND(x), f = x - n;
    vf p = VSET1(1.327646663e-03f);
    p = VFMA(p, f, VSET1(9.675540961e-03f));
    p = VFMA(p, f, VSET1(5.550713465e-02f));
    p = VFMA(p, f, VSET1(2.402212024e-01f));
    p = VFMA(p, f, VSET1(6.931469440e-01f));
    p = VFMA(p, f, VSET1(1.000000119f));
    return vscale2(p, n);
}

/* The same to 2.6e-6 where the result is rounded to bfloat16 (half a unit there is 2e-3). */
static inline vf vexp2_act(vf x)
{
#ifdef IB_CPU_BF16
    x = VEXP_RANGE(x);
    vf n = VROUND(x), f = x - n;
    vf p = VSET1(9.570096619e-03f);
    p = VFMA(p, f, VSET1(5.591785908e-02f));
    p = VFMA(p, f, VSET1(2.402474433e-01f));
    p = VFMA(p, f, VSET1(6.931217909e-01f));
    p = VFMA(p, f, VSET1(9.999992847e-01f));
    return vscale2(p, n);
#else
    return vexp2(x);
#endif
}

/* Exact GELU as max(x,0)*(1 - Q) + min(x,0)*Q with Q = P(Z > |x|) = exp(-x^2/2) * R(1/(1 + 0.3|x|)), R a minimax
 * polynomial of degree 9 (4e-8): the negative tail keeps its relative accuracy. -inf gives NaN, as x*Phi(x) does. */
static inline vf vgelu(vf x)
{
    vf z = VMINC(VABS(x), VSET1(14.5f));
    vf u = VSET1(1.0f) / VFMA(z, VSET1(0.3f), VSET1(1.0f));
    vf r = VSET1(-3.836416639e-03f);
    r = VFMA(r, u, VSET1(5.827516690e-02f));
    r = VFMA(r, u, VSET1(-2.136318684e-01f));
    r = VFMA(r, u, VSET1(2.847188115e-01f));
    r = VFMA(r, u, VSET1(-1.203304306e-01f));
    r = VFMA(r, u, VSET1(1.645105928e-01f));
    r = VFMA(r, u, VSET1(8.763168007e-02f));
    r = VFMA(r, u, VSET1(1.233142167e-01f));
    r = VFMA(r, u, VSET1(1.193338856e-01f));
    r = VFMA(r, u, VSET1(1.438405434e-05f));
    vf q = r * vexp2(z * z * VSET1(-0.72134752f)); /* exp(-z^2/2): log2(e)/2 */
    return VMAXC(x, VSET1(0.0f)) * (VSET1(1.0f) - q) + VMINC(x, VSET1(0.0f)) * q;
}
/* The same where the result is rounded to bfloat16. */
static inline vf vgelu_act(vf x)
{
#ifdef IB_CPU_TILES
    /* Beside tile products this is what takes the time: R of degree 5, 1.6e-4 in all (half a unit of bfloat16 is 2e-3). The
     * reciprocal is Intel's, to the bit, wherever AMX is. */
    vf z = VMINC(VABS(x), VSET1(14.5f));
    vf u = _mm512_rcp14_ps(VFMA(z, VSET1(0.3f), VSET1(1.0f)));
    vf r = VSET1(-3.623139491e-02f);
    r = VFMA(r, u, VSET1(3.079709496e-01f));
    r = VFMA(r, u, VSET1(-6.530732870e-02f));
    r = VFMA(r, u, VSET1(1.846916171e-01f));
    r = VFMA(r, u, VSET1(1.081409490e-01f));
    r = VFMA(r, u, VSET1(7.795486986e-04f));
    vf q = r * vexp2_act(z * z * VSET1(-0.72134752f));
    return VMAXC(x, VSET1(0.0f)) * (VSET1(1.0f) - q) + VMINC(x, VSET1(0.0f)) * q;
#else
    return vgelu(x);
#endif
}

#endif

