/* One network on one device at one size; see trial.h. */
#include "pipeline/report/trial.h"

#include "base/clock.h"
#include "pipeline/setup.h"
#include <string.h>

static ib_vda_shape shape_for(const ib_vda_config *config, int gpu, ib_dtype act, const ib_trial_frames *frames, int input_size)
{
    ib_vda_shape shape = {0};
    ib_plan_network_size(frames->width, frames->height, input_size, config->temporal, &shape.width, &shape.height);
    ib_setup_batches(config, gpu, act, &shape);
    return shape;
}

isobath_status ib_trial_open(const ib_checkpoint *checkpoint, const ib_vda_config *config, int device, ib_dtype act,
                             ib_pool *pool, const ib_trial_frames *frames, int input_size, ib_diag *diag, ib_trial *out)
{
    memset(out, 0, sizeof *out);
    out->shape = shape_for(config, device >= 0, act, frames, input_size);
    ib_backend_options b = {.act = act, .device = device, .pool = pool, .diag = diag};
    isobath_status st = ib_vda_plan(config, &out->shape, act, diag, &out->memory);
    if (st == ISOBATH_OK) st = device >= 0 ? ib_cuda_open(&b, &out->backend) : ib_cpu_open(&b, &out->backend);
    if (st == ISOBATH_OK) st = ib_vda_create(out->backend, checkpoint, config, &out->shape, diag, &out->vda);
    if (st != ISOBATH_OK) ib_trial_close(out);
    return st;
}

void ib_trial_close(ib_trial *trial)
{
    ib_vda_destroy(trial->vda);
    ib_backend_close(trial->backend);
    trial->vda = NULL;
    trial->backend = NULL;
}

isobath_status ib_trial_flops(const ib_vda_config *config, const ib_trial_frames *frames, int input_size, ib_diag *diag,
                              double *window_flops, double *frame_flops)
{
    ib_vda_shape shape = shape_for(config, 0, IB_F32, frames, input_size);
    ib_vda_memory memory;
    IB_TRY(ib_vda_plan(config, &shape, IB_F32, diag, &memory));
    *window_flops = IB_PLAN_WINDOW * (memory.encode_flops + memory.depth_flops);
    *frame_flops = memory.encode_flops + memory.depth_flops * IB_PLAN_WINDOW / IB_PLAN_STEP;
    return ISOBATH_OK;
}

/* `count` frames from frames[first] on into slots first, first + 1 ..., then the window's depth. */
static isobath_status window(ib_trial *t, const ib_trial_frames *frames, int first, float *depth)
{
    int64_t bad = 0;
    IB_TRY(ib_vda_encode_rgb(t->vda, frames->rgb + first, frames->height, frames->width, IB_PLAN_WINDOW - first, first));
    IB_TRY(ib_vda_depth(t->vda, depth, &bad));
    t->nonfinite += bad;
    return t->backend->ops->sync(t->backend);
}

isobath_status ib_trial_first(ib_trial *trial, const ib_trial_frames *frames, float *depth, double *seconds)
{
    int64_t start = ib_now_us();
    IB_TRY(window(trial, frames, 0, depth));
    *seconds = (double)(ib_now_us() - start) * 1e-6;
    return ISOBATH_OK;
}

isobath_status ib_trial_rate(ib_trial *trial, const ib_trial_frames *frames, float *depth, double budget_s, int most,
                             double *frames_per_s)
{
    int64_t start = ib_now_us(), end;
    int windows = 0;
    do {
        IB_TRY(ib_vda_advance(trial->vda));
        IB_TRY(window(trial, frames, IB_PLAN_OVERLAP, depth));
        end = ib_now_us();
        windows++;
    } while (windows < most && (double)(end - start) * 1e-6 * (windows + 1) / windows < budget_s);
    *frames_per_s = windows * IB_PLAN_STEP / ((double)(end - start) * 1e-6);
    return ISOBATH_OK;
}
