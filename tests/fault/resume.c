/* Runs that are killed and go on: at random instants, as the command, until they are done; and what --resume must refuse, survive
 * and say. ISOBATH_FAULT_KILLS=N sets the number of kills (30; 10 under a sanitizer), ISOBATH_FAULT_SEED=S their instants. */
#include "session.h"

#include "support/synth.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef QUICK
#define KILLS 10
#else
#define KILLS 30
#endif

static const char *const results[] = {"clip_depths_png16", "clip_depths.npz", "clip_depths_exr", "clip_depths.mkv", "clip_vis.mp4",
                                      "clip_src.mp4", "clip_isobath.json"};
enum { RESULTS = sizeof results / sizeof *results };

static void remove_folder(e2e *e, const char *name)
{
    char command[1200];
    snprintf(command, sizeof command, "rm -rf '%s'", e2e_path(e, name));
    assert_int_equal(system(command), 0);
}

static int exists(e2e *e, const char *folder, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(e2e_path(e, path), F_OK) == 0;
}

/* All results that are in `want` are in `got`, byte for byte. */
static void expect_same(e2e *e, const char *want, const char *got, const char *what)
{
    for (int i = 0; i < RESULTS; i++) {
        char a[65], b[65], path[256];
        if (!exists(e, want, results[i])) continue;
        snprintf(path, sizeof path, "%s/%s", want, results[i]);
        e2e_digest(e2e_path(e, path), a);
        if (!exists(e, got, results[i])) fail_msg("%s: %s is missing", what, results[i]);
        snprintf(path, sizeof path, "%s/%s", got, results[i]);
        e2e_digest(e2e_path(e, path), b);
        if (strcmp(a, b)) fail_msg("%s: %s has other bytes", what, results[i]);
    }
    assert_false(exists(e, got, "clip_isobath.journal"));
}

/* ---- the command, killed ---- */

static int run_number;

/* Starts `isobath run` with --resume; `more` holds further arguments, ended by NULL. */
static pid_t start(e2e *e, const char *input, const char *out, const char *const *more)
{
    const char *args[40] = {ISOBATH_BINARY, "run", e2e_path(e, input), "-o", e2e_path(e, out), "--name", "clip", "--model", e->model,
                            "--input-size", "28", "--threads", "2", "--quiet", "--resume"};
    int n = 15, cards = 0;
    for (; *more; more++) {
        if (strcmp(*more, "@cards") == 0) cards = 1; /* `null` devices are dealt with as cards are, and each frame has values of its own */
        else args[n++] = strcmp(*more, "@v2") == 0 ? e2e_path(e, "v2.safetensors") : *more;
    }
    run_number++;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    if (cards) setenv("ISOBATH_WORKER_TEST", "card_us=30000", 1);
    setenv("MALLOC_PERTURB_", run_number % 2 ? "165" : "0", 1); /* nothing may depend on what memory held */
    if (!freopen("/dev/null", "w", stdout) || !freopen(e2e_path(e, "stderr"), "w", stderr)) _exit(100);
    execv(args[0], (char *const *)(uintptr_t)args);
    _exit(101);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Waits until the process ends or the time is over, then kills it. 1: it was killed; else it must have succeeded. */
static int let_run(e2e *e, pid_t pid, double seconds)
{
    int status;
    double end = now_s() + seconds;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_s() < end) {
            usleep(500);
            continue;
        }
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        break;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return 1;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        size_t size;
        uint8_t *text = clip_read_file(e2e_path(e, "stderr"), &size);
        fail_msg("ended with status %#x: %.*s", (unsigned)status, (int)size, text ? (const char *)text : "");
    }
    return 0;
}

