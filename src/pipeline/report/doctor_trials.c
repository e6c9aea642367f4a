/* Self-tests and rates of every device and precision.
 *
 * The network runs on one window of frames. The size of the self-test is the largest, up to the run's, at which fp32 on the CPU
 * takes its share of the time; the result there is what every other device and precision is compared with. */
#include "pipeline/report/doctor.h"
#include "pipeline/setup.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 28 /* input size of the first probe */

typedef struct context {
    ib_doctor *d;
    int size;               /* input size of the self-test */
    float *reference, *depth; /* f32 (32,height,width) at that size */
    int64_t count;          /* values of a window there */
    double range;           /* of the reference */
} context;

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Least and greatest finite value. */
static void extremes(const float *x, int64_t count, double *min, double *max)
{
    *min = INFINITY;
    *max = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i])) continue;
        if (x[i] < *min) *min = x[i];
        if (x[i] > *max) *max = x[i];
    }
    if (*min > *max) *min = *max = 0;
}

/* Errors of c->depth, which is overwritten. */
static void compare(context *c, isobath_doctor_trial *t)
{
    t->median_error = t->p9999_error = t->worst_error = -1;
    if (t->nonfinite || !c->reference || !(c->range > 0)) return;
    for (int64_t i = 0; i < c->count; i++) c->depth[i] = fabsf(c->depth[i] - c->reference[i]);
    qsort(c->depth, (size_t)c->count, sizeof *c->depth, compare_floats);
    t->median_error = c->depth[c->count / 2] / c->range;
    t->p9999_error = c->depth[c->count - 1 - c->count / 10000] / c->range;
    t->worst_error = c->depth[c->count - 1] / c->range;
}

/* A coarse bound: the self-test's small picture may have a narrow range, so only what is plainly wrong is called so. */
static int is_sane(const isobath_doctor_trial *t, ib_dtype act)
{
    return !t->nonfinite && t->worst_error <= (act == IB_F32 ? 1e-3 : 0.1);
}

/* Hours for the input when decoding and network work side by side. */
static double hours_for(const isobath_doctor_report *r, double frames_per_s)
{
    double rate = r->decode_frames_per_s > 0 && r->decode_frames_per_s < frames_per_s ? r->decode_frames_per_s : frames_per_s;
    return r->plan.frames_hint > 0 && rate > 0 ? (double)r->plan.frames_hint / rate / 3600 : -1;
}

static isobath_status open_trial(context *c, int device, ib_dtype act, int size, ib_diag *diag, ib_trial *out)
{
    ib_doctor *d = c->d;
    return ib_trial_open(d->checkpoint, &d->config, device, act, d->pool, &d->frames, size, diag, out);
}

/* Seconds for a window of fp32 on the CPU; `warm`: run it once before. */
static isobath_status probe(context *c, int size, int warm, ib_diag *diag, double *seconds)
{
    ib_trial t;
    IB_TRY(open_trial(c, IB_DEVICE_CPU, IB_F32, size, diag, &t));
    float *depth = malloc(IB_PLAN_WINDOW * (size_t)t.shape.width * (size_t)t.shape.height * sizeof *depth);
    isobath_status st = depth ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the self-test");
    for (int i = 0; st == ISOBATH_OK && i <= warm; i++) st = ib_trial_first(&t, &c->d->frames, depth, seconds);
    if (*seconds < 1e-6) *seconds = 1e-6;
    free(depth);
    ib_trial_close(&t);
    return st;
}

/* The size at which a window of fp32 on the CPU takes about budget_s. A small picture runs at a lower rate than a large one, so
 * the first guess is too small and is made once more from its own rate. */
static isobath_status choose_size(context *c, double budget_s, ib_diag *diag)
{
    ib_doctor *d = c->d;
    int size = d->input_size < SMALLEST ? d->input_size : SMALLEST;
    for (int step = 0; step < 2; step++) {
        double window, frame, seconds = 0;
        IB_TRY(probe(c, size, step == 0, diag, &seconds));
        IB_TRY(ib_trial_flops(&d->config, &d->frames, size, diag, &window, &frame));
        double affordable = window / seconds * budget_s;
        for (c->size = d->input_size; c->size > size; c->size = c->size * 7 / 8 / 14 * 14) {
            IB_TRY(ib_trial_flops(&d->config, &d->frames, c->size, diag, &window, &frame));
            if (window <= affordable) break;
        }
        if (c->size < size) c->size = size;
        if (c->size == d->input_size || c->size == size) return ISOBATH_OK;
        size = c->size;
    }
    return ISOBATH_OK;
}

