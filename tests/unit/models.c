/* Known models: the table, where files are looked for, and fetching from a server that truncates, stalls and lies. */
#include "weights/models.h"
#include "base/hash.h"
#include "support/http_server.h"

#include <fcntl.h>
#include <isobath/models.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "video_depth_anything_vits.pth"
/* The names of Depth Anything V2, as a list of all names ends. */
#define V2 ", v2-vits, v2-vitb, v2-vitl, v2-vits-indoor, v2-vits-outdoor, v2-vitb-indoor, v2-vitb-outdoor, v2-vitl-indoor, v2-vitl-outdoor"

static char folder[64];
static uint8_t *body; /* a checkpoint of some 70 kB */
static size_t body_size;
static char body_hash[65], quoted_hash[80];

static const char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int exists(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/isobath-models-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    unsetenv("http_proxy");
    unsetenv("HTTP_PROXY");
    unsetenv("ALL_PROXY");
    unsetenv("all_proxy");
    unsetenv("ISOBATH_MODELS");
    unsetenv("ISOBATH_MODELS_URL");
    setenv("XDG_CACHE_HOME", in_folder("cache"), 1);
    static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[17500],\"data_offsets\":[0,70000]}}";
    uint64_t n = sizeof header - 1;
    body_size = 8 + n + 70000;
    body = malloc(body_size);
    if (!body) return -1;
    memcpy(body, &n, 8);
    memcpy(body + 8, header, n);
    for (size_t i = 0; i < 70000; i++) body[8 + n + i] = (uint8_t)(i * i >> 7);
    ib_sha256_memory(body, body_size, NULL, body_hash);
    snprintf(quoted_hash, sizeof quoted_hash, "\"%s\"", body_hash);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(body);
    rmdir(in_folder("cache/isobath"));
    rmdir(in_folder("cache"));
    return rmdir(folder); /* fails when a test leaves a file behind */
}

/* ---- the table and the places ---- */

static void table(void **state)
{
    (void)state;
    assert_int_equal(isobath_models_count(), 17);
    assert_null(isobath_models_at(17));
    for (size_t i = 0; i < isobath_models_count(); i++) {
        const isobath_known_model *m = isobath_models_at(i);
        assert_ptr_equal(isobath_models_find(m->name), m);
        assert_ptr_equal(isobath_models_find(m->file), m);
        int v2 = strncmp(m->name, "v2-", 3) == 0;
        assert_int_equal(m->metric, strstr(m->name, v2 ? "door" : "metric") != NULL);
        assert_int_equal(m->noncommercial, strstr(m->licence, "NC") != NULL);
        if (!m->repository) continue;
        assert_int_equal(m->metric, strstr(m->repository, v2 ? "-Metric-" : "/Metric-") != NULL);
        assert_int_equal(m->metric, strstr(m->file, "metric_") != NULL);
        assert_int_equal(strncmp(m->file, "depth_anything_v2_", 18) == 0, v2);
        if (v2 && m->metric) assert_int_equal(strstr(m->name, "indoor") != NULL, strstr(m->file, "hypersim") != NULL);
        assert_int_equal(m->noncommercial, strstr(m->repository, "Small") == NULL);
    }
    const isobath_known_model *l = isobath_models_find("vitl");
    assert_string_equal(l->file, "video_depth_anything_vitl.pth");
    assert_string_equal(l->repository, "depth-anything/Video-Depth-Anything-Large");
    assert_string_equal(l->licence, "CC-BY-NC-4.0");
    assert_ptr_equal(isobath_models_find("metric_video_depth_anything_vitb"), isobath_models_find("vitb-metric"));
    assert_null(isobath_models_find("video_depth_anything"));
    assert_null(isobath_models_find("vitg"));
}

static void expect_resolved(const char *model, int metric, const char *want)
{
    ib_diag diag = IB_DIAG_INIT;
    char path[4096];
    if (ib_models_resolve(model, metric, &diag, path, sizeof path) != ISOBATH_OK) fail_msg("%s", diag.text);
    assert_string_equal(path, want);
}

