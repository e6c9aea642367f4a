/* SHA-256 of two memories side by side; see hash.h. The processor's SHA instructions wait four cycles for each other but can begin every two, so a
 * second stream costs next to nothing. FIPS 180-4; the order of instructions is the one that Intel describes. */
#include "base/hash.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

#define SHA __attribute__((target("sha,sse4.1,ssse3")))
#define BLOCK 64

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* The eight words as the instructions want them: A, B, E, F and C, D, G, H, highest lane first. */
typedef struct lane {
    __m128i abef, cdgh;
} lane;

/* `lanes` is a constant: 1 or 2. */
SHA static inline __attribute__((always_inline)) void add_blocks(lane *state, const uint8_t *const *data, size_t blocks, int lanes)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    lane s[2];
    const uint8_t *p[2];
    for (int l = 0; l < lanes; l++) {
        s[l] = state[l];
        p[l] = data[l];
    }
    for (; blocks; blocks--) {
        lane before[2];
        __m128i m[2][4]; /* the last 16 words of the message's schedule */
        for (int l = 0; l < lanes; l++) before[l] = s[l];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) { /* four rounds */
            __m128i k = _mm_loadu_si128((const __m128i *)(constants + 4 * i));
#pragma GCC unroll 2
            for (int l = 0; l < lanes; l++) {
                __m128i *w = &m[l][i % 4];
                if (i < 4) *w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p[l] + 16 * i)), big_endian);
                else {
                    __m128i near = m[l][(i + 3) % 4], x = _mm_sha256msg1_epu32(*w, m[l][(i + 1) % 4]);
                    *w = _mm_sha256msg2_epu32(_mm_add_epi32(x, _mm_alignr_epi8(near, m[l][(i + 2) % 4], 4)), near);
                }
                __m128i wk = _mm_add_epi32(*w, k);
                s[l].cdgh = _mm_sha256rnds2_epu32(s[l].cdgh, s[l].abef, wk);
                s[l].abef = _mm_sha256rnds2_epu32(s[l].abef, s[l].cdgh, _mm_shuffle_epi32(wk, 0x0e));
            }
        }
        for (int l = 0; l < lanes; l++) {
            s[l].abef = _mm_add_epi32(s[l].abef, before[l].abef);
            s[l].cdgh = _mm_add_epi32(s[l].cdgh, before[l].cdgh);
            p[l] += BLOCK;
        }
    }
    for (int l = 0; l < lanes; l++) state[l] = s[l];
}

/* What does not fill a block, and the padding. */
SHA static void add_end(lane *state, const uint8_t *rest, size_t bytes, uint64_t size)
{
    uint8_t end[2 * BLOCK] = {0};
    const uint8_t *p = end;
    size_t blocks = bytes + 9 > BLOCK ? 2 : 1;
    uint64_t bits = __builtin_bswap64(8 * size);
    memcpy(end, rest, bytes);
    end[bytes] = 0x80;
    memcpy(end + BLOCK * blocks - 8, &bits, 8);
    add_blocks(state, &p, blocks, 1);
}

SHA static void hash_two(const void *const data[2], const size_t size[2], uint8_t digest[2][32])
{
    lane state[2];
    const uint8_t *p[2] = {data[0], data[1]};
    size_t blocks[2] = {size[0] / BLOCK, size[1] / BLOCK}, both = blocks[0] < blocks[1] ? blocks[0] : blocks[1];
    for (int l = 0; l < 2; l++)
        state[l] = (lane){_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c), _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
    add_blocks(state, p, both, 2);
    for (int l = 0; l < 2; l++) {
        const uint8_t *rest = p[l] + BLOCK * both;
        add_blocks(&state[l], &rest, blocks[l] - both, 1);
        add_end(&state[l], p[l] + BLOCK * blocks[l], size[l] % BLOCK, size[l]);
        uint32_t abef[4], cdgh[4];
        _mm_storeu_si128((__m128i *)abef, state[l].abef);
        _mm_storeu_si128((__m128i *)cdgh, state[l].cdgh);
        const uint32_t words[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
        for (int i = 0; i < 8; i++) {
            uint32_t w = __builtin_bswap32(words[i]);
            memcpy(digest[l] + 4 * i, &w, 4);
        }
    }
}

ib_sha256_pair ib_sha256_pair_find(void)
{
    unsigned eax, ebx, ecx, edx; /* compilers in use do not know "sha" in __builtin_cpu_supports */
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx >> 29 & 1 && __builtin_cpu_supports("sse4.1") ? hash_two : NULL;
}
#else
ib_sha256_pair ib_sha256_pair_find(void) { return NULL; }
#endif

isobath_status ib_sha256_two(ib_sha256_pair pair, const void *const data[2], const size_t size[2], ib_diag *diag, char *const hex[2])
{
    uint8_t digest[2][32];
    if (pair) pair(data, size, digest);
    for (int i = 0; i < 2; i++)
        if (pair) ib_sha256_unpack(digest[i], hex[i]);
        else IB_TRY(ib_sha256_memory(data[i], size[i], diag, hex[i]));
    return ISOBATH_OK;
}
