/* Worker processes that die, stop, run out of memory and answer garbage, from inside (src/pipeline/fleet/sabotage.h) and from outside
 * (signals to them at random times): the result has the bytes of an undisturbed run, or the run says in one line why there is none. */
#include "session.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FRAMES 300
#ifdef QUICK /* sanitizers take ten times as long: each fault at one window, half the signals */
#define SIGNALS 7
#else
#define SIGNALS 14
#endif

static char want[65]; /* of an undisturbed run in one process */
static int tried, struck;

static isobath_run_options options(e2e *e, char input[512], char output[512])
{
    isobath_run_options o = e2e_options(e, "w.mkv", "w");
    o.input = strcpy(input, o.input);
    o.output = strcpy(output, o.output);
    o.formats = "npz";
    o.overwrite = 1;
    o.program = ISOBATH_BINARY;
    return o;
}

static void expect_bytes(e2e *e, const char *what)
{
    char hex[65];
    e2e_digest(e2e_path(e, "w/clip_depths.npz"), hex);
    if (strcmp(hex, want)) fail_msg("%s: other bytes", what);
}

/* How often `event` is in the log of the last run. */
static int events(e2e *e, const char *event)
{
    size_t size, n = 0;
    char quoted[64];
    uint8_t *log = clip_read_file(e2e_path(e, "w/clip_isobath.log.jsonl"), &size);
    assert_non_null(log);
    snprintf(quoted, sizeof quoted, "\"%s\"", event);
    for (uint8_t *at = log; (at = memmem(at, size - (size_t)(at - log), quoted, strlen(quoted))); at++) n++;
    free(log);
    return (int)n;
}

static void faults_from_inside(void **state)
{
    e2e *e = *state;
    static const char *const faults[] = {"die", "oom", "nan", "place", "noise", "hang"};
    static const int windows[] = {0, 5, 13};
    char input[512], output[512], hook[1024], once[512], what[64];
    isobath_run_options o = options(e, input, output);
    o.devices = "cpu";
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    e2e_digest(e2e_path(e, "w/clip_depths.npz"), want);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            int hang = strcmp(faults[f], "hang") == 0;
#ifdef QUICK
            if (w != f % 3) continue;
#endif
            if (hang && windows[w] == 5) continue; /* each takes ten seconds */
            o.devices = f % 2 ? "cpu,cpu" : "cpu,cpu,cpu";
            snprintf(once, sizeof once, "%s", e2e_path(e, "once"));
            assert_int_equal(clip_write_file(once, "", 0), 0);
            snprintf(hook, sizeof hook, "delay_us=2000,once=%s,window=%d,%s", once, windows[w], faults[f]);
            snprintf(what, sizeof what, "%s at window %d", faults[f], windows[w]);
            setenv("ISOBATH_WORKER_TEST", hook, 1);
            if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s: %s", what, e->error);
            expect_bytes(e, what);
            tried++;
            assert_int_not_equal(access(once, F_OK), 0); /* it did happen */
            if (!hang) assert_int_equal(events(e, "worker_lost"), 1);
        }
    unsetenv("ISOBATH_WORKER_TEST");
}

/* Without another device the process is replaced once; the second fault ends the run. */
static void one_device_is_retried_once(void **state)
{
    e2e *e = *state;
    char input[512], output[512], hook[1024];
    isobath_run_options o = options(e, input, output);
    o.devices = "cpu";
    o.segment_windows = 4;
    snprintf(hook, sizeof hook, "once=%s,window=4,die", e2e_path(e, "once"));
    assert_int_equal(clip_write_file(e2e_path(e, "once"), "", 0), 0);
    setenv("ISOBATH_WORKER_TEST", hook, 1);
    if (e2e_run(e, &o) != ISOBATH_OK) fail_msg("%s", e->error);
    expect_bytes(e, "one device");
    tried++;
    o.devices = "cpu,cpu";
    setenv("ISOBATH_WORKER_TEST", "window=6,always,die", 1); /* whoever gets window 6 dies: 2 devices, 2 processes each */
    assert_int_equal(e2e_run(e, &o), ISOBATH_ERR_DEVICE);
    assert_non_null(strstr(e->error, "no device is left; cpu: its worker process was killed by signal 9"));
    assert_null(strchr(e->error, '\n'));
    assert_int_equal(events(e, "worker_left_out"), 2);
    assert_int_equal(e2e_count_files(e2e_path(e, "w"), ".npz"), 0);
    assert_int_equal(e2e_count_files(e2e_path(e, "w"), ".tmp"), 0);
    unsetenv("ISOBATH_WORKER_TEST");
    tried += 4;
}

