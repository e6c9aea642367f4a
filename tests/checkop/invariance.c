/* Batch invariance: the same bytes for every micro-batch, position, layout and number of threads. */
#include "checkop.h"

#include <stdio.h>
#include <stdlib.h>

#define THREADS 4 /* backends with no pool and with pools of 1, 2, 3 threads */

typedef struct context {
    ck_tally *tally;
    ib_backend *backend[THREADS];
    const char *label[THREADS];
    int count, passed;
} context;

static void compare(context *x, const ck_case *c, const ck_outcome *whole, int thread, ck_layout layout, ck_split split)
{
    static const char *const layouts[] = {"dense", "padded", "swapped"};
    ck_outcome o = ck_run(c, x->backend[thread], layout, split);
    int same = o.status == ISOBATH_OK && o.size == whole->size &&
               (o.size == 0 || memcmp(o.bytes, whole->bytes, o.size) == 0) &&
               memcmp(o.host, whole->host, (size_t)c->hosts * sizeof o.host[0]) == 0;
    if (same) {
        ck_pass(x->tally);
        x->passed++;
    } else {
        char cut[64] = "one call";
        if (split.axis >= 0)
            snprintf(cut, sizeof cut, "%s cut into %lld, then %lld", split.axis ? "rows" : "frames",
                     (long long)split.first, (long long)split.step);
        ck_fail(x->tally, "%s: %s: %s: %s, %s, %s: %s", x->backend[thread]->kind, c->op->name, c->name,
                x->label[thread], layouts[layout], cut, o.status != ISOBATH_OK ? o.text : "other bytes");
    }
    ck_outcome_free(&o);
}

static void visit(void *ctx, const ck_case *c)
{
    context *x = ctx;
    if (c->plant != CK_CLEAN) return;
    ck_outcome whole = ck_run(c, x->backend[0], CK_DENSE, CK_WHOLE);
    if (whole.status != ISOBATH_OK) {
        ck_fail(x->tally, "%s: %s: %s: %s", x->backend[0]->kind, c->op->name, c->name, whole.text);
        return;
    }
    for (int i = 1; i < x->count; i++) compare(x, c, &whole, i, CK_DENSE, CK_WHOLE);
    for (int layout = 1; layout < CK_LAYOUTS; layout++)
        if (ck_layout_applies(c, (ck_layout)layout))
            compare(x, c, &whole, layout % x->count, (ck_layout)layout, CK_WHOLE);
    const ck_arg *y = &c->arg[c->args - 1];
    for (int axis = 0; axis < 2; axis++) {
        if (!(y->flags & CK_OUT) || !(y->flags & (axis == 0 ? CK_T : CK_N)) || y->dim[axis] < 2) continue;
        int64_t n = y->dim[axis];
        compare(x, c, &whole, 0, CK_DENSE, (ck_split){axis, 1, (n + 1) / 2});
        compare(x, c, &whole, x->count - 1, CK_DENSE, (ck_split){axis, n - 1, 1});
        if (n <= 64) compare(x, c, &whole, 0, CK_PADDED, (ck_split){axis, 1, 1});
        if (n > 7) compare(x, c, &whole, x->count / 2, CK_PADDED, (ck_split){axis, 7, 5 + n / 3});
    }
    ck_outcome_free(&whole);
}

static void one_kind(const ck_options *o, ck_tally *t, const char *name, const char *isa, ib_dtype act,
                     ib_pool *const *pools)
{
    static const char *const labels[] = {"no pool", "1 thread", "2 threads", "3 threads"};
    context x = {.tally = t};
    ib_diag diag[THREADS];
    int threads = strcmp(name, "cuda") == 0 ? 1 : THREADS; /* the device has no host threads to vary */
    for (int i = 0; i < threads; i++) {
        ib_diag_init(&diag[i]);
        ib_backend *b = ck_open(t, name, isa, act, 0, pools[i], &diag[i]);
        if (!b) break;
        x.label[x.count] = labels[i];
        x.backend[x.count++] = b;
    }
    for (int i = 0; i < ck_op_count && x.count == threads; i++) {
        if (o->op && strcmp(o->op, ck_ops[i]->name) != 0) continue;
        int failed = t->failed;
        x.passed = 0;
        ck_sweep(ck_ops[i], act, o->full, visit, &x);
        printf("%-32s %-20s %4d passed%s\n", x.backend[0]->kind, ck_ops[i]->name, x.passed,
               t->failed > failed ? ", failures above" : "");
        fflush(stdout);
    }
    for (int i = 0; i < x.count; i++) ib_backend_close(x.backend[i]);
}

void ck_invariance(const ck_options *o, ck_tally *t)
{
    static const char *const names[] = {"ref", "cpu", "cuda"};
    ib_diag diag = IB_DIAG_INIT;
    ib_pool *pools[THREADS] = {NULL};
    for (int i = 1; i < THREADS; i++) {
        if (ib_pool_create(i, &diag, &pools[i]) == ISOBATH_OK) continue;
        ck_fail(t, "%s", diag.text);
        return;
    }
    for (int n = 0; n < 3; n++) {
        if (o->backend && strcmp(o->backend, names[n]) != 0) continue;
        for (int act = IB_F32; act <= IB_BF16; act++) {
            if (o->act >= 0 && o->act != act) continue;
            if (strcmp(names[n], "cpu") != 0) {
                one_kind(o, t, names[n], NULL, (ib_dtype)act, pools);
                continue;
            }
            for (int i = 0; ck_isas[i]; i++)
                if (!o->isa || strcmp(o->isa, ck_isas[i]) == 0) one_kind(o, t, "cpu", ck_isas[i], (ib_dtype)act, pools);
        }
    }
    for (int i = 0; i < THREADS; i++) ib_pool_destroy(pools[i]);
}
