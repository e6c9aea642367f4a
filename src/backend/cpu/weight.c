/* Packs weights into the panels that the product kernel reads; see ib_cpu_weight. */
#include "backend/cpu/cpu.h"

#include "base/half.h"

#include <stdlib.h>
#include <string.h>

/* Where the value (column, tap, k) of a kind is in the canonical layout of op.h. */
static float source(const ib_weight_desc *d, int64_t group, int64_t column, int64_t tap, int64_t k)
{
    int64_t kk = (int64_t)d->kernel * d->kernel;
    switch (d->kind) {
    case IB_WEIGHT_LINEAR:
    case IB_WEIGHT_GEGLU: return d->data[column * d->in_channels + k];
    case IB_WEIGHT_CONVT: return d->data[(k * d->out_channels + column) * kk + group];
    default: return d->data[(column * d->in_channels + k) * 9 + tap];
    }
}

/* The column of the weight that column `j` of panel `panel` holds, or -1 for padding. GEGLU: value columns in the first
 * half of a panel, their gates (rows M and beyond of the source) in the second. */
static int64_t panel_column(const ib_weight_desc *d, int64_t panel, int64_t j, int64_t nr)
{
    int64_t c = panel * nr + j, gate = 0;
    if (d->kind == IB_WEIGHT_GEGLU) {
        gate = j >= nr / 2;
        c = panel * (nr / 2) + (gate ? j - nr / 2 : j);
    }
    if (c >= d->out_channels) return -1;
    return gate ? d->out_channels + c : c;
}

static void pack(const ib_cpu *cpu, const ib_weight_desc *d, ib_cpu_weight *w)
{
    int64_t nr = cpu->k->panel_width, vl = cpu->k->vector,
            groups = d->kind == IB_WEIGHT_CONVT ? d->kernel * d->kernel : 1;
    int64_t pair = cpu->base.act == IB_BF16 ? 2 : 1;
    for (int64_t i = 0; i < groups * w->panels; i++) {
        int64_t panel = i % w->panels, width = nr;
        /* the last panel of a weight is one vector wide where that is enough */
        if (d->kind != IB_WEIGHT_GEGLU && d->out_channels - panel * nr <= vl) width = vl;
        char *dst = (char *)w->data + (size_t)i * w->panel_bytes;
        for (int64_t tap = 0; tap < w->taps; tap++)
            for (int64_t k = 0; k < w->k; k++)
                for (int64_t j = 0; j < width; j++) {
                    int64_t c = panel_column(d, panel, j, nr);
                    float v = c < 0 || k >= d->in_channels ? 0.0f : source(d, i / w->panels, c, tap, k);
                    int64_t at = ((tap * w->k + k) / pair * width + j) * pair + k % pair;
                    if (pair == 2)
                        ((uint16_t *)dst)[at] = ib_f32_to_bf16(v);
                    else
                        ((float *)dst)[at] = v;
                }
    }
}

isobath_status ib_cpu_weight_create(ib_backend *b, const ib_weight_desc *desc, ib_weight **out)
{
    ib_cpu *cpu = ib_cpu_of(b);
    *out = NULL;
    ib_cpu_weight *w = calloc(1, sizeof *w);
    if (!w) return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of memory for a weight");
    int64_t columns = desc->kind == IB_WEIGHT_GEGLU ? 2 * desc->out_channels : desc->out_channels;
    int64_t width = cpu->k->panel_width, groups = desc->kind == IB_WEIGHT_CONVT ? desc->kernel * desc->kernel : 1;
    w->taps = desc->kind == IB_WEIGHT_CONV3X3 || desc->kind == IB_WEIGHT_HEAD ? 9 : 1;
    w->k = ib_cpu_ceil(desc->in_channels, cpu->k->inner) * cpu->k->inner;
    /* a GEGLU panel takes half a panel of outputs with their gates */
    w->panels =
        desc->kind == IB_WEIGHT_GEGLU ? ib_cpu_ceil(desc->out_channels, width / 2) : ib_cpu_ceil(columns, width);
    w->panel_bytes = (size_t)(w->taps * w->k * width) * ib_dtype_size(b->act);
    w->base = (ib_weight){.kind = desc->kind,
                          .out_channels = desc->out_channels,
                          .in_channels = desc->in_channels,
                          .kernel = desc->kernel,
                          .bytes = w->panel_bytes * (size_t)(w->panels * groups)};
    w->data = aligned_alloc(64, ib_cpu_round(w->base.bytes));
    if (desc->kind == IB_WEIGHT_HEAD) w->head = malloc(32 * sizeof(float));
    int winograd = cpu->k->inner <= 2 && w->taps == 9 && desc->in_channels % 16 == 0 && desc->out_channels % 16 == 0;
    size_t wino_bytes = (size_t)(36 * w->panels * desc->in_channels * width) * sizeof(float);
    if (winograd) {
        w->wino = aligned_alloc(64, ib_cpu_round(wino_bytes));
        w->base.bytes += wino_bytes;
    }
    if (!w->data || (winograd && !w->wino) || (desc->kind == IB_WEIGHT_HEAD && !w->head)) {
        size_t bytes = w->base.bytes;
        ib_cpu_weight_destroy(b, &w->base);
        return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of memory for a packed weight of %zu bytes", bytes);
    }
    pack(cpu, desc, w);
    if (w->wino) ib_cpu_wino_pack(cpu, desc, w);
    if (w->head) memcpy(w->head, desc->data + 32 * desc->in_channels * 9, 32 * sizeof(float));
    *out = &w->base;
    return ISOBATH_OK;
}

void ib_cpu_weight_destroy(ib_backend *b, ib_weight *weight)
{
    (void)b;
    if (!weight) return;
    ib_cpu_weight *w = (ib_cpu_weight *)weight;
    free(w->data);
    free(w->wino);
    free(w->head);
    free(w);
}