static void expect_unresolved(const char *model, int metric, const char *line)
{
    ib_diag diag = IB_DIAG_INIT;
    char path[4096];
    assert_int_equal(ib_models_resolve(model, metric, &diag, path, sizeof path), ISOBATH_ERR_MODEL);
    assert_string_equal(diag.text, line);
}

static void places(void **state)
{
    (void)state;
    char cache[256], want[1024];
    assert_int_equal(isobath_models_cache(cache, sizeof cache), ISOBATH_OK);
    assert_string_equal(cache, in_folder("cache/isobath"));
    expect_unresolved("v2-vitb", 1, "model v2-vitb gives disparity; metres come from v2-vitb-indoor (up to 20 m) and v2-vitb-outdoor (up to 80 m)");
    expect_unresolved("vits", 0,
                      "model vits (" FILE_NAME ") is not on this machine: isobath models pull vits fetches it");
    expect_unresolved("vits", 1,
                      "model vits-metric (metric_" FILE_NAME ") is not on this machine: isobath models pull "
                      "vits-metric fetches it");
    expect_unresolved("vitx", 0,
                      "vitx: no such file, and no known model (nano, nano-metric, vits, vitb, vitl, vits-metric, "
                      "vitb-metric, vitl-metric" V2 ")");
    expect_unresolved("no/such.pth", 0,
                      "no/such.pth: no such file, and no known model (nano, nano-metric, vits, vitb, vitl, "
                      "vits-metric, vitb-metric, vitl-metric" V2 ")");
    snprintf(want, sizeof want, "%s: a folder, not a file: expected a checkpoint (.safetensors or .pth)", folder);
    expect_unresolved(folder, 0, want);
    expect_unresolved("/dev/null", 0,
                      "/dev/null: no such file, and no known model (nano, nano-metric, vits, vitb, vitl, "
                      "vits-metric, vitb-metric, vitl-metric" V2 ")");
    /* In the cache; then $ISOBATH_MODELS goes before it, and a path before everything. */
    mkdir(in_folder("cache"), 0700);
    mkdir(in_folder("cache/isobath"), 0700);
    snprintf(want, sizeof want, "%s/cache/isobath/" FILE_NAME, folder);
    write_file(want, "x", 1);
    expect_resolved("vits", 0, want);
    expect_resolved(FILE_NAME, 0, want);
    mkdir(in_folder("own"), 0700);
    setenv("ISOBATH_MODELS", in_folder("own"), 1);
    expect_resolved("vits", 0, want);
    char own[300];
    snprintf(own, sizeof own, "%s/own/video_depth_anything_vits.safetensors", folder); /* a converted one */
    write_file(own, "x", 1);
    expect_resolved("vits", 0, own);
    expect_resolved(want, 0, want);
    expect_resolved(want, 1, want);
    unlink(own);
    unlink(want);
    /* Metric by name, and the default. */
    snprintf(own, sizeof own, "%s/own/metric_video_depth_anything_vits.pth", folder);
    write_file(own, "x", 1);
    expect_resolved("vits", 1, own);
    expect_resolved("vits-metric", 0, own);
    expect_resolved("vits-metric", 1, own);
    unlink(own);
    rmdir(in_folder("own"));
    unsetenv("ISOBATH_MODELS");
    /* Beside the binary. */
    char exe[256], beside[300], file[400];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    assert_true(n > 0);
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(beside, sizeof beside, "%s/models", exe);
    snprintf(file, sizeof file, "%s/" FILE_NAME, beside);
    int made = mkdir(beside, 0700) == 0;
    if (made) {
        write_file(file, "x", 1);
        expect_resolved("vits", 0, file);
        unlink(file);
        rmdir(beside);
    }
    /* HOME when XDG_CACHE_HOME is not set or relative. */
    char *xdg = strdup(getenv("XDG_CACHE_HOME"));
    assert_non_null(xdg);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/h", 1);
    assert_int_equal(isobath_models_cache(cache, sizeof cache), ISOBATH_OK);
    assert_string_equal(cache, "/h/.cache/isobath");
    assert_int_equal(isobath_models_cache(cache, 10), ISOBATH_ERR_USAGE);
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    assert_int_equal(isobath_models_cache(cache, sizeof cache), ISOBATH_ERR_USAGE);
    setenv("XDG_CACHE_HOME", xdg, 1);
    free(xdg);
}

