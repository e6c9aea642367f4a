/* Inside of the cpu backend.
 *
 * Two halves. The *drivers* (linear.c, conv.c, ...) know tensors: they cut an op into tiles and hand the tiles to the
 * pool. The *kernels* (k_*.h) know vectors: they are templates that isa_*.c compile once per instruction path, each
 * with its own -m flags, into one ib_cpu_kernels table. Nothing outside of isa_*.c may contain an instruction beyond
 * x86-64-v2.
 *
 * Batch invariance holds by construction: an element of a product is one chain of multiply-adds over taps and k in
 * ascending order, in its own vector lane, whichever tile, thread or row position computes it.
 */
#ifndef IB_BACKEND_CPU_CPU_H
#define IB_BACKEND_CPU_CPU_H

#include "backend/backend.h"

#define IB_CPU_KEY_BLOCK 512 /* keys per step of the online softmax; a multiple of every panel width */
#define IB_CPU_NORM_BLOCK 64 /* pixels whose sums groupnorm adds in f32 before it goes on in f64 */

/* A product of packed panels with rows of activations, and what happens to the result. Lengths are in elements. */
typedef struct ib_cpu_product {
    const void *a; /* act: row r of tap s begins at a + r*lda + tap[s] */
    int64_t lda;
    int64_t rows;
    int64_t tap[9];
    int taps;
    int64_t k;     /* inner size of one tap, a multiple of `inner` */
    const void *b; /* first panel of the weight */
    int64_t first_panel, panels;
    int64_t columns; /* of the whole weight; GEGLU: outputs, not twice that */
    const float *bias;
    ib_act act;
    const void *res, *res2; /* row 0, column 0; NULL: none */
    int64_t ldres, ldres2;
    int res_f32; /* res is f32 whatever act is; res2 is always act */
    void *y;
    int64_t ldy;
    int y_f32;
} ib_cpu_product;

/* Attention of `rows` queries of one head over `keys` keys that pack_keys and pack_values have laid out. */
typedef struct ib_cpu_attend {
    const void *q; /* act, row stride ldq */
    int64_t ldq, rows, keys, d;
    float scale;
    const void *kt, *v; /* packed */
    void *y;            /* act, row stride ldy */
    int64_t ldy;
    void *scratch; /* attend_scratch(d) bytes, 64-byte aligned */
} ib_cpu_attend;

/* One axis of a bilinear map: source indices and the weight of the second, per output position. */
typedef struct ib_cpu_lerp {
    int32_t *i0, *i1;
    float *w1;
} ib_cpu_lerp;

#define IB_CPU_PICK_ROWS 4 /* that are resized together */

/* The horizontal axis of whole rows: the same, and how a vector of outputs finds its sources. */
typedef struct ib_cpu_pick {
    ib_cpu_lerp t;
    int32_t *base;           /* of each vector: where as many neighbouring sources begin that hold all of its own; -1: none do */
    uint8_t *first, *second; /* i0 and i1 from there */
} ib_cpu_pick;

/* A row of a rendered frame out of its one or two maps; what ib_render_args says of them. */
typedef struct ib_cpu_row {
    const float *top[2], *bottom[2]; /* horizontally resized rows of each map */
    const float *ahead[2];           /* rows of the maps that are needed soon: the cache is told; NULL: none */
    int maps;
    int64_t width;
    float w1; /* of bottom */
    float scale[2], shift[2], weight[2];
    float *out;   /* f32, or NULL and: */
    uint16_t *q;  /* each value times `factor`, cut to a whole number (that of a NaN or beyond 65535: any), big-endian */
    float factor;
    uint32_t *range; /* 64-byte aligned: least, then largest bits that each of IB_CPU_RANGE lanes has seen */
    uint32_t most;   /* bits that no value may be above */
} ib_cpu_row;
#define IB_CPU_RANGE 16