static void killed_at_random_instants(void **state)
{
    e2e *e = *state;
    static const char *const cases[][10] = {
        {"--format", "png16,npz,exr,ffv1,preview,src", "--devices", "cpu", "--cuts", "auto"},
        {"--format", "png16,npz", "--devices", "cpu,cpu"},
        {"--format", "preview,ffv1", "--devices", "null", "--metric", "--side-by-side"},
        {"--format", "npz,ply", "--devices", "cpu", "--metric", "--npz-level", "0"},
        {"--format", "npz,exr", "--devices", "cpu", "--model", "@v2", "--stabilize", "0.5"},
        {"--format", "png16", "--devices", "null,null,null", "--segment-windows", "1", "@cards"}, /* packed where frames are rendered */
    };
    enum { CASES = sizeof cases / sizeof *cases };
    const char *wanted = getenv("ISOBATH_FAULT_KILLS"), *seed = getenv("ISOBATH_FAULT_SEED");
    int kills = wanted ? atoi(wanted) : KILLS, killed = 0, runs = 0, left = 0;
    unsigned short random[3] = {0x1234, 0x5678, (unsigned short)(seed ? atoi(seed) : (int)time(NULL))};
    print_message("ISOBATH_FAULT_SEED=%d\n", random[2]);
    e2e_clip(e, "k.mkv", 110, 1);
    for (int c = 0; c < CASES; c++) {
        double begin = now_s(), longest;
        remove_folder(e, "want");
        assert_int_equal(let_run(e, start(e, "k.mkv", "want", cases[c]), 600), 0);
        longest = 1.2 * (now_s() - begin);
        for (left = kills / CASES + (c < kills % CASES); left > 0;) {
            remove_folder(e, "got");
            for (int done = 0; !done;) {
                runs++;
                done = !let_run(e, start(e, "k.mkv", "got", cases[c]), left > 0 ? longest * erand48(random) : 600);
                killed += !done;
                left -= !done;
            }
            expect_same(e, "want", "got", cases[c][1]);
        }
    }
    print_message("%d runs were killed, %d went on to the end with the same bytes\n", killed, runs - killed);
    assert_true(killed >= kills);
}

/* ---- one process: a run that is stopped after some frames ---- */

static isobath_run_options options(e2e *e, const char *out)
{
    static char input[512], output[512]; /* one run at a time: e2e_path's own buffers go round */
    isobath_run_options o = e2e_options(e, "s.mkv", out);
    snprintf(input, sizeof input, "%s", o.input);
    snprintf(output, sizeof output, "%s", o.output);
    o.input = input;
    o.output = output;
    o.input_size = 70; /* slow enough to be stopped */
    o.resume = 1;
    return o;
}

/* out/ holds an unfinished result of more than 20 frames. */
static void leave_unfinished(e2e *e, const char *out)
{
    int can_resume;
    isobath_run_options o = options(e, out);
    remove_folder(e, out);
    if (e2e_run_until(e, &o, 25, 1, &can_resume) != ISOBATH_ERR_INTERRUPTED) fail_msg("was not stopped: %s", e->error);
    assert_int_equal(can_resume, 1);
    assert_true(exists(e, out, "clip_isobath.journal"));
    assert_false(exists(e, out, "clip_isobath.json"));
}

static void expect_refused(e2e *e, const isobath_run_options *o, const char *text)
{
    isobath_status st = e2e_run(e, o);
    if (st != ISOBATH_ERR_EXISTS || !strstr(e->error, text) || strchr(e->error, '\n')) fail_msg("expected \"%s\"; got %d: %s", text, st, e->error);
}

static void nothing_unfinished_finished(void **state)
{
    e2e *e = *state;
    isobath_run_options o = options(e, "want");
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK); /* nothing there: it begins */
    char before[65], after[65];
    e2e_digest(e2e_path(e, "want"), before);
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error); /* finished: it verifies */
    e2e_digest(e2e_path(e, "want"), after);
    assert_string_equal(before, after);
    leave_unfinished(e, "u");
    o = options(e, "u");
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    expect_same(e, "want", "u", "stopped once");
    /* verifying looks at the bytes */
    size_t size;
    uint8_t *npz = clip_read_file(e2e_path(e, "u/clip_depths.npz"), &size);
    npz[size / 2] ^= 1;
    assert_int_equal(clip_write_file(e2e_path(e, "u/clip_depths.npz"), npz, size), 0);
    free(npz);
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(e->error, "clip_depths.npz"));
}

