/* One case on one backend: buffers with guard bands and poisoned gaps, the calls, the checks afterwards. */
#include "checkop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GUARD 512 /* bytes before and after every tensor */
/* 16-bit words that are NaN in f32, f16 and bf16 alike; two kinds, so that a NaN that travelled from a guard band of an
 * input into one of the result is seen. */
#define POISON_IN 0xffc5u
#define POISON_OUT 0x7fe5u

typedef struct placement {
    ib_tensor t;
    size_t bytes;
    unsigned char *host; /* what is uploaded, later what must still be there */
    void *device;
} placement;

int ck_layout_applies(const ck_case *c, ck_layout layout)
{
    if (layout != CK_SWAPPED) return 1;
    for (int i = 0; i < c->args; i++) {
        const ck_arg *a = &c->arg[i];
        if (a->present && a->rank == 3 && (a->gaps & 3) == 3 && a->dim[0] > 1 && a->dim[1] > 1) return 1;
    }
    return 0;
}

/* Shape and strides of an argument; the address is set later. Returns the offset of the first element, in elements. */
static int64_t lay_out(const ck_arg *a, ck_layout layout, ib_tensor *t)
{
    *t = (ib_tensor){.dtype = a->dtype, .rank = a->rank};
    memcpy(t->dim, a->dim, sizeof t->dim);
    int64_t stride = 1;
    for (int d = a->rank - 1; d >= 0; d--) {
        if (layout == CK_PADDED && (a->gaps >> d & 1)) stride += 5 + 2 * d;
        t->stride[d] = stride;
        stride *= a->dim[d];
    }
    if (layout == CK_SWAPPED && a->rank == 3 && (a->gaps & 3) == 3) {
        t->stride[0] = a->dim[2];
        t->stride[1] = a->dim[0] * a->dim[2];
    }
    return layout == CK_PADDED ? 1 : 0;
}

static void store(unsigned char *at, ib_dtype dtype, float v)
{
    uint16_t h = dtype == IB_F16 ? ib_f32_to_f16(v) : dtype == IB_BF16 ? ib_f32_to_bf16(v) : 0;
    if (dtype == IB_F32)
        memcpy(at, &v, 4);
    else if (dtype == IB_U8)
        *at = (unsigned char)v;
    else
        memcpy(at, &h, 2);
}

static float load(const unsigned char *at, ib_dtype dtype)
{
    float v;
    uint16_t h;
    if (dtype == IB_F32) {
        memcpy(&v, at, 4);
        return v;
    }
    if (dtype == IB_U8) return *at;
    memcpy(&h, at, 2);
    return dtype == IB_F16 ? ib_f16_to_f32(h) : ib_bf16_to_f32(h);
}

/* Offset in elements of the i-th element in C order. */
static int64_t offset_of(const ib_tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        offset += i % t->dim[d] * t->stride[d];
        i /= t->dim[d];
    }
    return offset;
}

/* Allocates and uploads an argument. `content` are its values (NULL: poison everywhere). */
static isobath_status place(const ck_arg *a, const float *content, ck_layout layout, ib_backend *b, placement *p)
{
    int64_t first = lay_out(a, layout, &p->t), last = first;
    size_t size = ib_dtype_size(a->dtype);
    for (int d = 0; d < a->rank; d++) last += (a->dim[d] - 1) * p->t.stride[d];
    p->bytes = GUARD + ((size_t)(last + 1) * size + 1) / 2 * 2 + GUARD;
    p->host = ck_alloc(p->bytes);
    uint16_t word = a->flags & CK_OUT ? POISON_OUT : POISON_IN;
    for (size_t i = 0; i < p->bytes; i += 2) memcpy(p->host + i, &word, 2);
    for (int64_t i = 0; content && i < ck_elements(a); i++)
        store(p->host + GUARD + (size_t)(first + offset_of(&p->t, i)) * size, a->dtype, content[i]);
    IB_TRY(b->ops->buffer_alloc(b, p->bytes, &p->device));
    IB_TRY(b->ops->upload(b, p->device, p->host, p->bytes));
    p->t.data = (char *)p->device + GUARD + (size_t)first * size;
    return ISOBATH_OK;
}

