/* Times ops by name and shape; see op_profile.h. Multiply-adds are those that the null backend counts. */
#include "op_profile.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROWS 256

typedef struct row {
    char name[80];
    double seconds, flops;
    long calls;
} row;

static struct {
    const ib_op_table *inner;
    ib_op_table outer;
    ib_backend *null;
    row rows[MAX_ROWS];
    int count, clock;
} profile;

double bench_profile_now(void)
{
    struct timespec t;
    clock_gettime((clockid_t)profile.clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static row *row_named(const char *name)
{
    for (int i = 0; i < profile.count; i++)
        if (strcmp(profile.rows[i].name, name) == 0) return &profile.rows[i];
    if (profile.count == MAX_ROWS) return &profile.rows[MAX_ROWS - 1];
    row *r = &profile.rows[profile.count++];
    *r = (row){0};
    snprintf(r->name, sizeof r->name, "%s", name);
    return r;
}

static int put(char *at, size_t size, const ib_tensor *t)
{
    int n = 0;
    for (int i = 0; i < t->rank; i++)
        n += snprintf(at + n, size - (size_t)n, "%s%lld", i ? "x" : " ", (long long)t->dim[i]);
    return n;
}

/* The op with the shapes of what it reads and writes. */
static void label(char *buf, size_t size, const char *op, const ib_tensor *x, const ib_tensor *y, const char *more)
{
    int n = snprintf(buf, size, "%s", op);
    n += put(buf + n, size - (size_t)n, x);
    n += snprintf(buf + n, size - (size_t)n, " ->");
    n += put(buf + n, size - (size_t)n, y);
    snprintf(buf + n, size - (size_t)n, "%s", more);
}

static isobath_status add(isobath_status st, const char *name, double start)
{
    row *r = row_named(name);
    r->seconds += bench_profile_now() - start;
    r->flops += ib_null_get_counts(profile.null).flops;
    r->calls++;
    ib_null_reset_counts(profile.null);
    return st;
}

#define PROFILE(op, x, y, more)                                              \
    static isobath_status timed_##op(ib_backend *b, const ib_##op##_args *a) \
    {                                                                        \
        char name[80];                                                       \
        label(name, sizeof name, #op, x, y, more);                           \
        profile.null->ops->op(profile.null, a);                              \
        double start = bench_profile_now();                                                \
        return add(profile.inner->op(b, a), name, start);                    \
    }
PROFILE(patchify, &a->x, &a->y, "")
PROFILE(embed_tokens, &a->x, &a->y, "")
PROFILE(layernorm, &a->x, &a->y, "")
PROFILE(add_pos, &a->x, &a->y, "")
PROFILE(linear, &a->x, &a->y, a->act == IB_ACT_GELU ? " gelu" : a->act == IB_ACT_GEGLU ? " geglu" : a->residual.data ? " +" : "")
PROFILE(attention, &a->qkv, &a->y, "")
PROFILE(temporal_attention, &a->q, &a->y, "")
PROFILE(groupnorm, &a->x, &a->y, "")
PROFILE(conv3x3, &a->x, &a->y, a->residual.data ? " +" : "")
PROFILE(conv_transpose, &a->x, &a->y, "")
PROFILE(resize_bilinear, &a->x, &a->y, "")
PROFILE(resize_taps, &a->x, &a->y, "")
PROFILE(overlap_add, &a->x, &a->y, "")
PROFILE(output_head, &a->x, &a->y, "")
PROFILE(copy, &a->x, &a->y, "")
PROFILE(add, &a->a, &a->y, "")
PROFILE(count_nonfinite, &a->x, &a->x, "")
PROFILE(yuv_to_rgb, &a->luma, &a->y, "")
PROFILE(preprocess, &a->x, &a->y, "")
PROFILE(render, &a->a, &a->y, "")
PROFILE(fit_sums, &a->p[0], &a->r[0], "")

isobath_status bench_profile_attach(ib_backend *b, int clock)
{
    profile.clock = clock;
    ib_backend_options o = {.act = b->act, .diag = b->diag};
    IB_TRY(ib_null_open(&o, &profile.null));
    profile.inner = b->ops;
    profile.outer = *b->ops;
#define REPLACE(op) profile.outer.op = timed_##op;
    IB_OPS(REPLACE)
#undef REPLACE
    b->ops = &profile.outer;
    return ISOBATH_OK;
}

void bench_profile_reset(void) { profile.count = 0; }

static int by_time(const void *a, const void *b)
{
    double x = ((const row *)a)->seconds, y = ((const row *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

void bench_profile_print(double seconds, double frames, double peak)
{
    double ops = 0, flops = 0;
    qsort(profile.rows, (size_t)profile.count, sizeof *profile.rows, by_time);
    printf("%-58s %7s %9s %9s %7s  (measured peak %.0f GFLOP/s)\n", "op", "calls", "ms", "GFLOP/s", "share", peak);
    for (int i = 0; i < profile.count; i++) {
        const row *r = &profile.rows[i];
        double rate = r->flops / r->seconds * 1e-9;
        printf("%-58s %7.2f %9.3f %9.1f %6.1f%%\n", r->name, (double)r->calls / frames, 1e3 * r->seconds / frames, rate, 100 * rate / peak);
        ops += r->seconds;
        flops += r->flops;
    }
    printf("%-58s %7s %9.3f %9.1f %6.1f%%\n", "all ops", "", 1e3 * ops / frames, flops / ops * 1e-9, 1e-7 * flops / ops / peak);
    printf("%-58s %7s %9.3f\n", "elsewhere", "", 1e3 * (seconds - ops) / frames);
}
