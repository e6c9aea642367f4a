/* The network alone, measured; see isobath_bench_network in include/isobath/doctor.h. */
#include "base/clock.h"
#include "pipeline/report/doctor.h"
#include "weights/models.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static isobath_status measure(ib_trial *t, const ib_trial_frames *frames, double seconds, isobath_bench_result *r, ib_diag *diag)
{
    float *depth = malloc(IB_PLAN_WINDOW * (size_t)t->shape.width * (size_t)t->shape.height * sizeof *depth);
    double first;
    if (!depth) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a window");
    isobath_status st = ib_trial_first(t, frames, depth, &first);
    if (st == ISOBATH_OK) st = ib_trial_rate(t, frames, depth, seconds, 10000, &r->frames_per_s);
    free(depth);
    r->nonfinite = t->nonfinite;
    r->flops_per_frame = t->memory.encode_flops + t->memory.depth_flops * IB_PLAN_WINDOW / IB_PLAN_STEP;
    r->memory_bytes = t->memory.total;
    r->network_width = t->shape.width;
    r->network_height = t->shape.height;
    snprintf(r->kind, sizeof r->kind, "%s", t->backend->kind);
    return st;
}

/* `ckpt`, `pool` and `pixels` are the caller's to free. */
static isobath_status bench(const isobath_bench_options *o, isobath_bench_result *r, ib_diag *diag, ib_checkpoint **ckpt, ib_pool **pool,
                            uint8_t **pixels)
{
    char path[4096];
    int device, width = o->width > 0 ? o->width : 1280, height = o->height > 0 ? o->height : 720;
    ib_dtype act;
    ib_vda_config config;
    ib_trial t;
    IB_TRY(ib_doctor_device(o->device ? o->device : "cpu", diag, &device));
    IB_TRY(ib_doctor_precision(o->precision ? o->precision : "fp32", diag, &act));
    if (width > 32768 || height > 32768 || o->input_size < 0 || o->input_size > 4096 || (o->input_size && o->input_size < 14))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "%d x %d at input size %d: expected at most 32768, and 14 to 4096", width, height, o->input_size);
    IB_TRY(ib_models_resolve(o->model, 0, diag, path, sizeof path));
    IB_TRY(ib_checkpoint_open(path, diag, ckpt));
    IB_TRY(ib_vda_config_read(*ckpt, -1, diag, &config));
    snprintf(r->model, sizeof r->model, "%s", config.name);
    IB_TRY(ib_pool_create(o->threads > 0 ? o->threads : ib_cpu_count(), diag, pool));
    size_t bytes = (size_t)width * (size_t)height * 3;
    if (!(*pixels = malloc(4 * bytes))) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for four frames of %d x %d", width, height);
    ib_doctor_draw(*pixels, width, height, 4);
    ib_trial_frames frames = {.width = width, .height = height};
    for (int i = 0; i < IB_PLAN_WINDOW; i++) frames.rgb[i] = *pixels + (size_t)(i % 4) * bytes;
    int64_t start = ib_now_us();
    IB_TRY(ib_trial_open(*ckpt, &config, device, act, *pool, &frames, o->input_size ? o->input_size : config.input_size, diag, &t));
    r->load_s = (double)(ib_now_us() - start) * 1e-6;
    isobath_status st = measure(&t, &frames, o->seconds > 0 ? o->seconds : 5, r, diag);
    ib_trial_close(&t);
    return st;
}

isobath_status isobath_bench_network(const isobath_bench_options *options, isobath_bench_result *result, char *error, size_t error_size)
{
    ib_diag diag;
    ib_checkpoint *ckpt = NULL;
    ib_pool *pool = NULL;
    uint8_t *pixels = NULL;
    ib_diag_init(&diag);
    memset(result, 0, sizeof *result);
    isobath_status st = bench(options, result, &diag, &ckpt, &pool, &pixels);
    if (error && error_size) snprintf(error, error_size, "%s", st == ISOBATH_OK ? "" : diag.text);
    free(pixels);
    ib_pool_destroy(pool);
    ib_checkpoint_close(ckpt);
    ib_diag_destroy(&diag);
    return st;
}
