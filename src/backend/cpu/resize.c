/* Bilinear resize of maps. */
#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"

void ib_cpu_lerp_axis(int64_t in, int64_t out, ib_cpu_lerp *t)
{
    for (int64_t i = 0; i < out; i++) {
        int64_t i0, i1;
        ib_bilinear_axis(i, in, out, &i0, &i1, &t->w1[i]);
        t->i0[i] = (int32_t)i0;
        t->i1[i] = (int32_t)i1;
    }
}

void ib_cpu_lerp_take(char **at, int64_t out, ib_cpu_lerp *t)
{
    t->i0 = ib_cpu_take(at, (size_t)out * 4);
    t->i1 = ib_cpu_take(at, (size_t)out * 4);
    t->w1 = ib_cpu_take(at, (size_t)out * 4);
}

isobath_status ib_cpu_lerp_tables(ib_cpu *cpu, size_t local, int64_t h, int64_t w, int64_t out_h, int64_t out_w,
                                  ib_cpu_lerp *tx, ib_cpu_lerp *ty)
{
    IB_TRY(ib_cpu_reserve(cpu, local, ib_cpu_lerp_bytes(out_w) + ib_cpu_lerp_bytes(out_h)));
    char *at = cpu->shared;
    ib_cpu_lerp_take(&at, out_w, tx);
    ib_cpu_lerp_take(&at, out_h, ty);
    ib_cpu_lerp_axis(w, out_w, tx);
    ib_cpu_lerp_axis(h, out_h, ty);
    return ISOBATH_OK;
}

typedef struct resize_job {
    const ib_resize_bilinear_args *a;
    ib_cpu *cpu;
    ib_cpu_lerp tx, ty;
} resize_job;

static void resize_row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const resize_job *j = ctx;
    const ib_tensor *x = &j->a->x, *y = &j->a->y;
    int64_t t = i / y->dim[1], row = i % y->dim[1], frame = t * x->stride[0];
    j->cpu->k->lerp_row(ib_cpu_at(x, frame + j->ty.i0[row] * x->stride[1]),
                        ib_cpu_at(x, frame + j->ty.i1[row] * x->stride[1]), x->stride[2], 0, y->dim[2], y->dim[3],
                        &j->tx, j->ty.w1[row], ib_cpu_at(y, t * y->stride[0] + row * y->stride[1]), y->stride[2], 0);
}

isobath_status ib_cpu_resize_bilinear(ib_backend *b, const ib_resize_bilinear_args *a)
{
    resize_job j = {.a = a, .cpu = ib_cpu_of(b)};
    IB_TRY(ib_cpu_lerp_tables(j.cpu, 0, a->x.dim[1], a->x.dim[2], a->y.dim[1], a->y.dim[2], &j.tx, &j.ty));
    ib_pool_run(b->pool, a->y.dim[0] * a->y.dim[1], resize_row, &j);
    return ISOBATH_OK;
}

/* No model asks for these two here (taps_first is 0), so they need not be fast. */
isobath_status ib_cpu_resize_taps(ib_backend *b, const ib_resize_taps_args *a) { return ib_ref_resize_taps(b, a); }
isobath_status ib_cpu_overlap_add(ib_backend *b, const ib_overlap_add_args *a) { return ib_ref_overlap_add(b, a); }
