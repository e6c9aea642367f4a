/* What a case consists of: arguments with values that are pure functions of the case, a weight, the result of ref. */
#include "checkop.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static ib_pool *ref_pool;

void ck_set_ref_pool(ib_pool *pool) { ref_pool = pool; }

void *ck_alloc(size_t bytes)
{
    void *p = calloc(bytes ? bytes : 1, 1);
    if (!p) {
        fprintf(stderr, "checkop: out of memory (%zu bytes)\n", bytes);
        exit(ISOBATH_ERR_MEMORY);
    }
    return p;
}

/* splitmix64: a hash of the counter, so that values do not depend on the order of generation. */
static uint64_t hash(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static double uniform(uint64_t seed, uint64_t i) /* in [-1, 1) */
{
    return (double)(hash(seed ^ hash(i)) >> 11) * 0x1p-52 - 1.0;
}

float ck_round(float v, ib_dtype dtype)
{
    if (dtype == IB_F16) return ib_f16_to_f32(ib_f32_to_f16(v));
    if (dtype == IB_BF16) return ib_bf16_to_f32(ib_f32_to_bf16(v));
    return v;
}

double ck_unit(ib_dtype dtype) { return dtype == IB_F32 ? 0x1p-24 : dtype == IB_F16 ? 0x1p-11 : 0x1p-8; }

int64_t ck_elements(const ck_arg *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= a->dim[i];
    return n;
}

ck_arg *ck_add(ck_case *c, const char *name, ib_dtype dtype, unsigned flags, unsigned gaps, int rank, int64_t d0,
               int64_t d1, int64_t d2, int64_t d3)
{
    ck_arg *a = &c->arg[c->args++];
    *a = (ck_arg){name, dtype, rank, {d0, d1, d2, d3}, flags, gaps, 1, NULL};
    a->value = ck_alloc((size_t)ck_elements(a) * sizeof *a->value);
    return a;
}

void ck_add_absent(ck_case *c, const char *name) { c->arg[c->args++] = (ck_arg){.name = name, .rank = 1, .dim = {1}}; }

void ck_fill(ck_case *c, ck_arg *a, double centre, double amplitude)
{
    uint64_t seed = hash(c->seed + (uint64_t)(a - c->arg));
    int64_t n = ck_elements(a);
    for (int64_t i = 0; i < n; i++)
        a->value[i] = ck_round((float)(centre + amplitude * uniform(seed, (uint64_t)i)), a->dtype);
}

void ck_set_weight(ck_case *c, ib_weight_kind kind, int64_t out, int64_t in, int kernel, double amplitude)
{
    int64_t n = out * in;
    if (kind == IB_WEIGHT_GEGLU) n *= 2;
    if (kind == IB_WEIGHT_CONV3X3) n *= 9;
    if (kind == IB_WEIGHT_CONVT) n *= (int64_t)kernel * kernel;
    if (kind == IB_WEIGHT_HEAD) n = n * 9 + 32;
    float *data = ck_alloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++)
        data[i] = ck_round((float)(amplitude * uniform(hash(c->seed + 99), (uint64_t)i)), c->act);
    c->has_weight = 1;
    c->weight = (ib_weight_desc){kind, out, in, kernel, data};
}

void ck_name(ck_case *c, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(c->name, sizeof c->name, format, ap);
    va_end(ap);
}

/* Runs ref on contiguous f32 versions of the arguments with values value[i]; `result` gets the result. */
static void run_ref(const ck_case *c, float *const *value, const ib_weight_desc *weight, ck_mode mode, float *result,
                    double *host)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref;
    ib_weight *w = NULL;
    ib_tensor t[CK_MAX_ARGS];
    unsigned char *bytes[CK_MAX_ARGS] = {0};
    isobath_status st = ib_ref_open(&(ib_backend_options){.act = IB_F32, .pool = ref_pool, .diag = &diag}, &ref);
    if (st == ISOBATH_OK && weight) st = ref->ops->weight_create(ref, weight, &w);
    for (int i = 0; i < c->args; i++) {
        const ck_arg *a = &c->arg[i];
        void *data = value[i];
        if (a->dtype == IB_U8) {
            bytes[i] = ck_alloc((size_t)ck_elements(a));
            for (int64_t j = 0; j < ck_elements(a); j++) bytes[i][j] = a->flags & CK_OUT ? 0 : (unsigned char)a->value[j];
            data = bytes[i];
        }
        if ((a->flags & CK_OUT) && a->dtype != IB_U8) data = result;
        t[i] = ib_tensor_4d(a->present ? data : NULL, a->dtype == IB_U8 ? IB_U8 : IB_F32, a->dim[0], a->dim[1],
                            a->dim[2], a->dim[3]);
        t[i].rank = a->rank;
        int64_t stride = 1;
        for (int d = a->rank - 1; d >= 0; d--) {
            t[i].stride[d] = stride;
            stride *= a->dim[d];
        }
    }
    if (st == ISOBATH_OK) st = c->op->call(ref, c, t, w, mode, host);
    if (st != ISOBATH_OK) {
        fprintf(stderr, "checkop: ref refuses case %s %s: %s\n", c->op->name, c->name, diag.text);
        exit(ISOBATH_ERR_INTERNAL);
    }
    const ck_arg *y = &c->arg[c->args - 1];
    for (int64_t j = 0; (y->flags & CK_OUT) && y->dtype == IB_U8 && j < ck_elements(y); j++) result[j] = bytes[c->args - 1][j];
    ref->ops->weight_destroy(ref, w);
    ib_backend_close(ref);
    for (int i = 0; i < c->args; i++) free(bytes[i]);
}

