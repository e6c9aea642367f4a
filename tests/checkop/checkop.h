/* checkop: every op of every backend against the reference (README.md). One file per op declares its cases, how the op
 * is called and how large an error may be; the harness does the rest: data, layouts, guard bands, comparison. */
#ifndef CHECKOP_CHECKOP_H
#define CHECKOP_CHECKOP_H

#include "backend/backend.h"
#include "base/half.h"

#include <stdint.h>

#define CK_MAX_ARGS 6
#define CK_PARAMS 12 /* integers that describe a case */
#define CK_HOSTS 5   /* host results of an op: sums, range, count */

/* What an argument is. */
enum {
    CK_OUT = 1,       /* the result; always the last argument */
    CK_T = 2,         /* dimension 0 counts frames that do not see each other: invariance runs slices of it */
    CK_N = 4,         /* dimension 1 counts rows that do not see each other */
    CK_FREE = 8,      /* the inner dimensions (all, below rank 3) may be anything by themselves */
    CK_INPLACE = 16,  /* an input that is the view of the result itself (a residual added in place) */
    CK_OPTIONAL = 32, /* may be absent */
    CK_MAY_ALIAS = 64 /* the contract allows the view of the result */
};

/* Rows of strided layouts: bit i set means that dimension i may have gaps. */
enum { CK_GAP0 = 1, CK_GAP1 = 2, CK_GAP2 = 4 };

typedef enum ck_layout { CK_DENSE, CK_PADDED, CK_SWAPPED, CK_LAYOUTS } ck_layout;

/* A value planted into an input: how it spreads is part of the meaning of an op. */
typedef enum ck_plant { CK_CLEAN, CK_NAN, CK_INF, CK_NEGATIVE_INF } ck_plant;

typedef struct ck_arg {
    const char *name;
    ib_dtype dtype;
    int rank;
    int64_t dim[IB_MAX_RANK];
    unsigned flags, gaps;
    int present;  /* 0: passed as data == NULL */
    float *value; /* contiguous, already rounded to dtype; of the result: what ref computed */
} ck_arg;

typedef struct ck_case {
    const struct ck_op *op;
    const int *p;
    ib_dtype act;
    uint64_t seed;
    char name[160];
    int args;
    ck_arg arg[CK_MAX_ARGS];
    int has_weight;
    ib_weight_desc weight; /* data owned by the case, rounded to act */
    int hosts;             /* host results that are compared exactly */
    double host[CK_HOSTS];
    ck_plant plant;
    int exact;    /* the result equals ref rounded to the result's type */
    double *peak; /* per element of the result: largest error before the final rounding ... */
    double *rms;  /* ... and its root mean square */
} ck_case;

/* How an op is run: as it is, or with activations off (to sum absolute products). */
typedef enum ck_mode { CK_PLAIN, CK_LINEARISED } ck_mode;

typedef struct ck_op {
    const char *name;
    const int (*cases)[CK_PARAMS];
    int count, full_count; /* full-size cases follow the first `count` ones */
    /* Declares arguments, weight and name from c->p. */
    void (*build)(ck_case *c);
    /* Calls the front end with tensors t[] in the order of the arguments. */
    isobath_status (*call)(ib_backend *b, const ck_case *c, const ib_tensor *t, const ib_weight *w, ck_mode mode,
                           double *host);
    /* Fills c->peak and c->rms, or sets c->exact. Called when the result of ref is there. */
    void (*bound)(ck_case *c);
    /* Floating-point operations that the null backend must count. */
    double (*flops)(const ck_case *c);
    unsigned plant_nan, plant_inf; /* bit i: such a value is planted into argument i of the first case */
} ck_op;

#define CK_DECLARE(op) extern const ck_op ck_op_##op;
IB_OPS(CK_DECLARE)
#undef CK_DECLARE
extern const ck_op *const ck_ops[];
extern const int ck_op_count;

/* Number of rows of a case table that has `full` full-size cases at its end. */
#define CK_COUNTS(table, full) \
    .cases = table, .count = (int)(sizeof table / sizeof table[0]) - (full), .full_count = (full)

/* ---- data.c: what a case consists of -------------------------------------------------------------------------------
 */

/* Adds an argument; build() calls these in the order of the op's tensors, the result last. */
ck_arg *ck_add(ck_case *c, const char *name, ib_dtype dtype, unsigned flags, unsigned gaps, int rank, int64_t d0,
               int64_t d1, int64_t d2, int64_t d3);
