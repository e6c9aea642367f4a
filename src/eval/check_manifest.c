/* The manifest against what is on disk: files, sizes, hashes; then the contents of each. */
#include "base/hash.h"
#include "base/pool.h"
#include "depthio/file_list.h"
#include "eval/report.h"
#include "sink/file.h"
#include "sink/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BAD ISOBATH_CHECK_BAD
#define GOOD ISOBATH_CHECK_GOOD
#define NOTE ISOBATH_CHECK_NOTE

void ib_check_times(isobath_check *check, const char *name, const json_t *times_us, int64_t frames)
{
    if (!json_is_array(times_us) || (int64_t)json_array_size(times_us) != frames) {
        ib_check_add(check, BAD, name, "%zu presentation times for %" PRId64 " frames", json_array_size(times_us),
                     frames);
        return;
    }
    int64_t equal = 0;
    for (int64_t i = 1; i < frames; i++) {
        long long a = json_integer_value(json_array_get(times_us, (size_t)i - 1));
        long long b = json_integer_value(json_array_get(times_us, (size_t)i));
        equal += a == b;
        if (b >= a) continue;
        ib_check_add(check, BAD, name,
                     "presentation time of frame %" PRId64 " is %lld us, before frame %" PRId64 "'s %lld us", i, b,
                     i - 1, a);
        return;
    }
    if (equal)
        ib_check_add(check, NOTE, name,
                     "%" PRId64 " frames have the presentation time of the one before, as in the source", equal);
}

/* A path of the manifest must stay below its folder. */
static int is_safe(const char *relative)
{
    return relative[0] && relative[0] != '/' && strcmp(relative, "..") != 0 && strncmp(relative, "../", 3) != 0 &&
           !strstr(relative, "/../");
}

/* One file: size and hash. Returns 1 when it is there and right. */
static int check_file(isobath_check *check, const char *folder, const json_t *entry)
{
    const char *relative = json_string_value(json_object_get(entry, "path"));
    const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
    int64_t bytes = json_integer_value(json_object_get(entry, "bytes"));
    char *path = ib_text("%s/%s", folder, relative), hex[65];
    struct stat sb;
    int bad = check->bad;
    if (!path)
        check->out_of_memory = 1;
    else if (stat(path, &sb) != 0)
        ib_check_add(check, BAD, relative, "missing: %s", strerror(errno));
    else if (sb.st_size != bytes)
        ib_check_add(check, BAD, relative, "%lld bytes; the manifest says %" PRId64, (long long)sb.st_size, bytes);
    else if (!check->options.quick && ib_sha256_file(path, NULL, hex) != ISOBATH_OK)
        ib_check_add(check, BAD, relative, "cannot be read");
    else if (!check->options.quick && (!sha256 || strcmp(hex, sha256) != 0))
        ib_check_add(check, BAD, relative, "changed since it was written: its SHA-256 is not the manifest's");
    free(path);
    return path && check->bad == bad;
}

typedef struct hash_run {
    const char *folder, *pattern;
    int64_t start;
    char (*hex)[65];
    int64_t *bytes; /* -1: missing */
    int quick;
} hash_run;

static void hash_one(void *ctx, int64_t i, int thread)
{
    (void)thread;
    hash_run *run = ctx;
    struct stat sb;
    char *name = NULL, *path = NULL;
    run->bytes[i] = -1;
    /* patterns are "prefix%05d.ext": the number is put in by hand, a manifest must not be a format string */
    const char *percent = strchr(run->pattern, '%'), *d = percent ? strchr(percent, 'd') : NULL;
    int digits = d ? atoi(percent + 1) : 0;
    if (d && digits >= 0 && digits < 20)
        name =
            ib_text("%.*s%0*" PRId64 "%s", (int)(percent - run->pattern), run->pattern, digits, run->start + i, d + 1);
    if (name) path = ib_text("%s/%s", run->folder, name);
    if (path && stat(path, &sb) == 0 && (run->quick || ib_sha256_file(path, NULL, run->hex[i]) == ISOBATH_OK))
        run->bytes[i] = sb.st_size;
    free(path);
    free(name);
}

