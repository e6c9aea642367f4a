/* Ops that only move values: patchify, embed_tokens, add_pos, copy; and the count of values that are not finite. */
#include "backend/cpu/cpu.h"

#include <string.h>

#define TOKENS_PER_JOB 64

typedef struct patchify_job {
    const ib_patchify_args *a;
    ib_cpu *cpu;
} patchify_job;

/* One row of patches. */
static void patchify_row(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const patchify_job *j = ctx;
    const ib_tensor *x = &j->a->x, *y = &j->a->y;
    int64_t rows = x->dim[1] / IB_PATCH, columns = x->dim[2] / IB_PATCH, pitch = 3 * x->dim[2];
    const float *src = (const float *)x->data + (i / rows * x->dim[1] + i % rows * IB_PATCH) * pitch;
    int f32 = y->dtype == IB_F32;
    float line[IB_PATCH * 3 + 4] = {0};
    for (int64_t p = 0; p < columns; p++)
        for (int64_t ky = 0; ky < IB_PATCH; ky++) {
            int64_t n = 3 * IB_PATCH, at = (i * columns + p) * IB_PATCH_KPAD + ky * n;
            memcpy(line, src + ky * pitch + p * n, (size_t)n * sizeof *line);
            if (ky == IB_PATCH - 1) n += IB_PATCH_KPAD - IB_PATCH_K; /* the zero columns */
            j->cpu->k->convert(line, 1, NULL, 1, n, ib_cpu_at(y, at), f32);
        }
}

isobath_status ib_cpu_patchify(ib_backend *b, const ib_patchify_args *a)
{
    patchify_job j = {.a = a, .cpu = ib_cpu_of(b)};
    ib_pool_run(b->pool, a->x.dim[0] * (a->x.dim[1] / IB_PATCH), patchify_row, &j);
    return ISOBATH_OK;
}

typedef struct embed_job {
    const ib_embed_tokens_args *a;
    ib_cpu *cpu;
    int64_t blocks;
} embed_job;

static void embed_block(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const embed_job *j = ctx;
    const ib_embed_tokens_args *a = j->a;
    int64_t t = i / j->blocks, first = i % j->blocks * TOKENS_PER_JOB;
    for (int64_t n = first; n < ib_cpu_min(first + TOKENS_PER_JOB, a->y.dim[1]); n++) {
        const void *x = n ? ib_cpu_at(&a->x, t * a->x.stride[0] + (n - 1) * a->x.stride[1]) : a->cls.data;
        j->cpu->k->convert(x, 1, ib_cpu_at(&a->pos, n * a->pos.stride[0]), 1, a->y.dim[2],
                           ib_cpu_at(&a->y, t * a->y.stride[0] + n * a->y.stride[1]), 1);
    }
}

isobath_status ib_cpu_embed_tokens(ib_backend *b, const ib_embed_tokens_args *a)
{
    embed_job j = {.a = a, .cpu = ib_cpu_of(b), .blocks = ib_cpu_ceil(a->y.dim[1], TOKENS_PER_JOB)};
    ib_pool_run(b->pool, a->y.dim[0] * j.blocks, embed_block, &j);
    return ISOBATH_OK;
}

/* y = x + b token by token with conversion: add_pos (b is one row per frame), add, copy (no b). */
typedef struct convert_job {
    const ib_tensor *x, *b, *y;
    int64_t b_frame, b_token; /* strides of b */
    ib_cpu *cpu;
    int64_t blocks;
} convert_job;

static void convert_block(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const convert_job *j = ctx;
    const ib_tensor *x = j->x, *y = j->y;
    int64_t t = i / j->blocks, first = i % j->blocks * TOKENS_PER_JOB, c = x->dim[2];
    for (int64_t n = first; n < ib_cpu_min(first + TOKENS_PER_JOB, x->dim[1]); n++) {
        const void *src = ib_cpu_at(x, t * x->stride[0] + n * x->stride[1]);
        const void *other = j->b ? ib_cpu_at(j->b, t * j->b_frame + n * j->b_token) : NULL;
        void *dst = ib_cpu_at(y, t * y->stride[0] + n * y->stride[1]);
        if (!other && x->dtype == y->dtype)
            memcpy(dst, src, (size_t)c * ib_dtype_size(x->dtype));
        else
            j->cpu->k->convert(src, x->dtype == IB_F32, other, j->b && j->b->dtype == IB_F32, c, dst,
                               y->dtype == IB_F32);
    }
}

static isobath_status convert(ib_backend *b, convert_job j)
{
    j.cpu = ib_cpu_of(b);
    j.blocks = ib_cpu_ceil(j.x->dim[1], TOKENS_PER_JOB);
    ib_pool_run(b->pool, j.x->dim[0] * j.blocks, convert_block, &j);
    return ISOBATH_OK;
}

isobath_status ib_cpu_add_pos(ib_backend *b, const ib_add_pos_args *a)
{
    return convert(b, (convert_job){.x = &a->x, .b = &a->pos, .y = &a->y, .b_frame = a->pos.stride[0]});
}

isobath_status ib_cpu_add(ib_backend *b, const ib_add_args *a)
{
    return convert(
        b, (convert_job){.x = &a->a, .b = &a->b, .y = &a->y, .b_frame = a->b.stride[0], .b_token = a->b.stride[1]});
}

isobath_status ib_cpu_copy(ib_backend *b, const ib_copy_args *a)
{
    return convert(b, (convert_job){.x = &a->x, .y = &a->y});
}

#define VALUES_PER_JOB 65536

typedef struct count_job {
    const ib_tensor *x;
    ib_cpu *cpu;
    int64_t values, *partial;
} count_job;

static void count_block(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const count_job *j = ctx;
    int64_t first = i * VALUES_PER_JOB;
    j->partial[i] =
        j->cpu->k->count_nonfinite(ib_cpu_at(j->x, first), j->x->dtype, ib_cpu_min(VALUES_PER_JOB, j->values - first));
}

isobath_status ib_cpu_count_nonfinite(ib_backend *b, const ib_count_nonfinite_args *a)
{
    count_job j = {.x = &a->x, .cpu = ib_cpu_of(b), .values = ib_tensor_count(&a->x)};
    int64_t jobs = ib_cpu_ceil(j.values, VALUES_PER_JOB);
    IB_TRY(ib_cpu_reserve(j.cpu, 0, (size_t)jobs * sizeof *j.partial));
    j.partial = j.cpu->shared;
    ib_pool_run(b->pool, jobs, count_block, &j);
    *a->count = 0;
    for (int64_t i = 0; i < jobs; i++) *a->count += j.partial[i];
    return ISOBATH_OK;
}
