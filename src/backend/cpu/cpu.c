/* The cpu backend: choice of the instruction path, the op table, memory. */
#include "backend/cpu/cpu.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE_PAGE ((size_t)2 << 20)

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

/* A network's activations and features are two large buffers that all threads walk through: in large pages they are touched for the
 * first time, looked up and given back faster. That is a wish; a system without them ignores it. */
static isobath_status buffer_alloc(ib_backend *b, size_t bytes, void **out)
{
    size_t unit = bytes >= 2 * LARGE_PAGE ? LARGE_PAGE : 256, whole = ((bytes ? bytes : 1) + unit - 1) & ~(unit - 1);
    *out = whole >= bytes ? aligned_alloc(unit, whole) : NULL;
    if (*out && unit == LARGE_PAGE) madvise(*out, whole, MADV_HUGEPAGE);
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
    ib_cpu_frame_free(cpu->frame);
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

/* AMX-TILE and AMX-BF16 in the processor, and their registers saved by the system. */
static int has_amx(void)
{
    unsigned a, b, c, d, low, high;
    if (!has_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    if (!(d >> 22 & 1) || !(d >> 24 & 1) || (low >> 17 & 3) != 3) return 0;
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* Linux gives the large registers to processes that ask */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* An instruction path. */
typedef struct path {
    const ib_cpu_kernels *k;
    const char *name, *why; /* why: what is missing, when k is NULL */
} path;

/* bf16: avx512 (with AVX512_BF16), or amx: products by tiles. "tiles" is the path amx with vector instructions in the
 * place of AMX, so that its code can be tested on any processor with AVX512_BF16; it is never chosen by itself. */
static path choose_bf16(const char *isa)
{
    path p = {.why = "bf16 needs a processor with AVX512_BF16"};
    if (!isa) isa = has_amx() ? "amx" : "avx512";
    p.name = isa;
    if (strcmp(isa, "avx512") == 0)
        p.k = has_bf16() ? &ib_cpu_kernels_avx512_bf16 : NULL;
    else if (strcmp(isa, "tiles") == 0)
        p.k = has_bf16() ? &ib_cpu_kernels_amx_test : NULL;
    else if (strcmp(isa, "amx") != 0)
        p.why = "only the paths avx512 and amx compute in bf16";
    else if (has_amx())
        p.k = &ib_cpu_kernels_amx;
    else
        p.why = "this processor has no AMX";
    return p;
}

static path choose_f32(const char *isa)
{
    path p = {.why = "this processor lacks the instructions"};
    if (!isa) isa = has_avx512() ? "avx512" : has_avx2() ? "avx2" : "sse4";
    p.name = isa;
    if (strcmp(isa, "sse4") == 0)
        p.k = &ib_cpu_kernels_sse4;
    else if (strcmp(isa, "avx2") == 0)
        p.k = has_avx2() ? &ib_cpu_kernels_avx2 : NULL;
    else if (strcmp(isa, "avx512") == 0)
        p.k = has_avx512() ? &ib_cpu_kernels_avx512 : NULL;
    else if (strcmp(isa, "amx") == 0)
        p.why = "AMX has no f32 products";
    else
        p.why = "the paths are sse4, avx2, avx512 and amx";
    return p;
}

isobath_status ib_cpu_open(const ib_backend_options *options, ib_backend **out)
{
    *out = NULL;
    ib_dtype act = options->act;
    __builtin_cpu_init();
    path p = act == IB_BF16 ? choose_bf16(options->isa) : choose_f32(options->isa);
    if (act != IB_BF16 && act != IB_F32) p = (path){.why = "the cpu backend computes in f32 or bf16"};
    if (!p.k)
        return ib_fail(options->diag, ISOBATH_ERR_UNSUPPORTED, "cpu backend, instruction path %s, %s: %s",
                       options->isa ? options->isa : "(best)", ib_dtype_name(act), p.why);
    ib_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for the cpu backend");
    cpu->base = (ib_backend){.ops = &table, .act = act, .diag = options->diag, .pool = options->pool};
    cpu->k = p.k;
    cpu->f32 = act == IB_BF16 ? &ib_cpu_kernels_avx512 : p.k;
    cpu->threads = ib_pool_threads(options->pool);
    snprintf(cpu->base.kind, sizeof cpu->base.kind, "cpu %s %s", p.name, ib_dtype_name(act));
    *out = &cpu->base;
    return ISOBATH_OK;
}