/* Calls the op, whole or slice by slice. */
static isobath_status call(const ck_case *c, ib_backend *b, const placement *p, const ib_weight *w, ck_split split,
                           double *host)
{
    ib_tensor t[CK_MAX_ARGS] = {0};
    for (int i = 0; i < c->args; i++) t[i] = p[i].t;
    if (split.axis < 0) return c->op->call(b, c, t, w, CK_PLAIN, host);
    unsigned flag = split.axis == 0 ? CK_T : CK_N;
    int64_t total = c->arg[c->args - 1].dim[split.axis], step = split.first, count;
    for (int64_t at = 0; at < total; at += count, step = split.step) {
        count = total - at < step ? total - at : step;
        for (int i = 0; i < c->args; i++)
            if (c->arg[i].present && (c->arg[i].flags & flag)) t[i] = ib_tensor_narrow(&p[i].t, split.axis, at, count);
        IB_TRY(c->op->call(b, c, t, w, CK_PLAIN, host));
    }
    return ISOBATH_OK;
}

/* Packs the result, then requires that every other byte of every buffer is what was uploaded. */
static int collect(const ck_case *c, ib_backend *b, placement *p, ck_outcome *o)
{
    for (int i = 0; i < c->args; i++) {
        const ck_arg *a = &c->arg[i];
        if (!a->present || (a->flags & CK_INPLACE)) continue;
        unsigned char *now = ck_alloc(p[i].bytes);
        o->status = b->ops->download(b, now, p[i].device, p[i].bytes);
        if (o->status == ISOBATH_OK && (a->flags & CK_OUT)) {
            size_t size = ib_dtype_size(a->dtype);
            size_t base = (size_t)((char *)p[i].t.data - (char *)p[i].device);
            int64_t n = ck_elements(a);
            o->size = (size_t)n * size;
            o->bytes = ck_alloc(o->size);
            for (int64_t j = 0; j < n; j++) {
                size_t at = base + (size_t)offset_of(&p[i].t, j) * size;
                memcpy(o->bytes + (size_t)j * size, now + at, size);
                memcpy(now + at, p[i].host + at, size);
            }
        }
        size_t bad = 0;
        if (o->status == ISOBATH_OK)
            while (bad < p[i].bytes && now[bad] == p[i].host[bad]) bad++;
        free(now);
        if (o->status != ISOBATH_OK) return 0;
        if (bad < p[i].bytes) {
            long long at = (long long)bad - (long long)((char *)p[i].t.data - (char *)p[i].device);
            snprintf(o->text, sizeof o->text, "wrote outside the result: %s, byte %lld from its first element", a->name,
                     at);
            o->status = ISOBATH_ERR_INTERNAL;
            return 0;
        }
    }
    return 1;
}

ck_outcome ck_run(const ck_case *c, ib_backend *b, ck_layout layout, ck_split split)
{
    ck_outcome o = {0};
    placement p[CK_MAX_ARGS] = {0};
    ib_weight *w = NULL;
    const float *in_place = NULL;
    ib_diag_reset(b->diag);
    for (int i = 0; i < c->args; i++)
        if (c->arg[i].present && (c->arg[i].flags & CK_INPLACE)) in_place = c->arg[i].value;
    if (c->has_weight) o.status = b->ops->weight_create(b, &c->weight, &w);
    for (int i = c->args - 1; i >= 0 && o.status == ISOBATH_OK; i--) {
        const ck_arg *a = &c->arg[i];
        if (!a->present) continue;
        if (a->flags & CK_INPLACE)
            p[i].t = p[c->args - 1].t;
        else
            o.status = place(a, a->flags & CK_OUT ? in_place : a->value, layout, b, &p[i]);
    }
    if (o.status == ISOBATH_OK) o.status = call(c, b, p, w, split, o.host);
    if (o.status == ISOBATH_OK) o.status = b->ops->sync(b);
    if (o.status == ISOBATH_OK && strcmp(b->ops->name, "null") != 0) collect(c, b, p, &o);
    if (o.status != ISOBATH_OK && !o.text[0])
        snprintf(o.text, sizeof o.text, "%.700s (%s)", b->diag->text, isobath_status_name(o.status));
    for (int i = 0; i < c->args; i++) {
        if (p[i].device) b->ops->buffer_free(b, p[i].device);
        free(p[i].host);
    }
    if (w) b->ops->weight_destroy(b, w);
    return o;
}

void ck_outcome_free(ck_outcome *o)
{
    free(o->bytes);
    *o = (ck_outcome){0};
}

