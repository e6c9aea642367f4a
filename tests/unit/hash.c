/* base/hash.h: SHA-256 against the published vectors (FIPS 180-2, appendix B), in pieces, and of files. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    const char *text, *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static const char million_a[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void of_memory(void **state)
{
    (void)state;
    char hex[65];
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        ib_sha256_memory(vectors[i].text, strlen(vectors[i].text), NULL, hex);
        assert_string_equal(hex, vectors[i].digest);
        ib_sha256 *hash = ib_sha256_create();
        for (const char *p = vectors[i].text; *p; p++) ib_sha256_update(hash, p, 1);
        ib_sha256_finish(hash, hex);
        assert_string_equal(hex, vectors[i].digest);
    }
    ib_sha256_finish(NULL, hex);
    assert_string_equal(hex, "");
}

/* More than one buffer of the reader (1 MiB), and an exact multiple of it. */
static void of_files(void **state)
{
    (void)state;
    char path[] = "/tmp/isobath-hash-XXXXXX", hex[65], want[65];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    size_t sizes[] = {0, 1000000, 1 << 20, (1 << 20) + 1};
    char *bytes = malloc((1 << 20) + 1);
    assert_non_null(bytes);
    memset(bytes, 'a', (1 << 20) + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bytes, sizes[i], 0), sizes[i]);
        assert_int_equal(ib_sha256_file(path, NULL, hex), ISOBATH_OK);
        ib_sha256_memory(bytes, sizes[i], NULL, want);
        assert_string_equal(hex, want);
        if (sizes[i] == 1000000) assert_string_equal(hex, million_a);
    }
    close(fd);
    unlink(path);
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_sha256_file(path, &diag, hex), ISOBATH_ERR_IO);
    assert_non_null(strstr(diag.text, "cannot open: No such file"));
    assert_string_equal(hex, "");
    ib_diag_reset(&diag);
    assert_int_equal(ib_sha256_file("/tmp", &diag, hex), ISOBATH_ERR_IO);
    assert_string_equal(hex, "");
    free(bytes);
}

/* All lengths of an end beside each other, and a long memory beside a short one; the same without the instructions for it. */
static void of_two(void **state)
{
    (void)state;
    enum { MOST = 300 };
    static uint8_t bytes[2 * MOST + 5000];
    uint32_t random = 1;
    ib_sha256_pair pair = ib_sha256_pair_find();
    printf("two at once: %s\n", pair ? "SHA instructions" : "one after the other");
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
    for (size_t n = 0; n < MOST; n++)
        for (size_t k = 0; k < 4; k++) {
            const void *data[2] = {bytes + k, bytes + MOST + n % 7};
            size_t size[2] = {k & 1 ? n : 5000 - n, k & 2 ? MOST - n : n};
            char got[2][65], want[65];
            assert_int_equal(ib_sha256_two(k == 3 ? NULL : pair, data, size, NULL, (char *[2]){got[0], got[1]}), ISOBATH_OK);
            for (int i = 0; i < 2; i++) {
                ib_sha256_memory(data[i], size[i], NULL, want);
                assert_string_equal(got[i], want);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_memory), cmocka_unit_test(of_files), cmocka_unit_test(of_two)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
