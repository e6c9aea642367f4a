/* What a checkpoint is; see include/isobath/info.h. */
#include <isobath/info.h>

#include "model/vda.h"
#include "pipeline/plan.h"
#include "weights/models.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static isobath_status open_model(const char *model, ib_diag *diag, char *path, size_t size, ib_checkpoint **ckpt,
                                 ib_vda_config *config)
{
    *ckpt = NULL;
    IB_TRY(ib_models_resolve(model, 0, diag, path, size));
    IB_TRY(ib_checkpoint_open(path, diag, ckpt));
    return ib_vda_config_read(*ckpt, -1, diag, config);
}

static isobath_status report(isobath_status st, ib_diag *diag, char *error, size_t size)
{
    if (error && size) snprintf(error, size, "%s", st == ISOBATH_OK ? "" : diag->text);
    ib_diag_destroy(diag);
    return st;
}

isobath_status isobath_model_inspect(const char *model, isobath_model_info *info, char *error, size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(info, 0, sizeof *info);
    ib_checkpoint *ckpt;
    ib_vda_config m;
    isobath_status st = open_model(model, &diag, info->path, sizeof info->path, &ckpt, &m);
    if (st == ISOBATH_OK) {
        snprintf(info->name, sizeof info->name, "%s", m.name);
        snprintf(info->format, sizeof info->format, "%s", ib_checkpoint_format(ckpt));
        const char *hash = ib_checkpoint_sha256(ckpt);
        snprintf(info->sha256, sizeof info->sha256, "%s", hash ? hash : "");
        info->metric = m.metric;
        info->noncommercial = m.noncommercial;
        info->width = m.width;
        info->depth = m.depth;
        info->heads = m.heads;
        info->features = m.features;
        info->position_grid = m.grid;
        info->input_size = m.input_size;
        memcpy(info->taps, m.taps, sizeof info->taps);
        memcpy(info->out_channels, m.out_channels, sizeof info->out_channels);
        info->tensors = (int64_t)ib_checkpoint_count(ckpt);
        info->parameters = m.parameters;
        struct stat sb;
        if (stat(info->path, &sb) == 0) info->file_bytes = (size_t)sb.st_size;
    }
    ib_checkpoint_close(ckpt);
    return report(st, &diag, error, error_size);
}

isobath_status isobath_model_plan(const char *model, int width, int height, int input_size, isobath_model_cost *cost,
                                  char *error, size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(cost, 0, sizeof *cost);
    char path[4096];
    ib_checkpoint *ckpt;
    ib_vda_config m;
    isobath_status st = open_model(model, &diag, path, sizeof path, &ckpt, &m);
    if (st == ISOBATH_OK && (width < 1 || height < 1 || (input_size && (input_size < 14 || input_size > 4096))))
        st = ib_fail(&diag, ISOBATH_ERR_USAGE, "size %d x %d at --input-size %d: expected positive sides and 14 to 4096", width,
                     height, input_size);
    if (st == ISOBATH_OK) {
        ib_plan_network_size(width, height, input_size ? input_size : m.input_size, m.temporal, &cost->network_width, &cost->network_height);
        int64_t pixels = (int64_t)(cost->network_height / 14) * (cost->network_width / 14);
        ib_vda_shape shape = {.height = cost->network_height, .width = cost->network_width, .encode_batch = 1, .depth_batch = 1,
                              .temporal_piece = pixels < 1024 ? pixels : 1024, .depth_slots = 1};
        for (int i = 0; st == ISOBATH_OK && i < 2; i++) {
            ib_vda_memory mem;
            st = ib_vda_plan(&m, &shape, i ? IB_BF16 : IB_F32, &diag, &mem);
            cost->weights_bytes[i] = mem.weights;
            cost->features_bytes[i] = mem.features;
            cost->activations_bytes[i] = mem.activations;
            cost->flops_per_frame = mem.encode_flops + mem.depth_flops * 32 / 22;
        }
    }
    ib_checkpoint_close(ckpt);
    return report(st, &diag, error, error_size);
}
