/* What a run computes with: model, device, precision; see setup.h. */
#include "pipeline/setup.h"

#include "pipeline/fleet/sabotage.h"
#include "weights/models.h"
#include <isobath/models.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

isobath_status ib_setup_read_model(ib_setup *s, ib_diag *diag)
{
    IB_TRY(ib_models_resolve(s->options.model, s->options.metric == 1, diag, s->model_path, sizeof s->model_path));
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    struct stat sb;
    if (stat(s->model_path, &sb) == 0) s->model_bytes = (int64_t)sb.st_size;
    isobath_status st = ib_vda_config_read(ckpt, s->options.metric, diag, &s->config);
    ib_checkpoint_close(ckpt);
    IB_TRY(st);
    if (!s->config.temporal && s->config.metric) {
        if (s->options.max_depth != 0) s->config.max_depth = (float)s->options.max_depth;
        if (!(s->config.max_depth > 0))
            return ib_fail(diag, ISOBATH_ERR_USAGE,
                           "%s: a metric Depth Anything V2 whose largest depth is not in its name: expected --max-depth 20 "
                           "(indoor) or 80 (outdoor)", s->model_path);
    }
    snprintf(s->plan.model, sizeof s->plan.model, "%s", s->config.name);
    s->plan.metric = s->config.metric;
    if (s->config.noncommercial)
        ib_setup_note(s, "licence: the published weights of this size are CC-BY-NC-4.0: non-commercial use only");
    return ISOBATH_OK;
}

/* Metres of a model that was trained for one camera: what a longer lens shows as large is further away. */
isobath_status ib_setup_set_metre_scale(ib_setup *s, ib_diag *diag)
{
    double hfov = s->options.hfov_deg, half = acos(-1) / 360;
    if (hfov == 0) return ISOBATH_OK;
    if (!(hfov > 0 && hfov < 170)) return ib_fail(diag, ISOBATH_ERR_USAGE, "--hfov %g: expected degrees, 1 to 169", hfov);
    if (s->config.metre_fov_deg == 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--hfov: %s gives %s", s->config.name,
                       s->config.metric ? "metres for any camera" : "no metres (see --metric)");
    double across = tan(hfov * half); /* half the picture's width at a distance of 1 */
    if (s->plan.source_height > s->plan.source_width) across *= (double)s->plan.source_height / s->plan.source_width;
    s->config.metre_scale = (float)(tan(s->config.metre_fov_deg * half) / across);
    return ISOBATH_OK;
}

isobath_status ib_setup_choose_device(ib_setup *s, ib_diag *diag)
{
    const char *d = s->options.devices, *decoders = s->options.decoders;
    if (decoders && strcmp(decoders, "auto") && strcmp(decoders, "one") && strcmp(decoders, "each"))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoders %s: expected auto, one or each", decoders);
    int cpus = 0;
    IB_TRY(ib_devices_parse(d, ib_devices_want_count(d) ? ib_cuda_device_count() : 0, diag, &s->devices));
    for (int i = 0; i < s->devices.count; i++) cpus += !ib_sabotage_is_card(s->devices.device[i]);
    s->device = s->devices.device[0];
    s->fleet = s->devices.count > 1 || s->options.segment_windows > 0;
    s->plan.device_count = s->devices.count;
    const char *p = s->options.precision ? s->options.precision : "auto";
    if (strcmp(p, "fp32") == 0) s->act = IB_F32;
    else if (strcmp(p, "fp16") == 0) s->act = IB_F16;
    else if (strcmp(p, "bf16") == 0) s->act = IB_BF16;
    else if (strcmp(p, "auto") == 0) s->act = cpus ? IB_F32 : IB_F16; /* one for all devices */
    else return ib_fail(diag, ISOBATH_ERR_USAGE, "--precision %s: expected auto, fp32, fp16 or bf16", p);
    if (s->act == IB_F16 && cpus)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--precision fp16 needs a GPU; on the CPU use fp32 or bf16");
    snprintf(s->plan.precision, sizeof s->plan.precision, "%s", s->act == IB_F32 ? "fp32" : s->act == IB_F16 ? "fp16" : "bf16");
    return ISOBATH_OK;
}

/* --precision auto on cards: the first one is asked whether its fast type is sound for this network at this size; the answer is
 * kept in the user's cache folder. */
isobath_status ib_setup_settle_precision(ib_setup *s, ib_diag *diag)
{
    const char *p = s->options.precision;
    if ((p && strcmp(p, "auto") != 0) || s->device < 0 || s->act != IB_F16) return ISOBATH_OK;
    char key[1024], folder[4096];
    ib_backend *probe;
    ib_checkpoint *ckpt;
    ib_precision_verdict v = {0};
    IB_TRY(ib_setup_open_backend(s, s->act, NULL, diag, &probe));
    snprintf(s->plan.device, sizeof s->plan.device, "%s", probe->kind);
    ib_backend_close(probe);
    IB_TRY(ib_setup_hash_model(s, diag, s->model_sha256));
    ib_precision_key(s->plan.device, s->device, s->model_sha256, s->shape.width, s->shape.height, key, sizeof key);
    int have_folder = isobath_models_cache(folder, sizeof folder) == ISOBATH_OK;
    if (!have_folder || !ib_precision_recall(folder, key, &v)) {
        ib_setup_note(s, "precision: testing fp16 on this card, once per model and size");
        IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
        int size = s->options.input_size ? s->options.input_size : s->config.input_size;
        isobath_status st = ib_precision_test(ckpt, &s->config, s->device, s->act, NULL, s->plan.source_width, s->plan.source_height,
                                              size, diag, &v);
        ib_checkpoint_close(ckpt);
        IB_TRY(st);
        if (have_folder && ib_make_folders(folder, NULL) == ISOBATH_OK) ib_precision_keep(folder, key, &v);
    }
    s->precision = v;
    if (v.sound) return ISOBATH_OK;
    s->act = IB_F32;
    snprintf(s->plan.precision, sizeof s->plan.precision, "fp32");
    ib_setup_note(s, "precision: fp16 is not sound here for this model; the run is fp32 (--precision bf16 is faster, with less accuracy)");
    return ISOBATH_OK;
}
