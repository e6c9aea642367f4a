/* A short run, again and again, whose n-th allocation fails. Whatever n: a status and one line that says so, no crash, no leak
 * (AddressSanitizer's build looks for both), no half-written file; or the same files as without a failure, where the
 * allocation was one that the run can do without. Each n has a process of its own.
 *
 * The ordinary test takes a sample of all n. ISOBATH_FAULT_ALL=K/M takes every n with n mod M = K (0/1: all of them; several
 * processes share the work; ISOBATH_FAULT_ONCE=1 leaves out the second way, in which memory stays exhausted), ISOBATH_FAULT_ONLY=N (or N+: this and all later calls fail) a single one, here, and prints
 * where the call was. */
#include "alloc.h"
#include "session.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLES 40
#define MOST_FAULTS 20 /* that are told before the test gives up */

typedef struct outcome {
    isobath_status status;
    int64_t calls;
    void *site;
} outcome;

static const char *const results[] = {"clip_depths.npz", "clip_depths_png16", "clip_depths_exr", "clip_depths.mkv", "clip_vis.mp4",
                                      "clip_src.mp4", "clip_isobath.json"};
enum { RESULTS = sizeof results / sizeof *results };

/* dir/FOLDER/NAME of result i. */
static const char *result_path(e2e *e, const char *folder, int i)
{
    char name[96];
    snprintf(name, sizeof name, "%s/%s", folder, results[i]);
    return e2e_path(e, name);
}

static const char *formats, *devices; /* of the runs; what every part of the test has in common */

static outcome run(e2e *e, const char *out, fault_mode mode, int64_t n)
{
    isobath_run_options o = e2e_options(e, "a.mkv", out);
    o.formats = formats;
    o.devices = devices;
    outcome r;
    fault_arm(mode, n);
    r.status = e2e_run(e, &o);
    r.calls = fault_disarm(&r.site);
    return r;
}

/* A JSON parser that runs out of memory takes the text for damaged: any error will do then. */
static int inside_jansson(void *site)
{
    Dl_info where;
    return dladdr(site, &where) && where.dli_fname && strstr(where.dli_fname, "jansson");
}

/* Of a file or folder of results; "" where there is none. */
static void digest(e2e *e, const char *folder, int i, char text[65])
{
    const char *path = result_path(e, folder, i);
    text[0] = '\0';
    if (access(path, F_OK) == 0) e2e_digest(path, text);
}

/* What is wrong with an outcome, into text; 0: nothing. */
static int judge(e2e *e, const outcome *r, const char *out, char good[RESULTS][65], char *text, size_t size)
{
    if (!r->site) return r->status == ISOBATH_OK ? 0 : snprintf(text, size, "failed without a reason: %s", e->error);
    if (r->status == ISOBATH_OK) {
        for (int i = 0; i < RESULTS; i++) {
            char now[65];
            digest(e, out, i, now);
            if (strcmp(now, good[i])) return snprintf(text, size, "the run succeeded with another %s", results[i]);
        }
        return 0;
    }
    if (r->status != ISOBATH_ERR_MEMORY && !inside_jansson(r->site))
        return snprintf(text, size, "%s instead of out of memory: %s", isobath_status_name(r->status), e->error);
    if (!e->error[0] || strchr(e->error, '\n')) return snprintf(text, size, "'%s' is not one line", e->error);
    for (int i = 0; i < RESULTS; i++)
        if (e2e_count_files(result_path(e, out, i), ".tmp")) return snprintf(text, size, "half a file in %s", results[i]);
    if (e2e_count_files(e2e_path(e, out), ".tmp")) return snprintf(text, size, "half a file");
    if (e2e_count_files(e2e_path(e, out), "isobath.json")) return snprintf(text, size, "a manifest of a failed run");
    return 0;
}

/* One n in a process of its own; 1 and a message when something is wrong. */
static int try_one(e2e *e, fault_mode mode, int64_t n, char good[RESULTS][65])
{
    char out[64];
    snprintf(out, sizeof out, "out%lld%s", (long long)n, mode == FAULT_FROM ? "from" : "");
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char text[1280] = "";
        outcome r = run(e, out, mode, n);
        int bad = judge(e, &r, out, good, text, sizeof text) != 0;
        if (bad) fprintf(stderr, "n = %lld%s: %s\n", (long long)n, mode == FAULT_FROM ? "+" : "", text);
        free(e); /* the group's state, which the parent has too */
        exit(bad); /* and the leak check */
    }
    int status = 0;
    waitpid(child, &status, 0);
    clip_remove_dir(e2e_path(e, out));
    if (status) print_error("n = %lld%s: status %d (ISOBATH_FAULT_ONLY)\n", (long long)n, mode == FAULT_FROM ? "+" : "", status);
    return status != 0;
}

static void try_all(e2e *e, int samples)
{
    e2e_clip(e, "a.mkv", 8, 0);
    outcome r = run(e, "good", FAULT_NEVER, 0);
    if (r.status != ISOBATH_OK) fail_msg("%s", e->error);
    char good[RESULTS][65];
    for (int i = 0; i < RESULTS; i++) digest(e, "good", i, good[i]);
    const char *only = getenv("ISOBATH_FAULT_ONLY"), *all = getenv("ISOBATH_FAULT_ALL");
    if (only) {
        r = run(e, "out", strchr(only, '+') ? FAULT_FROM : FAULT_ONCE, atoll(only));
        char text[1280] = "as it should be";
        judge(e, &r, "out", good, text, sizeof text);
        print_message("n = %s: %s: %s; %s\n", only, isobath_status_name(r.status), e->error, text);
        fault_print(r.site);
        clip_remove_dir(e2e_path(e, "out")); /* for the next part of the test */
        return;
    }
    print_message("%lld allocations in a run\n", (long long)r.calls);
    assert_true(r.calls > 500); /* or the wrappers are not linked */
    int part = 0, parts = 1, faults = 0;
    if (all) assert_int_equal(sscanf(all, "%d/%d", &part, &parts), 2);
    for (int64_t i = 0; i < (all ? r.calls + 50 : samples) && faults < MOST_FAULTS; i++) { /* threads vary the number a little */
        int64_t n = all ? i + 1 : 1 + i * r.calls / samples + i * 7 % 11;
        if (n % parts != part) continue;
        faults += try_one(e, FAULT_ONCE, n, good);
        if (all ? !getenv("ISOBATH_FAULT_ONCE") : i % 2) faults += try_one(e, FAULT_FROM, n, good);
    }
    assert_int_equal(faults, 0);
}

static void every_allocation_can_fail(void **state)
{
    formats = "png16,npz,exr,ffv1,preview,src";
    devices = "cpu";
    try_all(*state, SAMPLES);
}

/* png16 alone is packed where it is rendered, unless the device is the processor. */
static void every_allocation_can_fail_where_frames_are_packed(void **state)
{
    e2e *e = *state;
    formats = "png16";
    devices = "null";
    clip_remove_dir(e2e_path(e, "good"));
    try_all(e, SAMPLES / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_can_fail),
                                       cmocka_unit_test(every_allocation_can_fail_where_frames_are_packed)};
    return cmocka_run_group_tests(tests, e2e_setup, e2e_teardown);
}
