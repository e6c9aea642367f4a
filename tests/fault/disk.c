/* Disks that fail, and kills at every change of a file: the k-th write, rename, fsync, truncation, removal or mkdir of a short run
 * (all formats, whole: rendering, finishing passes, manifest, cleaning up) is made to fail or to be the last one (shim.h), for each k. Then:
 * a status and one line, nothing half-written in sight, and --resume gives the bytes of an undisturbed run.
 *
 * The ordinary test takes a sample of all k; ISOBATH_FAULT_ALL=K/M takes every k with k mod M = K (0/1: all). */
#include "session.h"
#include "shim.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLES 5 /* of k, for each mode */
#define FRAMES 50

static const char *const results[] = {"clip_depths_png16", "clip_depths.npz", "clip_depths_exr", "clip_depths.mkv", "clip_vis.mp4",
                                      "clip_src.mp4", "clip_isobath.json"};
enum { RESULTS = sizeof results / sizeof *results };

static shim_arm_function *arm;
static shim_count_function *count;
static char want[RESULTS][65];
static int tried, killed, failed, harmless;

typedef struct outcome {
    int killed;
    isobath_status status;
    long changes;
    int struck;
    char text[768];
} outcome;

static void digest(e2e *e, const char *out, char hex[RESULTS][65])
{
    for (int i = 0; i < RESULTS; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s/%s", out, results[i]);
        e2e_digest(e2e_path(e, name), hex[i]);
    }
}

/* One run with --resume in a process of its own, which the shim may kill. */
static outcome run(e2e *e, const char *out, shim_mode mode, long k)
{
    int fd[2];
    outcome o = {0};
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        isobath_run_options options = e2e_options(e, "d.mkv", out);
        options.formats = "png16,npz,exr,ffv1,preview,src";
        options.resume = 1;
        arm(e2e_path(e, out), mode, k); /* whole: the name of the test's own folder is random */
        o.status = e2e_run(e, &options);
        o.changes = count(&o.struck);
        arm("", SHIM_OFF, 0);
        memcpy(o.text, e->error, sizeof o.text - 1);
        _exit(write(fd[1], &o, sizeof o) == sizeof o ? 0 : 1);
    }
    close(fd[1]);
    ssize_t n = read(fd[0], &o, sizeof o);
    close(fd[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    o.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!o.killed && (n != sizeof o || !WIFEXITED(status) || WEXITSTATUS(status))) fail_msg("the process ended with status %#x", (unsigned)status);
    return o;
}

/* `whole`: nothing of the run's own is left; a disk that fails at the very end may leave the file of the lock, say. */
static void expect_result(e2e *e, const char *out, const char *what, int whole)
{
    char got[RESULTS][65];
    digest(e, out, got);
    for (int i = 0; i < RESULTS; i++)
        if (strcmp(got[i], want[i])) fail_msg("%s: %s has other bytes", what, results[i]);
    static const char *const leftovers[] = {".lock", ".journal", ".part", "_segments", "_spool", "_state", ".tmp"};
    for (size_t i = 0; whole && i < sizeof leftovers / sizeof *leftovers; i++)
        if (e2e_count_files(e2e_path(e, out), leftovers[i])) fail_msg("%s: a file *%s is left", what, leftovers[i]);
}

static void strike(e2e *e, const char *name, shim_mode mode, long k)
{
    char what[96], command[1200];
    snprintf(what, sizeof what, "%s at change %ld", name, k);
    outcome o = run(e, "o", mode, k);
    tried++;
    killed += o.killed;
    if (!o.killed && o.status == ISOBATH_OK) {
        harmless++; /* a file that the run can do without, or the run was over before */
        expect_result(e, "o", what, !o.struck);
    } else if (!o.killed) {
        failed++;
        if (o.status != ISOBATH_ERR_IO || strchr(o.text, '\n') || !strstr(o.text, "/o")) fail_msg("%s: status %d: %s", what, o.status, o.text);
    }
    o = run(e, "o", SHIM_OFF, 0);
    if (o.killed || o.status != ISOBATH_OK) fail_msg("%s, then --resume: %s", what, o.text);
    expect_result(e, "o", what, 1);
    snprintf(command, sizeof command, "rm -rf '%s'", e2e_path(e, "o"));
    assert_int_equal(system(command), 0);
}

/* Every k, or a sample. */
static int is_chosen(long k, long changes)
{
    int part = 0, parts = 1;
    const char *all = getenv("ISOBATH_FAULT_ALL");
    if (all && sscanf(all, "%d/%d", &part, &parts) == 2 && parts > 0) return k % parts == part;
    return k * SAMPLES / changes != (k + 1) * SAMPLES / changes;
}

static void every_change(void **state)
{
    e2e *e = *state;
    e2e_clip(e, "d.mkv", FRAMES, 0);
    outcome o = run(e, "ref", SHIM_OFF, 0);
    if (o.status != ISOBATH_OK) fail_msg("%s", o.text);
    digest(e, "ref", want);
    o = run(e, "o", SHIM_EIO, 1000000); /* counts */
    assert_int_equal(o.status, ISOBATH_OK);
    expect_result(e, "o", "nothing", 1);
    long changes = o.changes;
    char command[1200];
    snprintf(command, sizeof command, "rm -rf '%s'", e2e_path(e, "o"));
    assert_int_equal(system(command), 0);
    static const char *const names[] = {"kill", "kill after", "torn write", "EIO", "ENOSPC", "EROFS"};
    for (int m = 0; m < 6; m++)
        for (long k = 0; k < changes; k++)
            if (is_chosen(k, changes)) strike(e, names[m], (shim_mode)(SHIM_KILL + m), k);
    print_message("%d disturbed runs of %ld changes each, and a resume of each: %d killed, %d failed with a line, %d did without\n", tried,
                  changes, killed, failed, harmless);
    assert_true(killed > 0 && failed > 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    arm = (shim_arm_function *)dlsym(RTLD_DEFAULT, "fault_shim_arm");
    count = (shim_count_function *)dlsym(RTLD_DEFAULT, "fault_shim_count");
    if (!arm && !getenv("LD_PRELOAD")) {
        setenv("LD_PRELOAD", FAULT_SHIM, 1);
        const char *asan = getenv("ASAN_OPTIONS");
        char options[512];
        snprintf(options, sizeof options, "%s%sverify_asan_link_order=0", asan ? asan : "", asan ? ":" : "");
        setenv("ASAN_OPTIONS", options, 1);
        execv("/proc/self/exe", argv);
    }
    if (!arm || !count) {
        fprintf(stderr, "fault: %s could not be put in front of the C library\n", FAULT_SHIM);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_change)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
