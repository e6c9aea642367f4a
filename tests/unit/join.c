/* Joining: a smooth video cut in five with a scale and shift of its own in each part comes back as one; what cannot be
 * joined is refused. */
#include "sink_helper.h"

#include "depthio/depth_reader.h"
#include "join/fit.h"
#include "split/plan.h"
#include <isobath/check.h>
#include <isobath/join.h>

enum { W = 40, H = 30, PIXELS = W * H, MOST = 8 };

/* The uncut truth: disparity of a moving, smooth scene, between 0.2 and 1.2. */
static double truth(int64_t f, int x, int y)
{
    double t = (double)f, u = (double)x / W, v = (double)y / H;
    return 0.7 + 0.25 * sin(6 * u + 0.11 * t) * cos(5 * v - 0.07 * t) + 0.15 * v + 0.1 * sin(0.013 * t);
}

static double normal(int64_t f, int x, int y, int chunk)
{
    double a = noise(f * 7 + chunk, x, y), b = noise(f * 13 + 5 * chunk + 1000003, x, y);
    return sqrt(-2 * log(a + 1e-9)) * cos(2 * M_PI * b);
}

typedef struct scene {
    int64_t frames, chunks, overlap;
    double noise;      /* relative */
    double outliers;   /* share of pixels that hold nonsense */
    int normalised;    /* 1: each frame to 0..1, 2: each frame by its mean */
    int metric, fixed; /* fixed: every chunk has scale 1, shift 0 */
    int still; /* the camera stands still: only a small thing moves (1), or nothing (2); changes are not relative then
                */
    const char *format;
    int affine_depth;    /* 1: each chunk is affine in depth, though it holds disparity */
    int levels;          /* 1: chunk k is flat at k + 1, but for a slope */
    int64_t wrong_frame; /* chunk 1 shows frames that are so much later */
    double scale[MOST], shift[MOST];
    double first_scale; /* of frame 0, where frames are normalised */
} scene;

static double value(const scene *s, int64_t f, int x, int y)
{
    if (!s->still) return truth(f, x, y);
    int hit = s->still == 1 && abs(x - (int)(f / 4 % W)) < 4 && abs(y - 12) < 5;
    return truth(0, x, y) + (hit ? 0.3 + 0.1 * sin(0.05 * (double)f) : 0);
}

/* Frame f of chunk k as a foreign tool would give it. */
static void fill(const scene *s, int k, int64_t f, float *depth)
{
    double min = INFINITY, max = -INFINITY, mean = 0;
    for (int p = 0; p < PIXELS && s->levels; p++) depth[p] = (float)(k + 1 + 1e-4 * p);
    if (s->levels) return;
    if (k == 1) f += s->wrong_frame;
    for (int p = 0; p < PIXELS; p++) {
        double d = value(s, f, p % W, p / W) * (1 + s->noise * normal(f, p % W, p / W, k));
        if (s->metric) d = 1 / d;
        d = s->affine_depth ? 1 / (s->scale[k] / d + s->shift[k]) : s->scale[k] * d + s->shift[k];
        if (s->outliers > 0 && noise(f + 99, p % W, p / W + 50 * k) < s->outliers) d = 5 * noise(f, p % W, p / W + 77);
        depth[p] = (float)(d > 0 ? d : 0);
        min = fmin(min, depth[p]), max = fmax(max, depth[p]), mean += depth[p] / PIXELS;
    }
    for (int p = 0; p < PIXELS && s->normalised; p++)
        depth[p] = (float)(s->normalised == 1 ? (depth[p] - min) / (max - min)
                                              : depth[p] / mean * (1 + 0.3 * noise(f + 31 * k, 1, 1)));
}