float *ck_absolute(const ck_case *c)
{
    float *value[CK_MAX_ARGS] = {0}, *result = NULL;
    for (int i = 0; i < c->args; i++) {
        const ck_arg *a = &c->arg[i];
        if (!a->present) continue;
        int64_t n = ck_elements(a);
        value[i] = ck_alloc((size_t)n * sizeof(float));
        for (int64_t j = 0; j < n; j++) value[i][j] = fabsf(a->value[j]);
        if (a->flags & CK_OUT) result = value[i];
    }
    ib_weight_desc weight = c->weight;
    float *data = NULL;
    if (c->has_weight) {
        int64_t n = weight.out_channels * weight.in_channels *
                    (weight.kind == IB_WEIGHT_CONV3X3 ? 9
                     : weight.kind == IB_WEIGHT_CONVT ? weight.kernel * weight.kernel
                                                      : 1);
        data = ck_alloc((size_t)n * sizeof(float));
        for (int64_t j = 0; j < n; j++) data[j] = fabsf(weight.data[j]);
        weight.data = data;
    }
    double host[CK_HOSTS];
    run_ref(c, value, c->has_weight ? &weight : NULL, CK_LINEARISED, result, host);
    for (int i = 0; i < c->args; i++)
        if (value[i] != result) free(value[i]);
    free(data);
    return result;
}

ck_case *ck_case_declare(const ck_op *op, const int *p, ib_dtype act)
{
    ck_case *c = ck_alloc(sizeof *c);
    c->op = op;
    c->p = p;
    c->act = act;
    for (const char *s = op->name; *s; s++) c->seed = hash(c->seed + (uint64_t)*s);
    for (int i = 0; i < CK_PARAMS; i++) c->seed = hash(c->seed + (uint64_t)(unsigned)p[i]);
    op->build(c);
    return c;
}

ck_case *ck_case_create(const ck_op *op, const int *p, ib_dtype act, ck_plant plant, int where)
{
    ck_case *c = ck_case_declare(op, p, act);
    if (plant != CK_CLEAN) {
        static const char *const names[] = {"", "NaN", "inf", "-inf"};
        ck_arg *a = &c->arg[where];
        int64_t at = (int64_t)(hash(c->seed + 7) % (uint64_t)ck_elements(a));
        a->value[at] = plant == CK_NAN ? NAN : plant == CK_INF ? INFINITY : -INFINITY;
        size_t n = strlen(c->name);
        snprintf(c->name + n, sizeof c->name - n, " %s in %s[%lld]", names[plant], a->name, (long long)at);
        c->plant = plant;
    }
    float *value[CK_MAX_ARGS], *result = NULL;
    for (int i = 0; i < c->args; i++) {
        value[i] = c->arg[i].value;
        if (c->arg[i].flags & CK_OUT) result = value[i];
    }
    if (result) {
        size_t n = (size_t)ck_elements(ck_result(c));
        c->peak = ck_alloc(n * sizeof(double));
        c->rms = ck_alloc(n * sizeof(double));
    }
    run_ref(c, value, c->has_weight ? &c->weight : NULL, CK_PLAIN, result, c->host);
    op->bound(c);
    return c;
}

void ck_case_free(ck_case *c)
{
    if (!c) return;
    for (int i = 0; i < c->args; i++) free(c->arg[i].value);
    free((void *)c->weight.data);
    free(c->peak);
    free(c->rms);
    free(c);
}
