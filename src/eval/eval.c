/* isobath_eval_sequence: reads prediction and truth frame by frame, twice: once for the fit, once for the metrics. */
#include "eval/metrics.h"
#include "sink/camera.h"
#include "depthio/depth_reader.h"
#include <isobath/eval.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void isobath_eval_options_init(isobath_eval_options *options)
{
    *options = (isobath_eval_options){.max_depth = 80, .step = 1, .metric = -1};
}

isobath_status isobath_eval_preset(const char *name, int is_short, isobath_eval_options *options)
{
    static const struct {
        const char *name;
        double gt_scale, max_depth;
        int crop[4];
        int64_t start, step, frames, long_frames; /* of the short protocol, and of the long one */
    } sets[] = {
        {"kitti", 256, 80, {0, 374, 0, 1242}, 0, 1, 110, 500},
        {"nyuv2", 6000, 10, {45, 471, 41, 601}, 0, 1, 500, 500},
        {"bonn", 5000, 10, {0, 0, 0, 0}, 30, 1, 110, 500},
        {"scannet", 1000, 10, {8, -8, 11, -11}, 0, 3, 90, 500},
        {"sintel", 65535.0 / 650.0, 70, {0, 0, 0, 0}, 0, 1, 100, 100},
    };
    isobath_eval_options_init(options);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(sets[i].name, name) != 0) continue;
        options->gt_scale = sets[i].gt_scale;
        options->max_depth = sets[i].max_depth;
        memcpy(options->crop, sets[i].crop, sizeof options->crop);
        options->start = is_short ? sets[i].start : 0;
        options->step = is_short ? sets[i].step : 1;
        options->frames = is_short ? sets[i].frames : sets[i].long_frames;
        return ISOBATH_OK;
    }
    return ISOBATH_ERR_USAGE;
}

/* One sequence being evaluated. Sizes: prediction (ph,pw), truth (gh,gw), what counts of it (h,w). */
typedef struct eval_run {
    const isobath_eval_options *options;
    ib_diag *diag;
    ib_depth_reader *prediction, *truth;
    ib_camera_track cameras;
    int ph, pw, gh, gw, h, w, top, left, metric;
    int64_t selected;       /* frames of the truth */
    int selects_prediction; /* the prediction has a frame for each frame of the truth, not just the selected */
    float *pred, *full, *gt, *resized;
    double *depth, *before, *splat;
} eval_run;

/* NumPy's slice begin:end of `size`; 0 when it is empty or outside. */
static int slice(int begin, int end, int size, int *first, int *count)
{
    if (begin < 0) begin += size;
    if (end <= 0) end += size;
    if (end > size) end = size; /* KITTI's pictures are not all of one size: 0:374 of 370 rows is 370 */
    *first = begin;
    *count = end - begin;
    return begin >= 0 && *count > 0;
}

