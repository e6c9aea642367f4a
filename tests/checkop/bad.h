/* Kernels with one fault each, for the self-test: what checkop must catch. */
#ifndef CHECKOP_BAD_H
#define CHECKOP_BAD_H

#include "checkop.h"

typedef struct ck_bad {
    const char *op, *fault;
    ib_dtype act;
    int invariance; /* 1: right within the bounds, but its bytes depend on the batch, the layout or the threads */
    void (*install)(ib_op_table *table);
} ck_bad;

extern const ck_bad ck_bad_linear[], ck_bad_ops[]; /* op == NULL at the end */

/* Writes static void install_F(table) for a faulty kernel F of `op`. */
#define CK_INSTALL(op_, function) \
    static void install_##function(ib_op_table *table) { table->op_ = function; }

#endif
