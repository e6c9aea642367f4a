/* Checkpoints from one format and type to another; see include/isobath/convert.h. */
#include <isobath/convert.h>

#include "model/config.h"
#include "weights/checkpoint_build.h"
#include "weights/models.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static isobath_status parse_dtype(const char *text, ib_diag *diag, ib_dtype *out)
{
    static const struct {
        const char *name;
        ib_dtype dtype;
    } names[] = {{"f32", IB_F32}, {"fp32", IB_F32}, {"f16", IB_F16}, {"fp16", IB_F16}, {"bf16", IB_BF16}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i].name) != 0) continue;
        *out = names[i].dtype;
        return ISOBATH_OK;
    }
    return ib_fail(diag, ISOBATH_ERR_USAGE, "--dtype %s: expected f32, f16 or bf16", text);
}

static isobath_status convert(const char *model, const char *path, const isobath_convert_options *o, ib_diag *diag,
                              ib_checkpoint **ckpt)
{
    char source[4096];
    ib_dtype dtype = IB_F32;
    ib_vda_config config;
    size_t length = strlen(path);
    IB_TRY(parse_dtype(o->dtype ? o->dtype : "f32", diag, &dtype));
    if (length < 12 || strcmp(path + length - 12, ".safetensors") != 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "%s: expected a name that ends in .safetensors", path);
    if (!o->overwrite && access(path, F_OK) == 0)
        return ib_fail(diag, ISOBATH_ERR_EXISTS, "%s exists already (--overwrite replaces it)", path);
    IB_TRY(ib_models_resolve(model, o->metric, diag, source, sizeof source));
    IB_TRY(ib_checkpoint_open(source, diag, ckpt));
    IB_TRY(ib_vda_config_read(*ckpt, o->metric ? 1 : -1, diag, &config));
    if (!ib_checkpoint_metadata(*ckpt, "isobath.kind"))
        IB_TRY(ib_checkpoint_add_metadata(*ckpt, "isobath.kind", config.metric ? "metric" : "relative", diag));
    if (config.max_depth > 0 && !ib_checkpoint_metadata(*ckpt, "isobath.max_depth")) {
        char text[32];
        snprintf(text, sizeof text, "%g", (double)config.max_depth);
        IB_TRY(ib_checkpoint_add_metadata(*ckpt, "isobath.max_depth", text, diag));
    }
    return ib_safetensors_write(path, *ckpt, dtype, diag);
}

isobath_status isobath_convert(const char *model, const char *path, const isobath_convert_options *options, char *error,
                               size_t error_size)
{
    static const isobath_convert_options defaults;
    ib_diag diag;
    ib_checkpoint *ckpt = NULL;
    ib_diag_init(&diag);
    isobath_status st = convert(model, path, options ? options : &defaults, &diag, &ckpt);
    ib_checkpoint_close(ckpt);
    if (error && error_size) snprintf(error, error_size, "%s", st == ISOBATH_OK ? "" : diag.text);
    ib_diag_destroy(&diag);
    return st;
}
