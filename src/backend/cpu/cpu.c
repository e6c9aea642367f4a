/* The cpu backend: choice of the instruction path, the op table, memory. */
#include "backend/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

isobath_status ib_cpu_reserve(ib_cpu *cpu, size_t local, size_t shared)
{
    local = ib_cpu_round(local);
    shared = ib_cpu_round(shared);
    if (local > cpu->local_bytes) {
        free(cpu->local);
        cpu->local_bytes = 0;
        cpu->local = aligned_alloc(64, local * (size_t)cpu->threads);
        if (!cpu->local)
            return ib_fail(cpu->base.diag, ISOBATH_ERR_MEMORY,
                           "out of memory for the scratch of %d threads (%zu bytes each)", cpu->threads, local);
        cpu->local_bytes = local;
    }
    if (shared > cpu->shared_bytes) {
        free(cpu->shared);
        cpu->shared_bytes = 0;
        cpu->shared = aligned_alloc(64, shared);
        if (!cpu->shared)
            return ib_fail(cpu->base.diag, ISOBATH_ERR_MEMORY, "out of memory for %zu bytes of scratch", shared);
        cpu->shared_bytes = shared;
    }
    return ISOBATH_OK;
}

static isobath_status buffer_alloc(ib_backend *b, size_t bytes, void **out)
{
    *out = NULL;
    if (bytes <= SIZE_MAX - 255) *out = aligned_alloc(256, ((bytes ? bytes : 1) + 255) & ~(size_t)255);
    if (!*out) return ib_fail(b->diag, ISOBATH_ERR_MEMORY, "out of memory for a buffer of %zu bytes", bytes);
    return ISOBATH_OK;
}

static void buffer_free(ib_backend *b, void *buffer)
{
    (void)b;
    free(buffer);
}

static isobath_status transfer(ib_backend *b, void *dst, const void *src, size_t bytes)
{
    (void)b;
    if (bytes) memcpy(dst, src, bytes);
    return ISOBATH_OK;
}

static isobath_status sync_nothing(ib_backend *b)
{
    (void)b;
    return ISOBATH_OK;
}

static void close_cpu(ib_backend *b)
{
    ib_cpu *cpu = ib_cpu_of(b);
    free(cpu->local);
    free(cpu->shared);
    free(cpu);
}

static const ib_op_table table = {.name = "cpu",
                                  .buffer_alloc = buffer_alloc,
                                  .buffer_free = buffer_free,
                                  .upload = transfer,
                                  .download = transfer,
                                  .sync = sync_nothing,
                                  .weight_create = ib_cpu_weight_create,
                                  .weight_destroy = ib_cpu_weight_destroy,
                                  .close = close_cpu,
#define MEMBER(op) .op = ib_cpu_##op,
                                  IB_OPS(MEMBER)
#undef MEMBER
};

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static int has_bf16(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

/* The kernels of an instruction path, or NULL with `why` when this machine or this build has none. */
static const ib_cpu_kernels *choose(const char *isa, ib_dtype act, const char **why)
{
    __builtin_cpu_init();
    *why = "this processor lacks the instructions";
    if (act == IB_BF16) {
        *why = "bf16 needs a processor with AVX512_BF16";
        if (isa && strcmp(isa, "avx512") != 0) *why = "only the instruction path avx512 computes in bf16";
        return has_bf16() && (!isa || strcmp(isa, "avx512") == 0) ? &ib_cpu_kernels_avx512_bf16 : NULL;
    }
    if (act != IB_F32) {
        *why = "the cpu backend computes in f32 or bf16";
        return NULL;
    }
    if (!isa) return has_avx512() ? &ib_cpu_kernels_avx512 : has_avx2() ? &ib_cpu_kernels_avx2 : &ib_cpu_kernels_sse4;
    if (strcmp(isa, "sse4") == 0) return &ib_cpu_kernels_sse4;
    if (strcmp(isa, "avx2") == 0) return has_avx2() ? &ib_cpu_kernels_avx2 : NULL;
    if (strcmp(isa, "avx512") == 0) return has_avx512() ? &ib_cpu_kernels_avx512 : NULL;
    *why = "the paths are sse4, avx2, avx512";
    return NULL;
}

isobath_status ib_cpu_open(const ib_backend_options *options, ib_backend **out)
{
    *out = NULL;
    const char *why;
    const ib_cpu_kernels *k = choose(options->isa, options->act, &why);
    if (!k)
        return ib_fail(options->diag, ISOBATH_ERR_UNSUPPORTED, "cpu backend, instruction path %s, %s: %s",
                       options->isa ? options->isa : "(best)", ib_dtype_name(options->act), why);
    ib_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the cpu backend");
    cpu->base = (ib_backend){.ops = &table, .act = options->act, .diag = options->diag, .pool = options->pool};
    snprintf(cpu->base.kind, sizeof cpu->base.kind, "cpu %s %s", k->isa, ib_dtype_name(options->act));
    cpu->k = k;
    cpu->f32 = options->act == IB_BF16 ? &ib_cpu_kernels_avx512 : k;
    cpu->threads = ib_pool_threads(options->pool);
    *out = &cpu->base;
    return ISOBATH_OK;
}
