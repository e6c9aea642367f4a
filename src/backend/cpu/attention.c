/* Attention within a frame and over frames; both are the kernel's online softmax over packed keys and values. */
#include "backend/cpu/cpu.h"

/* Elements of the packed keys and values of one head. */
static int64_t padded(const ib_cpu *cpu, int64_t n)
{
    return ib_cpu_ceil(n, cpu->k->panel_width) * cpu->k->panel_width;
}
static size_t keys_bytes(const ib_cpu *cpu, int64_t keys, int64_t d)
{
    return ib_cpu_round((size_t)(padded(cpu, keys) * d) * ib_dtype_size(cpu->base.act));
}
static size_t values_bytes(const ib_cpu *cpu, int64_t keys, int64_t d) { return keys_bytes(cpu, keys, padded(cpu, d)); }

typedef struct attention_job {
    const ib_attention_args *a;
    ib_cpu *cpu;
    int64_t tokens, d, blocks;
    size_t kt_bytes, v_bytes;
} attention_job;

static void pack_head(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const attention_job *j = ctx;
    const ib_tensor *q = &j->a->qkv;
    int64_t t = i / 2 / j->a->heads, head = i / 2 % j->a->heads, c = q->dim[2] / 3, at = t * q->stride[0] + head * j->d;
    char *kt = (char *)j->cpu->shared + (size_t)(i / 2) * (j->kt_bytes + j->v_bytes);
    if (i % 2 == 0)
        j->cpu->k->pack_keys(kt, ib_cpu_at(q, at + c), q->stride[1], j->tokens, j->d);
    else
        j->cpu->k->pack_values(kt + j->kt_bytes, ib_cpu_at(q, at + 2 * c), q->stride[1], j->tokens, j->d);
}

static void attend_rows(void *ctx, int64_t i, int thread)
{
    const attention_job *j = ctx;
    const ib_tensor *q = &j->a->qkv, *y = &j->a->y;
    int64_t at = i / j->blocks, frame = at / j->a->heads, head = at % j->a->heads, row = i % j->blocks * j->tokens / j->blocks;
    const char *kt = (const char *)j->cpu->shared + (size_t)at * (j->kt_bytes + j->v_bytes);
    ib_cpu_attend t = {
        .q = ib_cpu_at(q, frame * q->stride[0] + row * q->stride[1] + head * j->d),
        .ldq = q->stride[1],
        .rows = (i % j->blocks + 1) * j->tokens / j->blocks - row,
        .keys = j->tokens,
        .d = j->d,
        .scale = 1.0f / __builtin_sqrtf((float)j->d),
        .kt = kt,
        .v = kt + j->kt_bytes,
        .y = ib_cpu_at(y, frame * y->stride[0] + row * y->stride[1] + head * j->d),
        .ldy = y->stride[1],
        .scratch = ib_cpu_local(j->cpu, thread),
    };
    j->cpu->k->attend(&t);
}

isobath_status ib_cpu_attention(ib_backend *b, const ib_attention_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    attention_job j = {.a = a, .cpu = cpu, .tokens = a->qkv.dim[1], .d = a->qkv.dim[2] / 3 / a->heads};
    j.kt_bytes = keys_bytes(cpu, j.tokens, j.d);
    j.v_bytes = values_bytes(cpu, j.tokens, j.d);
    j.blocks = ib_cpu_ceil(j.tokens, 4 * cpu->k->query_tile);
    int64_t heads = a->qkv.dim[0] * a->heads; /* of all frames */
    IB_TRY(ib_cpu_reserve(cpu, cpu->k->attend_scratch(j.d), (size_t)heads * (j.kt_bytes + j.v_bytes)));
    ib_pool_run(b->pool, 2 * heads, pack_head, &j);
    ib_pool_run(b->pool, heads * j.blocks, attend_rows, &j);
    return ISOBATH_OK;
}

typedef struct temporal_job {
    const ib_temporal_attention_args *a;
    ib_cpu *cpu;
    int64_t block; /* pixels of a job */
    size_t kt_bytes, v_bytes;
} temporal_job;

static void temporal_block(void *ctx, int64_t i, int thread)
{
    const temporal_job *j = ctx;
    const ib_temporal_attention_args *a = j->a;
    const ib_tensor *q = &a->q, *k = &a->k, *v = &a->v, *y = &a->y;
    int64_t d = q->dim[2] / a->heads, keys = k->dim[0];
    char *kt = ib_cpu_local(j->cpu, thread);
    ib_cpu_attend t = {
        .ldq = q->stride[0],
        .rows = q->dim[0],
        .keys = keys,
        .d = d,
        .scale = 1.0f / __builtin_sqrtf((float)d),
        .kt = kt,
        .v = kt + j->kt_bytes,
        .ldy = y->stride[0],
        .scratch = kt + j->kt_bytes + j->v_bytes,
    };
    for (int64_t p = i * j->block; p < ib_cpu_min((i + 1) * j->block, q->dim[1]); p++)
        for (int64_t c = 0; c < q->dim[2]; c += d) {
            j->cpu->k->pack_keys(kt, ib_cpu_at(k, p * k->stride[1] + c), k->stride[0], keys, d);
            j->cpu->k->pack_values(kt + j->kt_bytes, ib_cpu_at(v, p * v->stride[1] + c), v->stride[0], keys, d);
            t.q = ib_cpu_at(q, p * q->stride[1] + c);
            t.y = ib_cpu_at(y, p * y->stride[1] + c);
            j->cpu->k->attend(&t);
        }
}

isobath_status ib_cpu_temporal_attention(ib_backend *b, const ib_temporal_attention_args *a)
{
    ib_cpu *cpu = ib_cpu_of(b);
    int64_t d = a->q.dim[2] / a->heads, pixels = a->q.dim[1];
    temporal_job j = {.a = a, .cpu = cpu};
    j.kt_bytes = keys_bytes(cpu, a->k.dim[0], d);
    j.v_bytes = values_bytes(cpu, a->k.dim[0], d);
    j.block = pixels / (8 * (int64_t)cpu->threads) + 1;
    if (j.block > 16) j.block = 16;
    IB_TRY(ib_cpu_reserve(cpu, j.kt_bytes + j.v_bytes + cpu->k->attend_scratch(d), 0));
    ib_pool_run(b->pool, ib_cpu_ceil(pixels, j.block), temporal_block, &j);
    return ISOBATH_OK;
}
