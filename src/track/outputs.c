/* The files of a track run: which, where, all or none; see outputs.h. */
#include "track/outputs.h"

#include "sink/file.h"
#include "sink/lock.h"
#include "track/overlay.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct output {
    const char *format, *suffix; /* a suffix without a dot gets coordinates, unit and .txt */
    char *(*make)(const ib_result *result);
    char *(*make_bytes)(const ib_result *result, size_t *size);
} output;

static const output outputs[] = {{"json", "tracks3d.json", ib_result_json, NULL},
                                 {"csv", "tracks3d.csv", ib_result_csv, NULL},
                                 {"mot", "mot", ib_result_mot, NULL},
                                 {"kitti", "kitti", ib_result_kitti, NULL},
                                 {"svg", "top.svg", ib_result_svg, NULL},
                                 {"png", "top.png", NULL, ib_result_png},
                                 {"overlay", "overlay.mp4", NULL, NULL},
                                 {"same", "positions.json", NULL, NULL}};
enum { OUTPUTS = IB_TRACK_OUTPUTS, MOT = 2, KITTI = 3, OVERLAY = OUTPUTS - 2, SAME = OUTPUTS - 1 };
_Static_assert(sizeof outputs / sizeof *outputs == OUTPUTS, "outputs");

isobath_status ib_outputs_parse(const isobath_track_options *o, ib_diag *diag, int want[OUTPUTS])
{
    const char *p = o->formats ? o->formats : "json,csv,svg";
    memset(want, 0, sizeof *want * OUTPUTS);
    for (;; p++) {
        size_t n = strcspn(p, ","), k = 0;
        while (k < OUTPUTS && (strlen(outputs[k].format) != n || strncmp(p, outputs[k].format, n) != 0)) k++;
        if (k == OUTPUTS)
            return ib_fail(diag, ISOBATH_ERR_USAGE,
                           "--format %.*s: expected json, csv, mot, kitti, svg, png, same, overlay", (int)n, p);
        want[k] = 1;
        p += n;
        if (!*p) break;
    }
    if (want[OVERLAY] && !o->video)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--format overlay: say which video with --video FILE");
    if (o->video) want[OVERLAY] = 1;
    return ISOBATH_OK;
}

/* What the names of all outputs begin with: *n characters. */
static const char *base_name(const ib_result *r, size_t *n)
{
    const char *base = strrchr(r->options->tracks, '/');
    base = base && base[1] ? base + 1 : r->options->tracks;
    *n = strcspn(base, "/");
    const char *dot = memrchr(base, '.', *n);
    if (dot && dot > base) *n = (size_t)(dot - base);
    if (r->options->name) base = r->options->name, *n = strlen(base);
    return base;
}

static char *output_path(const ib_result *r, const output *w)
{
    size_t n;
    const char *base = base_name(r, &n);
    struct stat sb;
    if (w == &outputs[SAME] && stat(r->options->tracks, &sb) == 0 && S_ISDIR(sb.st_mode))
        return ib_text("%s/%.*s_positions", r->options->output, (int)n, base);
    if (strchr(w->suffix, '.')) return ib_text("%s/%.*s_%s", r->options->output, (int)n, base, w->suffix);
    const char *unit = r->metric ? "metre" : "relative",
               *coordinates = r->options->poses && strcmp(w->suffix, "kitti") != 0 ? "world" : "camera";
    return ib_text("%s/%.*s_%s_%s_%s.txt", r->options->output, (int)n, base, w->suffix, coordinates, unit);
}

isobath_status ib_outputs_same(const char *format, ib_diag *diag, int want[OUTPUTS])
{
    if (!want[SAME] || strstr(format, "json") || strcmp(format, "coco") == 0) return ISOBATH_OK;
    want[SAME] = 0;
    if (strcmp(format, "mot") == 0)
        want[MOT] = 1;
    else if (strcmp(format, "kitti") == 0)
        want[KITTI] = 1;
    else
        return ib_fail(diag, ISOBATH_ERR_USAGE,
                       "--format same: %s has no room for positions; take json, csv, mot or kitti", format);
    return ISOBATH_OK;
}

/* Writes output k, which is wanted. */
static isobath_status write_output(const ib_result *r, int k, const char *path, const char *text, size_t size,
                                   ib_diag *diag)
{
    if (k == OVERLAY) return ib_overlay_write(r, r->options->video, path, diag);
    if (k == SAME) return ib_result_write_back(r, r->options->tracks, path, diag);
    return ib_write_file(path, text, size, 1, diag);
}

/* Two that would write the same names never do at once; a run of this name may. */
static isobath_status take_lock(const ib_result *r, ib_diag *diag, ib_lock **lock)
{
    size_t n;
    const char *base = base_name(r, &n);
    char *name = ib_text("%.*s_tracks", (int)n, base);
    isobath_status st = name ? ib_lock_result(r->options->output, name, 0, diag, lock) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
    free(name);
    return st;
}

isobath_status ib_outputs_write(const ib_result *r, const int want[OUTPUTS], ib_diag *diag)
{
    char *paths[OUTPUTS] = {0}, *texts[OUTPUTS] = {0};
    size_t sizes[OUTPUTS] = {0};
    ib_lock *lock = NULL;
    isobath_status st = ib_make_folder(r->options->output, diag);
    if (st == ISOBATH_OK) st = take_lock(r, diag, &lock);
    int written = 0;
    for (int k = 0; k < OUTPUTS && st == ISOBATH_OK; k++) {
        if (!want[k]) continue;
        paths[k] = output_path(r, &outputs[k]);
        texts[k] = outputs[k].make         ? outputs[k].make(r)
                   : outputs[k].make_bytes ? outputs[k].make_bytes(r, &sizes[k])
                                           : NULL;
        if (texts[k] && outputs[k].make) sizes[k] = strlen(texts[k]);
        if (!paths[k] || (!texts[k] && k < OVERLAY))
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
        else if (!r->options->overwrite && access(paths[k], F_OK) == 0)
            st = ib_fail(diag, ISOBATH_ERR_EXISTS, "%s exists already (--overwrite replaces it)", paths[k]);
    }
    for (; written < OUTPUTS && st == ISOBATH_OK; written++)
        if (want[written]) st = write_output(r, written, paths[written], texts[written], sizes[written], diag);
    if (st != ISOBATH_OK && !r->options->overwrite)
        for (int k = 0; k < written - 1; k++)
            if (want[k]) unlink(paths[k]); /* those that this call made */
    ib_lock_release(lock);
    for (int k = 0; k < OUTPUTS; k++) {
        free(paths[k]);
        free(texts[k]);
    }
    return st;
}