static void keep_note(void *ctx, const char *text) { snprintf(ctx, 1024, "%s", text); }

static void what_changed_is_told(void **state)
{
    e2e *e = *state;
    char model[600];
    leave_unfinished(e, "r");
    isobath_run_options o = options(e, "r");
    o.resume = 0;
    expect_refused(e, &o, "unfinished result of clip is there");
    expect_refused(e, &o, "--resume goes on");
    o.resume = 1;
    o.max_frames = 100;
    expect_refused(e, &o, "options.max_frames is 100, was 0");
    o = options(e, "r");
    o.formats = "png16,npz,exr";
    expect_refused(e, &o, "options.formats is \"png16,npz,exr\", was \"png16,npz\"");
    o = options(e, "r");
    o.precision = "bf16";
    isobath_session *s;
    if (isobath_session_create(&o, &s) == ISOBATH_OK) expect_refused(e, &o, "kind is ");
    isobath_session_destroy(s);
    o = options(e, "r");
    snprintf(model, sizeof model, "%s/other.safetensors", e->dir);
    char command[2400];
    snprintf(command, sizeof command, "cp '%s' '%s' && printf x | dd of='%s' bs=1 seek=100000 conv=notrunc 2> /dev/null", e->model, model, model);
    assert_int_equal(system(command), 0);
    o.model = model;
    expect_refused(e, &o, "model_sha256 is ");
    o = options(e, "r");
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct stat sb;
    assert_int_equal(stat(o.input, &sb), 0);
    assert_int_equal(utimensat(AT_FDCWD, o.input, times, 0), 0);
    char told[1024] = "";
    o.note = keep_note;
    o.note_ctx = told;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    assert_non_null(strstr(told, "was copied or touched since, its content is the same (SHA-256): going on"));
    expect_same(e, "want", "r", "after refusals, with another time of the input");
    times[0] = times[1] = sb.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, o.input, times, 0), 0);
    o = options(e, "r");
    o.overwrite = 1;
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_USAGE);
    leave_unfinished(e, "r");
    o = options(e, "r");
    o.overwrite = 1;
    o.resume = 0;
    o.formats = "npz";
    assert_int_equal(e2e_run(e, &o), ISOBATH_OK);
    assert_false(exists(e, "r", ".clip_depths.npz.part"));
}

/* Images, of which only names, sizes and times are looked at until a time is another: then their content decides. */
static void touched_images(void **state)
{
    e2e *e = *state;
    clip c = {.frames = 60, .width = 64, .height = 48, .pix_fmt = "rgb24"};
    char folder[512], path[640], told[1024] = "";
    snprintf(folder, sizeof folder, "%s", e2e_path(e, "images"));
    assert_int_equal(mkdir(folder, 0777), 0);
    for (int i = 0; i < c.frames; i++) {
        snprintf(path, sizeof path, "%s/%03d.ppm", folder, i);
        assert_int_equal(clip_write_image(path, &c, i), 0);
    }
    int can_resume;
    isobath_run_options o = options(e, "t");
    o.input = folder;
    if (e2e_run_until(e, &o, 25, 1, &can_resume) != ISOBATH_ERR_INTERRUPTED) fail_msg("was not stopped: %s", e->error);
    size_t size;
    snprintf(path, sizeof path, "%s/030.ppm", folder);
    uint8_t *bytes = clip_read_file(path, &size);
    assert_non_null(bytes);
    bytes[size / 2] ^= 1;
    assert_int_equal(clip_write_file(path, bytes, size), 0);
    expect_refused(e, &o, "input.sha256 is \"");
    bytes[size / 2] ^= 1;
    assert_int_equal(clip_write_file(path, bytes, size), 0);
    free(bytes);
    o.note = keep_note;
    o.note_ctx = told;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    assert_non_null(strstr(told, "images: was copied or touched since, its content is the same (SHA-256): going on"));
    o = options(e, "t_want");
    o.input = folder;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    expect_same(e, "t_want", "t", "after its images were touched");
}