static isobath_status plan(eval_run *run, const char *prediction, const char *truth)
{
    const isobath_eval_options *o = run->options;
    const ib_depth_reader_info *p = ib_depth_reader_get_info(run->prediction),
                               *g = ib_depth_reader_get_info(run->truth);
    if (o->step < 1 || o->start < 0 || o->frames < 0 || !(o->max_depth > IB_EVAL_MIN_DEPTH) || o->gt_scale < 0)
        return ib_fail(run->diag, ISOBATH_ERR_USAGE, "step, start, frames, max-depth or gt-scale is out of range");
    run->ph = p->height, run->pw = p->width, run->gh = g->height, run->gw = g->width;
    if (!slice(o->crop[0], o->crop[1], run->gh, &run->top, &run->h) ||
        !slice(o->crop[2], o->crop[3], run->gw, &run->left, &run->w))
        return ib_fail(run->diag, ISOBATH_ERR_USAGE, "%s: the crop leaves nothing of %dx%d", truth, run->gw, run->gh);
    if (o->gt_scale > 0) ib_depth_reader_set_scale(run->truth, 1.0 / o->gt_scale, 0);
    run->metric = o->metric >= 0 ? o->metric : p->kind_known && p->kind == IB_DEPTH_METRIC;
    run->selected = g->frames > o->start ? (g->frames - o->start + o->step - 1) / o->step : 0;
    if (o->frames > 0 && run->selected > o->frames) run->selected = o->frames;
    if (run->selected == 0)
        return ib_fail(run->diag, ISOBATH_ERR_INPUT, "%s: no frame from %" PRId64 " on: it has %" PRId64, truth,
                       o->start, g->frames);
    run->selects_prediction = p->frames == g->frames;
    if (!run->selects_prediction && p->frames != run->selected)
        return ib_fail(run->diag, ISOBATH_ERR_INPUT,
                       "%s: %" PRId64 " frames; expected %" PRId64 " (all of %s) or %" PRId64 " (the selected ones)",
                       prediction, p->frames, g->frames, truth, run->selected);
    size_t n = (size_t)run->h * (size_t)run->w;
    run->pred = malloc((size_t)run->ph * (size_t)run->pw * sizeof *run->pred);
    run->full = malloc((size_t)run->gh * (size_t)run->gw * sizeof *run->full);
    run->gt = malloc(n * sizeof *run->gt);
    run->resized = malloc(n * sizeof *run->resized);
    run->depth = malloc(n * sizeof *run->depth);
    run->before = malloc(n * sizeof *run->before);
    run->splat = malloc(n * sizeof *run->splat);
    if (!run->pred || !run->full || !run->gt || !run->resized || !run->depth || !run->before || !run->splat)
        return ib_fail(run->diag, ISOBATH_ERR_MEMORY, "out of memory for frames of %dx%d", run->gw, run->gh);
    return ISOBATH_OK;
}

static int64_t truth_index(const eval_run *run, int64_t k) { return run->options->start + k * run->options->step; }

/* Selected frame k: run->resized and run->gt, both (h,w). */
static isobath_status load(eval_run *run, int64_t k)
{
    IB_TRY(ib_depth_reader_read(run->truth, truth_index(run, k), run->full));
    for (int y = 0; y < run->h; y++)
        memcpy(run->gt + (size_t)y * (size_t)run->w, run->full + (size_t)(run->top + y) * (size_t)run->gw + run->left,
               (size_t)run->w * sizeof *run->gt);
    int64_t i = run->selects_prediction ? truth_index(run, k) : k;
    IB_TRY(ib_depth_reader_read(run->prediction, i, run->pred));
    int64_t n = (int64_t)run->ph * run->pw;
    for (int64_t j = 0; j < n; j++)
        if (!isfinite(run->pred[j]))
            return ib_fail(run->diag, ISOBATH_ERR_INPUT,
                           "frame %" PRId64 " of the prediction holds a value that is not finite", i);
    ib_eval_resize(run->pred, run->ph, run->pw, run->resized, run->h, run->w);
    return ISOBATH_OK;
}

static isobath_status fit_sequence(eval_run *run, isobath_eval_result *result)
{
    ib_eval_fit fit = {0};
    result->scale = 1;
    result->shift = 0;
    if (run->metric) return ISOBATH_OK;
    for (int64_t k = 0; k < run->selected; k++) {
        IB_TRY(load(run, k));
        ib_eval_fit_add(&fit, run->resized, run->gt, (int64_t)run->h * run->w, run->options->max_depth);
    }
    if (fit.n == 0)
        return ib_fail(run->diag, ISOBATH_ERR_INPUT,
                       "no valid pixel in the ground truth (1e-3 < metres < %g): is --gt-scale right?",
                       run->options->max_depth);
    if (!ib_eval_fit_solve(&fit, &result->scale, &result->shift))
        return ib_fail(run->diag, ISOBATH_ERR_INPUT, "no fit: the prediction is the same everywhere");
    return ISOBATH_OK;
}

