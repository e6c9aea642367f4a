/* Packs weights into the panels that the product kernel reads; see ib_cpu_weight. */
#include "backend/cpu/cpu.h"

#include "base/diffuse.h"

#include <stdlib.h>
#include <string.h>

/* Where the values k = 0, 1 ... of a column and tap are in the canonical layout of op.h: `*stride` apart. */
static const float *source(const ib_weight_desc *d, int64_t group, int64_t column, int64_t tap, int64_t *stride)
{
    int64_t kk = (int64_t)d->kernel * d->kernel;
    switch (d->kind) {
    case IB_WEIGHT_LINEAR:
    case IB_WEIGHT_GEGLU:
        *stride = 1;
        return d->data + column * d->in_channels;
    case IB_WEIGHT_CONVT:
        *stride = d->out_channels * kk;
        return d->data + column * kk + group;
    default:
        *stride = 9;
        return d->data + column * d->in_channels * 9 + tap;
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

#define PACK_BLOCK 64 /* inner values of all columns that are written together: they stay in the first-level cache */

typedef struct pack_job {
    const ib_cpu *cpu;
    const ib_weight_desc *desc;
    ib_cpu_weight *weight;
} pack_job;

/* Panel `i` of all groups' panels. */
static void pack_panel(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const pack_job *job = ctx;
    const ib_weight_desc *d = job->desc;
    const ib_cpu_weight *w = job->weight;
    int64_t nr = job->cpu->k->panel_width, panel = i % w->panels, width = nr, pair = job->cpu->base.act == IB_BF16 ? 2 : 1;
    /* the last panel of a weight is one vector wide where that is enough */
    if (d->kind != IB_WEIGHT_GEGLU && d->out_channels - panel * nr <= job->cpu->k->vector) width = job->cpu->k->vector;
    char *dst = (char *)w->data + (size_t)i * w->panel_bytes;
    for (int64_t tap = 0; tap < w->taps; tap++)
        for (int64_t from = 0; from < w->k; from += PACK_BLOCK) {
            int64_t end = ib_cpu_min(from + PACK_BLOCK, w->k), filled = ib_cpu_min(end, d->in_channels);
            for (int64_t j = 0; j < width; j++) {
                int64_t c = panel_column(d, panel, j, nr), stride = 0;
                const float *s = c < 0 ? NULL : source(d, i / w->panels, c, tap, &stride);
                int64_t n = s ? filled : from, k = from, first = tap * w->k * width;
                if (pair == 2) {
                    uint16_t *y = (uint16_t *)dst + first + 2 * j;
                    for (; k < n; k++) y[(k >> 1) * 2 * width + (k & 1)] = ib_f32_to_bf16(s[k * stride]);
                    for (; k < end; k++) y[(k >> 1) * 2 * width + (k & 1)] = 0;
                } else {
                    float *y = (float *)dst + first + j;
                    for (; k < n; k++) y[k * width] = s[k * stride];
                    for (; k < end; k++) y[k * width] = 0;
                }
            }
        }
}

typedef struct diffuse_job {
    const ib_weight_desc *desc;
    float *to; /* a copy of the 3x3 kernels, rounded */
} diffuse_job;

static void diffuse_channel(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const diffuse_job *job = ctx;
    int64_t n = job->desc->in_channels;
    memcpy(job->to + i * n * 9, job->desc->data + i * n * 9, (size_t)(n * 9) * sizeof *job->to);
    ib_diffuse_kernels(job->to + i * n * 9, n, 3, IB_BF16);
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
    ib_weight_desc rounded = *desc;
    pack_job job = {cpu, &rounded, w};
    diffuse_job diffuse = {.desc = desc};
    if (w->taps == 9 && b->act == IB_BF16) { /* not for Winograd, whose weights are f32 */
        diffuse.to = malloc((size_t)(desc->out_channels * desc->in_channels * 9) * sizeof *diffuse.to);
        if (!diffuse.to) {
            ib_cpu_weight_destroy(b, &w->base);
            return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of memory for a weight");
        }
        ib_pool_run(b->pool, desc->out_channels, diffuse_channel, &diffuse);
        rounded.data = diffuse.to;
    }
    ib_pool_run(b->pool, groups * w->panels, pack_panel, &job);
    free(diffuse.to);
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
