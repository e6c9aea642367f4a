/* Standard input: Y4M by its header, raw video by a description, containers that can be read without seeking. */
#include "media/media.h"
#include "media/yuv.h"
#include "media_helper.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct result {
    isobath_status status;
    char text[IB_DIAG_TEXT];
    ib_media_info info;
    int count;
    int64_t last_us;
    uint8_t rgb[30][64 * 48 * 3];
} result;
static result out;

static void read_input(const char *input, const ib_media_options *options)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(&out, 0, sizeof out);
    ib_media *m = NULL;
    out.status = ib_media_open(input, options, &diag, &m);
    if (m) out.info = *ib_media_get_info(m);
    for (int got = 1; out.status == ISOBATH_OK && got;) {
        ib_media_frame f;
        assert_true(out.count < 30 && out.info.width * out.info.height <= 64 * 48);
        out.status = ib_media_read(m, out.rgb[out.count], &f, &got);
        if (out.status == ISOBATH_OK && got) {
            out.last_us = f.pts_us;
            out.count++;
        }
    }
    snprintf(out.text, sizeof out.text, "%s", diag.text);
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

/* Puts `size` bytes into this process's standard input through a pipe, in odd pieces, and reads "-". */
static void read_pipe(const void *data, size_t size, const ib_media_options *options)
{
    int fd[2], old = dup(0);
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        signal(SIGPIPE, SIG_DFL);
        size_t piece = 1;
        for (size_t at = 0; at < size; at += piece, piece = piece * 3 % 4099 + 1) {
            size_t n = piece < size - at ? piece : size - at;
            if (write(fd[1], (const char *)data + at, n) != (ssize_t)n) _exit(1);
        }
        _exit(0);
    }
    close(fd[1]);
    dup2(fd[0], 0);
    close(fd[0]);
    read_input("-", options);
    dup2(old, 0);
    close(old);
    waitpid(child, NULL, 0);
}

static void read_file_piped(const char *path, const ib_media_options *options)
{
    size_t size;
    uint8_t *data = clip_read_file(path, &size);
    assert_non_null(data);
    read_pipe(data, size, options);
    free(data);
}

static void expect_error(isobath_status status, const char *part)
{
    assert_int_equal(out.status, status);
    if (!strstr(out.text, part)) fail_msg("\"%s\" does not say \"%s\"", out.text, part);
}

static void expect_yuv(int frames, int width, int height, int ssx, int ssy)
{
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, frames);
    assert_int_equal(out.info.width, width);
    assert_int_equal(out.info.frames_hint, -1);
    ib_yuv_coefficients k = ib_yuv_coefficients_for(IB_YUV_BT601, 0, 8);
    for (int f = 0; f < frames; f++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                uint8_t want[3];
                ib_yuv_pixel(&k, clip_yuv(f, x, y, 0), clip_yuv(f, x >> ssx, y >> ssy, 1),
                             clip_yuv(f, x >> ssx, y >> ssy, 2), want);
                assert_memory_equal(out.rgb[f] + (y * width + x) * 3, want, 3);
            }
}

static void test_y4m(void **state)
{
    (void)state;
    static const struct {
        const char *pix_fmt;
        int ssx, ssy;
    } cases[] = {{"yuv420p", 1, 1}, {"yuv422p", 1, 0}, {"yuv444p", 0, 0}};
    for (int i = 0; i < 3; i++) {
        clip c = {.encoder = "wrapped_avframe", .frames = 25, .width = 61, .height = 47, .pix_fmt = cases[i].pix_fmt};
        assert_int_equal(clip_write(path_of("a.y4m"), &c), 0);
        read_file_piped(path_of("a.y4m"), NULL);
        expect_yuv(25, 61, 47, cases[i].ssx, cases[i].ssy);
        assert_int_equal(out.last_us, 24 * 40000);
        assert_true(out.info.fps == 25);
    }
}

/* Cut in the middle of a frame: an error with repeat off; the whole frames with it. */
static void test_y4m_cut(void **state)
{
    (void)state;
    clip c = {.encoder = "wrapped_avframe", .frames = 10, .width = 32, .height = 32};
    assert_int_equal(clip_write(path_of("cut.y4m"), &c), 0);
    size_t size;
    uint8_t *data = clip_read_file(path_of("cut.y4m"), &size);
    read_pipe(data, size - 700, NULL);
    expect_error(ISOBATH_ERR_INPUT, "standard input");
    assert_int_equal(out.count, 9);
    data[size - 3 * 1542] = 'X'; /* a frame header that is none */
    read_pipe(data, size, NULL);
    expect_error(ISOBATH_ERR_INPUT, "standard input");
    assert_int_equal(out.count, 7);
    free(data);
}