/* The vector code of one instruction path and activation type. `act` pointers are float or bfloat16. */
typedef struct ib_cpu_kernels {
    const char *isa;
    ib_dtype act;
    int vector;      /* floats in a vector */
    int row_tile;    /* most rows of a register tile */
    int inner;       /* inner sizes are padded to multiples of this: 1, 2 (bf16) or 32 (tiles) */
    int query_tile;  /* the same of attention within a frame */
    int panel_width; /* columns of a weight panel and keys of a panel of packed keys */

    void (*product)(const ib_cpu_product *p);
    /* dst (rows of `width` pixels of cpad channels, one zero pixel before and after) <- one source row of a map; relu
     * on the way. src == NULL: a row of zeros. */
    void (*pad_row)(void *dst, const void *src, int64_t width, int64_t c, int64_t cpad, int relu);
    /* Winograd (winograd.c). One tile's 6x6 inputs, row[r] or zeros where NULL, from column x0 - 1 on, transformed into
     * v[36] of c channels each, `pitch` apart; c is a multiple of the vector. */
    void (*wino_input)(const void *const row[6], int x_f32, int64_t x0, int64_t width, int64_t c, int relu, float *v,
                       int64_t pitch);
    /* out (rows, panel_width) = a (rows, k) times one f32 panel of `vectors` vectors. NULL in tables for bf16, which
     * borrow it from the f32 table of their path. */
    void (*panel)(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, int vectors, float *out);
    /* The 4x4 sums of a tile, row stride ldo; returns 0 when one of them is not finite. */
    int (*wino_output)(const float *m, int64_t pitch, int vectors, float *out, int64_t ldo);
    /* Bias to store, as product does it, of `count` pixels whose sums (row stride panel_width) are there. */
    void (*wino_finish)(const ib_cpu_product *p, int64_t count, int64_t panel, const float *sums);
    void (*pack_keys)(void *kt, const void *k, int64_t ldk, int64_t keys, int64_t d);
    void (*pack_values)(void *out, const void *v, int64_t ldv, int64_t keys, int64_t d);
    size_t (*attend_scratch)(int64_t d);
    void (*attend)(const ib_cpu_attend *a);
    /* One token: y = norm(x)*weight + bias + pos (NULL: none). */
    void (*layernorm)(const float *x, int64_t c, const float *weight, const float *bias, const float *pos, float eps,
                      void *y, int y_f32);
    /* Per channel over up to IB_CPU_NORM_BLOCK pixels: sums of x - shift[c] and of its square, added in f32. */
    void (*channel_sums)(const void *x, int64_t pixels, int64_t c, const float *shift, float *sum, float *square);
    /* y[p,c] = (x[p,c] - mean[c])*scale[c] + bias[c]. */
    void (*channel_affine)(const void *x, int64_t pixels, int64_t c, const float *mean, const float *scale,
                           const float *bias, void *y, int64_t ldy);
    /* y[x,:] of one output row from source rows p0 and p1 (pixel stride ldx); x_f32, y_f32: f32 whatever act. */
    void (*lerp_row)(const void *p0, const void *p1, int64_t ldx, int x_f32, int64_t width, int64_t c,
                     const ib_cpu_lerp *t, float w1y, void *y, int64_t ldy, int y_f32);
    /* y[i] = relu(dot(relu(t[i] + bias[0..32)), w) + bias[32]); t holds rows of 32 f32. */
    void (*head_row)(const float *t, int64_t width, const float *bias, const float *w, float sigmoid, float *y);
    /* out[i] = x[i] (+ b[i] if not NULL), with conversion. */
    void (*convert)(const void *x, int x_f32, const void *b, int b_f32, int64_t n, void *out, int out_f32);
    int64_t (*count_nonfinite)(const void *x, ib_dtype dtype, int64_t n);
    /* Horizontal part of a one-channel bilinear of 1 to IB_CPU_PICK_ROWS rows: out[r][x] = (1-w1)*row[r][i0] + w1*row[r][i1]. */
    void (*hlerp)(const float *const *row, int rows, int64_t width, const ib_cpu_pick *p, float *const *out);
    /* out[x] = clamp(((1-w1)*h0 + w1*h1)*scale + shift); affine 0: no scaling and no clamp. */
    void (*vlerp)(const float *h0, const float *h1, float w1, int64_t width, int affine, float scale, float shift,
                  float *out);
    /* Values are compared as unsigned integers, which orders them but for -0 and NaN: those come last. 0: one is above `most`, and r->range is as
     * it was. */
    int (*render_row)(const ib_cpu_row *r);
    /* sums[4] = {p, p*p, r, p*r} of one row in the order that op.h fixes. */
    void (*row_sums)(const float *p, const float *r, int64_t width, double *sums);
    /* Cubic resize: one source row to `width` RGB pixels (unit[v] is v/255; index holds the 4 source pixels of each
     * output pixel, coef their weights), then four such rows to n = 3*width normalised values; mean and std repeat. */
    void (*cubic_h)(const uint8_t *row, int64_t width, const int32_t *index, const float *coef, const float *unit,
                    float *out);
    void (*cubic_v)(const float *const row[4], const float coef[4], int64_t n, const float *mean, const float *std,
                    float *out);
} ib_cpu_kernels;

extern const ib_cpu_kernels ib_cpu_kernels_sse4, ib_cpu_kernels_avx2, ib_cpu_kernels_avx512, ib_cpu_kernels_avx512_bf16,
    ib_cpu_kernels_amx, ib_cpu_kernels_amx_test;

/* A weight cut into panels of panel_width columns: [panel][tap][k or k/2][column (x2 for bf16)], columns beyond the
 * last one zero. GEGLU panels hold half a panel of value columns, then their gates. */
