/* The Huffman-only deflate against zlib's inflate, on data of every kind that changes its path. */
#include "sink_helper.h"

#include "sink/png_deflate.h"

#include <zlib.h>

enum { MAX = 70000 };

/* Kinds of data: noise, rare values, zeros, few values, runs of zeros of every length, rare values in a row (codes of
 * 15 bits), very skewed. */
static void fill(uint8_t *data, size_t size, int kind, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned r = seed >> 16 & 255, wide = seed >> 9;
        switch (kind) {
        case 0: data[i] = (uint8_t)r; break;
        case 1: data[i] = r < 3 ? (uint8_t)(r + 1) : 0; break;
        case 2: data[i] = 0; break;
        case 3: data[i] = r & r >> 3; break;
        case 4: data[i] = i / (7 + i / 300) & 1 ? 0 : (uint8_t)(r & 7); break;
        case 5: data[i] = i % 47000 - 3000 < 32 ? (uint8_t)(224 + i % 47000 - 3000) : i / 400 % 3 ? (uint8_t)(r * 7 / 8) : 0; break;
        default: data[i] = (uint8_t)__builtin_clz(wide | 1); break;
        }
    }
}

/* Counted in one piece (`cut` 0), or in pieces of at most `cut` bytes. */
static size_t run(ib_png_deflate *deflate, const uint8_t *in, size_t size, size_t cut, uint8_t *out, size_t capacity)
{
    ib_png_deflate_begin(deflate, in, size);
    for (size_t ready = 0, step = 0; ready < size; step += 77) {
        size_t more = cut ? 1 + (step * step + ready) % cut : size;
        ready = size - ready > more ? ready + more : size;
        ib_png_deflate_count(deflate, ready);
    }
    return ib_png_deflate_write(deflate, out, capacity);
}

static void inflates_to_the_same(void **state)
{
    (void)state;
    ib_png_deflate *deflate = ib_png_deflate_create(0), *plain = ib_png_deflate_create(1);
    uint8_t *in = malloc(MAX), *out = malloc(2 * MAX + 2000), *again = malloc(2 * MAX + 2000), *back = malloc(MAX + 1);
    assert_true(deflate && plain && in && out && again && back);
    for (int kind = 0; kind < 7; kind++)
        for (int k = 0; k < 330; k++) {
            size_t size = k < 300 ? (size_t)k + 1 : (size_t)MAX - (size_t)(k - 300) * 1111;
            fill(in, size, kind, (unsigned)(k + 7 * kind));
            memset(out, 0xcc, 2 * MAX + 2000);
            size_t packed = run(deflate, in, size, 0, out, size + size / 8 + 1024);
            assert_true(packed > 0 && packed <= size + size / 8 + 1024);
            uLongf n = MAX + 1;
            assert_int_equal(uncompress(back, &n, out, packed), Z_OK);
            assert_int_equal(n, size);
            assert_memory_equal(back, in, size);
            assert_int_equal(run(deflate, in, size, 0, out, packed / 2), 0); /* says that it does not fit */
            size_t cut = k % 3 == 0 ? 3000 : k % 3 == 1 ? 400 : 40;
            assert_int_equal(run(deflate, in, size, cut, again, size + size / 8 + 1024), packed);
            assert_int_equal(run(plain, in, size, 0, out, size + size / 8 + 1024), packed);
            assert_memory_equal(out, again, packed);
        }
    free(in);
    free(out);
    free(again);
    free(back);
    ib_png_deflate_destroy(deflate);
    ib_png_deflate_destroy(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inflates_to_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
