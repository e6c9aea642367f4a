/* isobath eval: depth against ground truth. */
#include "cli.h"

#include <isobath/eval.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval_flags {
    isobath_eval_options o;
    const char *preset;
    int is_short, json, fit, metric;
    /* what was given on the command line wins over the preset */
    double gt_scale, max_depth;
    int64_t start, step, frames;
    int crop[4], has_crop;
} eval_flags;

static int set_crop(void *target, const char *arg)
{
    eval_flags *f = target;
    int end = 0;
    f->has_crop =
        sscanf(arg, "%d:%d,%d:%d%n", &f->crop[0], &f->crop[1], &f->crop[2], &f->crop[3], &end) == 4 && !arg[end];
    return f->has_crop ? 0 : -1;
}

/* The preset, then what the command line says. */
static int merge(eval_flags *f)
{
    const char *camera = f->o.camera, *input_scale = f->o.input_scale;
    isobath_eval_options_init(&f->o);
    if (f->preset && isobath_eval_preset(f->preset, f->is_short, &f->o) != ISOBATH_OK)
        return cli_fail("eval", ISOBATH_ERR_USAGE, "--preset: expected kitti, nyuv2, bonn, scannet or sintel");
    f->o.camera = camera;
    f->o.input_scale = input_scale;
    if (f->gt_scale > 0) f->o.gt_scale = f->gt_scale;
    if (f->max_depth > 0) f->o.max_depth = f->max_depth;
    if (f->start >= 0) f->o.start = f->start;
    if (f->step > 0) f->o.step = f->step;
    if (f->frames > 0) f->o.frames = f->frames;
    if (f->has_crop) memcpy(f->o.crop, f->crop, sizeof f->crop);
    if (f->metric && f->fit) return cli_fail("eval", ISOBATH_ERR_USAGE, "--metric and --fit exclude each other");
    f->o.metric = f->metric ? 1 : f->fit ? 0 : -1;
    return -1;
}

static json_t *result_json(const isobath_eval_result *r, int64_t sequences)
{
    json_t *j = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:b}", "frames", (json_int_t)r->frames, "pixels",
                          (json_int_t)r->pixels, "abs_rel", r->abs_rel, "rmse", r->rmse, "delta1", r->delta1, "scale",
                          r->scale, "shift", r->shift, "metric", r->metric);
    if (!isnan(r->tae)) json_object_set_new(j, "tae", json_real(r->tae));
    if (sequences) {
        json_object_del(j, "scale");
        json_object_del(j, "shift");
        json_object_set_new(j, "sequences", json_integer(sequences));
    }
    return j;
}

static void print_line(const char *name, const isobath_eval_result *r)
{
    printf("%-32s AbsRel %.4f  RMSE %.4f  delta1 %.4f", name, r->abs_rel, r->rmse, r->delta1);
    if (!isnan(r->tae)) printf("  TAE %.4f", r->tae);
    printf("  frames %lld%s\n", (long long)r->frames, r->metric ? "  (metric, no fit)" : "");
}

/* Every pair, then the mean over the sequences. */
static int evaluate(const eval_flags *f, int pairs, char **paths)
{
    isobath_eval_result mean = {0};
    json_t *list = json_array();
    for (int i = 0; i < pairs; i++) {
        isobath_eval_result r;
        char error[1024];
        isobath_status st = isobath_eval_sequence(paths[2 * i], paths[2 * i + 1], &f->o, &r, error, sizeof error);
        if (st != ISOBATH_OK) {
            json_decref(list);
            return cli_fail("eval", st, error);
        }
        if (!f->json) print_line(paths[2 * i], &r);
        json_t *j = result_json(&r, 0);
        json_object_set_new(j, "prediction", json_string(paths[2 * i]));
        json_object_set_new(j, "truth", json_string(paths[2 * i + 1]));
        json_array_append_new(list, j);
        mean.frames += r.frames;
        mean.pixels += r.pixels;
        mean.abs_rel += r.abs_rel / pairs;
        mean.rmse += r.rmse / pairs;
        mean.delta1 += r.delta1 / pairs;
        mean.tae += r.tae / pairs;
        mean.metric |= r.metric;
    }
    if (f->json) {
        json_t *all = result_json(&mean, pairs);
        json_object_set(all, "results", list);
        char *text = json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS);
        if (text) puts(text);
        free(text);
        json_decref(all);
    } else if (pairs > 1) {
        print_line("mean", &mean);
    }
    json_decref(list);
    return 0;
}

