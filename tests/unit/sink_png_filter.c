/* The Paeth filter on every path against the definition of the PNG specification. */
#include "sink/png_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* PNG (third edition), 9.4. */
static int paeth(int a, int b, int c)
{
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    if (pa <= pb && pa <= pc) return a;
    return pb <= pc ? b : c;
}

enum { FRONT = 64, MOST = 3000 };

static void every_path_is_the_definition(void **state)
{
    (void)state;
    uint8_t *cur = calloc(1, FRONT + MOST + IB_PNG_FILTER_SLACK), *up = calloc(1, FRONT + MOST + IB_PNG_FILTER_SLACK), *out = malloc(MOST + IB_PNG_FILTER_SLACK);
    uint32_t seed = 1;
    for (int round = 0; round < 400; round++) {
        size_t n = round < 200 ? (size_t)round + 1 : (size_t)(round * 37) % MOST + 1;
        for (size_t i = 0; i < n; i++) { /* noise, small steps, few values */
            seed = seed * 1664525u + 1013904223u;
            uint32_t r = seed >> 8;
            cur[FRONT + i] = (uint8_t)(round % 3 == 0 ? r : round % 3 == 1 ? 100 + r % 7 : r % 2 ? 255 : 0);
            up[FRONT + i] = (uint8_t)(round % 3 == 0 ? r >> 8 : round % 3 == 1 ? 100 + (r >> 8) % 7 : r % 3 ? 255 : 0);
        }
        for (int path = 0; path < 3; path++) {
            memset(out, 0xa5, MOST + IB_PNG_FILTER_SLACK);
            ib_png_filter_find(path)(cur + FRONT, up + FRONT, n, out);
            for (size_t i = 0; i < n; i++) {
                const uint8_t *x = cur + FRONT + i, *b = up + FRONT + i;
                assert_int_equal(out[i], (uint8_t)(*x - paeth(x[-2], *b, b[-2])));
            }
        }
    }
    free(cur);
    free(up);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_path_is_the_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
