/* The npz sink and the array reader: what goes in comes out, bytes do not depend on threads, bad files are one line. */
#include "sink_helper.h"

#include "base/half.h"
#include "depthio/depth_reader.h"
#include "sink/zip_writer.h"

#include <fcntl.h>

enum { W = 61, H = 37, N = 20 };

static char *npz_path(const char *folder) { return ib_text("%s/clip_depths.npz", folder); }

static void check_contents(const char *path, int half, ib_depth_kind kind)
{
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_OK);
    const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
    assert_int_equal(info->frames, N);
    assert_int_equal(info->width, W);
    assert_int_equal(info->height, H);
    assert_true(info->kind_known && info->kind == kind);
    assert_true(info->has_times);
    float back[W * H];
    static const int order[] = {0, 1, 2, 19, 7, 6, 18}; /* going back in a deflated member starts over */
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        int i = order[k];
        ib_depth_frame *f = make_frame(i, W, H, test_max(i));
        assert_int_equal(ib_depth_reader_read(reader, i, back), ISOBATH_OK);
        for (int p = 0; p < W * H && half; p++) f->depth[p] = ib_f16_to_f32(ib_f32_to_f16(f->depth[p]));
        assert_memory_equal(back, f->depth, sizeof back);
        assert_int_equal(ib_depth_reader_time_us(reader, i), f->pts_us);
        ib_depth_frame_unref(f);
    }
    assert_int_equal(ib_depth_reader_read(reader, N, back), ISOBATH_ERR_INPUT);
    ib_depth_reader_close(reader);
}

static void round_trip_and_same_bytes(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++)
        for (int level = -1; level <= 3; level++) {
            char *first = scratch_folder(), *a = npz_path(first);
            for (int threads = 1; threads <= 4; threads++) {
                char *folder = threads == 1 ? first : scratch_folder(), *b = npz_path(folder);
                ib_sink_config config = test_config(folder, W, H);
                config.threads = threads;
                config.npz_half = half;
                config.npz_level = level;
                config.queue_bytes = threads == 3 ? 1 : 0;
                config.kind = half ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
                assert_int_equal(run_sink("npz", &config, N, threads == 2 ? 1 : 2, NULL, NULL), ISOBATH_OK);
                assert_int_equal(count_files(folder, ".tmp"), 0);
                assert_same_file(a, b);
                if (threads == 1) check_contents(b, half, config.kind);
                if (threads > 1) remove_folder(folder);
                free(b);
            }
            free(a);
            remove_folder(first);
        }
}

/* Frames larger than the block size, so that a frame is several deflate blocks. */
static void large_frames(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = npz_path(folder);
    ib_sink_config config = test_config(folder, 700, 500);
    assert_int_equal(run_sink("npz", &config, 3, 2, NULL, NULL), ISOBATH_OK);
    ib_depth_reader *reader;
    assert_int_equal(ib_depth_reader_open(path, NULL, &reader), ISOBATH_OK);
    float *back = malloc(700 * 500 * sizeof *back);
    for (int i = 2; i >= 0; i--) {
        ib_depth_frame *f = make_frame(i, 700, 500, test_max(i));
        assert_int_equal(ib_depth_reader_read(reader, i, back), ISOBATH_OK);
        assert_memory_equal(back, f->depth, 700 * 500 * sizeof *back);
        ib_depth_frame_unref(f);
    }
    free(back);
    ib_depth_reader_close(reader);
    free(path);
    remove_folder(folder);
}