/* Writes every chunk by a sink of ours, and the plan. Returns the folder; paths[k] is the depth of chunk k. */
static char *make_chunks(scene *s, char *paths[MOST], char **plan_path)
{
    char *folder = scratch_folder();
    ib_split_plan plan = {
        .frames = s->frames, .overlap = s->overlap, .fps = 30, .width = W, .height = H, .input = strdup("walk.mp4")};
    assert_int_equal(ib_split_plan_make(&plan, s->chunks, 0, NULL), ISOBATH_OK);
    plan.times_us = malloc((size_t)s->frames * sizeof *plan.times_us);
    for (int64_t i = 0; i < s->frames; i++) plan.times_us[i] = i * 33333 + i % 3;
    const char *format = s->format ? s->format : "npz";
    for (int k = 0; k < (int)plan.count; k++) {
        char *name = ib_text("chunk_%d", k);
        if (s->fixed)
            s->scale[k] = 1, s->shift[k] = 0;
        else
            s->scale[k] = 0.3 + 2.5 * noise(k, 3, 4), s->shift[k] = 0.1 + noise(k, 5, 6);
        ib_sink_config config = test_config(folder, W, H);
        config.name = name;
        config.npz_level = 0;
        config.kind = s->metric ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY;
        const ib_sink_format *f = ib_sink_format_find(format);
        ib_sink *sink;
        assert_int_equal(f->open(&config, NULL, &sink), ISOBATH_OK);
        for (int64_t i = 0; i < plan.chunks[k].frames; i++) {
            ib_depth_frame *frame;
            assert_int_equal(ib_depth_frame_create(W, H, 0, 0, 0, NULL, &frame), ISOBATH_OK);
            frame->index = i;
            frame->pts_us = i * 33333;
            fill(s, k, plan.chunks[k].first + i, frame->depth);
            frame->min = frame->max = frame->depth[0];
            for (int p = 0; p < PIXELS; p++)
                frame->min = fminf(frame->min, frame->depth[p]), frame->max = fmaxf(frame->max, frame->depth[p]);
            assert_int_equal(f->push(sink, frame), ISOBATH_OK);
            ib_depth_frame_unref(frame);
        }
        assert_int_equal(f->finish(sink), ISOBATH_OK);
        f->close(sink);
        const char *endings[][2] = {
            {"npz", "depths.npz"}, {"png16", "depths_png16"}, {"ffv1", "depths.mkv"}, {"exr", "depths_exr"}};
        for (int e = 0; e < 4; e++)
            if (strcmp(endings[e][0], format) == 0) paths[k] = ib_text("%s/%s_%s", folder, name, endings[e][1]);
        free(name);
    }
    *plan_path = ib_text("%s/walk_split.json", folder);
    assert_int_equal(ib_split_plan_write(&plan, *plan_path, NULL), ISOBATH_OK);
    ib_split_plan_free(&plan);
    return folder;
}

static float *joined; /* where join() puts pixel 0 of each frame, when it is asked to */

typedef struct figures {
    double error; /* mean |joined - truth| / truth, in the truth's own scale */
    double bias;  /* the largest |mean(joined) - mean(truth)| / mean(truth) of a frame */
    double seam,
        other; /* RMS frame-to-frame change over the truth's: in the overlaps (and one frame around), elsewhere */
    double seam_mean, other_mean; /* the same of the frame's mean, in which noise does not count */
} figures;

static figures measure(const scene *s, const char *path)
{
    ib_depth_reader *reader;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_depth_reader_open(path, &diag, &reader) != ISOBATH_OK) fail_msg("%s", diag.text);
    assert_int_equal(ib_depth_reader_get_info(reader)->frames, s->frames);
    ib_split_plan plan = {.frames = s->frames, .overlap = s->overlap};
    assert_int_equal(ib_split_plan_make(&plan, s->chunks, 0, NULL), ISOBATH_OK);
    float now[PIXELS];
    double before[PIXELS], before_truth[PIXELS];
    figures r = {0};
    double sums[2][4] = {{0}}, last_mean = 0, last_true = 0;
    for (int64_t f = 0; f < s->frames; f++) {
        assert_int_equal(ib_depth_reader_read(reader, f, now), ISOBATH_OK);
        int seam = 0;
        for (int64_t k = 1; k < plan.count; k++)
            seam |= f >= plan.chunks[k].first && f <= plan.chunks[k].first + s->overlap;
        double mean = 0, true_mean = 0;
        for (int p = 0; p < PIXELS; p++) {
            double t = value(s, f, p % W, p / W);
            double d = (now[p] - s->shift[0]) / (s->first_scale > 0 ? s->first_scale : s->scale[0]);
            if (s->affine_depth) d = s->scale[0] / (1 / now[p] - s->shift[0]);
            if (s->metric) t = 1 / t;
            r.error += fabs(d - t) / t / PIXELS / (double)s->frames;
            mean += d / PIXELS, true_mean += t / PIXELS;
            if (f)
                sums[seam][0] += (d - before[p]) * (d - before[p]),
                    sums[seam][1] += s->still ? 1 : (t - before_truth[p]) * (t - before_truth[p]);
            before[p] = d, before_truth[p] = t;
        }
        r.bias = fmax(r.bias, fabs(mean - true_mean) / true_mean);
        if (f)
            sums[seam][2] += (mean - last_mean) * (mean - last_mean),
                sums[seam][3] += (true_mean - last_true) * (true_mean - last_true);
        last_mean = mean, last_true = true_mean;
    }
    r.other = sqrt(sums[0][0] / sums[0][1]), r.seam = sqrt(sums[1][0] / sums[1][1]);
    r.other_mean = sqrt(sums[0][2] / sums[0][3]), r.seam_mean = sqrt(sums[1][2] / sums[1][3]);
    ib_depth_reader_close(reader);
    ib_split_plan_free(&plan);
    return r;
}