int cmd_eval(int argc, char **argv)
{
    eval_flags f = {.start = -1};
    static const cli_command command = {
        .name = "eval",
        .usage = "eval PRED GT [PRED GT ...] [--preset SET] [--camera FILE]",
        .summary = "depth against ground truth: AbsRel, RMSE, delta1, TAE",
        .description =
            "PRED is a result of isobath (a depths_png16 folder or an .npz) or a foreign one; GT holds metres: .npz, "
            ".npy, or a\n"
            "folder of PNG files divided by --gt-scale. PRED has a frame for each frame of GT, or for each selected "
            "one.\n"
            "A relative prediction is fitted in disparity, one scale and shift per sequence; a metric one is taken as "
            "it is.\n"
            "Metrics are means over frames, then over sequences; with --camera also the temporal alignment error in "
            "percent.\n"
            "Camera files are JSON lines of frame, fx, fy, cx, cy, world_from_camera, in pixels of the uncropped GT.",
        .examples = "  isobath eval out/clip_depths.npz truth.npz --max-depth 10\n"
                    "  isobath eval out/clip_depths_png16 kitti/depth --preset kitti --short\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Ground truth"},
        {CLI_STRING, "--preset", 0, "SET", "kitti, nyuv2, bonn, scannet or sintel: scale, depth limit, crop and frames",
         &f.preset},
        {CLI_FLAG, "--short", 0, NULL, "the set's short protocol (about 110 frames)", &f.is_short},
        {CLI_DOUBLE, "--gt-scale", 0, "S", "metres = value / S (16-bit PNG; KITTI 256)", &f.gt_scale},
        {CLI_DOUBLE, "--max-depth", 0, "M", "only pixels nearer than M metres count (default 80)", &f.max_depth},
        {CLI_CALL, "--crop", 0, "R0:R1,C0:C1", "rows and columns that count; negative: from the end; 0 as end: all", &f,
         set_crop},
        {CLI_INT64, "--start", 0, "N", "first frame of GT", &f.start},
        {CLI_INT64, "--step", 0, "N", "every N-th frame of GT", &f.step},
        {CLI_INT64, "--frames", 0, "N", "at most N frames", &f.frames},
        {CLI_HEADING, .help = "Prediction"},
        {CLI_FLAG, "--metric", 0, NULL, "PRED is in metres: no fit (default: as the file says)", &f.metric},
        {CLI_FLAG, "--fit", 0, NULL, "PRED is disparity: fit it", &f.fit},
        {CLI_STRING, "--input-scale", 0, "SCALE", "samples of a foreign PRED: mm, cm, m, 1/N (metres = sample / N), unit, raw, S or S,OFFSET", &f.o.input_scale},
        {CLI_STRING, "--camera", 0, "FILE", "poses and intrinsics, for TAE", &f.o.camera},
        {CLI_HEADING, .help = "Output"},
        {CLI_FLAG, "--json", 0, NULL, "print a JSON object", &f.json},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest < 2 || rest % 2)
        return cli_fail("eval", ISOBATH_ERR_USAGE, "pairs of PRED and GT expected (see isobath eval --help)");
    if (f.max_depth < 0 || f.gt_scale < 0 || f.step < 0 || f.frames < 0)
        return cli_fail("eval", ISOBATH_ERR_USAGE, "--max-depth, --gt-scale, --step and --frames: expected numbers above 0");
    code = merge(&f);
    return code >= 0 ? code : evaluate(&f, rest / 2, argv + 1);
}