/* ---- fetching ---- */

typedef struct outcome {
    isobath_status status;
    char path[512], error[800];
} outcome;

static outcome pull_with(http_server *server, isobath_pull_options options)
{
    outcome o;
    options.folder = folder;
    options.base_url = http_server_url(server);
    if (!options.attempts) options.attempts = 3;
    if (!options.stall_seconds) options.stall_seconds = 1;
    if (!options.retry_ms) options.retry_ms = 1;
    o.status =
        isobath_models_pull(isobath_models_find("vits"), &options, o.path, sizeof o.path, o.error, sizeof o.error);
    return o;
}

static outcome pull(http_server *server) { return pull_with(server, (isobath_pull_options){.accept_licence = 1}); }

/* The file is there, byte for byte, and nothing else; it is removed. */
static void expect_whole(const outcome *o)
{
    if (o->status != ISOBATH_OK) fail_msg("%s", o->error);
    assert_string_equal(o->path, in_folder(FILE_NAME));
    assert_string_equal(o->error, "");
    char hex[65];
    assert_int_equal(ib_sha256_file(o->path, NULL, hex), ISOBATH_OK);
    assert_string_equal(hex, body_hash);
    assert_false(exists(in_folder(FILE_NAME ".part")));
    assert_false(exists(in_folder(FILE_NAME ".part.etag")));
    unlink(o->path);
}

/* It failed with that status and text, and no file has the name; `kept`: bytes of the part, -1: no part. */
static void expect_failed(const outcome *o, isobath_status status, const char *part_of_line, int64_t kept)
{
    if (o->status != status || !strstr(o->error, part_of_line))
        fail_msg("status %d '%s', expected %d '%s'", (int)o->status, o->error, (int)status, part_of_line);
    assert_null(strchr(o->error, '\n'));
    assert_false(exists(in_folder(FILE_NAME)));
    struct stat sb;
    int there = stat(in_folder(FILE_NAME ".part"), &sb) == 0;
    assert_int_equal(there ? (int64_t)sb.st_size : -1, kept);
}

static void remove_part(void)
{
    unlink(in_folder(FILE_NAME ".part"));
    unlink(in_folder(FILE_NAME ".part.etag"));
}

static void honest(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s);
    assert_string_equal(http_server_first_path(s),
                        "/depth-anything/Video-Depth-Anything-Small/resolve/main/" FILE_NAME);
    assert_int_equal(http_server_requests(s), 1);
    expect_whole(&o);
    b.no_length = 1; /* the size is not stated */
    http_server_set(s, &b);
    o = pull(s);
    expect_whole(&o);
    b = http_honest(body, body_size); /* redirect, size and hash as the public store states them */
    b.linked_etag = quoted_hash;
    b.linked_size = (int64_t)body_size;
    b.etag = "\"of-the-cdn\"";
    http_server_set(s, &b);
    o = pull(s);
    expect_whole(&o);
    b.linked_etag = NULL; /* the hash in the ETag itself, upper case and weak */
    char upper[80];
    snprintf(upper, sizeof upper, "W/\"%s\"", body_hash);
    for (char *p = upper + 3; *p; p++)
        if (*p >= 'a' && *p <= 'f') *p = (char)(*p - 32);
    b.etag = upper;
    http_server_set(s, &b);
    o = pull(s);
    expect_whole(&o);
    http_server_stop(s);
}

