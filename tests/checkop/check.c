/* The main mode: backends against ref, and the bench. */
#include "checkop.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_OPEN 8

typedef struct check {
    const ck_options *options;
    ck_tally *tally;
    ib_backend *backend[MAX_OPEN];
    ib_diag diag[MAX_OPEN];
    int opened;
    ib_backend *null; /* counts for the bench */
    ib_diag null_diag;
    int passed[MAX_OPEN]; /* of the op at hand */
} check;

static const char *const layouts[] = {"dense", "padded", "swapped"};

static void check_case(check *k, const ck_case *c, int i, ck_layout layout)
{
    ib_backend *b = k->backend[i];
    char text[IB_DIAG_TEXT];
    ck_outcome o = ck_run(c, b, layout, CK_WHOLE);
    if (o.status != ISOBATH_OK) {
        ck_fail(k->tally, "%s: %s: %s, %s: %s", b->kind, c->op->name, c->name, layouts[layout], o.text);
    } else if (!ck_compare(c, &o, text, sizeof text)) {
        ck_fail(k->tally, "%s: %s: %s, %s: %s", b->kind, c->op->name, c->name, layouts[layout], text);
    } else {
        ck_pass(k->tally);
        k->passed[i]++;
        if (k->options->verbose) printf("ok    %s: %s: %s, %s\n", b->kind, c->op->name, c->name, layouts[layout]);
    }
    ck_outcome_free(&o);
}

static void bench_case(check *k, const ck_case *c, int i)
{
    ib_null_reset_counts(k->null);
    ck_outcome o = ck_run(c, k->null, CK_DENSE, CK_WHOLE);
    ib_null_counts counts = ib_null_get_counts(k->null);
    ck_outcome_free(&o);
    double ms = ck_time(c, k->backend[i], 7);
    if (ms < 0) {
        ck_fail(k->tally, "%s: %s: %s: %s", k->backend[i]->kind, c->op->name, c->name, k->backend[i]->diag->text);
    } else {
        ck_pass(k->tally);
        printf("%-28s %-18s %-44s %9.3f ms %9.1f GFLOP/s %8.1f GB/s\n", k->backend[i]->kind, c->op->name, c->name, ms,
               counts.flops / ms * 1e-6, counts.bytes / ms * 1e-6);
    }
    fflush(stdout);
}

static void visit(void *ctx, const ck_case *c)
{
    check *k = ctx;
    if (k->options->only && !strstr(c->name, k->options->only)) return;
    for (int i = 0; i < k->opened; i++)
        for (int layout = 0; layout < CK_LAYOUTS; layout++)
            if (ck_layout_applies(c, (ck_layout)layout)) check_case(k, c, i, (ck_layout)layout);
}

/* Times every case of an op; ref is not run. */
static void bench_op(check *k, const ck_op *op, ib_dtype act)
{
    for (int j = 0; j < op->count + (k->options->full ? op->full_count : 0); j++) {
        ck_case *c = ck_case_declare(op, op->cases[j], act);
        for (int i = 0; i < k->opened; i++) bench_case(k, c, i);
        ck_case_free(c);
    }
}

static void check_act(const ck_options *o, ck_tally *t, ib_dtype act, ib_pool *pool)
{
    check k = {.options = o, .tally = t};
    int cpu = strcmp(o->backend, "cpu") == 0;
    for (int i = 0; cpu ? ck_isas[i] != NULL : i < 1; i++) {
        if (cpu && o->isa && strcmp(o->isa, ck_isas[i]) != 0) continue;
        ib_diag_init(&k.diag[k.opened]);
        ib_backend *b = ck_open(t, o->backend, cpu ? ck_isas[i] : NULL, act, 0, pool, &k.diag[k.opened]);
        if (b)
            k.backend[k.opened++] = b;
        else
            ib_diag_destroy(&k.diag[k.opened]);
    }
    ib_diag_init(&k.null_diag);
    ib_null_open(&(ib_backend_options){.act = act, .diag = &k.null_diag}, &k.null);
    for (int i = 0; i < ck_op_count && k.opened > 0; i++) {
        if (o->op && strcmp(o->op, ck_ops[i]->name) != 0) continue;
        int failed = t->failed;
        memset(k.passed, 0, sizeof k.passed);
        if (o->bench) {
            bench_op(&k, ck_ops[i], act);
            continue;
        }
        ck_sweep(ck_ops[i], act, o->full, visit, &k);
        for (int j = 0; j < k.opened; j++)
            printf("%-32s %-20s %4d passed%s\n", k.backend[j]->kind, ck_ops[i]->name, k.passed[j],
                   t->failed > failed ? ", failures above" : "");
        fflush(stdout);
    }
    for (int i = 0; i < k.opened; i++) {
        if ((!o->op || !strcmp(o->op, "temporal_block")) && !o->bench) ck_temporal_block(t, k.backend[i]);
        ib_backend_close(k.backend[i]);
        ib_diag_destroy(&k.diag[i]);
    }
    ib_backend_close(k.null);
    ib_diag_destroy(&k.null_diag);
}

void ck_check(const ck_options *o, ck_tally *t)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_pool *pool = NULL;
    if (o->threads > 1 && ib_pool_create(o->threads, &diag, &pool) != ISOBATH_OK) {
        ck_fail(t, "%s", diag.text);
        return;
    }
    ck_set_ref_pool(pool);
    for (int act = IB_F32; act <= IB_BF16; act++)
        if (o->act < 0 || o->act == act) check_act(o, t, (ib_dtype)act, pool);
    ck_set_ref_pool(NULL);
    ib_pool_destroy(pool);
}
