/* The null backend's counts, and the front ends' refusals: arguments are broken one by one, each must be refused with
 * a line that names the op. */
#include "checkop.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct context {
    ck_tally *tally;
    ib_backend *b;
} context;

static void expect(context *x, const ck_case *c, int ok, const char *what, double got, double wanted)
{
    if (ok)
        ck_pass(x->tally);
    else
        ck_fail(x->tally, "%s: %s: %s: %s is %.17g, expected %.17g", x->b->kind, c->op->name, c->name, what, got,
                wanted);
}

static void check_counts(context *x, const ck_case *c)
{
    ib_null_reset_counts(x->b);
    ck_outcome o = ck_run(c, x->b, CK_PADDED, CK_WHOLE);
    if (o.status != ISOBATH_OK) ck_fail(x->tally, "%s: %s: %s: %s", x->b->kind, c->op->name, c->name, o.text);
    ib_null_counts n = ib_null_get_counts(x->b);
    double flops = c->op->flops ? c->op->flops(c) : 0, bytes = 0;
    for (int i = 0; i < c->args; i++)
        if (c->arg[i].present) bytes += (double)ck_elements(&c->arg[i]) * (double)ib_dtype_size(c->arg[i].dtype);
    if (c->has_weight) {
        double weights = (double)(c->weight.out_channels * c->weight.in_channels);
        ib_weight_kind kind = c->weight.kind;
        weights *= kind == IB_WEIGHT_GEGLU ? 2 : kind == IB_WEIGHT_CONVT ? c->weight.kernel * c->weight.kernel : 1;
        weights *= kind == IB_WEIGHT_CONV3X3 || kind == IB_WEIGHT_HEAD ? 9 : 1;
        weights += kind == IB_WEIGHT_HEAD ? 32 : 0;
        bytes += weights * (double)ib_dtype_size(c->act);
    }
    expect(x, c, n.calls == 1, "calls", (double)n.calls, 1);
    expect(x, c, n.flops == flops, "flops", n.flops, flops);
    expect(x, c, n.bytes == bytes, "bytes", n.bytes, bytes);
    expect(x, c, n.buffer_bytes == 0 && n.weight_bytes == 0, "memory left", (double)(n.buffer_bytes + n.weight_bytes),
           0);
    expect(x, c, n.buffer_peak > 0, "peak", (double)n.buffer_peak, 1);
    if (!strcmp(c->op->name, "fit_sums")) { /* the sums must have a solution: scale 1, shift 0 */
        const double *s = o.host;
        double det = s[2] * s[0] - s[1] * s[1];
        double scale = (s[0] * s[4] - s[1] * s[3]) / det, shift = (s[2] * s[3] - s[1] * s[4]) / det;
        expect(x, c, fabs(scale - 1) < 1e-9 && fabs(shift) < 1e-9, "fitted scale", scale, 1);
    }
    ck_outcome_free(&o);
}

/* ---- refusals ------------------------------------------------------------------------------------------------------
 */

typedef struct broken {
    const ck_case *c;
    ib_tensor t[CK_MAX_ARGS];
    ib_weight weight;
    const ib_weight *w;
} broken;

static isobath_status call(context *x, const broken *k)
{
    double host[CK_HOSTS];
    ib_diag_reset(x->b->diag);
    return k->c->op->call(x->b, k->c, k->t, k->w, CK_PLAIN, host);
}

static void refuse(context *x, const broken *k, const char *arg, const char *what)
{
    int64_t calls = ib_null_get_counts(x->b).calls;
    isobath_status st = call(x, k);
    const char *text = x->b->diag->text;
    char prefix[64];
    snprintf(prefix, sizeof prefix, "op %s on null: ", k->c->op->name);
    if (st == ISOBATH_ERR_INTERNAL && ib_null_get_counts(x->b).calls == calls && !strncmp(text, prefix, strlen(prefix)))
        ck_pass(x->tally);
    else
        ck_fail(x->tally, "%s: %s: %s %s was not refused: \"%s\"", k->c->op->name, k->c->name, arg, what, text);
}

