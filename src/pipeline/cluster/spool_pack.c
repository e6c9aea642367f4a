/* Packing of raw maps without losing a bit; see spool.h and docs/CLUSTER.md.
 *
 * A float's bits, read as an integer, order positive floats; neighbours of a smooth map differ little in them. So: each is predicted
 * from left + above - above left (modulo 2^32), the difference is folded (0, -1, 1, -2 ... become 0, 1, 2, 3 ...), and its four bytes
 * go into planes. The highest planes are nearly all zero, the lowest is noise. Each plane is stored, or deflated where that is
 * smaller; a byte before it says which, four its size. */
#include "pipeline/cluster/spool.h"

#include "base/bytes.h"
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

enum { PLANE_STORED = 0, PLANE_DEFLATED = 1, PLANE_ZERO = 2, PLANES = 4, PLANE_HEAD = 5 };

struct ib_spool_packer {
    struct isal_zstream stream;
    uint8_t *level_buf;
    struct libdeflate_decompressor *inflate;
    uint8_t *planes; /* 4 * capacity */
    uint32_t *bits;  /* a row, and the one above */
    size_t capacity, row_capacity;
};

ib_spool_packer *ib_spool_packer_create(void)
{
    ib_spool_packer *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->level_buf = malloc(ISAL_DEF_LVL1_DEFAULT);
    p->inflate = libdeflate_alloc_decompressor();
    if (p->level_buf && p->inflate) return p;
    ib_spool_packer_destroy(p);
    return NULL;
}

void ib_spool_packer_destroy(ib_spool_packer *p)
{
    if (!p) return;
    if (p->inflate) libdeflate_free_decompressor(p->inflate);
    free(p->level_buf);
    free(p->planes);
    free(p->bits);
    free(p);
}

size_t ib_spool_bound(size_t pixels) { return PLANES * (pixels + PLANE_HEAD); }

static int reserve(ib_spool_packer *p, size_t pixels, size_t width)
{
    if (pixels > p->capacity) {
        uint8_t *planes = realloc(p->planes, PLANES * pixels);
        if (!planes) return 0;
        p->planes = planes;
        p->capacity = pixels;
    }
    if (width > p->row_capacity) {
        uint32_t *bits = realloc(p->bits, 2 * (width + 1) * sizeof *bits);
        if (!bits) return 0;
        p->bits = bits;
        p->row_capacity = width;
    }
    return 1;
}

static uint32_t fold(uint32_t d) { return d << 1 ^ (0u - (d >> 31)); }
static uint32_t unfold(uint32_t z) { return z >> 1 ^ (0u - (z & 1)); }

/* row and above: [0] is 0, [1 + x] the pixel. */
static void split_row(const uint32_t *row, const uint32_t *above, int width, uint8_t *const plane[PLANES])
{
    for (int x = 0; x < width; x++) {
        uint32_t z = fold(row[x + 1] - (row[x] + above[x + 1] - above[x]));
        plane[0][x] = (uint8_t)z;
        plane[1][x] = (uint8_t)(z >> 8);
        plane[2][x] = (uint8_t)(z >> 16);
        plane[3][x] = (uint8_t)(z >> 24);
    }
}

static int all_zero(const uint8_t *p, size_t n) { return !n || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0); }

/* Returns the size of the deflated plane, 0 when it would not be smaller. */
static size_t deflate_plane(ib_spool_packer *p, uint8_t *plane, size_t n, uint8_t *out)
{
    struct isal_zstream *z = &p->stream;
    isal_deflate_stateless_init(z);
    z->hist_bits = 0; /* the full window; the call above leaves what was there */
    z->level = 1;
    z->level_buf = p->level_buf;
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->end_of_stream = 1;
    z->flush = NO_FLUSH;
    z->next_in = plane;
    z->avail_in = (uint32_t)n;
    z->next_out = out;
    z->avail_out = (uint32_t)n;
    return isal_deflate_stateless(z) == COMP_OK && z->avail_in == 0 && z->total_out < n ? z->total_out : 0;
}

size_t ib_spool_pack(ib_spool_packer *p, const float *map, int width, int height, uint8_t *packed)
{
    size_t w = (size_t)width, n = w * (size_t)height;
    if (!reserve(p, n, w)) return 0;
    uint32_t *row = p->bits, *above = p->bits + w + 1;
    memset(p->bits, 0, 2 * (w + 1) * sizeof *p->bits);
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)y * w;
        memcpy(row + 1, map + at, w * sizeof *map);
        split_row(row, above, width, (uint8_t *const[PLANES]){p->planes + at, p->planes + n + at, p->planes + 2 * n + at, p->planes + 3 * n + at});
        uint32_t *swap = row;
        row = above;
        above = swap;
    }
    uint8_t *out = packed;
    for (int i = 0; i < PLANES; i++) {
        uint8_t *plane = p->planes + (size_t)i * n;
        /* the lowest byte of a float that was computed is noise: not worth a try */
        int zero = all_zero(plane, n);
        size_t size = zero || i == 0 ? 0 : deflate_plane(p, plane, n, out + PLANE_HEAD);
        out[0] = zero ? PLANE_ZERO : size ? PLANE_DEFLATED : PLANE_STORED;
        if (!zero && !size) {
            memcpy(out + PLANE_HEAD, plane, n);
            size = n;
        }
        ib_put32(out + 1, (uint32_t)size);
        out += PLANE_HEAD + size;
    }
    return (size_t)(out - packed);
}