/* A torn end, and damage anywhere: at worst something is done again. */
static void damaged_journals(void **state)
{
    e2e *e = *state;
    leave_unfinished(e, "j");
    size_t size;
    uint8_t *journal = clip_read_file(e2e_path(e, "j/clip_isobath.journal"), &size);
    char command[1200];
    int tried = 0;
    assert_non_null(journal);
    for (int i = 0; i < 8; i++) {
        remove_folder(e, "j2");
        snprintf(command, sizeof command, "cp -a '%s' '%s'", e2e_path(e, "j"), e2e_path(e, "j2"));
        assert_int_equal(system(command), 0);
        size_t n = i < 4 ? size - (size_t)i * size / 5 - 1 : size; /* torn; then a flipped bit */
        uint8_t *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, journal, size);
        if (i >= 4) copy[(size_t)(i - 4) * size / 4 + 5] ^= 16;
        assert_int_equal(clip_write_file(e2e_path(e, "j2/clip_isobath.journal"), copy, n), 0);
        free(copy);
        isobath_run_options o = options(e, "j2");
        if (i == 4) { /* nothing can be said of it: it is not taken for nothing */
            assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_INPUT);
            assert_non_null(strstr(e->error, "not a journal of this version (--overwrite begins again)"));
            o.resume = 0;
            o.overwrite = 1;
        }
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("damage %d: %s", i, e->error);
        expect_same(e, "want", "j2", "a damaged journal");
        tried++;
    }
    free(journal);
    print_message("%d damaged journals\n", tried);
}

static void one_run_at_a_time(void **state)
{
    e2e *e = *state;
    remove_folder(e, "l");
    isobath_run_options o = options(e, "l");
    isobath_session *first;
    assert_int_equal(isobath_session_create(&o, &first), ISOBATH_OK);
    o.overwrite = 1; /* for the last run */
    const char *more[] = {"--input-size", "140", "--format", "png16,npz", "--devices", "cpu", NULL}; /* holds it for a while */
    pid_t pid = start(e, "s.mkv", "l", more);
    for (int i = 0; i < 5000 && !exists(e, "l", "clip_isobath.journal"); i++) usleep(2000);
    assert_int_equal(kill(pid, SIGSTOP), 0); /* it keeps the lock for as long as the other one needs to meet it */
    assert_int_equal(isobath_session_run(first), ISOBATH_ERR_EXISTS);
    const char *text = isobath_session_error(first);
    if (!strstr(text, "another run is writing this result (process ") || strchr(text, '\n')) fail_msg("%s", text);
    isobath_session_destroy(first);
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status)); /* it was still at work */
    o.overwrite = 1;
    o.resume = 0;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("after the first one was killed: %s", e->error);
    expect_same(e, "want", "l", "after a kill");
}

/* The first cancel lets windows in flight finish, the second does not; either way the journal goes on. */
static void cancelled_twice(void **state)
{
    e2e *e = *state;
    for (int calls = 1; calls <= 2; calls++) {
        isobath_run_options o = options(e, "c");
        remove_folder(e, "c");
        assert_int_equal(e2e_run_until(e, &o, 30, calls, NULL), ISOBATH_ERR_INTERRUPTED);
        if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
        expect_same(e, "want", "c", calls == 1 ? "cancelled" : "cancelled twice");
    }
}