static void asks_first(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull_with(s, (isobath_pull_options){0});
    expect_failed(&o, ISOBATH_ERR_USAGE,
                  "the licence of vits (Apache-2.0: free to use, also commercially, with the "
                  "licence's notice) was not accepted",
                  -1);
    assert_int_equal(http_server_requests(s), 0);
    isobath_pull_options options = {.accept_licence = 1, .folder = folder, .base_url = http_server_url(s)};
    assert_int_equal(
        isobath_models_pull(isobath_models_find("nano"), &options, o.path, sizeof o.path, o.error, sizeof o.error),
        ISOBATH_ERR_USAGE);
    assert_string_equal(o.error, "model nano comes with isobath and is not fetched");
    /* A file that is there is left alone; folders are made; the environment gives the address. */
    write_file(in_folder(FILE_NAME), "mine", 4);
    o = pull(s);
    assert_int_equal(o.status, ISOBATH_OK);
    assert_int_equal(http_server_requests(s), 0);
    unlink(o.path);
    setenv("ISOBATH_MODELS_URL", http_server_url(s), 1);
    options = (isobath_pull_options){.accept_licence = 1};
    assert_int_equal(isobath_models_pull(isobath_models_find("vits"), &options, o.path, sizeof o.path, NULL, 0),
                     ISOBATH_OK);
    assert_string_equal(o.path, in_folder("cache/isobath/" FILE_NAME));
    unlink(o.path);
    unsetenv("ISOBATH_MODELS_URL");
    http_server_stop(s);
}

static void truncates(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.etag = "\"v1\"";
    b.truncate_at = 20000;
    b.faults = 3;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s);
    assert_int_equal(http_server_requests(s), 4);
    for (int i = 0; i < 4; i++) assert_int_equal(http_server_first_byte(s, i), 20000 * i);
    expect_whole(&o);
    /* Not a byte more: given up, the part is kept, and the next call goes on from it. */
    b.truncate_at = 0;
    b.faults = -1;
    http_server_set(s, &b);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_IO, "(3 attempts; 0 bytes are kept for the next one)", 0);
    b.truncate_at = 50000;
    b.faults = 1;
    b.fail_status = 0;
    http_server_set(s, &b);
    o = pull_with(s, (isobath_pull_options){.accept_licence = 1, .attempts = 1});
    expect_failed(&o, ISOBATH_ERR_IO, "(1 attempts; 50000 bytes are kept for the next one)", 50000);
    int before = http_server_requests(s);
    o = pull(s);
    assert_int_equal(http_server_requests(s), before + 1);
    assert_int_equal(http_server_first_byte(s, before), 50000);
    expect_whole(&o);
    http_server_stop(s);
}

static void stalls(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.etag = "\"v1\"";
    b.stall_at = 30000;
    b.faults = 1;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    time_t begin = time(NULL);
    outcome o = pull(s);
    assert_true(time(NULL) - begin < 20); /* one second of patience, not the server's sixty */
    assert_int_equal(http_server_requests(s), 2);
    assert_int_equal(http_server_first_byte(s, 1), 30000);
    expect_whole(&o);
    http_server_stop(s);
}

static void lies_about_size(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    b.stated_size = (int64_t)body_size - 1000; /* too little: a whole answer of a cut file */
    http_server_set(s, &b);
    outcome o = pull(s);
    expect_failed(&o, ISOBATH_ERR_MODEL, "the file is truncated", -1);
    b.linked_etag = "\"abc\"";
    b.linked_size = (int64_t)body_size;
    http_server_set(s, &b);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_MODEL, " bytes came, the server states ", -1);
    b = http_honest(body, body_size);
    b.stated_size = (int64_t)body_size + 1000; /* too much: every answer ends early */
    http_server_set(s, &b);
    o = pull(s);
    assert_int_equal(o.status, ISOBATH_ERR_IO);
    assert_false(exists(in_folder(FILE_NAME)));
    remove_part();
    http_server_stop(s);
}

static void lies_about_hash(void **state)
{
    (void)state;
    char wrong[80];
    snprintf(wrong, sizeof wrong, "%s", quoted_hash);
    wrong[10] = wrong[10] == '0' ? '1' : '0';
    http_behaviour b = http_honest(body, body_size);
    b.linked_etag = wrong;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s);
    expect_failed(&o, ISOBATH_ERR_MODEL, "SHA-256 is ", -1);
    assert_non_null(strstr(o.error, body_hash));
    http_server_stop(s);
}

static void not_a_checkpoint(void **state)
{
    (void)state;
    static const char page[] = "<!DOCTYPE html><html><body>Please log in</body></html>";
    http_behaviour b = http_honest(page, sizeof page - 1);
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s);
    expect_failed(&o, ISOBATH_ERR_MODEL, "a web page, not a checkpoint", -1);
    b = http_honest(page, 0);
    http_server_set(s, &b);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_MODEL, "the file is empty", -1);
    http_server_stop(s);
}

