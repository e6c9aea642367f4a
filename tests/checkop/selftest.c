/* The self-test: every faulty kernel must be caught, and ref itself must pass the same checks. A kernel whose bytes
 * depend on the batch must pass the comparison with ref (else it proves nothing) and fail the invariance one. */
#include "bad.h"

#include <stdio.h>

#define MAX_FAULTS 64

typedef struct context {
    const ck_bad *bad[MAX_FAULTS]; /* faults of the op and type at hand; NULL: ref itself */
    ib_op_table table[MAX_FAULTS];
    int caught[MAX_FAULTS], varies[MAX_FAULTS];
    char text[MAX_FAULTS][256]; /* how it was caught */
    int count;
    ib_dtype act;
    ib_pool *pool;
} context;

/* Runs the case with kernel i. */
static ck_outcome run(context *x, const ck_case *c, int i, ib_pool *pool, ck_layout layout, ck_split split)
{
    ib_diag diag = IB_DIAG_INIT;
    ck_tally ignored = {0};
    ib_backend *b = ck_open(&ignored, "ref", NULL, x->act, 0, pool, &diag);
    if (!b) return (ck_outcome){.status = ISOBATH_ERR_MEMORY};
    const ib_op_table *good = b->ops;
    if (x->bad[i]) b->ops = &x->table[i];
    ck_outcome o = ck_run(c, b, layout, split);
    b->ops = good;
    ib_backend_close(b);
    return o;
}

static int same(const ck_outcome *a, const ck_outcome *b)
{
    return a->status == b->status && a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

static void check_varies(context *x, const ck_case *c, int i)
{
    ck_outcome whole = run(x, c, i, NULL, CK_DENSE, CK_WHOLE);
    ck_outcome other[3] = {run(x, c, i, x->pool, CK_DENSE, CK_WHOLE), run(x, c, i, NULL, CK_PADDED, CK_WHOLE),
                           run(x, c, i, NULL, CK_DENSE, (ck_split){1, 1, 2})};
    for (int j = 0; j < 3; j++) {
        x->varies[i] |= !same(&whole, &other[j]);
        ck_outcome_free(&other[j]);
    }
    ck_outcome_free(&whole);
}

static void visit(void *ctx, const ck_case *c)
{
    context *x = ctx;
    const ck_arg *y = &c->arg[c->args - 1];
    for (int i = 0; i < x->count; i++) {
        int passes = !x->bad[i] || x->bad[i]->invariance; /* what must not be caught; ref in every layout is what `--backend ref` checks */
        for (int layout = 0; layout < CK_LAYOUTS && !x->caught[i]; layout++) {
            if (!ck_layout_applies(c, (ck_layout)layout) || (passes && layout != CK_DENSE)) continue;
            char text[IB_DIAG_TEXT];
            ck_outcome o = run(x, c, i, NULL, (ck_layout)layout, CK_WHOLE);
            x->caught[i] = o.status != ISOBATH_OK || !ck_compare(c, &o, text, sizeof text);
            if (x->caught[i])
                snprintf(x->text[i], sizeof x->text[i], "%.60s: %.160s", c->name,
                         o.status != ISOBATH_OK ? o.text : text);
            ck_outcome_free(&o);
        }
        if (c->plant == CK_CLEAN && (!x->bad[i] || x->bad[i]->invariance) && !x->varies[i] && (y->flags & CK_OUT) &&
            (y->flags & CK_N))
            check_varies(x, c, i);
    }
}

static void add_fault(context *x, const ck_bad *bad)
{
    if (x->count == MAX_FAULTS) return;
    x->bad[x->count++] = bad;
}

static void test_op(const ck_op *op, ib_dtype act, ib_pool *pool, ck_tally *t)
{
    static const ck_bad *const lists[] = {ck_bad_linear, ck_bad_ops};
    context x = {.act = act, .pool = pool};
    for (int l = 0; l < 2; l++)
        for (const ck_bad *bad = lists[l]; bad->op; bad++)
            if (bad->act == act && !strcmp(bad->op, op->name)) add_fault(&x, bad);
    if (x.count == 0) return;
    add_fault(&x, NULL);
    ib_diag diag = IB_DIAG_INIT;
    ib_backend *ref;
    if (ib_ref_open(&(ib_backend_options){.act = IB_F32, .diag = &diag}, &ref) != ISOBATH_OK) {
        ck_fail(t, "%s", diag.text);
        return;
    }
    for (int i = 0; i < x.count; i++) {
        x.table[i] = *ref->ops;
        if (x.bad[i]) x.bad[i]->install(&x.table[i]);
    }
    ib_backend_close(ref);
    ck_sweep(op, act, 0, visit, &x);
    for (int i = 0; i < x.count; i++) {
        const char *fault = x.bad[i] ? x.bad[i]->fault : "none (ref itself)";
        int invariance = x.bad[i] && x.bad[i]->invariance;
        if (x.caught[i] == (x.bad[i] && !invariance) && (x.varies[i] == invariance)) {
            ck_pass(t);
            printf("%s %s: %s\n      %s\n", op->name, ib_dtype_name(act), fault,
                   invariance ? "caught by the byte comparison only, as it should be"
                   : x.bad[i] ? x.text[i]
                              : "passes");
        } else {
            ck_fail(t, "%s %s: %s: %s by the comparison with ref (%s), %s by the byte comparison", op->name,
                    ib_dtype_name(act), fault, x.caught[i] ? "caught" : "not caught", x.text[i],
                    x.varies[i] ? "caught" : "not caught");
        }
    }
}

void ck_selftest(const ck_options *o, ck_tally *t)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_pool *pool = NULL;
    if (ib_pool_create(2, &diag, &pool) != ISOBATH_OK) {
        ck_fail(t, "%s", diag.text);
        return;
    }
    ck_set_ref_pool(pool);
    for (int i = 0; i < ck_op_count; i++) {
        if (o->op && strcmp(o->op, ck_ops[i]->name) != 0) continue;
        for (int act = IB_F32; act <= IB_BF16; act++) test_op(ck_ops[i], (ib_dtype)act, pool, t);
    }
    if (!o->op || !strcmp(o->op, "temporal_block")) ck_temporal_block_selftest(t);
    ck_set_ref_pool(NULL);
    ib_pool_destroy(pool);
}
