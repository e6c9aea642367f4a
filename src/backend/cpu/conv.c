/* Convolutions as products: a 3x3 (that winograd.c does not take) is nine taps over a zero-padded band of input rows, a
 * transposed one (kernel = stride) is one product per position of the kernel. Only a band is ever copied. */
#include "backend/cpu/cpu.h"

typedef struct conv_job {
    const ib_conv3x3_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
    int64_t height, width, band, bands; /* of the output */
    int64_t groups;                     /* of weight panels */
} conv_job;

static void conv_band(void *ctx, int64_t i, int thread)
{
    const conv_job *j = ctx;
    const ib_conv3x3_args *a = j->a;
    const ib_tensor *x = &a->x, *y = &a->y, *r1 = &a->residual, *r2 = &a->residual2;
    int64_t group = i % j->groups, band_index = i / j->groups % j->bands, t = i / j->groups / j->bands;
    int64_t first = band_index * j->height / j->bands, rows = (band_index + 1) * j->height / j->bands - first;
    int64_t c = x->dim[3], cpad = j->w->k, in_width = x->dim[2], pitch = (in_width + 2) * cpad;
    int64_t size = (int64_t)ib_dtype_size(x->dtype);
    char *band = ib_cpu_local(j->cpu, thread);
    for (int64_t n = 0; n < (rows - 1) * a->stride + 3; n++) {
        int64_t row = first * a->stride + n - 1;
        const void *src = row < 0 || row >= x->dim[1] ? NULL : ib_cpu_at(x, t * x->stride[0] + row * in_width * c);
        j->cpu->k->pad_row(band + n * pitch * size, src, in_width, c, cpad, a->relu_in);
    }
    ib_cpu_product p = {
        .lda = a->stride * cpad,
        .rows = j->width,
        .taps = 9,
        .k = cpad,
        .b = j->w->data,
        .panels = 1,
        .columns = j->w->base.out_channels,
        .bias = a->bias.data,
        .act = a->relu_out ? IB_ACT_RELU : IB_ACT_NONE,
        .ldres = r1->stride[2],
        .ldres2 = r2->stride[2],
        .ldy = y->stride[2],
    };
    for (int tap = 0; tap < 9; tap++) p.tap[tap] = tap / 3 * pitch + tap % 3 * cpad;
    for (int64_t panel = group * j->w->panels / j->groups; panel < (group + 1) * j->w->panels / j->groups; panel++)
        for (int64_t n = 0; n < rows; n++) {
            int64_t row = first + n;
            p.first_panel = panel;
            p.a = band + n * a->stride * pitch * size;
            p.res = r1->data ? ib_cpu_at(r1, t * r1->stride[0] + row * r1->stride[1]) : NULL;
            p.res2 = r2->data ? ib_cpu_at(r2, t * r2->stride[0] + row * r2->stride[1]) : NULL;
            p.y = ib_cpu_at(y, t * y->stride[0] + row * y->stride[1]);
            j->cpu->k->product(&p);
        }
}

isobath_status ib_cpu_conv3x3(ib_backend *b, const ib_conv3x3_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    if (ib_cpu_weight_of(a->w)->wino && a->stride == 1 && a->x.dim[1] >= 4 && a->x.dim[2] >= 4)
        return ib_cpu_conv3x3_winograd(cpu, a);
    conv_job j = {.a = a, .cpu = cpu, .w = ib_cpu_weight_of(a->w), .height = a->y.dim[1], .width = a->y.dim[2]};
    /* A band of about 256 KiB, at most 16 rows, and enough bands for every thread. */
    size_t row = (size_t)((a->x.dim[2] + 2) * j.w->k) * ib_dtype_size(b->act);
    int64_t fit = ((int64_t)(262144 / row) - 3) / a->stride + 1;
    j.band = fit < 1 ? 1 : ib_cpu_min(fit, 16);
    int64_t want = ib_cpu_ceil((cpu->k->inner > 2 ? 2 : 4) * (int64_t)cpu->threads, a->x.dim[0]);
    j.bands = ib_cpu_ceil(j.height, j.band);
    if (j.bands < want) j.bands = ib_cpu_min(want, j.height);
    j.groups = ib_cpu_min(j.w->panels, ib_cpu_ceil(want, j.bands)); /* a low map has too few rows for all threads */
    int64_t tallest = ib_cpu_ceil(j.height, j.bands);
    IB_TRY(ib_cpu_reserve(cpu, row * (size_t)((tallest - 1) * a->stride + 3), 0));
    ib_pool_run(b->pool, a->x.dim[0] * j.bands * j.groups, conv_band, &j);
    return ISOBATH_OK;
}

typedef struct transpose_job {
    const ib_conv_transpose_args *a;
    ib_cpu *cpu;
    const ib_cpu_weight *w;
} transpose_job;

/* One input row: its k output rows. */
static void transpose_row(void *ctx, int64_t i, int thread)
{
    const transpose_job *j = ctx;
    const ib_conv_transpose_args *a = j->a;
    const ib_tensor *x = &a->x, *y = &a->y;
    int64_t t = i / x->dim[1], row = i % x->dim[1], width = x->dim[2], c = x->dim[3], k = j->w->base.kernel;
    ib_cpu_product p = {
        .a = ib_cpu_at(x, t * x->stride[0] + row * width * c),
        .lda = c,
        .rows = width,
        .taps = 1,
        .k = j->w->k,
        .panels = j->w->panels,
        .columns = j->w->base.out_channels,
        .bias = a->bias.data,
        .ldy = k * y->stride[2],
    };
    if (j->w->k != c) { /* K is odd and read in pairs */
        j->cpu->k->pad_row(ib_cpu_local(j->cpu, thread), p.a, width, c, j->w->k, 0);
        p.lda = j->w->k;
        p.a = (const uint16_t *)ib_cpu_local(j->cpu, thread) + p.lda;
    }
    for (int64_t ky = 0; ky < k; ky++)
        for (int64_t kx = 0; kx < k; kx++) {
            p.b = (const char *)j->w->data + (size_t)((ky * k + kx) * j->w->panels) * j->w->panel_bytes;
            p.y = ib_cpu_at(y, t * y->stride[0] + (k * row + ky) * y->stride[1] + kx * y->stride[2]);
            j->cpu->k->product(&p);
        }
}

isobath_status ib_cpu_conv_transpose(ib_backend *b, const ib_conv_transpose_args *a)
{
    transpose_job j = {.a = a, .cpu = ib_cpu_of(b), .w = ib_cpu_weight_of(a->w)};
    if (j.w->k != a->x.dim[3])
        IB_TRY(ib_cpu_reserve(j.cpu, (size_t)((a->x.dim[2] + 2) * j.w->k) * ib_dtype_size(b->act), 0));
    ib_pool_run(b->pool, a->x.dim[0] * a->x.dim[1], transpose_row, &j);
    return ISOBATH_OK;
}
