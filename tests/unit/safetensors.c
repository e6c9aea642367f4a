/* The .safetensors reader and writer: what is read is right, and every kind of damage has its own line. */
#include "base/half.h"
#include "base/hash.h"
#include "support/synth.h"
#include "weights/checkpoint.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A file in memory of exactly its size, so that a sanitizer sees any read beyond. */
typedef struct image {
    uint8_t *bytes;
    size_t size;
} image;

static image make_image(const char *header, size_t data_bytes)
{
    uint64_t n = strlen(header);
    image m = {malloc(8 + n + data_bytes), 8 + n + data_bytes};
    assert_non_null(m.bytes);
    memcpy(m.bytes, &n, 8);
    memcpy(m.bytes + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) m.bytes[8 + n + i] = (uint8_t)(i * 7 + 1);
    return m;
}

static void expect_refused(const void *bytes, size_t size, const char *line)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = (void *)1;
    void *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    assert_int_equal(ib_safetensors_parse(copy, size, "m", &diag, &c), ISOBATH_ERR_MODEL);
    assert_null(c);
    assert_string_equal(diag.text, line);
    free(copy);
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void damaged_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *line;
    } cases[] = {
        {"{" A "}", 7, "m: tensor 'a' ends at byte 8 of the data, but there are only 7: the file is truncated"},
        {"{" A "}", 9, "m: 9 bytes of data, but the tensors hold 8: bytes at the end belong to no tensor"},
        {"{" A "," A "}", 8, "m: header, near byte 65: duplicate object key near '\"a\"'"},
        {"{" A ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
         "m: tensors 'a' and 'b' overlap at byte 4 of the data"},
        {"{" A ",\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[12,14]}}", 14,
         "m: bytes 8 to 12 of the data, before tensor 'b', belong to no tensor"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8,
         "m: tensor 'a': dtype I64, expected F32, F16 or BF16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "m: tensor 'a': rank 9, expected at most 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
         "m: tensor 'a': a dimension of the shape is not a non-negative integer"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4,
         "m: tensor 'a': a dimension of the shape is not a non-negative integer"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "m: tensor 'a': the shape has more than 2^60 values"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
         "m: tensor 'a': data_offsets span 4 bytes, expected 8 for its shape and dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8,
         "m: tensor 'a': data_offsets are not two rising non-negative integers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8,
         "m: tensor 'a': data_offsets are not two rising non-negative integers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8,
         "m: tensor 'a': expected an object with dtype, shape and two data_offsets"},
        {"{\"a\":3}", 0, "m: tensor 'a': expected an object with dtype, shape and two data_offsets"},
        {"{\"a\\nb\":3}", 0, "m: tensor 'a?b': expected an object with dtype, shape and two data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4,
         "m: header, near byte 57: too big integer near '99999999999999999999'"},
        {"{}", 0, "m: the checkpoint holds no tensors"},
        {"{\"__metadata__\":{\"k\":1}," A "}", 8, "m: __metadata__ value of 'k' is not a string"},
        {"{\"__metadata__\":7," A "}", 8, "m: __metadata__ is not an object of strings"},
        {"[]", 0, "m: the header at byte 8 does not start with '{'"},
        {"{\"a\":", 0, "m: header, near byte 13: unexpected token near end of file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image m = make_image(cases[i].header, cases[i].data_bytes);
        expect_refused(m.bytes, m.size, cases[i].line);
        free(m.bytes);
    }
}

static void damaged_files(void **state)
{
    (void)state;
    image m = make_image("{" A "}", 8);
    expect_refused(m.bytes, 0, "m: 0 bytes, expected at least the 8-byte header length: truncated");
    expect_refused(m.bytes, 7, "m: 7 bytes, expected at least the 8-byte header length: truncated");
    expect_refused(m.bytes, 20, "m: a header of 54 bytes is announced, but only 12 follow: the file is truncated");
    expect_refused(m.bytes, 61, "m: a header of 54 bytes is announced, but only 53 follow: the file is truncated");
    uint64_t n = UINT64_MAX;
    memcpy(m.bytes, &n, 8);
    expect_refused(m.bytes, m.size,
                   "m: header length 18446744073709551615 at byte 0, the format allows at most 100000000");
    n = 1;
    memcpy(m.bytes, &n, 8);
    expect_refused(m.bytes, m.size, "m: the header at byte 8 does not start with '{'");
    free(m.bytes);

    /* Every truncation of a good file is refused. */
    m = make_image("{" A ",\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[8,10]}}  ", 10);
    for (size_t size = 0; size < m.size; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        assert_non_null(cut);
        memcpy(cut, m.bytes, size);
        ib_checkpoint *c = NULL;
        assert_int_equal(ib_safetensors_parse(cut, size, "m", NULL, &c), ISOBATH_ERR_MODEL);
        free(cut);
    }
    free(m.bytes);
}

