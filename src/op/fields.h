/* A front end's tensor arguments as a list: what each may be, and that no output shares memory with what it must not. Pure. */
#ifndef IB_OP_FIELDS_H
#define IB_OP_FIELDS_H

#include "op/op.h"

/* What a tensor argument may be. */
enum {
    IB_FIELD_OPTIONAL = 1,    /* data == NULL: absent */
    IB_FIELD_OUTPUT = 2,      /* written: may not overlap itself or an input */
    IB_FIELD_SAME_VIEW = 4,   /* an input that may be the very view of the output */
    IB_FIELD_CONTIGUOUS = 8,  /* no gaps at all */
    IB_FIELD_DENSE_FRAME = 16 /* no gaps within a frame (dimension 0 may have any stride) */
};

typedef struct ib_field {
    const char *name;
    const ib_tensor *t;
    unsigned types; /* bit mask of 1 << ib_dtype */
    int rank;       /* 0: any */
    unsigned flags;
} ib_field;

/* Rules of every field and of aliasing; the output is the last field. The rule that is broken, and *bad the field that breaks it; or NULL. */
const char *ib_fields_check(const ib_field *fields, int count, const ib_field **bad);

/* ISOBATH_ERR_INTERNAL with a line that names op, rule, every shape, and the weight (NULL: none). bad: NULL where the rule is between fields. */
isobath_status ib_fields_fail(ib_backend *b, const char *op, const char *why, const ib_field *bad, const ib_field *fields, int count,
                              const ib_weight *w);

#endif
