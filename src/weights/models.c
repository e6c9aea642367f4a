/* The models that isobath knows by name and where their files lie; see models.h and include/isobath/models.h. */
#include "weights/models.h"

#include "weights/checkpoint.h"
#include "weights/download.h"

#include <errno.h>
#include <isobath/models.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FREE "Apache-2.0", "free to use, also commercially, with the licence's notice", 0
#define NONCOMMERCIAL \
    "CC-BY-NC-4.0", "for non-commercial use only, with attribution; ask the authors for anything else", 1
#define PAGE "https://huggingface.co/"
#define SMALL "depth-anything/Video-Depth-Anything-Small"
#define BASE "depth-anything/Video-Depth-Anything-Base"
#define LARGE "depth-anything/Video-Depth-Anything-Large"
#define METRIC(size) "depth-anything/Metric-Video-Depth-Anything-" size
#define V2(size) "depth-anything/Depth-Anything-V2-" size
#define V2_INDOOR(size) "depth-anything/Depth-Anything-V2-Metric-Hypersim-" size
#define V2_OUTDOOR(size) "depth-anything/Depth-Anything-V2-Metric-VKITTI-" size

static const isobath_known_model models[] = {
    {"nano", "nano.safetensors", NULL, "comes with isobath (assets/models)", FREE, 0},
    {"nano-metric", "nano_metric.safetensors", NULL, "comes with isobath (assets/models)", FREE, 1},
    {"vits", "video_depth_anything_vits.pth", SMALL, PAGE SMALL, FREE, 0},
    {"vitb", "video_depth_anything_vitb.pth", BASE, PAGE BASE, NONCOMMERCIAL, 0},
    {"vitl", "video_depth_anything_vitl.pth", LARGE, PAGE LARGE, NONCOMMERCIAL, 0},
    {"vits-metric", "metric_video_depth_anything_vits.pth", METRIC("Small"), PAGE METRIC("Small"), FREE, 1},
    {"vitb-metric", "metric_video_depth_anything_vitb.pth", METRIC("Base"), PAGE METRIC("Base"), NONCOMMERCIAL, 1},
    {"vitl-metric", "metric_video_depth_anything_vitl.pth", METRIC("Large"), PAGE METRIC("Large"), NONCOMMERCIAL, 1},
    {"v2-vits", "depth_anything_v2_vits.pth", V2("Small"), PAGE V2("Small"), FREE, 0},
    {"v2-vitb", "depth_anything_v2_vitb.pth", V2("Base"), PAGE V2("Base"), NONCOMMERCIAL, 0},
    {"v2-vitl", "depth_anything_v2_vitl.pth", V2("Large"), PAGE V2("Large"), NONCOMMERCIAL, 0},
    {"v2-vits-indoor", "depth_anything_v2_metric_hypersim_vits.pth", V2_INDOOR("Small"), PAGE V2_INDOOR("Small"), FREE, 1},
    {"v2-vits-outdoor", "depth_anything_v2_metric_vkitti_vits.pth", V2_OUTDOOR("Small"), PAGE V2_OUTDOOR("Small"), FREE, 1},
    {"v2-vitb-indoor", "depth_anything_v2_metric_hypersim_vitb.pth", V2_INDOOR("Base"), PAGE V2_INDOOR("Base"), NONCOMMERCIAL, 1},
    {"v2-vitb-outdoor", "depth_anything_v2_metric_vkitti_vitb.pth", V2_OUTDOOR("Base"), PAGE V2_OUTDOOR("Base"), NONCOMMERCIAL, 1},
    {"v2-vitl-indoor", "depth_anything_v2_metric_hypersim_vitl.pth", V2_INDOOR("Large"), PAGE V2_INDOOR("Large"), NONCOMMERCIAL, 1},
    {"v2-vitl-outdoor", "depth_anything_v2_metric_vkitti_vitl.pth", V2_OUTDOOR("Large"), PAGE V2_OUTDOOR("Large"), NONCOMMERCIAL, 1},
};

size_t isobath_models_count(void) { return sizeof models / sizeof *models; }

const isobath_known_model *isobath_models_at(size_t i) { return i < isobath_models_count() ? &models[i] : NULL; }

const isobath_known_model *isobath_models_find(const char *name)
{
    for (size_t i = 0; i < isobath_models_count(); i++) {
        const char *file = models[i].file, *dot = strrchr(file, '.');
        size_t stem = (size_t)(dot - file);
        if (strcmp(name, models[i].name) == 0 || strcmp(name, file) == 0 ||
            (strlen(name) == stem && memcmp(name, file, stem) == 0))
            return &models[i];
    }
    return NULL;
}

/* ---- places ---- */

static int is_file(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISREG(sb.st_mode);
}

isobath_status isobath_models_cache(char *path, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (xdg && xdg[0] == '/') /* the XDG base directory specification: a relative one is to be ignored */
        n = snprintf(path, size, "%s/isobath", xdg);
    else if (home && home[0])
        n = snprintf(path, size, "%s/.cache/isobath", home);
    return n >= 0 && (size_t)n < size ? ISOBATH_OK : ISOBATH_ERR_USAGE;
}