/* This process's children that are workers. */
static int find_workers(pid_t *pids, int most)
{
    int n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *p; d && n < most && (p = readdir(d));) {
        char path[300], name[64], kind;
        int pid = atoi(p->d_name), parent;
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%*d (%63[^)]) %c %d", name, &kind, &parent) == 3 && parent == getpid() && strncmp(name, "isobath", 7) == 0 &&
            kind != 'Z')
            pids[n++] = pid;
        if (f) fclose(f);
    }
    if (d) closedir(d);
    return n;
}

typedef struct attack {
    int signal, delay_us;
    atomic_int done, hit;
} attack;

/* Sends one signal to one worker after a while. */
static void *attack_main(void *arg)
{
    attack *a = arg;
    pid_t pids[16];
    usleep((useconds_t)a->delay_us);
    int n = atomic_load(&a->done) ? 0 : find_workers(pids, 16);
    if (n && kill(pids[(a->delay_us / 7) % n], a->signal) == 0) atomic_store(&a->hit, 1);
    return NULL;
}

static void signals_from_outside(void **state)
{
    e2e *e = *state;
    char input[512], output[512], what[64];
    uint32_t seed = 12345;
    isobath_run_options o = options(e, input, output);
    setenv("ISOBATH_WORKER_TEST", "delay_us=40000", 1);
    for (int i = 0; i < SIGNALS; i++) {
        seed = seed * 1664525u + 1013904223u;
        attack a = {.signal = i % 7 == 6 ? SIGSTOP : i % 2 ? SIGKILL : SIGSEGV, .delay_us = (int)(seed >> 8) % 400000};
        if (a.signal == SIGSTOP) a.delay_us = 350000; /* while they are opened two minutes are allowed */
        pthread_t thread;
        o.devices = i % 3 ? "cpu,cpu,cpu" : "cpu,cpu";
        assert_int_equal(pthread_create(&thread, NULL, attack_main, &a), 0);
        isobath_status st = e2e_run(e, &o);
        atomic_store(&a.done, 1);
        pthread_join(thread, NULL);
        snprintf(what, sizeof what, "signal %d after %d us", a.signal, a.delay_us);
        tried++;
        struck += atomic_load(&a.hit);
        /* before the run begins a worker cannot be replaced: the set-up fails, in one line */
        if (st == ISOBATH_OK) expect_bytes(e, what);
        else if (st != ISOBATH_ERR_DEVICE || !strstr(e->error, "its worker process")) fail_msg("%s: %s", what, e->error);
    }
    unsetenv("ISOBATH_WORKER_TEST");
    pid_t pids[16];
    assert_int_equal(find_workers(pids, 16), 0); /* nobody is left behind */
    print_message("%d faults tried, %d of %d signals met a worker\n", tried, struck, SIGNALS);
    assert_true(struck >= SIGNALS / 3);
}

static int setup(void **state)
{
    if (e2e_setup(state) != 0) return -1;
    e2e_clip(*state, "w.mkv", FRAMES, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults_from_inside), cmocka_unit_test(one_device_is_retried_once),
                                       cmocka_unit_test(signals_from_outside)};
    return cmocka_run_group_tests(tests, setup, e2e_teardown);
}
