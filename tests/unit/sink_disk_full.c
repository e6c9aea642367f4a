/* A full disk: one clear line with the path, nothing half-written. A small tmpfs where it can be mounted (in a mount
 * namespace of our own), else a limit on the file size. */
#include "sink_helper.h"

#include "sink/npy_stream.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

enum { W = 160, H = 120 };

static char *full_folder; /* where writing fails after about 256 KiB */
static int mounted;

static int setup(void **state)
{
    (void)state;
    full_folder = scratch_folder();
    mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("tmpfs", full_folder, "tmpfs", 0, "size=256k") == 0;
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (mounted) umount(full_folder);
    remove_folder(full_folder);
    return 0;
}

static void limit_files(int on, rlim_t size)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = on ? size : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void check_format(const char *format, const char *path_part)
{
    ib_sink_config config = test_config(full_folder, W, H);
    config.npz_level = 0;
    ib_diag diag = IB_DIAG_INIT;
    /* without a small disk: a limit below one file's size */
    if (!mounted) limit_files(1, strcmp(format, "npz") == 0 || strcmp(format, "ffv1") == 0 ? 100000 : 2000);
    isobath_status st = run_sink(format, &config, 60, 2, &diag, NULL);
    limit_files(0, 0);
    assert_int_equal(st, ISOBATH_ERR_IO);
    assert_non_null(strstr(diag.text, path_part));
    assert_non_null(strstr(diag.text, mounted ? strerror(ENOSPC) : strerror(EFBIG)));
    assert_null(strchr(diag.text, '\n'));
    assert_int_equal(count_files(full_folder, ".tmp"), 0);
    assert_int_equal(count_files(full_folder, ".npz"), 0);
    assert_int_equal(count_files(full_folder, ".mp4"), 0);
    assert_int_equal(count_files(full_folder, ".mkv"), 0);
    assert_int_equal(count_files(full_folder, "depth.json"), 0);
    assert_int_equal(count_files(full_folder, "_spool"), 0);
    if (strcmp(format, "png16") == 0) { /* the frames that are there are whole */
        char *command = ib_text("%s/clip_depths_png16", full_folder);
        nftw(command, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(command);
    }
}

static void png16_disk_full(void **state)
{
    (void)state;
    check_format("png16", "clip_depths_png16/frame_");
}

static void npz_disk_full(void **state)
{
    (void)state;
    check_format("npz", "clip_depths.npz");
}

static void preview_disk_full(void **state)
{
    (void)state;
    check_format("preview", "clip_vis");
}

static void folder_that_is_missing(void **state)
{
    (void)state;
    static const char *const names[] = {"png16", "npz", "preview"};
    for (int i = 0; i < 3; i++) {
        ib_sink_config config = test_config("/nonexistent/folder", W, H);
        ib_diag diag = IB_DIAG_INIT;
        ib_sink *sink;
        assert_int_equal(ib_sink_format_find(names[i])->open(&config, &diag, &sink), ISOBATH_ERR_IO);
        assert_null(sink);
        assert_non_null(strstr(diag.text, "/nonexistent/folder"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png16_disk_full),
        cmocka_unit_test(npz_disk_full),
        cmocka_unit_test(preview_disk_full),
        cmocka_unit_test(folder_that_is_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