/* plane[i]: n bytes of plane i, in scratch memory or, where they are stored, in the packed map. */
static int unpack_planes(ib_spool_packer *p, const uint8_t *in, size_t left, size_t n, const uint8_t *plane[PLANES])
{
    for (int i = 0; i < PLANES; i++) {
        uint8_t *out = p->planes + (size_t)i * n;
        uint32_t size;
        if (left < PLANE_HEAD) return 0;
        ib_get32(in + 1, &size);
        if (size > left - PLANE_HEAD) return 0;
        int stored = in[0] == PLANE_STORED && size == n;
        if (in[0] == PLANE_ZERO && size == 0) memset(out, 0, n);
        else if (!stored && (in[0] != PLANE_DEFLATED || libdeflate_deflate_decompress(p->inflate, in + PLANE_HEAD, size, out, n, NULL) != LIBDEFLATE_SUCCESS))
            return 0;
        plane[i] = stored ? in + PLANE_HEAD : out;
        in += PLANE_HEAD + size;
        left -= PLANE_HEAD + size;
    }
    return left == 0;
}

#if defined(__x86_64__) && defined(__GNUC__)
/* As many of a row's pixels as come in eights: returns how many; *sum is that of join_row. */
__attribute__((target("avx2"))) static int join_eights(const uint8_t *const plane[PLANES], const uint32_t *above, int width, uint32_t *row,
                                                       uint32_t *sum)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi32(1), last = _mm256_set1_epi32(7);
    __m256i sums = zero;
    int x = 0;
    for (; x + 8 <= width; x += 8) {
        __m256i z = zero;
        for (int i = 0; i < PLANES; i++)
            z = _mm256_or_si256(z, _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(plane[i] + x))), 8 * i));
        __m256i d = _mm256_xor_si256(_mm256_srli_epi32(z, 1), _mm256_sub_epi32(zero, _mm256_and_si256(z, one)));
        d = _mm256_add_epi32(d, _mm256_slli_si256(d, 4)); /* sums in each half, then the lower half's to the upper one */
        d = _mm256_add_epi32(d, _mm256_slli_si256(d, 8));
        d = _mm256_add_epi32(d, _mm256_shuffle_epi32(_mm256_permute2x128_si256(d, d, 0x08), 0xff));
        sums = _mm256_add_epi32(_mm256_permutevar8x32_epi32(sums, last), d);
        _mm256_storeu_si256((__m256i *)(row + 1 + x), _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)(above + 1 + x)), sums));
    }
    *sum = (uint32_t)_mm256_extract_epi32(sums, 7);
    return x;
}
static int has_eights(void) { return __builtin_cpu_supports("avx2"); }
#else
static int join_eights(const uint8_t *const plane[PLANES], const uint32_t *above, int width, uint32_t *row, uint32_t *sum)
{
    (void)plane, (void)above, (void)width, (void)row, (void)sum;
    return 0;
}
static int has_eights(void) { return 0; }
#endif

/* A row out of its planes; row and above as in split_row. What left + above - above left adds up to is above plus the sum of the
 * differences so far. */
static void join_row(const uint8_t *const plane[PLANES], const uint32_t *above, int width, int eights, uint32_t *row)
{
    uint32_t sum = 0;
    for (int x = eights ? join_eights(plane, above, width, row, &sum) : 0; x < width; x++) {
        sum += unfold((uint32_t)plane[0][x] | (uint32_t)plane[1][x] << 8 | (uint32_t)plane[2][x] << 16 | (uint32_t)plane[3][x] << 24);
        row[x + 1] = above[x + 1] + sum;
    }
}

int ib_spool_unpack(ib_spool_packer *p, const uint8_t *packed, size_t size, int width, int height, float *map)
{
    size_t w = (size_t)width, n = w * (size_t)height;
    const uint8_t *plane[PLANES];
    int eights = has_eights();
    if (!reserve(p, n, w) || !unpack_planes(p, packed, size, n, plane)) return 0;
    uint32_t *row = p->bits, *above = p->bits + w + 1;
    memset(p->bits, 0, 2 * (w + 1) * sizeof *p->bits);
    for (int y = 0; y < height; y++) {
        size_t at = (size_t)y * w;
        join_row((const uint8_t *const[PLANES]){plane[0] + at, plane[1] + at, plane[2] + at, plane[3] + at}, above, width, eights, row);
        memcpy(map + at, row + 1, w * sizeof *map);
        uint32_t *swap = row;
        row = above;
        above = swap;
    }
    return 1;
}