/* Is the size of dimension d settled by other arguments? */
static int dim_matters(const ck_arg *a, int d)
{
    return !(a->flags & CK_FREE) || (a->rank >= 3 && d == 0) || (a->rank == 4 && d == 3);
}

static void break_argument(context *x, const broken *good, int i)
{
    const ck_arg *a = &good->c->arg[i], *y = &good->c->arg[good->c->args - 1];
    const ib_tensor *t = &good->t[i];
    const ib_tensor *out = y->flags & CK_OUT ? &good->t[good->c->args - 1] : NULL;
#define REFUSED(what, change)         \
    do {                              \
        broken k = *good;             \
        change;                       \
        refuse(x, &k, a->name, what); \
    } while (0)
    if (!(a->flags & CK_OPTIONAL)) REFUSED("NULL", k.t[i].data = NULL);
    REFUSED("of another type", k.t[i].dtype = a->dtype == IB_U8 ? IB_F32 : IB_U8);
    REFUSED("of no type", k.t[i].dtype = (ib_dtype)9);
    REFUSED("of rank 0", k.t[i].rank = 0);
    REFUSED("of rank 5", k.t[i].rank = 5);
    if (a->rank > 1) REFUSED("of a lower rank", k.t[i].rank--);
    for (int d = 0; d < a->rank; d++) {
        if (dim_matters(a, d)) REFUSED("with one more in a dimension", k.t[i].dim[d]++);
        REFUSED("with an empty dimension", k.t[i].dim[d] = 0);
        REFUSED("with a negative stride", k.t[i].stride[d] = -1);
    }
    if (t->dim[a->rank - 1] > 1) REFUSED("not contiguous in the last dimension", k.t[i].stride[a->rank - 1] = 2);
    if (ib_dtype_size(a->dtype) > 1) REFUSED("at an odd address", k.t[i].data = (char *)t->data + 1);
    for (int d = 0; d + 1 < a->rank; d++) {
        if (!(a->gaps >> d & 1) && t->dim[d] > 1) REFUSED("with a gap that is not allowed", k.t[i].stride[d]++);
        if ((a->flags & CK_OUT) && t->dim[d] > 1) REFUSED("overlapping itself", k.t[i].stride[d] = 0);
    }
    if (!out || i == good->c->args - 1) return;
    size_t size = ib_dtype_size(a->dtype);
    if (!(a->flags & CK_MAY_ALIAS)) REFUSED("at the address of the result", k.t[i].data = out->data);
    if (ib_tensor_count(out) > 1 && ib_tensor_bytes(out) > size)
        REFUSED("inside the result", k.t[i].data = (char *)out->data + size);
#undef REFUSED
}

static void check_refusals(context *x, const ck_case *c)
{
    broken good = {.c = c};
    void *buffer[CK_MAX_ARGS] = {0};
    for (int i = 0; i < c->args; i++) {
        const ck_arg *a = &c->arg[i];
        if (!a->present) continue;
        /* Room for every dimension to grow by one, so that only the rule at hand is broken. */
        x->b->ops->buffer_alloc(x->b, (size_t)ck_elements(a) * 4 * 16 + 4096, &buffer[i]);
        good.t[i] = (ib_tensor){.data = buffer[i], .dtype = a->dtype, .rank = a->rank};
        int64_t stride = 1;
        for (int d = a->rank - 1; d >= 0; d--) {
            good.t[i].dim[d] = a->dim[d];
            good.t[i].stride[d] = stride;
            stride *= a->dim[d];
        }
    }
    if (c->has_weight) {
        good.weight = (ib_weight){c->weight.kind, c->weight.out_channels, c->weight.in_channels, c->weight.kernel, 0};
        good.w = &good.weight;
    }
    isobath_status st = call(x, &good);
    expect(x, c, st == ISOBATH_OK, "status of good arguments", st, ISOBATH_OK);
    for (int i = 0; i < c->args; i++)
        if (c->arg[i].present) break_argument(x, &good, i);
    if (c->has_weight) {
        broken k = good;
        k.w = NULL;
        refuse(x, &k, "weight", "NULL");
        for (int what = 0; what < 3; what++) {
            k = good;
            k.w = &k.weight;
            if (what == 0) k.weight.in_channels++;
            if (what == 1) k.weight.out_channels++;
            if (what == 2) k.weight.kind = (ib_weight_kind)((k.weight.kind + 1) % (IB_WEIGHT_HEAD + 1));
            refuse(x, &k, "weight",
                   what == 0   ? "with more inputs"
                   : what == 1 ? "with more outputs"
                               : "of another kind");
        }
    }
    for (int i = 0; i < c->args; i++) x->b->ops->buffer_free(x->b, buffer[i]);
}

