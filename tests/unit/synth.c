/* The synthetic weights and frames against digests of the numpy definition's output, and the computed names and shapes
 * against digests of the published checkpoints' lists ("name d0 d1 ...\n" per tensor, in state-dict order). */
#include "support/synth.h"
#include "base/hash.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void names_and_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *digest;
        size_t count;
        int64_t values;
    } want[] = {
        {"tiny", "b246227e11c37b76a2c7e36b7fc6b827d4a146a2905c79cc010c4a674e57ed76", 239, 1318513},
        {"vits", "e68951b28784a8601b6a6ff9e36203a3ee792bb8517cded9a89da8e80e2fbe20", 351, 29080193},
        {"vitb", "0095dbd5e0fd42cc1bde327b08aa827706d7e446c8a0c3149d99e1f14e417c57", 351, 114531521},
        {"vitl", "e93fb5dde67e6402922716ee9261c61d22d91fbe6a4b3bd7cdb502324de76f08", 519, 384554177},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        synth_tensor *list = NULL;
        size_t n = synth_tensors(synth_config_find(want[i].kind), &list);
        assert_int_equal(n, want[i].count);
        ib_sha256 *hash = ib_sha256_create();
        int64_t values = 0;
        for (size_t k = 0; k < n; k++) {
            char line[SYNTH_MAX_NAME + 100];
            int len = snprintf(line, sizeof line, "%s", list[k].name);
            for (int d = 0; d < list[k].rank; d++)
                len += snprintf(line + len, sizeof line - (size_t)len, " %" PRId64, list[k].dim[d]);
            len += snprintf(line + len, sizeof line - (size_t)len, "\n");
            ib_sha256_update(hash, line, (size_t)len);
            values += list[k].count;
        }
        char hex[65];
        ib_sha256_finish(hash, hex);
        assert_string_equal(hex, want[i].digest);
        assert_int_equal(values, want[i].values);
        free(list);
    }
    assert_null(synth_config_find("vitg"));
}

/* Every tensor of tiny but the position tables (unit/pth.c compares those with a real .pth), in two chunkings. */
static void weight_bits(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        int64_t chunk;
        const char *digest;
    } want[] = {
        {1, 1 << 30, "f92ad8679c44ef4e665f4168b2c94d9e842f9bf0a73670c7b911f32fab01fb22"},
        {1, 777, "f92ad8679c44ef4e665f4168b2c94d9e842f9bf0a73670c7b911f32fab01fb22"},
        {9223372036854788153u, 1 << 30, "8cd15b14cd2dbbba8abcf34e4048ecee1197edd2e367c4d12447e4e89bb0c8a3"},
    };
    synth_tensor *list = NULL;
    size_t n = synth_tensors(synth_config_find("tiny"), &list);
    float *buf = malloc(4 << 20);
    assert_non_null(buf);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ib_sha256 *hash = ib_sha256_create();
        for (size_t k = 0; k < n; k++) {
            if (strstr(list[k].name, "pos_encoder.pe")) continue;
            for (int64_t at = 0; at < list[k].count; at += want[i].chunk) {
                int64_t m = list[k].count - at < want[i].chunk ? list[k].count - at : want[i].chunk;
                synth_fill(&list[k], want[i].seed, at, m, buf);
                ib_sha256_update(hash, buf, (size_t)m * 4);
            }
        }
        char hex[65];
        ib_sha256_finish(hash, hex);
        assert_string_equal(hex, want[i].digest);
    }
    free(buf);
    free(list);
}

static void frame_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t count, height, width;
        uint64_t seed;
        const char *digest;
    } want[] = {
        {50, 120, 160, 1, "2b61d14103b5c6b8fd260575b49eff550803a3d081062a766df7abb53581dce1"},
        {112, 97, 33, 7, "0f56b450652526297d908ffb4b9becbe6fff0699df2134884c1e90d59eef48a5"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        size_t bytes = (size_t)(want[i].height * want[i].width * 3);
        uint8_t *frame = malloc(bytes);
        assert_non_null(frame);
        ib_sha256 *hash = ib_sha256_create();
        for (int64_t t = 0; t < want[i].count; t++) {
            synth_frames(t, 1, want[i].height, want[i].width, want[i].seed, frame);
            ib_sha256_update(hash, frame, bytes);
        }
        char hex[65];
        ib_sha256_finish(hash, hex);
        assert_string_equal(hex, want[i].digest);
        free(frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_shapes),
        cmocka_unit_test(weight_bits),
        cmocka_unit_test(frame_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