/* What hashing found, against the manifest. */
static void compare_folder(isobath_check *check, const json_t *entry, const hash_run *run, int64_t files)
{
    const char *relative = json_string_value(json_object_get(entry, "path"));
    const char *expected = json_string_value(json_object_get(entry, "sha256"));
    int64_t missing = 0, first = -1, sum = 0;
    ib_sha256 *hash = ib_sha256_create();
    char hex[65];
    for (int64_t i = 0; i < files; i++) {
        if (run->bytes[i] < 0) {
            if (first < 0) first = i;
            missing++;
            continue;
        }
        sum += run->bytes[i];
        ib_sha256_update(hash, run->hex[i], 64);
        ib_sha256_update(hash, "\n", 1);
    }
    ib_sha256_finish(hash, hex);
    if (missing)
        ib_check_add(check, BAD, relative,
                     "%" PRId64 " of %" PRId64 " files are missing or unreadable, the first is number %" PRId64,
                     missing, files, run->start + first);
    else if (sum != json_integer_value(json_object_get(entry, "bytes")))
        ib_check_add(check, BAD, relative, "%" PRId64 " bytes in all; the manifest says %lld", sum,
                     (long long)json_integer_value(json_object_get(entry, "bytes")));
    else if (!run->quick && (!expected || strcmp(hex, expected) != 0))
        ib_check_add(check, BAD, relative,
                     "a file changed since it was written: the SHA-256 of all is not the manifest's");
}

static int check_files(isobath_check *check, const char *folder, const json_t *entry)
{
    const char *relative = json_string_value(json_object_get(entry, "path"));
    const char *pattern = json_string_value(json_object_get(entry, "pattern"));
    int64_t files = json_integer_value(json_object_get(entry, "files"));
    int bad = check->bad;
    const char *dot = pattern ? strrchr(pattern, '.') : NULL;
    if (!dot || files < 0 || files > (1 << 28)) {
        ib_check_add(check, BAD, relative, "the manifest's entry is damaged");
        return 0;
    }
    hash_run run = {.pattern = pattern,
                    .start = json_integer_value(json_object_get(entry, "start_number")),
                    .quick = check->options.quick};
    char *path = ib_text("%s/%s", folder, relative);
    run.folder = path;
    run.hex = calloc((size_t)files + 1, sizeof *run.hex);
    run.bytes = calloc((size_t)files + 1, sizeof *run.bytes);
    ib_pool *pool = NULL;
    char **names = NULL;
    int64_t there = 0;
    if (!path || !run.hex || !run.bytes ||
        ib_pool_create(check->options.threads > 0 ? check->options.threads : ib_cpu_count(), NULL, &pool) !=
            ISOBATH_OK) {
        check->out_of_memory = 1;
    } else if (ib_list_folder(path, dot, NULL, &names, &there) != ISOBATH_OK) {
        ib_check_add(check, BAD, relative, "missing");
    } else {
        if (there > files)
            ib_check_add(check, BAD, relative, "%" PRId64 " files, %" PRId64 " more than the manifest lists", there,
                         there - files);
        ib_pool_run(pool, files, hash_one, &run);
        compare_folder(check, entry, &run, files);
    }
    ib_list_free(names, there);
    ib_pool_destroy(pool);
    free(run.hex);
    free(run.bytes);
    free(path);
    return check->bad == bad;
}

/* Files first; contents only of what is unchanged. */
static void check_output(isobath_check *check, const char *folder, const json_t *entry, ib_check_expect expect)
{
    const char *relative = json_string_value(json_object_get(entry, "path"));
    const char *format = json_string_value(json_object_get(entry, "format"));
    const json_t *sidecar = json_object_get(entry, "sidecar");
    if (format && strcmp(format, "none") == 0) return; /* nothing was to be written */
    if (!relative || !format || !is_safe(relative)) {
        ib_check_add(check, BAD, "outputs", "an entry of the manifest without a usable path and format");
        return;
    }
    int is_folder = json_object_get(entry, "pattern") != NULL;
    int good = is_folder ? check_files(check, folder, entry) : check_file(check, folder, entry);
    const char *sidecar_path = json_string_value(json_object_get(sidecar, "path"));
    if (sidecar_path && is_safe(sidecar_path)) good &= check_file(check, folder, sidecar);
    if (is_folder && json_integer_value(json_object_get(entry, "files")) != expect.frames) {
        ib_check_add(check, BAD, relative, "%lld files for %" PRId64 " frames",
                     (long long)json_integer_value(json_object_get(entry, "files")), expect.frames);
        good = 0;
    }
    if (!good) return;
    if (check->options.digests) {
        ib_check_add(check, GOOD, relative, "complete and unchanged");
        return;
    }
    char *path = ib_text("%s/%s", folder, relative);
    expect.relative = relative;
    if (!path)
        check->out_of_memory = 1;
    else if (strcmp(format, "png16") == 0 || strcmp(format, "npz") == 0 || strcmp(format, "exr") == 0 || strcmp(format, "ffv1") == 0)
        ib_check_depth(check, path, &expect);
    else if (strcmp(format, "preview") == 0 || strcmp(format, "src") == 0)
        ib_check_video(check, path, &expect);
    else
        ib_check_add(check, GOOD, relative, "complete and unchanged");
    free(path);
}