static void empty_video(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = npz_path(folder);
    ib_sink_config config = test_config(folder, W, H);
    assert_int_equal(run_sink("npz", &config, 0, 2, NULL, NULL), ISOBATH_OK);
    ib_depth_reader *reader;
    assert_int_equal(ib_depth_reader_open(path, NULL, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_get_info(reader)->frames, 0);
    ib_depth_reader_close(reader);
    free(path);
    remove_folder(folder);
}

/* A member beyond 4 GiB: a sparse file stands for the big one. */
static void zip64_offsets(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = npz_path(folder);
    char *tmp = ib_text("%s.tmp", path);
    ib_out_file *file;
    ib_zip_writer *zip;
    assert_int_equal(ib_out_file_open(path, NULL, &file), ISOBATH_OK);
    assert_int_equal(ib_zip_writer_create(file, NULL, &zip), ISOBATH_OK);
    char header[128];
    memset(header, ' ', sizeof header);
    int64_t frames = 1100, side = 1024; /* 4.6 GB of zeros */
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    int n = sprintf(header + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", (int)frames,
                    (int)side, (int)side);
    header[10 + n] = ' ';
    header[127] = '\n';
    assert_int_equal(ib_zip_begin(zip, "depths.npy", 0, 64), ISOBATH_OK);
    assert_int_equal(ib_zip_write(zip, header, 128), ISOBATH_OK);
    int64_t bytes = frames * side * side * 4;
    float last = 42;
    int64_t start = ib_zip_data_offset(zip);
    /* the hole: a patch far behind the end, then the writer is told by writing the last value */
    assert_int_equal(ib_out_file_skip(file, bytes - 4), ISOBATH_OK);
    assert_int_equal(ib_zip_write(zip, &last, 4), ISOBATH_OK);
    assert_int_equal(start % 64, 0);
    assert_int_equal(ib_zip_end(zip, 0, 128 + bytes), ISOBATH_OK);
    assert_int_equal(ib_zip_begin(zip, "small.npy", 0, 1), ISOBATH_OK);
    assert_int_equal(ib_zip_write(zip, header, 128), ISOBATH_OK);
    assert_int_equal(ib_zip_end(zip, 0, 128), ISOBATH_OK);
    assert_int_equal(ib_zip_finish(zip), ISOBATH_OK);
    ib_zip_writer_destroy(zip);
    assert_int_equal(ib_out_file_commit(file, 0), ISOBATH_OK);
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_OK);
    assert_int_equal(ib_depth_reader_get_info(reader)->frames, frames);
    float *back = malloc((size_t)(side * side) * sizeof *back);
    assert_int_equal(ib_depth_reader_read(reader, frames - 1, back), ISOBATH_OK);
    assert_true(back[side * side - 1] == 42 && back[0] == 0);
    free(back);
    ib_depth_reader_close(reader);
    free(tmp);
    free(path);
    remove_folder(folder);
}

/* Every truncation of a good archive is refused with one line, and so is a flipped byte that matters. */
static void damaged_archives(void **state)
{
    (void)state;
    char *folder = scratch_folder(), *path = npz_path(folder);
    ib_sink_config config = test_config(folder, 8, 6);
    assert_int_equal(run_sink("npz", &config, 3, 2, NULL, NULL), ISOBATH_OK);
    uint8_t *data;
    size_t size;
    assert_int_equal(ib_read_file(path, 1 << 20, NULL, &data, &size), ISOBATH_OK);
    float back[8 * 6];
    for (size_t cut = 0; cut < size; cut++) {
        ib_diag diag = IB_DIAG_INIT;
        ib_depth_reader *reader;
        assert_int_equal(ib_write_file(path, data, cut, 0, NULL), ISOBATH_OK);
        assert_int_equal(ib_depth_reader_open(path, &diag, &reader), ISOBATH_ERR_INPUT);
        assert_null(reader);
        assert_non_null(strstr(diag.text, "clip_depths.npz"));
    }
    int refused = 0;
    for (size_t i = 0; i < size; i++) { /* must not crash; most flips of data are found only by `check` */
        ib_depth_reader *reader;
        data[i] ^= 0x41;
        assert_int_equal(ib_write_file(path, data, size, 0, NULL), ISOBATH_OK);
        data[i] ^= 0x41;
        if (ib_depth_reader_open(path, NULL, &reader) != ISOBATH_OK) {
            refused++;
            continue;
        }
        if (ib_depth_reader_get_info(reader)->width == 8 && ib_depth_reader_get_info(reader)->height == 6)
            ib_depth_reader_read(reader, 0, back);
        ib_depth_reader_close(reader);
    }
    assert_true(refused > 100);
    free(data);
    free(path);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_and_same_bytes),
        cmocka_unit_test(large_frames),
        cmocka_unit_test(empty_video),
        cmocka_unit_test(zip64_offsets),
        cmocka_unit_test(damaged_archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
