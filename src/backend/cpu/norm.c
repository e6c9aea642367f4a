/* LayerNorm per token and GroupNorm per frame. */
#include "backend/cpu/cpu.h"

#define TOKENS_PER_JOB 32

typedef struct layernorm_job {
    const ib_layernorm_args *a;
    ib_cpu *cpu;
    int64_t blocks;
} layernorm_job;

static void layernorm_tokens(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const layernorm_job *j = ctx;
    const ib_layernorm_args *a = j->a;
    const ib_tensor *x = &a->x, *y = &a->y;
    int64_t t = i / j->blocks, first = i % j->blocks * TOKENS_PER_JOB;
    const float *pos = a->pos.data ? (const float *)a->pos.data + t * a->pos.stride[0] : NULL;
    for (int64_t n = first; n < ib_cpu_min(first + TOKENS_PER_JOB, x->dim[1]); n++)
        j->cpu->k->layernorm(ib_cpu_at(x, t * x->stride[0] + n * x->stride[1]), x->dim[2], a->weight.data, a->bias.data,
                             pos, a->eps, ib_cpu_at(y, t * y->stride[0] + n * y->stride[1]), y->dtype == IB_F32);
}

isobath_status ib_cpu_layernorm(ib_backend *b, const ib_layernorm_args *a)
{
    layernorm_job j = {.a = a, .cpu = ib_cpu_of(b), .blocks = ib_cpu_ceil(a->x.dim[1], TOKENS_PER_JOB)};
    ib_pool_run(b->pool, a->x.dim[0] * j.blocks, layernorm_tokens, &j);
    return ISOBATH_OK;
}

/* GroupNorm in three passes over each frame: sums for the mean, sums about the mean for the variance, the result. Blocks
 * of IB_CPU_NORM_BLOCK pixels are added in f32, blocks and channels in f64 in ascending order. */
typedef struct groupnorm_job {
    const ib_groupnorm_args *a;
    ib_cpu *cpu;
    int64_t blocks;
    float *sums, *squares; /* (T, blocks, C) */
    float *mean, *scale;   /* (T, C) */
} groupnorm_job;

/* Block i of all frames: its pixels, its frame and its place in the frame. */
static const void *block_of(const groupnorm_job *j, int64_t i, int64_t *pixels, int64_t *t)
{
    const ib_tensor *x = &j->a->x;
    int64_t first = i % j->blocks * IB_CPU_NORM_BLOCK;
    *t = i / j->blocks;
    *pixels = ib_cpu_min(IB_CPU_NORM_BLOCK, x->dim[1] - first);
    return ib_cpu_at(x, *t * x->stride[0] + first * x->dim[2]);
}

static void sum_block(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const groupnorm_job *j = ctx;
    int64_t pixels, t, c = j->a->x.dim[2];
    const void *x = block_of(j, i, &pixels, &t);
    j->cpu->k->channel_sums(x, pixels, c, j->mean + t * c, j->sums + i * c, j->squares + i * c);
}

static void affine_block(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const groupnorm_job *j = ctx;
    const ib_tensor *y = &j->a->y;
    int64_t pixels, t, c = j->a->x.dim[2];
    const void *x = block_of(j, i, &pixels, &t);
    j->cpu->k->channel_affine(x, pixels, c, j->mean + t * c, j->scale + t * c, j->a->bias.data,
                              ib_cpu_at(y, t * y->stride[0] + i % j->blocks * IB_CPU_NORM_BLOCK * y->stride[1]),
                              y->stride[1]);
}

/* Sums of the group's channels over all blocks of frame t. */
static void group_sums(const groupnorm_job *j, int64_t t, int64_t group, double *sum, double *square)
{
    int64_t c = j->a->x.dim[2], width = c / j->a->groups;
    *sum = *square = 0.0;
    for (int64_t i = t * j->blocks; i < (t + 1) * j->blocks; i++)
        for (int64_t n = group * width; n < (group + 1) * width; n++) {
            *sum += (double)j->sums[i * c + n];
            *square += (double)j->squares[i * c + n];
        }
}

static void frame_mean(void *ctx, int64_t t, int thread)
{
    (void)thread;
    const groupnorm_job *j = ctx;
    int64_t c = j->a->x.dim[2], width = c / j->a->groups;
    double count = (double)(width * j->a->x.dim[1]), sum, square;
    for (int64_t g = 0; g < j->a->groups; g++) {
        group_sums(j, t, g, &sum, &square);
        for (int64_t i = g * width; i < (g + 1) * width; i++) j->mean[t * c + i] = (float)(sum / count);
    }
}

static void frame_scale(void *ctx, int64_t t, int thread)
{
    (void)thread;
    const groupnorm_job *j = ctx;
    int64_t c = j->a->x.dim[2], width = c / j->a->groups;
    const float *weight = j->a->weight.data;
    double count = (double)(width * j->a->x.dim[1]), sum, square;
    for (int64_t g = 0; g < j->a->groups; g++) {
        group_sums(j, t, g, &sum, &square);
        double rest = sum / count, rstd = 1.0 / __builtin_sqrt(square / count - rest * rest + (double)j->a->eps);
        for (int64_t i = g * width; i < (g + 1) * width; i++) {
            j->mean[t * c + i] = (float)((double)j->mean[t * c + i] + rest);
            j->scale[t * c + i] = (float)rstd * weight[i];
        }
    }
}

isobath_status ib_cpu_groupnorm(ib_backend *b, const ib_groupnorm_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    int64_t c = a->x.dim[2], frames = a->x.dim[0];
    groupnorm_job j = {.a = a, .cpu = cpu, .blocks = ib_cpu_ceil(a->x.dim[1], IB_CPU_NORM_BLOCK)};
    size_t row = ib_cpu_round((size_t)(frames * c) * 4), partial = ib_cpu_round((size_t)(frames * j.blocks * c) * 4);
    IB_TRY(ib_cpu_reserve(cpu, 0, 2 * partial + 2 * row));
    char *at = cpu->shared;
    j.sums = ib_cpu_take(&at, partial);
    j.squares = ib_cpu_take(&at, partial);
    j.mean = ib_cpu_take(&at, row);
    j.scale = ib_cpu_take(&at, row);
    for (int64_t i = 0; i < frames * c; i++) j.mean[i] = 0.0f;
    ib_pool_run(b->pool, frames * j.blocks, sum_block, &j);
    ib_pool_run(b->pool, frames, frame_mean, &j);
    ib_pool_run(b->pool, frames * j.blocks, sum_block, &j);
    ib_pool_run(b->pool, frames, frame_scale, &j);
    ib_pool_run(b->pool, frames * j.blocks, affine_block, &j);
    return ISOBATH_OK;
}