typedef struct ib_cpu_weight {
    ib_weight base;
    int taps;
    int64_t k;      /* per tap, rounded up to a multiple of `inner` */
    int64_t panels; /* of one tap group: CONVT has kernel*kernel groups */
    size_t panel_bytes;
    void *data;
    float *wino; /* CONV3X3 and HEAD where channels allow: [36][panel][Ci][column], transformed; else NULL */
    float *head; /* HEAD: the 32 weights of the 1x1 */
} ib_cpu_weight;

typedef struct ib_cpu {
    ib_backend base;
    const ib_cpu_kernels *k;
    const ib_cpu_kernels *f32; /* of the same path: its `panel` */
    int threads;
    void *local, *shared; /* scratch: local_bytes for each thread; shared_bytes for all of them */
    size_t local_bytes, shared_bytes;
    struct ib_cpu_frame *frame; /* of frame.c */
} ib_cpu;

static inline ib_cpu *ib_cpu_of(ib_backend *b) { return (ib_cpu *)b; }
static inline const ib_cpu_weight *ib_cpu_weight_of(const ib_weight *w) { return (const ib_cpu_weight *)w; }

/* Makes sure that every thread has `local` bytes of scratch and that there are `shared` bytes for all of them together.
 * Memory only grows, so a second call with the same shapes allocates nothing. ISOBATH_ERR_MEMORY. */
isobath_status ib_cpu_reserve(ib_cpu *cpu, size_t local, size_t shared);
static inline void *ib_cpu_local(const ib_cpu *cpu, int thread)
{
    return (char *)cpu->local + (size_t)thread * cpu->local_bytes;
}

/* Carves 64-byte aligned arrays out of scratch. */
static inline void *ib_cpu_take(char **at, size_t bytes)
{
    void *p = *at;
    *at += (bytes + 63) & ~(size_t)63;
    return p;
}

static inline size_t ib_cpu_round(size_t bytes) { return (bytes + 63) & ~(size_t)63; }
static inline int64_t ib_cpu_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ib_cpu_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

isobath_status ib_cpu_weight_create(ib_backend *b, const ib_weight_desc *desc, ib_weight **out);
void ib_cpu_weight_destroy(ib_backend *b, ib_weight *w);

/* The Winograd weight of a CONV3X3 or HEAD into w->wino (allocated). */
void ib_cpu_wino_pack(const ib_cpu *cpu, const ib_weight_desc *d, ib_cpu_weight *w);
isobath_status ib_cpu_conv3x3_winograd(ib_cpu *cpu, const ib_conv3x3_args *a);
/* Sizes of a run of tiles: how many, and the distance of the 36 transformed inputs and sums in floats. */
typedef struct ib_cpu_wino_run {
    int64_t tiles, v_pitch, m_pitch;
    size_t bytes; /* of v, m and one tile's sums together */
} ib_cpu_wino_run;
ib_cpu_wino_run ib_cpu_wino_run_for(const ib_cpu *cpu, int64_t channels);
/* m[36] of one panel for n tiles whose inputs are in v. */
void ib_cpu_wino_multiply(const ib_cpu *cpu, const ib_cpu_weight *w, const ib_cpu_wino_run *r, int64_t panel, int64_t n,
                          const float *v, float *m);
static inline int ib_cpu_panel_vectors(const ib_cpu *cpu, int64_t columns, int64_t panel)
{
    return columns - panel * cpu->k->panel_width <= cpu->k->vector ? 1 : 2;
}

/* Elements of a tensor in bytes: the address of element `offset`. */
static inline void *ib_cpu_at(const ib_tensor *t, int64_t offset)
{
    return (char *)t->data + offset * (int64_t)ib_dtype_size(t->dtype);
}
/* Source indices and weights of one bilinear axis into t, whose arrays hold `out` entries. */
void ib_cpu_lerp_axis(int64_t in, int64_t out, ib_cpu_lerp *t);
static inline size_t ib_cpu_lerp_bytes(int64_t out) { return 3 * ib_cpu_round((size_t)out * 4); }
void ib_cpu_lerp_take(char **at, int64_t out, ib_cpu_lerp *t);
/* The tables of both axes in shared scratch, and `local` bytes for each thread. */
isobath_status ib_cpu_lerp_tables(ib_cpu *cpu, size_t local, int64_t h, int64_t w, int64_t out_h, int64_t out_w,
                                  ib_cpu_lerp *tx, ib_cpu_lerp *ty);

void ib_cpu_frame_free(struct ib_cpu_frame *frame); /* NULL allowed */

#define IB_CPU_DECLARE(op) isobath_status ib_cpu_##op(ib_backend *, const ib_##op##_args *);
IB_OPS(IB_CPU_DECLARE)
#undef IB_CPU_DECLARE

#endif