/* What the run itself had to report. */
static void check_windows(isobath_check *check, const char *name, const json_t *windows)
{
    int64_t guards = 0, redone = 0;
    size_t i;
    const json_t *w;
    json_array_foreach(windows, i, w)
    {
        double scale = json_number_value(json_object_get(w, "scale")),
               shift = json_number_value(json_object_get(w, "shift"));
        if (!isfinite(scale) || !isfinite(shift) || scale <= 0)
            ib_check_add(check, BAD, name, "window %zu: alignment scale %g, shift %g", i, scale, shift);
        guards += json_object_get(w, "guard") != NULL;
        redone += json_object_get(w, "redone") != NULL;
    }
    if (guards)
        ib_check_add(check, NOTE, name, "%" PRId64 " windows kept the alignment of the one before (no sane fit)",
                     guards);
    if (redone)
        ib_check_add(check, NOTE, name, "%" PRId64 " windows were redone in fp32 (values that were not finite)",
                     redone);
}

/* Frames that stand in for damaged ones. */
static void check_repeated(isobath_check *check, const char *name, const json_t *list, int64_t frames)
{
    int64_t last = 0;
    size_t i;
    const json_t *v;
    json_array_foreach(list, i, v)
    {
        if (json_integer_value(v) <= last || json_integer_value(v) >= frames) {
            ib_check_add(check, BAD, name, "\"repeated\" lists no ascending numbers of frames");
            return;
        }
        last = json_integer_value(v);
    }
    if (json_array_size(list))
        ib_check_add(check, NOTE, name, "%zu frames stand in for damaged ones of the input, the first is frame %" JSON_INTEGER_FORMAT,
                     json_array_size(list), json_integer_value(json_array_get(list, 0)));
}

static void check_loaded(isobath_check *check, const char *path, const char *name, const json_t *manifest)
{
    const char *format = json_string_value(json_object_get(manifest, "format"));
    const json_t *frames = json_object_get(manifest, "frames"), *outputs = json_object_get(manifest, "outputs");
    if (!format || strcmp(format, "isobath-manifest-1") != 0 || !json_is_integer(frames) || !json_is_array(outputs)) {
        ib_check_add(check, BAD, name, "not a manifest of a kind that this version knows (format isobath-manifest-1)");
        return;
    }
    const char *unit = json_string_value(json_object_get(manifest, "unit"));
    ib_check_expect expect = {NULL, json_integer_value(frames), json_object_get(manifest, "times_us"),
                              unit ? strcmp(unit, "metre") == 0 : -1};
    int bad = check->bad;
    if (expect.frames < 1) ib_check_add(check, BAD, name, "%" PRId64 " frames", expect.frames);
    ib_check_times(check, name, expect.times_us, expect.frames);
    check_windows(check, name, json_object_get(manifest, "windows"));
    check_repeated(check, name, json_object_get(manifest, "repeated"), expect.frames);
    if (check->bad == bad)
        ib_check_add(check, GOOD, name, "%" PRId64 " frames, %zu windows, times in order", expect.frames,
                     json_array_size(json_object_get(manifest, "windows")));
    char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    size_t i;
    const json_t *entry;
    json_array_foreach(outputs, i, entry)
        check_output(check, folder && slash ? (folder[0] ? folder : "/") : ".", entry, expect);
    if (json_array_size(outputs) == 0) ib_check_add(check, BAD, name, "no outputs are listed");
    free(folder);
}

void ib_check_manifest(isobath_check *check, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    ib_diag diag = IB_DIAG_INIT;
    json_t *manifest;
    if (ib_json_read(path, &diag, &manifest) != ISOBATH_OK)
        ib_check_add(check, BAD, name, "%s", diag.text);
    else
        check_loaded(check, path, name, manifest);
    json_decref(manifest);
    ib_diag_destroy(&diag);
}