static void deep_json(void **state)
{
    (void)state;
    size_t n = 100000;
    uint8_t *bomb = malloc(8 + n);
    assert_non_null(bomb);
    uint64_t length = n;
    memcpy(bomb, &length, 8);
    memcpy(bomb + 8, "{\"a\":", 5);
    memset(bomb + 13, '[', n - 5);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = NULL;
    assert_int_equal(ib_safetensors_parse(bomb, 8 + n, "m", &diag, &c), ISOBATH_ERR_MODEL);
    assert_non_null(strstr(diag.text, "maximum parsing depth reached"));
    free(bomb);
}

static void reads_values(void **state)
{
    (void)state;
    /* Names out of file order, all three types, a scalar, an empty tensor, metadata, unaligned data. */
    image m =
        make_image("{\"z\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},\"__metadata__\":{\"k\":\"v\"},"
                   "\"h\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                   "\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[12,12]},"
                   "\"b\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[12,16]}} ",
                   16);
    uint8_t *data = m.bytes + m.size - 16;
    const uint16_t h[4] = {0x3c00, 0xc000, 0x0001, 0x7bff}, b[2] = {0x3f80, 0xc2f7};
    float z = 1.25f;
    memcpy(data, h, 8);
    memcpy(data + 8, &z, 4);
    memcpy(data + 12, b, 4);
    ib_checkpoint *c = NULL;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_safetensors_parse(m.bytes, m.size, "m", &diag, &c), ISOBATH_OK);
    assert_int_equal(ib_checkpoint_count(c), 4);
    assert_string_equal(ib_checkpoint_at(c, 0)->name, "h");
    assert_string_equal(ib_checkpoint_at(c, 1)->name, "z");
    assert_null(ib_checkpoint_at(c, 4));
    assert_string_equal(ib_checkpoint_format(c), "safetensors");
    assert_string_equal(ib_checkpoint_path(c), "m");
    assert_string_equal(ib_checkpoint_metadata(c, "k"), "v");
    assert_null(ib_checkpoint_metadata(c, "x"));
    assert_null(ib_checkpoint_find(c, "a"));
    float out[4];
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c, "h");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->stride[0], 2);
    ib_checkpoint_read_f32(t, out);
    assert_true(out[0] == 1.0f && out[1] == -2.0f && out[2] == 0x1p-24f && out[3] == 65504.0f);
    t = ib_checkpoint_find(c, "z");
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->count, 1);
    ib_checkpoint_read_f32(t, out);
    assert_true(out[0] == 1.25f);
    t = ib_checkpoint_find(c, "b");
    ib_checkpoint_read_f32(t, out);
    assert_true(out[0] == 1.0f && out[1] == -123.5f);
    assert_int_equal(ib_checkpoint_find(c, "e")->count, 0);
    ib_checkpoint_read_f32(ib_checkpoint_find(c, "e"), NULL);
    float two[3] = {1, 2, 3}; /* in place: only what is contiguous, aligned f32 */
    ib_checkpoint_tensor there = {.dtype = IB_F32, .rank = 1, .dim = {2}, .stride = {1}, .data = two, .count = 2};
    assert_ptr_equal(ib_checkpoint_f32(&there), two);
    there.data = (const char *)two + 2;
    assert_null(ib_checkpoint_f32(&there));
    there.data = two;
    there.stride[0] = 2;
    assert_null(ib_checkpoint_f32(&there));
    assert_null(ib_checkpoint_f32(ib_checkpoint_find(c, "h")));
    char hex[65];
    ib_sha256_memory(m.bytes, m.size, NULL, hex);
    assert_string_equal(ib_checkpoint_sha256(c), hex);
    assert_ptr_equal(ib_checkpoint_sha256(c), ib_checkpoint_sha256(c));
    ib_checkpoint_close(c);
    ib_checkpoint_close(NULL);
    free(m.bytes);
}