/* Makes the scene, joins it; `says` NULL: must succeed, else the error must say it. Fills *r from the npz result. */
static void join(scene *s, const isobath_join_options *base, const char *says, isobath_join_summary *m, figures *r)
{
    char *paths[MOST] = {0}, *plan, *folder = make_chunks(s, paths, &plan), *out = ib_text("%s/out", folder),
         error[1024] = "";
    isobath_join_options o;
    isobath_join_summary local;
    isobath_join_options_init(&o);
    if (base) o = *base;
    o.plan = plan;
    o.depths = (const char *const *)paths;
    o.depth_count = (size_t)s->chunks;
    o.output = out;
    if (!o.formats) o.formats = "npz";
    if (!m) m = &local;
    isobath_status st = isobath_join_run(&o, m, error, sizeof error);
    if (!says && st != ISOBATH_OK) fail_msg("%s", error);
    if (says && (st == ISOBATH_OK || !strstr(error, says))) fail_msg("expected \"%s\", got \"%s\"", says, error);
    if (says) assert_int_equal(count_files(folder, "_isobath.json"), 0);
    if (st == ISOBATH_OK) {
        char *npz = ib_text("%s/walk_depths.npz", out);
        if (r) *r = measure(s, npz);
        ib_depth_reader *reader;
        float depth[PIXELS];
        assert_int_equal(ib_depth_reader_open(npz, NULL, &reader), ISOBATH_OK);
        for (int64_t f = 0; f < s->frames && joined; f++) {
            assert_int_equal(ib_depth_reader_read(reader, f, depth), ISOBATH_OK);
            joined[f] = depth[0];
        }
        ib_depth_reader_close(reader);
        free(npz);
        isobath_check *check;
        assert_int_equal(isobath_check_run(out, NULL, &check), ISOBATH_OK);
        for (size_t i = 0; i < isobath_check_count(check) && !isobath_check_passed(check); i++)
            print_message("%s\n", isobath_check_get(check, i).text);
        assert_true(isobath_check_passed(check));
        isobath_check_destroy(check);
        isobath_join_summary again;
        assert_int_equal(isobath_join_run(&o, &again, error, sizeof error), ISOBATH_ERR_EXISTS);
        isobath_join_summary_free(&again);
    }
    if (m == &local || st != ISOBATH_OK) isobath_join_summary_free(m);
    for (int k = 0; k < MOST; k++) free(paths[k]);
    free(plan);
    free(out);
    remove_folder(folder);
}

static void report(const char *name, const figures *r)
{
    print_message("%s: error %.3f%%, bias %.3f%%, change at seams %.4f, elsewhere %.4f (%+.1f%%)", name, 100 * r->error,
                  100 * r->bias, r->seam, r->other, 100 * (r->seam / r->other - 1));
    if (isfinite(r->other_mean))
        print_message(", of means %.4f and %.4f (%+.1f%%)", r->seam_mean, r->other_mean,
                      100 * (r->seam_mean / r->other_mean - 1));
    print_message("\n");
}

