/* Every case of an op, in an order that does not change. */
#include "checkop.h"

const ck_op *const ck_ops[] = {
#define CK_ENTRY(op) &ck_op_##op,
    IB_OPS(CK_ENTRY)
#undef CK_ENTRY
};
const int ck_op_count = (int)(sizeof ck_ops / sizeof ck_ops[0]);

static void visit_one(const ck_op *op, int i, ib_dtype act, ck_plant plant, int where, ck_visit visit, void *ctx)
{
    ck_case *c = ck_case_create(op, op->cases[i], act, plant, where);
    visit(ctx, c);
    ck_case_free(c);
}

/* Plants into every argument of the first case and, NaN only, into one argument of each case that is small. */
static void visit_planted(const ck_op *op, int i, ib_dtype act, ck_visit visit, void *ctx)
{
    ck_case *shape = ck_case_declare(op, op->cases[i], act);
    int args = shape->args, eligible = 0, usable[CK_MAX_ARGS];
    int64_t largest = 0;
    for (int a = 0; a < args; a++) {
        int64_t n = shape->arg[a].present ? ck_elements(&shape->arg[a]) : 0;
        if (n > largest) largest = n;
        if (n > 0 && (op->plant_nan >> a & 1)) usable[eligible++] = a;
    }
    ck_case_free(shape);
    if (eligible == 0) return;
    if (i == 0) {
        for (int e = 0; e < eligible; e++) {
            visit_one(op, i, act, CK_NAN, usable[e], visit, ctx);
            if (!(op->plant_inf >> usable[e] & 1)) continue;
            visit_one(op, i, act, CK_INF, usable[e], visit, ctx);
            visit_one(op, i, act, CK_NEGATIVE_INF, usable[e], visit, ctx);
        }
    } else if (largest <= 20000) {
        visit_one(op, i, act, CK_NAN, usable[i % eligible], visit, ctx);
    }
}

void ck_sweep(const ck_op *op, ib_dtype act, int full, ck_visit visit, void *ctx)
{
    for (int i = 0; i < op->count + (full ? op->full_count : 0); i++) {
        visit_one(op, i, act, CK_CLEAN, 0, visit, ctx);
        if (i < op->count) visit_planted(op, i, act, visit, ctx);
    }
}