void ck_add_absent(ck_case *c, const char *name);
/* Values spread evenly over centre +- amplitude. */
void ck_fill(ck_case *c, ck_arg *a, double centre, double amplitude);
void ck_set_weight(ck_case *c, ib_weight_kind kind, int64_t out, int64_t in, int kernel, double amplitude);
/* `text` and the parameters that follow name the case. */
void ck_name(ck_case *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Builds the case, plants a value into argument `where`, runs ref (on `pool`) and derives the bounds. */
ck_case *ck_case_create(const ck_op *op, const int *p, ib_dtype act, ck_plant plant, int where);
/* The same without ref's result and bounds. */
ck_case *ck_case_declare(const ck_op *op, const int *p, ib_dtype act);
void ck_case_free(ck_case *c);

static inline ck_arg *ck_result(ck_case *c) { return &c->arg[c->args - 1]; }
int64_t ck_elements(const ck_arg *a);
float ck_round(float v, ib_dtype dtype);
double ck_unit(ib_dtype dtype); /* unit roundoff: 2^-24, 2^-11, 2^-8 */
void *ck_alloc(size_t bytes);   /* exits the harness when memory is out */

/* The threads that ref uses; set once by main. */
void ck_set_ref_pool(ib_pool *pool);

/* ---- bound.c: errors that rounding can cause (README.md derives them) -----------------------------------------------
 */

#define CK_LAMBDA 8.0
/* Largest and typical growth of the rounding errors of k operations. */
double ck_peak(double k);
double ck_rms(double k);
/* Runs ref on absolute values of all inputs with activations off; the caller frees the sums. */
float *ck_absolute(const ck_case *c);
/* The usual bound of a sum of k products. `slope` is the largest slope of what is applied to the sum. */
void ck_bound_sum(ck_case *c, double k, double slope);
/* Bounds of a row normalised by mean and variance; x has `count` values. */
typedef struct ck_moments {
    double mean, inverse, mean_error[2], inverse_error[2]; /* [0] peak, [1] rms; the inverse's are relative */
} ck_moments;
ck_moments ck_moments_of(const float *x, int64_t count, int64_t run, int64_t pitch, double eps);
/* Bound of element i, (x - mean) * inverse * weight + the rest, whose absolute values sum to `rest`. */
void ck_bound_normalised(ck_case *c, int64_t i, const ck_moments *m, double x, double weight, double rest);
/* Bounds of softmax(q k^T * scale) v for one query: keys and values `n` rows apart by `pitch`. */
void ck_bound_attention(const float *q, const float *k, const float *v, int64_t n, int64_t pitch, int size,
                        double scale, double act_unit, double *peak, double *rms);

/* ---- run.c: one case on one backend
 * ---------------------------------------------------------------------------------- */

/* How the batch is cut into calls. */
typedef struct ck_split {
    int axis;      /* -1: one call; 0: frames; 1: rows */
    int64_t first; /* size of the first slice; `step` are the others */
    int64_t step;
} ck_split;
#define CK_WHOLE ((ck_split){-1, 0, 0})

typedef struct ck_outcome {
    isobath_status status;
    char text[IB_DIAG_TEXT]; /* why it failed */
    unsigned char *bytes;    /* the result, packed; NULL after a failure */
    size_t size;
    double host[CK_HOSTS];
} ck_outcome;

/* Runs the case and checks guard bands, gaps and inputs. A broken band is a failure. */
ck_outcome ck_run(const ck_case *c, ib_backend *b, ck_layout layout, ck_split split);
void ck_outcome_free(ck_outcome *o);
/* 1 when some argument of the case differs between the dense layout and this one. */
int ck_layout_applies(const ck_case *c, ck_layout layout);
/* Compares with ref; 0 and the reason in `text` when the result is outside the bounds. */
int ck_compare(const ck_case *c, const ck_outcome *o, char *text, size_t size);

/* Times `repeat` calls on a dense layout; milliseconds of the median, negative after a failure. */
double ck_time(const ck_case *c, ib_backend *b, int repeat);

/* ---- sweep.c: every case of an op ----------------------------------------------------------------------------------
 */

typedef void (*ck_visit)(void *ctx, const ck_case *c);
/* Builds the cases one by one, the clean ones and those with planted values; `full`: the full-size ones too. */
void ck_sweep(const ck_op *op, ib_dtype act, int full, ck_visit visit, void *ctx);

/* ---- the modes
 * ------------------------------------------------------------------------------------------------------- */

typedef struct ck_options {
    const char *backend, *isa, *op;
    const char *only; /* check: cases whose name contains this; NULL: all */
    int act; /* -1: all */
    int threads, full, bench, verbose;
} ck_options;

typedef struct ck_tally {
    int passed, failed, skipped;
} ck_tally;
void ck_pass(ck_tally *t);
void ck_fail(ck_tally *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ck_skip(ck_tally *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Opens a backend by name; NULL and one skip line when the machine or the build lacks it. */
ib_backend *ck_open(ck_tally *t, const char *name, const char *isa, ib_dtype act, int device, ib_pool *pool,
                    ib_diag *diag);
extern const char *const ck_isas[]; /* instruction paths of the cpu backend, NULL at the end */

void ck_check(const ck_options *o, ck_tally *t);               /* against ref */
/* temporal_block, where the backend has it: it is checked against the single ops that it stands for. */
void ck_temporal_block(ck_tally *t, ib_backend *b);
void ck_temporal_block_selftest(ck_tally *t);
void ck_null(const ck_options *o, ck_tally *t);                /* counts, and refusal of bad arguments */
void ck_invariance(const ck_options *o, ck_tally *t);          /* byte comparison over splits, layouts, threads */
void ck_refuse_scalars(ck_tally *t, ib_backend *null_backend); /* a part of ck_null */
void ck_selftest(const ck_options *o, ck_tally *t);            /* planted bad kernels must be caught */

#endif