/* The acceptance of the issue: 6,553 frames in 5 chunks, 6,681 in the chunks, random scale and shift, 1% noise. */
static void five_chunks(void **state)
{
    (void)state;
    static const char *const blends[] = {"linear", "cosine"};
    for (int b = 0; b < 2; b++) {
        scene s = {.frames = 6553, .chunks = 5, .overlap = 32, .noise = 0.01};
        isobath_join_options o;
        isobath_join_options_init(&o);
        o.blend = blends[b];
        isobath_join_summary m;
        figures r;
        join(&s, &o, NULL, &m, &r);
        report(blends[b], &r);
        assert_int_equal(m.frames, 6553);
        assert_int_equal(m.frames_in_chunks, 6681);
        assert_true(r.error < 0.01 && r.bias < 0.005);
        assert_true(fabs(r.seam / r.other - 1) < 0.05);
        assert_true(fabs(r.seam_mean / r.other_mean - 1) < 0.05);
        /* nothing but noise moves: neither a step nor a quiet stretch shows */
        scene quiet = {.frames = 655, .chunks = 5, .overlap = 32, .noise = 0.01, .still = 2};
        figures q;
        join(&quiet, &o, NULL, NULL, &q);
        report("quiet", &q);
        assert_true(fabs(q.seam / q.other - 1) < 0.05);
        for (int k = 1; k < 5; k++) { /* to the first chunk's scale: scale[0]/scale[k] */
            assert_true(fabs(m.chunks[k].scale * s.scale[k] / s.scale[0] - 1) < 0.005);
            assert_true(m.chunks[k].residual < 0.02 && m.chunks[k].agreement > 0.99);
        }
        isobath_join_summary_free(&m);
    }
}

static void other_ways(void **state)
{
    (void)state;
    isobath_join_options o;
    figures r;
    isobath_join_options_init(&o);
    scene s = {.frames = 200, .chunks = 3, .overlap = 20, .noise = 0.01, .outliers = 0.15};
    isobath_join_summary m;
    join(&s, &o, NULL, &m, NULL); /* gross errors are left out of the fit */
    for (int k = 1; k < 3; k++) {
        assert_true(fabs(m.chunks[k].scale * s.scale[k] / s.scale[0] - 1) < 0.01);
        assert_true(fabs(m.chunks[k].shift - (s.shift[0] - s.scale[0] / s.scale[k] * s.shift[k])) < 0.01);
    }
    isobath_join_summary_free(&m);
    scene clean = {.frames = 200, .chunks = 3, .overlap = 20};
    join(&clean, &o, NULL, NULL, &r);
    report("exact", &r);
    assert_true(r.error < 1e-5 && fabs(r.seam / r.other - 1) < 1e-4);
    o.blend = "cut";
    join(&clean, &o, NULL, NULL, &r);
    assert_true(r.error < 1e-5);
    o.blend = NULL;
    static const char *const formats[] = {
        "png16",
        "ffv1",
#ifdef ISOBATH_HAVE_EXR
        "exr",
#endif
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        scene coded = {.frames = 90, .chunks = 3, .overlap = 8, .format = formats[i]};
        o.formats = "npz,png16,ffv1,preview";
        join(&coded, &o, NULL, NULL, &r);
        report(formats[i], &r);
        assert_true(r.error < 2e-4);
    }
    o.formats = NULL;
    /* affine in depth, stored as disparity: a line in disparity does not fit, one in depth does */
    scene affine = {.frames = 120, .chunks = 3, .overlap = 12, .affine_depth = 1};
    o.space = "depth";
    join(&affine, &o, NULL, &m, &r);
    report("affine in depth", &r);
    assert_string_equal(m.space, "depth");
    assert_true(r.error < 1e-5 && m.chunks[1].residual < 1e-5);
    isobath_join_summary_free(&m);
    o.space = "disparity";
    join(&affine, &o, NULL, &m, &r);
    report("the same, by a line in disparity", &r);
    assert_true(r.error > 5e-4 && m.chunks[1].residual > 5e-4);
    isobath_join_summary_free(&m);
    o.space = NULL;
    /* metres are joined as they are, or by their scale */
    scene metric = {.frames = 120, .chunks = 3, .overlap = 10, .metric = 1, .fixed = 1, .noise = 0.01};
    join(&metric, &o, NULL, &m, &r);
    assert_string_equal(m.fit, "none");
    assert_string_equal(m.unit, "metre");
    assert_true(r.error < 0.01);
    isobath_join_summary_free(&m);
    /* a disparity that is affine in the space of the fit, though the files hold metres */
    o.fit = "scale";
    o.space = "disparity";
    join(&metric, &o, NULL, &m, &r);
    assert_string_equal(m.space, "disparity");
    for (int k = 1; k < 3; k++) assert_true(fabs(m.chunks[k].scale - 1) < 0.003);
    isobath_join_summary_free(&m);
}