/* ---- files ---- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/isobath-safetensors-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a test leaves a file behind */
}

static const char *in_folder(const char *name)
{
    static char path[2][200];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void expect_open_refused(const char *path, isobath_status status, const char *part)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = (void *)1;
    assert_int_equal(ib_checkpoint_open(path, &diag, &c), status);
    assert_null(c);
    if (!strstr(diag.text, part)) fail_msg("'%s' lacks '%s'", diag.text, part);
    assert_null(strchr(diag.text, '\n'));
}

static void other_files(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *part;
    } cases[] = {
        {"", 0, "the file is empty, expected a checkpoint"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "a git-lfs pointer"},
        {"<!DOCTYPE html><html>", 21, "a web page"},
        {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15, "format from before 1.6"},
        {"GGUF\3\0\0\0\0", 9, "a GGUF file"},
        {"\x1f\x8b\x08\0\0\0\0\0\0", 9, "compressed with gzip"},
        {"hello, this is a text", 21, "neither .safetensors"},
        {"1234567", 7, "truncated"},
        {"PK\3\4", 4, "without its end record"},
    };
    const char *path = in_folder("other");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_bytes(path, cases[i].bytes, cases[i].size);
        expect_open_refused(path, ISOBATH_ERR_MODEL, cases[i].part);
    }
    unlink(path);
    expect_open_refused(path, ISOBATH_ERR_MODEL, "cannot open the checkpoint: No such file");
    expect_open_refused(folder, ISOBATH_ERR_IO, "not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_open_refused(path, ISOBATH_ERR_IO, "not a regular file");
    unlink(path);
}

static void whole_checkpoint(void **state)
{
    (void)state;
    const char *path = in_folder("tiny.safetensors");
    assert_int_equal(synth_checkpoint_write("tiny", 11, path), 0);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *c = NULL;
    assert_int_equal(ib_checkpoint_open(path, &diag, &c), ISOBATH_OK);
    synth_tensor *list = NULL;
    size_t n = synth_tensors(synth_config_find("tiny"), &list);
    assert_int_equal(ib_checkpoint_count(c), n);
    for (size_t i = 0; i < n; i++) {
        const ib_checkpoint_tensor *t = ib_checkpoint_find(c, list[i].name);
        assert_non_null(t);
        assert_ptr_equal(t, ib_checkpoint_at(c, i));
        assert_int_equal(t->rank, list[i].rank);
        assert_int_equal(t->count, list[i].count);
        float *want = malloc((size_t)t->count * 4), *got = malloc((size_t)t->count * 4);
        assert_true(want && got);
        synth_fill(&list[i], 11, 0, t->count, want);
        ib_checkpoint_read_f32(t, got);
        assert_memory_equal(got, want, (size_t)t->count * 4);
        free(want);
        free(got);
    }
    free(list);
    ib_checkpoint_close(c);
    unlink(path);
}

/* Converted to each dtype and back: what is written is what base/half.h says, and the file is sound. */
static void writes(void **state)
{
    (void)state;
    image m = make_image("{\"__metadata__\":{\"kind\":\"x\\\"y\",\"n\":\"\\u00e9\"},"
                         "\"w\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]},"
                         "\"s\":{\"dtype\":\"F16\",\"shape\":[1,3],\"data_offsets\":[20,26]}}",
                         26);
    const float w[5] = {1.0f, -0.1f, 3.14159274f, INFINITY, 1e-7f};
    const uint16_t s[3] = {0x3555, 0xfc00, 0x8001};
    memcpy(m.bytes + m.size - 26, w, 20);
    memcpy(m.bytes + m.size - 6, s, 6);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *source = NULL, *c = NULL;
    assert_int_equal(ib_safetensors_parse(m.bytes, m.size, "m", &diag, &source), ISOBATH_OK);
    for (int d = IB_F32; d <= IB_BF16; d++) {
        const char *path = in_folder("out.safetensors");
        assert_int_equal(ib_safetensors_write(path, source, (ib_dtype)d, &diag), ISOBATH_OK);
        assert_int_equal(ib_checkpoint_open(path, &diag, &c), ISOBATH_OK);
        assert_int_equal(ib_checkpoint_count(c), 2);
        assert_string_equal(ib_checkpoint_metadata(c, "kind"), "x\"y");
        assert_string_equal(ib_checkpoint_metadata(c, "n"), "\xc3\xa9");
        const ib_checkpoint_tensor *t = ib_checkpoint_find(c, "w");
        assert_int_equal(t->dtype, d);
        float got[5];
        ib_checkpoint_read_f32(t, got);
        for (int i = 0; i < 5; i++) {
            float want = d == IB_F16    ? ib_f16_to_f32(ib_f32_to_f16(w[i]))
                         : d == IB_BF16 ? ib_bf16_to_f32(ib_f32_to_bf16(w[i]))
                                        : w[i];
            assert_true(got[i] == want);
        }
        t = ib_checkpoint_find(c, "s");
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->dim[1], 3);
        ib_checkpoint_close(c);
        unlink(path);
    }
    assert_int_equal(ib_safetensors_write(in_folder("x"), source, IB_U8, &diag), ISOBATH_ERR_USAGE);
    ib_diag_reset(&diag);
    assert_int_equal(ib_safetensors_write(in_folder("none/x"), source, IB_F32, &diag), ISOBATH_ERR_IO);
    assert_true(strstr(diag.text, "none/x.") && strstr(diag.text, ": cannot create: No such file"));
    ib_checkpoint_close(source);
    free(m.bytes);
}