/* Place number i into folder[PATH_MAX]: 1, 0 (that place does not exist here) or -1 (no more places). */
static int place(int i, char folder[PATH_MAX])
{
    static const char *const beside[] = {"models", "../assets/models", "../share/isobath/models"};
    if (i < 3) {
        char exe[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
        if (n <= 0) return 0;
        exe[n] = 0;
        char *slash = strrchr(exe, '/');
        if (slash) *slash = 0;
        return (size_t)snprintf(folder, PATH_MAX, "%s/%s", exe, beside[i]) < PATH_MAX;
    }
    if (i == 3) return snprintf(folder, PATH_MAX, "%s/models", ISOBATH_DATADIR) > 0;
    if (i == 4) {
        const char *env = getenv("ISOBATH_MODELS");
        return env && env[0] && (size_t)snprintf(folder, PATH_MAX, "%s", env) < PATH_MAX;
    }
    if (i == 5) return isobath_models_cache(folder, PATH_MAX) == ISOBATH_OK;
    return -1;
}

isobath_status isobath_models_locate(const isobath_known_model *model, char *path, size_t size)
{
    const char *dot = strrchr(model->file, '.');
    char folder[PATH_MAX];
    for (int i = 0, there; (there = place(i, folder)) >= 0; i++) {
        if (!there) continue;
        int n = snprintf(path, size, "%s/%s", folder, model->file);
        if (n > 0 && (size_t)n < size && is_file(path)) return ISOBATH_OK;
        n = snprintf(path, size, "%s/%.*s.safetensors", folder, (int)(dot - model->file), model->file);
        if (n > 0 && (size_t)n < size && is_file(path)) return ISOBATH_OK;
    }
    if (size) path[0] = 0;
    return ISOBATH_ERR_MODEL;
}

/* "nano, vits ..." for an error text. */
static void list_names(char *buf, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < isobath_models_count() && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", models[i].name);
}

isobath_status ib_models_resolve(const char *model, int metric, ib_diag *diag, char *path, size_t size)
{
    if (!model) model = "nano";
    int n = snprintf(path, size, "%s", model);
    if (n < 0 || (size_t)n >= size) return ib_fail(diag, ISOBATH_ERR_USAGE, "the name of the model is too long");
    if (is_file(path)) return ISOBATH_OK;
    const isobath_known_model *known = isobath_models_find(model);
    if (known && metric && !known->metric) {
        char name[64];
        snprintf(name, sizeof name, "%s-metric", known->name);
        const isobath_known_model *metres = isobath_models_find(name);
        if (!metres)
            return ib_fail(diag, ISOBATH_ERR_MODEL, "model %s gives disparity; metres come from %s-indoor (up to 20 m) and %s-outdoor (up to 80 m)",
                           known->name, known->name, known->name);
        known = metres;
    }
    if (!known) {
        char names[512];
        struct stat sb;
        if (stat(model, &sb) == 0 && S_ISDIR(sb.st_mode))
            return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: a folder, not a file: expected a checkpoint (.safetensors or .pth)", model);
        list_names(names, sizeof names);
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: no such file, and no known model (%s)", model, names);
    }
    if (isobath_models_locate(known, path, size) == ISOBATH_OK) return ISOBATH_OK;
    if (known->repository)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "model %s (%s) is not on this machine: isobath models pull %s fetches it", known->name,
                       known->file, known->name);
    return ib_fail(
        diag, ISOBATH_ERR_MODEL,
        "model %s (%s) was not found beside the binary, in %s/models, in $ISOBATH_MODELS or in the cache folder",
        known->name, known->file, ISOBATH_DATADIR);
}

/* ---- fetching ---- */

/* mkdir -p */
static isobath_status make_folders(const char *folder, ib_diag *diag)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char saved = *p;
        *p = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create the folder: %s", path, strerror(errno));
        *p = saved;
        if (!saved) return ISOBATH_OK;
    }
}

static isobath_status pull(const isobath_known_model *model, const isobath_pull_options *options, char *path,
                           size_t size, ib_diag *diag)
{
    char folder[PATH_MAX], url[1024];
    if (!model->repository)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "model %s comes with isobath and is not fetched", model->name);
    if (!options->accept_licence)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "the licence of %s (%s: %s) was not accepted", model->name,
                       model->licence, model->terms);
    if (options->folder)
        snprintf(folder, sizeof folder, "%s", options->folder);
    else if (isobath_models_cache(folder, sizeof folder) != ISOBATH_OK)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "no cache folder: neither XDG_CACHE_HOME nor HOME is set");
    const char *base = options->base_url;
    if (!base) base = getenv("ISOBATH_MODELS_URL");
    if (!base || !base[0]) base = "https://huggingface.co";
    int n = snprintf(url, sizeof url, "%s/%s/resolve/main/%s", base, model->repository, model->file);
    int m = snprintf(path, size, "%s/%s", folder, model->file);
    if (n < 0 || (size_t)n >= sizeof url || m < 0 || (size_t)m >= size)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "the address or the folder's name is too long");
    if (is_file(path)) return ISOBATH_OK;
    IB_TRY(make_folders(folder, diag));
    const ib_download_options download = {.attempts = options->attempts ? options->attempts : 5,
                                          .stall_seconds = options->stall_seconds ? options->stall_seconds : 30,
                                          .retry_ms = options->retry_ms ? options->retry_ms : 1000,
                                          .progress = options->progress,
                                          .ctx = options->ctx,
                                          .accept = ib_download_accept_checkpoint};
    return ib_download(url, path, &download, diag);
}

isobath_status isobath_models_pull(const isobath_known_model *model, const isobath_pull_options *options, char *path,
                                   size_t path_size, char *error, size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    isobath_status st = pull(model, options, path, path_size, &diag);
    if (error && error_size) snprintf(error, error_size, "%s", st == ISOBATH_OK ? "" : diag.text);
    ib_diag_destroy(&diag);
    return st;
}

isobath_status ib_download_accept_checkpoint(const char *path, ib_diag *diag)
{
    ib_checkpoint *checkpoint = NULL;
    IB_TRY(ib_checkpoint_open(path, diag, &checkpoint));
    ib_checkpoint_close(checkpoint);
    return ISOBATH_OK;
}