/* Whose depth a frame of the overlap is, and how much of it. */
static void weights(void **state)
{
    (void)state;
    scene s = {.frames = 40, .chunks = 2, .overlap = 8, .levels = 1}; /* 0..23 and 16..39 */
    static const struct {
        const char *blend;
        int64_t frames;
        double want[8];
    } cases[] = {{"linear", 4, {0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1}},
                 {"cut", 4, {0, 0, 0, 0, 1, 1, 1, 1}},
                 {"linear", 0, {1.0 / 9, 2.0 / 9, 3.0 / 9, 4.0 / 9, 5.0 / 9, 6.0 / 9, 7.0 / 9, 8.0 / 9}},
                 {"cosine", 3, {0, 0, 0.1464466, 0.5, 0.8535534, 1, 1, 1}}};
    static float values[40];
    joined = values;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        isobath_join_options o;
        isobath_join_options_init(&o);
        o.fit = "none";
        o.per_frame = "ignore";
        o.blend = cases[i].blend;
        o.blend_frames = cases[i].frames;
        join(&s, &o, NULL, NULL, NULL);
        for (int f = 0; f < 40; f++) {
            double want = f < 16 ? 0 : f >= 24 ? 1 : cases[i].want[f - 16];
            if (fabs(values[f] - 1 - want) > 1e-6)
                fail_msg("case %zu: frame %d is %g of the later chunk; expected %g", i, f, values[f] - 1, want);
        }
    }
    joined = NULL;
}

static void normalised_frames(void **state)
{
    (void)state;
    isobath_join_options o;
    isobath_join_options_init(&o);
    scene unit = {.frames = 120, .chunks = 3, .overlap = 16, .noise = 0.01, .normalised = 1};
    join(&unit, &o, "normalised one by one", NULL, NULL);
    scene mean = {.frames = 120, .chunks = 3, .overlap = 16, .noise = 0.01, .normalised = 2};
    join(&mean, &o, "jumps from frame to frame", NULL, NULL);
    o.per_frame = "ignore";
    join(&unit, &o, NULL, NULL, NULL);
    /* the camera stands still: the repair gives every frame the scale of the first one, which was divided by its mean
     */
    scene still = {.frames = 150, .chunks = 3, .overlap = 16, .noise = 0.005, .normalised = 2, .still = 1, .fixed = 1};
    float first[PIXELS];
    double sum = 0, want = 0;
    still.scale[0] = 1;
    fill(&still, 0, 0, first);
    for (int p = 0; p < PIXELS; p++) sum += first[p], want += value(&still, 0, p % W, p / W);
    still.first_scale = sum / want;
    isobath_join_summary m;
    figures r;
    join(&still, &o, NULL, NULL, &r);
    report("as it is", &r);
    assert_true(r.error > 0.05);
    o.per_frame = "repair";
    join(&still, &o, NULL, &m, &r);
    report("repaired", &r);
    assert_true(m.repaired && r.error < 0.02);
    isobath_join_summary_free(&m);
}

static int stop_in_the_middle(void *ctx, const char *stage, int64_t done, int64_t total)
{
    (void)ctx, (void)total;
    return strcmp(stage, "join") == 0 && done >= 32;
}