/* Frames per second at the run's size. `t` has been through its first window, which took `seconds`. */
static isobath_status measure(context *c, ib_trial *t, int device, ib_dtype act, double seconds, double budget_s, isobath_doctor_trial *out,
                              ib_diag *diag)
{
    ib_doctor *d = c->d;
    double window, frame, full_window, full_frame;
    IB_TRY(ib_trial_flops(&d->config, &d->frames, c->size, diag, &window, &frame));
    IB_TRY(ib_trial_flops(&d->config, &d->frames, d->input_size, diag, &full_window, &full_frame));
    if (device >= 0 && c->size != d->input_size) { /* a card has time for the real size */
        ib_trial full;
        float *depth;
        IB_TRY(open_trial(c, device, act, d->input_size, diag, &full));
        depth = malloc(IB_PLAN_WINDOW * (size_t)full.shape.width * (size_t)full.shape.height * sizeof *depth);
        isobath_status st = depth ? ib_trial_first(&full, &d->frames, depth, &seconds) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
        if (st == ISOBATH_OK) st = ib_trial_rate(&full, &d->frames, depth, budget_s, 100, &out->frames_per_s);
        out->nonfinite += full.nonfinite;
        free(depth);
        ib_trial_close(&full);
        return st;
    }
    double rate = window / seconds / frame; /* from the first window's operations */
    if (seconds < budget_s / 2) IB_TRY(ib_trial_rate(t, &d->frames, c->depth, budget_s - seconds, 100, &rate));
    out->extrapolated = c->size != d->input_size;
    out->frames_per_s = rate * frame / full_frame;
    return ISOBATH_OK;
}

static isobath_status run_trial(context *c, int device, ib_dtype act, double budget_s, isobath_doctor_trial *out, ib_diag *diag)
{
    ib_doctor *d = c->d;
    ib_trial t;
    double seconds;
    IB_TRY(open_trial(c, device, act, c->size, diag, &t));
    snprintf(out->kind, sizeof out->kind, "%s", t.backend->kind);
    out->width = t.shape.width;
    out->height = t.shape.height;
    c->count = (int64_t)IB_PLAN_WINDOW * out->width * out->height;
    out->values = c->count;
    int is_reference = !c->depth; /* fp32 on the CPU comes first */
    if (is_reference) c->depth = malloc((size_t)c->count * sizeof *c->depth);
    isobath_status st = c->depth ? ib_trial_first(&t, &d->frames, c->depth, &seconds) : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
    if (st == ISOBATH_OK) {
        out->nonfinite = t.nonfinite;
        extremes(c->depth, c->count, &out->min, &out->max);
        if (is_reference) {
            c->reference = malloc((size_t)c->count * sizeof *c->reference);
            if (c->reference && !t.nonfinite) memcpy(c->reference, c->depth, (size_t)c->count * sizeof *c->depth);
            c->range = t.nonfinite ? 0 : out->max - out->min;
        }
        compare(c, out);
        out->sane = is_sane(out, act);
        st = measure(c, &t, device, act, seconds, budget_s, out, diag);
        out->hours = hours_for(d->report, out->frames_per_s);
    }
    ib_trial_close(&t);
    return st;
}

