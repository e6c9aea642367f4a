/* Buffers of the cpu backend: where they begin, that large ones can be used to their ends, what cannot be had. */
#include "backend/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void aligned_and_whole(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, unit;
    } cases[] = {{0, 256}, {1, 256}, {((size_t)4 << 20) - 1, 256}, {(size_t)4 << 20, (size_t)2 << 20}, {((size_t)5 << 20) + 7, (size_t)2 << 20}};
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *be;
    ib_backend_options o = {.act = IB_F32, .diag = &diag};
    assert_int_equal(ib_cpu_open(&o, &be), ISOBATH_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *p;
        assert_int_equal(be->ops->buffer_alloc(be, cases[i].bytes, &p), ISOBATH_OK);
        assert_int_equal((uintptr_t)p % cases[i].unit, 0);
        memset(p, 0x5a, cases[i].bytes);
        be->ops->buffer_free(be, p);
    }
    static const size_t too_much[] = {SIZE_MAX, SIZE_MAX - 255};
    for (size_t i = 0; i < sizeof too_much / sizeof *too_much; i++) {
        void *p = &diag;
        assert_int_equal(be->ops->buffer_alloc(be, too_much[i], &p), ISOBATH_ERR_MEMORY);
        assert_null(p);
    }
    ib_backend_close(be);
    ib_diag_destroy(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(aligned_and_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