static void refuses_ranges(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.etag = "\"v1\"";
    b.truncate_at = 20000;
    b.faults = 1;
    b.no_ranges = 1;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s); /* starts from zero */
    assert_int_equal(http_server_requests(s), 2);
    expect_whole(&o);
    b.no_ranges = 0; /* answers with other bytes than asked for */
    b.faults = -1;
    b.wrong_range = 5;
    http_server_set(s, &b);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_IO, "the server's answers contradict each other", 20000);
    remove_part();
    http_server_stop(s);
}

/* A part of another version is thrown away; one that is whole already is taken without a byte. */
static void versions(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.etag = "\"v2\"";
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    uint8_t *old = calloc(1, 30000);
    assert_non_null(old);
    write_file(in_folder(FILE_NAME ".part"), old, 30000);
    write_file(in_folder(FILE_NAME ".part.etag"), "v1", 2);
    outcome o = pull(s);
    assert_int_equal(http_server_first_byte(s, 0), 30000);
    assert_int_equal(http_server_first_byte(s, 1), 0);
    expect_whole(&o);
    write_file(in_folder(FILE_NAME ".part"), old, 30000); /* of no known version */
    int before = http_server_requests(s);
    o = pull(s);
    assert_int_equal(http_server_first_byte(s, before), 0);
    expect_whole(&o);
    write_file(in_folder(FILE_NAME ".part"), body, body_size);
    write_file(in_folder(FILE_NAME ".part.etag"), "v2", 2);
    before = http_server_requests(s);
    o = pull(s);
    assert_int_equal(http_server_requests(s), before + 1);
    expect_whole(&o);
    uint8_t *longer = calloc(1, body_size + 5); /* longer than the file */
    assert_non_null(longer);
    write_file(in_folder(FILE_NAME ".part"), longer, body_size + 5);
    write_file(in_folder(FILE_NAME ".part.etag"), "v2", 2);
    o = pull(s);
    expect_whole(&o);
    free(longer);
    free(old);
    http_server_stop(s);
}

static void errors(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.fail_status = 404;
    b.fail_count = -1;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    outcome o = pull(s);
    expect_failed(&o, ISOBATH_ERR_IO, "404", 0);
    assert_int_equal(http_server_requests(s), 1);
    b.fail_status = 503; /* comes back */
    b.fail_count = 2;
    http_server_set(s, &b);
    o = pull(s);
    assert_int_equal(http_server_requests(s), 4);
    expect_whole(&o);
    b.fail_count = -1; /* does not */
    http_server_set(s, &b);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_IO, "503", 0);
    assert_int_equal(http_server_requests(s), 7);
    http_server_stop(s);
    remove_part();
    isobath_pull_options options = {
        .accept_licence = 1, .folder = folder, .base_url = "http://127.0.0.1:1", .attempts = 2, .retry_ms = 1};
    o.status =
        isobath_models_pull(isobath_models_find("vits"), &options, o.path, sizeof o.path, o.error, sizeof o.error);
    expect_failed(&o, ISOBATH_ERR_IO, "(2 attempts", 0);
    remove_part();
    options.base_url = "file:///etc";
    o.status =
        isobath_models_pull(isobath_models_find("vits"), &options, o.path, sizeof o.path, o.error, sizeof o.error);
    expect_failed(&o, ISOBATH_ERR_IO, "rotocol \"file\"", 0);
    remove_part();
    options.folder = "/proc/none";
    o.status =
        isobath_models_pull(isobath_models_find("vits"), &options, o.path, sizeof o.path, o.error, sizeof o.error);
    assert_int_equal(o.status, ISOBATH_ERR_IO);
    assert_non_null(strstr(o.error, "cannot create the folder"));
}

static int stop_at_once(void *ctx, int64_t done, int64_t total)
{
    int *calls = ctx;
    (void)total;
    ++*calls;
    return done > 0;
}