static void describe(context *c, const isobath_doctor_trial *t)
{
    ib_doctor *d = c->d;
    char errors[160] = "no errors to state", time[64] = "";
    if (t->status != ISOBATH_OK) {
        ib_doctor_say(d, ISOBATH_DOCTOR_NOTE, "selftest", "%s %s cannot be used: %s", t->device, t->precision, t->reason);
        return;
    }
    if (strcmp(t->device, "cpu") == 0 && strcmp(t->precision, "fp32") == 0) snprintf(errors, sizeof errors, "the measure for the others");
    else if (t->median_error >= 0)
        snprintf(errors, sizeof errors, "errors of the range: median %.1e, 99.99%% %.1e, worst %.1e", t->median_error, t->p9999_error, t->worst_error);
    ib_doctor_say(d, t->sane ? ISOBATH_DOCTOR_FACT : ISOBATH_DOCTOR_NOTE, "selftest", "%s %s at %d x %d: %.4g to %.4g, %lld of %lld not finite; %s%s",
                  t->device, t->precision, t->width, t->height, t->min, t->max, (long long)t->nonfinite, (long long)t->values, errors,
                  t->sane ? "" : t->nonfinite ? ": such windows are redone in fp32; run with --precision fp32"
                                              : ": far more than this precision loses; run with --precision fp32, and report it");
    if (t->hours >= 0) {
        long s = (long)(t->hours * 3600 + 0.5);
        snprintf(time, sizeof time, "; this input in about %ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    }
    const isobath_plan *p = &d->report->plan;
    ib_doctor_say(d, t->extrapolated ? ISOBATH_DOCTOR_NOTE : ISOBATH_DOCTOR_FACT, "speed", "%s %s: %.3g frames/s of the network at %d x %d%s%s",
                  t->device, t->precision, t->frames_per_s, p->network_width, p->network_height, t->extrapolated ? " (EXTRAPOLATED from the self-test's size)" : "",
                  time);
}

static void add_trial(context *c, int device, ib_dtype act, double budget_s)
{
    static const char *const names[] = {[IB_F32] = "fp32", [IB_F16] = "fp16", [IB_BF16] = "bf16"};
    isobath_doctor_report *r = c->d->report;
    if (r->trial_count == ISOBATH_DOCTOR_TRIALS) return;
    isobath_doctor_trial *t = &r->trials[r->trial_count++];
    ib_diag diag = IB_DIAG_INIT;
    *t = (isobath_doctor_trial){.median_error = -1, .p9999_error = -1, .worst_error = -1, .hours = -1};
    snprintf(t->device, sizeof t->device, device < 0 ? "cpu" : "cuda:%d", device);
    snprintf(t->precision, sizeof t->precision, "%s", names[act]);
    t->status = run_trial(c, device, act, budget_s, t, &diag);
    if (t->status != ISOBATH_OK) snprintf(t->reason, sizeof t->reason, "%s", diag.text);
    describe(c, t);
    ib_diag_destroy(&diag);
}

static int wants(const char *list, const char *what) { return !list || strcmp(list, "auto") == 0 || strcmp(list, what) == 0; }

void ib_doctor_trials(ib_doctor *d)
{
    const isobath_doctor_options *o = d->options;
    context c = {.d = d};
    ib_diag diag = IB_DIAG_INIT;
    int device = IB_DEVICE_CPU, cards = ib_cuda_device_count();
    ib_dtype act;
    isobath_status st = wants(o->devices, "cpu") ? ISOBATH_OK : ib_doctor_device(o->devices, &diag, &device);
    if (st == ISOBATH_OK && !wants(o->precision, "fp32")) st = ib_doctor_precision(o->precision, &diag, &act);
    if (st == ISOBATH_OK) st = ib_pool_create(o->threads > 0 ? o->threads : ib_cpu_count(), &diag, &d->pool);
    isobath_plan *p = &d->report->plan;
    ib_plan_network_size(d->frames.width, d->frames.height, d->input_size, d->config.temporal, &p->network_width, &p->network_height);
    double frame;
    if (st == ISOBATH_OK) st = ib_trial_flops(&d->config, &d->frames, d->input_size, &diag, &frame, &p->flops_per_frame);
    if (st == ISOBATH_OK) st = choose_size(&c, d->seconds * 0.25, &diag);
    if (st == ISOBATH_OK) {
        add_trial(&c, IB_DEVICE_CPU, IB_F32, d->seconds * 0.25); /* always: it is what the others are compared with */
        if (wants(o->devices, "cpu") && wants(o->precision, "bf16")) add_trial(&c, IB_DEVICE_CPU, IB_BF16, d->seconds * 0.2);
        if (device >= cards) { /* asked for by name, and not there: the loader or the driver says why */
            ib_backend *probe_only = NULL;
            ib_backend_options b = {.act = IB_F32, .device = device, .diag = &diag};
            if (ib_cuda_open(&b, &probe_only) != ISOBATH_OK) ib_doctor_fail(d, "selftest", &diag);
            ib_backend_close(probe_only);
        }
        for (int i = 0; i < cards && c.depth; i++) {
            char name[16];
            snprintf(name, sizeof name, "cuda:%d", i);
            if (!wants(o->devices, name) && !(i == 0 && wants(o->devices, "cuda"))) continue;
            double budget = d->seconds * 0.3 / cards / 3;
            if (wants(o->precision, "fp32")) add_trial(&c, i, IB_F32, budget);
            if (wants(o->precision, "fp16")) add_trial(&c, i, IB_F16, budget);
            if (wants(o->precision, "bf16")) add_trial(&c, i, IB_BF16, budget);
        }
    } else {
        ib_doctor_fail(d, "selftest", &diag);
    }
    free(c.reference);
    free(c.depth);
    ib_pool_destroy(d->pool);
    ib_diag_destroy(&diag);
}