/* Views of one packed buffer may be read and written side by side; views that share a column may not. */
static void check_interleaved(context *x)
{
    static const int p[CK_PARAMS] = {0};
    const ck_case c = {.op = &ck_op_copy, .p = p, .name = "columns of one buffer"};
    void *buffer;
    x->b->ops->buffer_alloc(x->b, 4096, &buffer);
    for (int shared = 0; shared < 2; shared++) {
        broken k = {.c = &c};
        for (int i = 0; i < 2; i++) {
            k.t[i] = ib_tensor_3d((float *)buffer + i * (8 - shared), IB_F32, 2, 5, 8);
            k.t[i].stride[0] = 5 * 16;
            k.t[i].stride[1] = 16;
        }
        isobath_status st = call(x, &k);
        expect(x, &c, (st == ISOBATH_OK) == !shared, shared ? "sharing a column" : "side by side", st, shared);
    }
    x->b->ops->buffer_free(x->b, buffer);
}

/* Addresses are never handed out twice while live, and the peak is the largest sum. */
static void check_memory(context *x)
{
    static const int p[CK_PARAMS] = {0};
    const ck_case c = {.op = &ck_op_copy, .p = p, .name = "buffers"};
    void *a, *b, *d;
    ib_null_reset_counts(x->b);
    x->b->ops->buffer_alloc(x->b, 1000, &a);
    x->b->ops->buffer_alloc(x->b, 300, &b);
    x->b->ops->buffer_free(x->b, a);
    x->b->ops->buffer_alloc(x->b, 500, &d);
    ib_null_counts n = ib_null_get_counts(x->b);
    expect(x, &c, n.buffer_bytes == 800, "bytes", (double)n.buffer_bytes, 800);
    expect(x, &c, n.buffer_peak == 1300, "peak", (double)n.buffer_peak, 1300);
    expect(x, &c, d != b && (uintptr_t)b % 256 == 0 && ((uintptr_t)d >= (uintptr_t)b + 300), "address", 0, 1);
    ib_diag_reset(x->b->diag);
    expect(x, &c, x->b->ops->buffer_alloc(x->b, SIZE_MAX, &a) == ISOBATH_ERR_MEMORY && !a, "2^64 - 1 bytes", 0, 6);
    ib_diag_reset(x->b->diag);
    x->b->ops->buffer_free(x->b, b);
    x->b->ops->buffer_free(x->b, d);
}

void ck_null(const ck_options *o, ck_tally *t)
{
    for (int act = IB_F32; act <= IB_BF16; act++) {
        if (o->act >= 0 && o->act != act) continue;
        ib_diag diag = IB_DIAG_INIT;
        context x = {t, ck_open(t, "null", NULL, (ib_dtype)act, 0, NULL, &diag)};
        if (!x.b) continue;
        for (int i = 0; i < ck_op_count; i++) {
            const ck_op *op = ck_ops[i];
            if (o->op && strcmp(o->op, op->name) != 0) continue;
            int passed = t->passed;
            for (int j = 0; j < op->count; j++) {
                ck_case *c = ck_case_declare(op, op->cases[j], (ib_dtype)act);
                check_counts(&x, c);
                check_refusals(&x, c);
                ck_case_free(c);
            }
            printf("%-32s %-20s %4d passed\n", x.b->kind, op->name, t->passed - passed);
        }
        check_interleaved(&x);
        check_memory(&x);
        ck_refuse_scalars(t, x.b);
        ib_backend_close(x.b);
    }
}