/* What cannot be read or written: one line, and the run goes on when it can. */
static void folders_and_inputs(void **state)
{
    e2e *e = *state;
    leave_unfinished(e, "f");
    isobath_run_options o = options(e, "f");
    char away[600], command[1200];
    snprintf(away, sizeof away, "%s.away", o.input);
    assert_int_equal(rename(o.input, away), 0);
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(e->error, "s.mkv"));
    assert_int_equal(rename(away, o.input), 0);
    if (getuid() != 0) { /* root writes everywhere */
        snprintf(command, sizeof command, "chmod 555 '%s'", o.output);
        assert_int_equal(system(command), 0);
        assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_IO);
        snprintf(command, sizeof command, "chmod 755 '%s'", o.output);
        assert_int_equal(system(command), 0);
    }
    remove(e2e_path(e, "f/clip_depths_png16/frame_00003.png"));
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_IO);
    assert_non_null(strstr(e->error, "frame_00003.png: is missing since the run was stopped"));
    o.overwrite = 1;
    o.resume = 0;
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    expect_same(e, "want", "f", "begun again");
}

static char filler[600];

typedef struct disk_filler {
    isobath_session *session;
    int64_t frames;
    int over;
} disk_filler;

/* Fills the disk when the run has begun to write. */
static void *fill_disk(void *arg)
{
    static char block[65536];
    disk_filler *s = arg;
    isobath_progress p;
    do {
        isobath_session_progress(s->session, &p);
        usleep(200);
    } while (p.frames_done < s->frames && !__atomic_load_n(&s->over, __ATOMIC_RELAXED));
    FILE *f = fopen(filler, "w");
    setvbuf(f, NULL, _IONBF, 0);
    while (fwrite(block, 1, sizeof block, f) == sizeof block) {
    }
    fclose(f);
    return NULL;
}

/* A small disk, mounted for this process alone (as root), that somebody else fills. */
static void a_disk_that_fills_up(void **state)
{
    e2e *e = *state;
    remove_folder(e, "t");
    assert_int_equal(mkdir(e2e_path(e, "t"), 0777), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", e2e_path(e, "t"), "tmpfs", 0, "size=12m") != 0) {
        print_message("SKIPPED: no disk can be mounted here\n");
        skip();
    }
    isobath_run_options o = options(e, "t/o");
    snprintf(filler, sizeof filler, "%s", e2e_path(e, "t/filler"));
    disk_filler s = {.frames = 10};
    pthread_t thread;
    assert_int_equal(isobath_session_create(&o, &s.session), ISOBATH_OK);
    assert_int_equal(pthread_create(&thread, NULL, fill_disk, &s), 0);
    isobath_status st = isobath_session_run(s.session);
    __atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    const char *text = isobath_session_error(s.session);
    if (st != ISOBATH_ERR_IO || !strstr(text, "No space left on device") || strchr(text, '\n')) fail_msg("status %d: %s", st, text);
    assert_int_equal(isobath_session_can_resume(s.session), 1);
    isobath_session_destroy(s.session);
    assert_false(exists(e, "t/o", "clip_isobath.json"));
    assert_false(exists(e, "t/o", "clip_depths.npz"));
    assert_int_equal(unlink(filler), 0);
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    expect_same(e, "want", "t/o", "a disk that was full");
    assert_int_equal(umount(e2e_path(e, "t")), 0);
}

static int setup(void **state)
{
    if (e2e_setup(state) != 0) return -1;
    if (synth_checkpoint_write("v2-tiny", 1, e2e_path(*state, "v2.safetensors")) != 0) return -1;
    clip c = {.encoder = "mpeg4", .frames = 130, .width = 96, .height = 64};
    return clip_write(e2e_path(*state, "s.mkv"), &c);
}

/* usage: fault_resume [NAME_OF_A_TEST] */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_unfinished_finished), cmocka_unit_test(what_changed_is_told), cmocka_unit_test(touched_images),
        cmocka_unit_test(damaged_journals),
        cmocka_unit_test(one_run_at_a_time),           cmocka_unit_test(cancelled_twice),      cmocka_unit_test(folders_and_inputs),
        cmocka_unit_test(a_disk_that_fills_up),
        cmocka_unit_test(killed_at_random_instants)};
    return cmocka_run_group_tests(tests, setup, e2e_teardown);
}