/* The camera of selected frame k, in pixels of the crop. */
static isobath_status camera(const eval_run *run, int64_t k, ib_camera *out)
{
    const ib_camera *c = ib_camera_of(&run->cameras, truth_index(run, k));
    if (!c)
        return ib_fail(run->diag, ISOBATH_ERR_INPUT, "%s: no camera for frame %" PRId64, run->options->camera,
                       truth_index(run, k));
    if (!(c->cx >= 0 && c->cx < run->gw && c->cy >= 0 && c->cy < run->gh)) /* measured on pictures of another size: its TAE would be wrong by far */
        return ib_fail(run->diag, ISOBATH_ERR_INPUT, "%s: frame %" PRId64 " has its centre at %g,%g, outside of the truth's %dx%d: expected pixels of "
                       "the truth", run->options->camera, truth_index(run, k), c->cx, c->cy, run->gw, run->gh);
    *out = *c;
    out->cx -= run->left;
    out->cy -= run->top;
    return ISOBATH_OK;
}

/* Both directions between the selected frames j (run->before) and k (run->depth). */
static isobath_status add_tae(eval_run *run, int64_t j, int64_t k, double *sum)
{
    ib_camera a, b;
    double forward, backward;
    IB_TRY(camera(run, j, &a));
    IB_TRY(camera(run, k, &b));
    ib_eval_reprojection(run->before, &a, run->depth, &b, run->h, run->w, run->splat, &forward);
    ib_eval_reprojection(run->depth, &b, run->before, &a, run->h, run->w, run->splat, &backward);
    *sum += forward + backward;
    return ISOBATH_OK;
}

static isobath_status measure(eval_run *run, isobath_eval_result *result)
{
    double abs_rel = 0, rmse = 0, delta1 = 0, tae = 0;
    int64_t n = (int64_t)run->h * run->w, last = -1;
    for (int64_t k = 0; k < run->selected; k++) {
        IB_TRY(load(run, k));
        ib_eval_depth(run->resized, n, run->metric, result->scale, result->shift, run->options->max_depth, run->depth);
        ib_eval_frame f = ib_eval_compare(run->depth, run->gt, n, run->options->max_depth);
        if (f.n == 0) continue; /* frames without a valid pixel are dropped */
        result->frames++;
        result->pixels += f.n;
        abs_rel += f.abs_rel;
        rmse += f.rmse;
        delta1 += f.delta1;
        if (run->options->camera && last >= 0) IB_TRY(add_tae(run, last, k, &tae));
        double *t = run->before;
        run->before = run->depth;
        run->depth = t;
        last = k;
    }
    if (result->frames == 0)
        return ib_fail(run->diag, ISOBATH_ERR_INPUT,
                       "no valid pixel in the ground truth (1e-3 < metres < %g): is --gt-scale right?",
                       run->options->max_depth);
    result->abs_rel = abs_rel / (double)result->frames;
    result->rmse = rmse / (double)result->frames;
    result->delta1 = delta1 / (double)result->frames;
    if (run->options->camera && result->frames > 1) result->tae = 100 * tae / (2.0 * (double)(result->frames - 1));
    return ISOBATH_OK;
}

isobath_status isobath_eval_sequence(const char *prediction, const char *truth, const isobath_eval_options *options,
                                     isobath_eval_result *result, char *error, size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    eval_run run = {.options = options, .diag = &diag};
    memset(result, 0, sizeof *result);
    result->tae = NAN;
    isobath_status st = ib_depth_reader_open_as(prediction, options->input_scale, &diag, &run.prediction);
    if (st == ISOBATH_OK) st = ib_depth_reader_open(truth, &diag, &run.truth);
    if (st == ISOBATH_OK) st = plan(&run, prediction, truth);
    if (st == ISOBATH_OK && options->camera) st = ib_camera_read(options->camera, 1, &diag, &run.cameras);
    result->metric = run.metric;
    if (st == ISOBATH_OK) st = fit_sequence(&run, result);
    if (st == ISOBATH_OK) st = measure(&run, result);
    if (error && error_size) snprintf(error, error_size, "%s", diag.text);
    ib_depth_reader_close(run.prediction);
    ib_depth_reader_close(run.truth);
    ib_camera_free(&run.cameras);
    free(run.pred);
    free(run.full);
    free(run.gt);
    free(run.resized);
    free(run.depth);
    free(run.before);
    free(run.splat);
    ib_diag_destroy(&diag);
    return st;
}