/* Is `got` what rounding may make of `ref`? */
static int acceptable(const ck_case *c, float got, float ref, double peak, ib_dtype dtype)
{
    if (c->exact) {
        float expected = ck_round(ref, dtype);
        return ib_f32_bits(got) == ib_f32_bits(expected) || (isnan(got) && isnan(expected));
    }
    if (isnan(ref)) return isnan(got) || (c->plant > CK_NAN && isinf(got));
    if (isinf(ref)) return isinf(got) ? (got > 0) == (ref > 0) : c->plant > CK_NAN && isnan(got);
    if (!isfinite(peak)) return !isnan(got); /* an infinite input that the result does not show */
    /* Rounding is monotonic; FLT_MIN: subnormal f32 may be flushed to zero. */
    double e = peak + 0x1p-24 * fabs((double)ref) + 0x1p-126;
    return got >= ck_round((float)((double)ref - e), dtype) && got <= ck_round((float)((double)ref + e), dtype);
}

int ck_compare(const ck_case *c, const ck_outcome *o, char *text, size_t size)
{
    for (int i = 0; i < c->hosts; i++) {
        if (memcmp(&o->host[i], &c->host[i], sizeof c->host[i]) == 0) continue;
        if (isnan(o->host[i]) && isnan(c->host[i])) continue;
        snprintf(text, size, "host result %d is %.17g, expected exactly %.17g", i, o->host[i], c->host[i]);
        return 0;
    }
    const ck_arg *a = &c->arg[c->args - 1];
    if (!(a->flags & CK_OUT)) return 1;
    int64_t n = ck_elements(a), bad = 0, first = -1, counted = 0;
    double squares = 0, unit = ck_unit(a->dtype);
    for (int64_t i = 0; i < n; i++) {
        float got = load(o->bytes + (size_t)i * ib_dtype_size(a->dtype), a->dtype), ref = a->value[i];
        if (!acceptable(c, got, ref, c->peak[i], a->dtype)) {
            if (bad++ == 0) first = i;
            continue;
        }
        double scale = c->rms[i] + unit * fabs((double)ref) + (a->dtype == IB_F16 ? 0x1p-25 : 0x1p-126);
        if (c->exact || !isfinite(got) || !isfinite(ref) || !isfinite(scale)) continue;
        double q = ((double)got - (double)ref) / scale;
        squares += q * q;
        counted++;
    }
    if (bad) {
        float got = load(o->bytes + (size_t)first * ib_dtype_size(a->dtype), a->dtype);
        int64_t at[IB_MAX_RANK] = {0}, rest = first;
        for (int d = a->rank - 1; d >= 0; d--) {
            at[d] = rest % a->dim[d];
            rest /= a->dim[d];
        }
        snprintf(text, size, "%lld of %lld wrong, first [%lld,%lld,%lld,%lld]: %.9g, expected %.9g +- %.3g%s",
                 (long long)bad, (long long)n, (long long)at[0], (long long)at[1], (long long)at[2], (long long)at[3],
                 (double)got, (double)ck_round(a->value[first], a->dtype), c->exact ? 0 : c->peak[first],
                 c->exact ? " (exact)" : "");
        return 0;
    }
    if (counted >= 64 && squares > (double)counted) {
        snprintf(text, size, "errors are %.2f times what rounding makes on average (root mean square of %lld values)",
                 sqrt(squares / (double)counted), (long long)counted);
        return 0;
    }
    return 1;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ck_time(const ck_case *c, ib_backend *b, int repeat)
{
    placement p[CK_MAX_ARGS] = {0};
    ib_weight *w = NULL;
    isobath_status st = ISOBATH_OK;
    double host[CK_HOSTS], *ms = ck_alloc((size_t)repeat * sizeof *ms), median = -1;
    ib_diag_reset(b->diag);
    if (c->has_weight) st = b->ops->weight_create(b, &c->weight, &w);
    for (int i = c->args - 1; i >= 0 && st == ISOBATH_OK; i--) {
        if (!c->arg[i].present) continue;
        if (c->arg[i].flags & CK_INPLACE)
            p[i].t = p[c->args - 1].t;
        else
            st = place(&c->arg[i], c->arg[i].value, CK_DENSE, b, &p[i]);
    }
    for (int r = -1; r < repeat && st == ISOBATH_OK; r++) { /* the first one warms up */
        double start = now_ms();
        st = call(c, b, p, w, CK_WHOLE, host);
        if (st == ISOBATH_OK) st = b->ops->sync(b);
        if (r >= 0) ms[r] = now_ms() - start;
    }
    if (st == ISOBATH_OK) {
        qsort(ms, (size_t)repeat, sizeof *ms, by_value);
        median = ms[repeat / 2];
    }
    for (int i = 0; i < c->args; i++) {
        if (p[i].device) b->ops->buffer_free(b, p[i].device);
        free(p[i].host);
    }
    if (w) b->ops->weight_destroy(b, w);
    free(ms);
    return median;
}