static void full_disk_lock_and_stop(void **state)
{
    (void)state;
    http_behaviour b = http_honest(body, body_size);
    b.etag = "\"v1\"";
    b.stall_at = 1000;
    b.faults = -1;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    int calls = 0;
    outcome o = pull_with(
        s, (isobath_pull_options){.accept_licence = 1, .progress = stop_at_once, .ctx = &calls, .stall_seconds = 20});
    expect_failed(&o, ISOBATH_ERR_INTERRUPTED, "stopped after 1000 bytes, which are kept", 1000);
    assert_true(calls > 0);
    b.faults = 0;
    http_server_set(s, &b);
    int fd = open(in_folder(FILE_NAME ".part"), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    o = pull(s);
    expect_failed(&o, ISOBATH_ERR_IO, "another process is fetching this file", 1000);
    close(fd);
    o = pull(s);
    expect_whole(&o);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(symlink("/dev/full", in_folder(FILE_NAME ".part")), 0);
        o = pull(s);
        assert_int_equal(o.status, ISOBATH_ERR_IO);
        assert_false(exists(in_folder(FILE_NAME)));
        remove_part();
    }
    http_server_stop(s);
}

/* ---- the command ---- */

/* Runs `isobath ARGUMENTS` without a terminal; its output and errors into text. Returns the exit code. */
static int run(const char *arguments, char text[8192])
{
    char line[1024];
    snprintf(line, sizeof line, "%s %s </dev/null 2>&1", ISOBATH_BINARY, arguments);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, 8191, f);
    text[n] = 0;
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void command(void **state)
{
    (void)state;
    char text[8192];
    http_behaviour b = http_honest(body, body_size);
    b.linked_etag = quoted_hash;
    http_server *s = http_server_start(&b);
    assert_non_null(s);
    setenv("ISOBATH_MODELS_URL", http_server_url(s), 1);
    assert_int_equal(run("models", text), 0);
    for (size_t i = 0; i < isobath_models_count(); i++) assert_non_null(strstr(text, isobath_models_at(i)->name));
    assert_non_null(
        strstr(text, "not here; from https://huggingface.co/depth-anything/Metric-Video-Depth-Anything-Large"));
    assert_int_equal(run("models pull vitl", text), ISOBATH_ERR_USAGE); /* shows the licence; nobody to ask */
    const char *licence = strstr(text, "licence CC-BY-NC-4.0: for non-commercial use only");
    assert_true(licence && strstr(licence, "the licence was not accepted"));
    assert_int_equal(http_server_requests(s), 0);
    assert_int_equal(run("models pull vits --accept-licence", text), 0);
    assert_non_null(strstr(text, "licence Apache-2.0"));
    assert_non_null(strstr(text, "cache/isobath/" FILE_NAME));
    assert_int_equal(http_server_requests(s), 1);
    assert_int_equal(run("models list", text), 0);
    assert_non_null(strstr(text, "cache/isobath/" FILE_NAME));
    unlink(in_folder("cache/isobath/" FILE_NAME));
    b.fail_status = 404;
    b.fail_count = -1;
    http_server_set(s, &b);
    assert_int_equal(run("models pull vits --accept-licence", text), ISOBATH_ERR_IO);
    unlink(in_folder("cache/isobath/" FILE_NAME ".part"));
    assert_int_equal(run("models pull vitx", text), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(text, "vitx: no known model"));
    assert_int_equal(run("models push", text), ISOBATH_ERR_USAGE);
    assert_int_equal(run("models pull", text), ISOBATH_ERR_USAGE);
    unsetenv("ISOBATH_MODELS_URL");
    http_server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(places),
        cmocka_unit_test(honest),
        cmocka_unit_test(asks_first),
        cmocka_unit_test(truncates),
        cmocka_unit_test(stalls),
        cmocka_unit_test(lies_about_size),
        cmocka_unit_test(lies_about_hash),
        cmocka_unit_test(not_a_checkpoint),
        cmocka_unit_test(refuses_ranges),
        cmocka_unit_test(versions),
        cmocka_unit_test(errors),
        cmocka_unit_test(full_disk_lock_and_stop),
        cmocka_unit_test(command),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
