/* The precision self-test: a sound type passes, an overflowing one does not; its cache answers for its key and nothing else. */
#include "backend/backend.h"
#include "pipeline/precision.h"
#include "pipeline/setup.h"
#include "support/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* One f32 value of a tensor, in the file. */
static void patch(const char *path, const char *name, float value)
{
    ib_checkpoint *c;
    assert_int_equal(ib_checkpoint_open(path, NULL, &c), ISOBATH_OK);
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c, name);
    assert_non_null(t);
    float first;
    float *all = malloc((size_t)t->count * sizeof *all);
    assert_non_null(all);
    ib_checkpoint_read_f32(t, all);
    first = all[0];
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    /* synthetic checkpoints hold f32: the tensor's bytes are found by their content */
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f), want = (size_t)(t->count < 64 ? t->count : 64) * sizeof *all;
    unsigned char *bytes = malloc(size);
    assert_non_null(bytes);
    rewind(f);
    assert_int_equal(fread(bytes, 1, size, f), size);
    size_t at = 0;
    while (at + want <= size && memcmp(bytes + at, all, want) != 0) at++;
    assert_true(at + want <= size && first == all[0]);
    fseek(f, (long)at, SEEK_SET);
    assert_int_equal(fwrite(&value, sizeof value, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    free(bytes);
    free(all);
    ib_checkpoint_close(c);
}

static isobath_status test(const char *path, ib_diag *diag, ib_precision_verdict *v)
{
    ib_checkpoint *c;
    ib_vda_config config;
    assert_int_equal(ib_checkpoint_open(path, diag, &c), ISOBATH_OK);
    assert_int_equal(ib_vda_config_read(c, -1, diag, &config), ISOBATH_OK);
    isobath_status st = ib_precision_test(c, &config, IB_DEVICE_CPU, IB_BF16, NULL, 96, 64, 56, diag, v);
    ib_checkpoint_close(c);
    return st;
}

static void test_verdicts(void **state)
{
    (void)state;
    ib_diag diag = IB_DIAG_INIT;
    ib_precision_verdict v;
    assert_int_equal(synth_checkpoint_write("tiny", 1, "precision.safetensors"), 0);
    isobath_status st = test("precision.safetensors", &diag, &v);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        print_message("SKIPPED on this machine: %s\n", diag.text);
        unlink("precision.safetensors");
        skip();
    }
    assert_int_equal(st, ISOBATH_OK);
    assert_true(v.sound && !v.nonfinite && v.median > 0 && v.median < 3e-2);
    /* an infinity in bf16, a number in f32: 3.4e38 rounds up */
    patch("precision.safetensors", "pretrained.blocks.1.norm1.weight", 3.4e38f);
    assert_int_equal(test("precision.safetensors", &diag, &v), ISOBATH_OK);
    assert_false(v.sound);
    unlink("precision.safetensors");
}

static void test_cache(void **state)
{
    (void)state;
    const char *folder = "precision_cache", *key = "cuda sm_90 f16; card A; model 12";
    ib_precision_verdict v = {.sound = 1, .median = 2e-4, .p9999 = 1e-3}, back;
    mkdir(folder, 0777);
    assert_false(ib_precision_recall(folder, key, &back));
    assert_true(ib_precision_keep(folder, key, &v));
    assert_true(ib_precision_recall(folder, key, &back));
    assert_true(back.sound && back.cached && back.median == 2e-4 && back.p9999 == 1e-3);
    assert_false(ib_precision_recall(folder, "cuda sm_90 f16; card B; model 12", &back));
    v = (ib_precision_verdict){.sound = 0, .nonfinite = 77};
    assert_true(ib_precision_keep(folder, key, &v));
    assert_true(ib_precision_recall(folder, key, &back));
    assert_true(!back.sound && back.nonfinite == 77);
    assert_false(ib_precision_keep("no/such/folder", key, &v));

    /* every cut and every changed byte of the file is a miss or the same verdict, never another one */
    char name[256] = "", text[512];
    FILE *list = popen("ls precision_cache/*.txt", "r");
    assert_true(list && fgets(name, sizeof name, list));
    pclose(list);
    name[strcspn(name, "\n")] = 0;
    FILE *f = fopen(name, "rb");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    for (size_t i = 0; i < n; i++)
        for (int cut = 0; cut < 2; cut++) {
            char damaged[512];
            memcpy(damaged, text, n);
            damaged[i] = 'x';
            f = fopen(name, "wb");
            fwrite(damaged, 1, cut ? i : n, f);
            fclose(f);
            assert_false(ib_precision_recall(folder, key, &back) && back.sound);
        }
    unlink(name);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts), cmocka_unit_test(test_cache)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