/* A value that a half cannot hold is an error, never an infinity; nothing is left behind (remove_folder). */
static void write_overflow(void **state)
{
    (void)state;
    image m = make_image("{" A "}", 8);
    const float w[2] = {1.0f, -65520.0f};
    memcpy(m.bytes + m.size - 8, w, 8);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *source = NULL;
    assert_int_equal(ib_safetensors_parse(m.bytes, m.size, "m", &diag, &source), ISOBATH_OK);
    assert_int_equal(ib_safetensors_write(in_folder("x"), source, IB_F16, &diag), ISOBATH_ERR_MODEL);
    assert_string_equal(diag.text, "m: tensor 'a' holds -65520, which f16 cannot hold");
    ib_checkpoint_close(source);
    free(m.bytes);
}

/* A write that the disk does not take is an error, leaves the earlier file alone, and nothing else behind (remove_folder). */
static void write_full_disk(void **state)
{
    (void)state;
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){16, was.rlim_max};
    image m = make_image("{" A "}", 8);
    ib_diag diag = IB_DIAG_INIT;
    ib_checkpoint *source = NULL;
    assert_int_equal(ib_safetensors_parse(m.bytes, m.size, "m", &diag, &source), ISOBATH_OK);
    const char *path = in_folder("x");
    write_bytes(path, "old", 3);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    isobath_status st = ib_safetensors_write(path, source, IB_F32, &diag);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(st, ISOBATH_ERR_IO);
    assert_non_null(strstr(diag.text, "write failed: File too large"));
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_size, 3);
    unlink(path);
    ib_checkpoint_close(source);
    free(m.bytes);
}

/* Tensors beyond 4 GiB: a sparse file with one value after a hole. */
static void beyond_4_gib(void **state)
{
    (void)state;
    const char *header = "{\"hole\":{\"dtype\":\"F32\",\"shape\":[1200000000],\"data_offsets\":[0,4800000000]},"
                         "\"after\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4800000000,4800000004]}} ";
    uint64_t n = strlen(header);
    const char *path = in_folder("big.safetensors");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    float value = 42.0f, got = 0;
    assert_int_equal(pwrite(fd, &n, 8, 0), 8);
    assert_int_equal(pwrite(fd, header, n, 8), n);
    int sparse = pwrite(fd, &value, 4, (off_t)(8 + n + 4800000000u)) == 4;
    close(fd);
    if (sparse) {
        ib_checkpoint *c = NULL;
        ib_diag diag = IB_DIAG_INIT;
        assert_int_equal(ib_checkpoint_open(path, &diag, &c), ISOBATH_OK);
        ib_checkpoint_read_f32(ib_checkpoint_find(c, "after"), &got);
        ib_checkpoint_close(c);
        assert_true(got == 42.0f);
    }
    unlink(path);
    if (!sparse) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_headers), cmocka_unit_test(damaged_files),  cmocka_unit_test(deep_json),
        cmocka_unit_test(reads_values),    cmocka_unit_test(other_files),    cmocka_unit_test(whole_checkpoint),
        cmocka_unit_test(writes),          cmocka_unit_test(write_overflow), cmocka_unit_test(write_full_disk),
        cmocka_unit_test(beyond_4_gib),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