static void test_raw(void **state)
{
    (void)state;
    enum { W = 20, H = 14, N = 6 };
    static uint8_t data[N][H][W][3];
    for (int f = 0; f < N; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int k = 0; k < 3; k++) data[f][y][x][k] = clip_rgb(f, x, y, k);
    read_pipe(data, sizeof data, &(ib_media_options){.raw_format = "20x14:rgb24:12.5"});
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, N);
    assert_int_equal(out.last_us, 5 * 80000);
    for (int f = 0; f < N; f++) assert_memory_equal(out.rgb[f], data[f], sizeof data[f]);
    read_pipe(data, sizeof data - 100, &(ib_media_options){.raw_format = "20x14:rgb24:30"});
    expect_error(ISOBATH_ERR_INPUT, "frame 5");
    assert_int_equal(out.count, 5);
    static const char *const bad[] = {
        "20x14", "20x14:rgb24", "0x14:rgb24:30", "20x14:nosuch:30", "20x14:rgb24:0", "20x14:rgb24:30x", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        read_pipe(data, 0, &(ib_media_options){.raw_format = bad[i]});
        expect_error(ISOBATH_ERR_USAGE, "raw video");
    }
    read_pipe(data, sizeof data, NULL); /* raw video without a description */
    expect_error(ISOBATH_ERR_INPUT, "standard input");
}

/* A container that streams: what other tools pipe into us. */
static void test_container(void **state)
{
    (void)state;
    clip c = {.encoder = "ffv1", .frames = 20, .width = 48, .height = 32};
    assert_int_equal(clip_write(path_of("a.mkv"), &c), 0);
    read_file_piped(path_of("a.mkv"), NULL);
    expect_yuv(20, 48, 32, 1, 1);
    clip ts = {.encoder = "mpeg2video", .frames = 20, .width = 48, .height = 32, .b_frames = 2, .format = "mpegts"};
    assert_int_equal(clip_write(path_of("a.ts"), &ts), 0);
    read_file_piped(path_of("a.ts"), NULL);
    if (out.status != ISOBATH_OK) fail_msg("%s", out.text);
    assert_int_equal(out.count, 20);
    assert_int_equal(out.last_us, 19 * 40000);
}

/* A named pipe and a URL of the same clip. A pipe is read once only, damage and all. */
static void test_fifo_and_url(void **state)
{
    (void)state;
    clip c = {.encoder = "png", .pix_fmt = "rgb24", .format = "nut", .frames = 12, .width = 40, .height = 30};
    assert_int_equal(clip_write(path_of("a.nut"), &c), 0);
    size_t size;
    uint8_t *data = clip_read_file(path_of("a.nut"), &size);
    data[size / 2] ^= 0x55; /* somewhere in a picture */
    clip_write_file(path_of("a.nut"), data, size);
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    pid_t child = fork();
    if (child == 0) {
        FILE *f = fopen(path_of("fifo"), "wb");
        _exit(f && fwrite(data, 1, size, f) == size && fclose(f) == 0 ? 0 : 1);
    }
    ib_media_options o = {.threads = 4, .on_error = IB_ON_ERROR_REPEAT};
    read_input(path_of("fifo"), &o);
    waitpid(child, NULL, 0);
    assert_int_equal(out.status, ISOBATH_OK);
    int count = out.count;
    assert_true(count >= 11 && count <= 12);
    char url[300];
    snprintf(url, sizeof url, "file:%s", path_of("a.nut"));
    read_input(url, &o);
    assert_int_equal(out.status, ISOBATH_OK);
    assert_int_equal(out.count, count);
    free(data);
}

static void test_nothing(void **state)
{
    (void)state;
    read_pipe("", 0, NULL);
    expect_error(ISOBATH_ERR_INPUT, "standard input");
    read_pipe("YUV4MPEG2 W0 H0\nFRAME\n", 22, NULL);
    assert_int_equal(out.status, ISOBATH_ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_y4m),          cmocka_unit_test(test_y4m_cut),
                                       cmocka_unit_test(test_raw),          cmocka_unit_test(test_container),
                                       cmocka_unit_test(test_fifo_and_url), cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