static void refusals(void **state)
{
    (void)state;
    isobath_join_options o;
    isobath_join_options_init(&o);
    scene shifted = {.frames = 200, .chunks = 2, .overlap = 20, .noise = 0.01, .wrong_frame = 29};
    join(&shifted, &o, "do not agree where they overlap", NULL, NULL);
    scene apart = {.frames = 60, .chunks = 2, .overlap = 0};
    join(&apart, &o, "shares no frame", NULL, NULL);
    scene good = {.frames = 60, .chunks = 2, .overlap = 8};
    static const struct {
        isobath_join_options o;
        const char *says;
    } cases[] = {{{.metric = -1, .fit = "affine"}, "--fit affine"},
                 {{.metric = -1, .space = "log"}, "--space log"},
                 {{.metric = -1, .blend = "hard"}, "--blend hard"},
                 {{.metric = -1, .formats = "npz,ply"}, "--format ply: needs the pictures"},
                 {{.metric = -1, .formats = "gif"}, "--format gif"},
                 {{.metric = -1, .per_frame = "maybe"}, "--per-frame maybe"},
                 {{.metric = -1, .input_scale = "inch"}, "--input-scale inch"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) join(&good, &cases[i].o, cases[i].says, NULL, NULL);
    /* a chunk is missing, has too many frames, or another size */
    char *paths[MOST] = {0}, *plan, *folder = make_chunks(&good, paths, &plan), *out = ib_text("%s/out", folder),
         error[1024];
    isobath_join_summary m;
    o.plan = plan;
    o.output = out;
    assert_int_equal(isobath_join_run(&o, &m, error, sizeof error), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(error, "does not say where"));
    o.depths = (const char *const *)paths;
    o.depth_count = 1;
    assert_int_equal(isobath_join_run(&o, &m, error, sizeof error), ISOBATH_ERR_USAGE);
    assert_non_null(strstr(error, "2 chunks, but 1"));
    scene longer = {.frames = 64, .chunks = 2, .overlap = 8};
    char *more[MOST] = {0}, *other_plan, *other = make_chunks(&longer, more, &other_plan);
    char *mixed[2] = {paths[0], more[1]};
    o.depths = (const char *const *)mixed;
    o.depth_count = 2;
    assert_int_equal(isobath_join_run(&o, &m, error, sizeof error), ISOBATH_ERR_INPUT);
    assert_non_null(strstr(error, "36 frames; chunk 1 of the plan has 34"));
    assert_int_equal(access(out, F_OK), -1);
    /* a list with offsets instead of a plan */
    char *list = ib_text("%s/list.txt", folder),
         *text = ib_text("# first frame, depth\n0 %s\n26 chunk_1_depths.npz\n", paths[0]);
    assert_int_equal(ib_write_file(list, text, strlen(text), 0, NULL), ISOBATH_OK);
    o = (isobath_join_options){.plan = list, .output = out, .metric = -1, .formats = "npz"};
    if (isobath_join_run(&o, &m, error, sizeof error) != ISOBATH_OK) fail_msg("%s", error);
    assert_int_equal(m.frames, 60);
    isobath_join_summary_free(&m);
    /* stopped in the middle: nothing is left */
    char *half = ib_text("%s/half", folder);
    o.output = half;
    o.formats = "png16,npz,ffv1,preview";
    o.progress = stop_in_the_middle;
    assert_int_equal(isobath_join_run(&o, &m, error, sizeof error), ISOBATH_ERR_INTERRUPTED);
    isobath_join_summary_free(&m);
    assert_int_equal(count_files(half, ""), 0);
    free(half);
    free(list);
    free(text);
    for (int k = 0; k < MOST; k++) free(paths[k]), free(more[k]);
    free(plan);
    free(other_plan);
    free(out);
    remove_folder(folder);
    remove_folder(other);
}

/* The line itself: noise on both sides must not flatten it, and a third of nonsense must not bend it. */
static void robust_line(void **state)
{
    (void)state;
    enum { N = 20000 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    double *scratch = malloc(N * sizeof *scratch);
    for (int outliers = 0; outliers < 2; outliers++) {
        double scale = 1, shift = 0;
        for (int k = 0; k < (outliers ? 1 : 30); k++) { /* a chain: errors of one kind would add up */
            for (int i = 0; i < N; i++) {
                double t = 0.5 + 0.2 * noise(i, 1, 2);
                x[i] = (float)(t * (1 + 0.02 * normal(i, k, 1, 2)));
                y[i] = (float)(t * (1 + 0.02 * normal(i, k, 3, 4)));
                if (outliers && noise(i, k, 9) < 0.3) y[i] = 2 * noise(i, k, 10);
            }
            ib_fit fit;
            assert_int_equal(ib_line_fit(x, y, N, IB_FIT_BOTH, scratch, &fit), 1);
            shift = scale * fit.shift + shift;
            scale *= fit.scale;
        }
        print_message("lines: scale %.4f, at the middle %.4f\n", scale, scale * 0.6 + shift);
        assert_true(fabs(scale * 0.6 + shift - 0.6) < 0.006);
        assert_true(fabs(scale - 1) < 0.03);
    }
    for (int i = 0; i < N; i++) x[i] = 1, y[i] = 2;
    ib_fit fit;
    assert_int_equal(ib_line_fit(x, y, N, IB_FIT_BOTH, scratch, &fit), 0); /* one value only */
    assert_int_equal(ib_line_fit(x, y, N, IB_FIT_SCALE, scratch, &fit), 1);
    assert_true(fabs(fit.scale - 2) < 1e-9);
    assert_int_equal(ib_line_fit(x, y, 15, IB_FIT_SCALE, scratch, &fit), 0);
    free(x);
    free(y);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(robust_line), cmocka_unit_test(other_ways),
                                       cmocka_unit_test(weights),     cmocka_unit_test(normalised_frames),
                                       cmocka_unit_test(refusals),    cmocka_unit_test(five_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
