/* The op table: the contract between models and backends.
 *
 * One argument struct per op. A model calls ib_<op>(backend, &args); that front end (op.c) validates every shape,
 * stride and type and then calls the backend's function, which may trust its arguments (libplacebo's split).
 * One stem, four places: `linear` is here, in backend/ref/linear.c (scalar, double accumulation, the meaning),
 * in backend/<fast>/ and in tests/checkop/linear.c.
 *
 * Rules that every backend keeps, and `checkop` tests:
 * - Batch invariance: a row (token, pixel, frame) of a result has the same bits whatever the number of other rows, its
 *   position among them, padding, threads and free memory.
 * - NaN in gives NaN out wherever the value takes part; ReLU is `x < 0 ? 0 : x`. Infinity is never saturated away.
 * - No function allocates device memory; scratch comes from the backend's own workspace, sized at open or by
 *   weight_create and `reserve`.
 * - Outputs do not overlap inputs unless the comment of a field says that it may be the same view.
 *
 * Types: `act` below is the backend's activation type (IB_F32, IB_F16 or IB_BF16, fixed at open). Biases, norm weights,
 * positions and the residual stream of transformers are f32 always. Accumulation, statistics of norms and softmax are
 * f32 or better always. Shape letters are explained in tensor/tensor.h.
 */
#ifndef IB_OP_OP_H
#define IB_OP_OP_H

#include "base/diag.h"
#include "base/pool.h"
#include "base/yuv_pixel.h"
#include "tensor/tensor.h"

typedef struct ib_backend ib_backend;
typedef struct ib_weight ib_weight; /* a packed weight: owned by the backend that made it, freed by it */

/* ---- weights ---------------------------------------------------------------------------------------------------- */

typedef enum ib_weight_kind {
    IB_WEIGHT_LINEAR,  /* f32 [M, K], torch's Linear: y = x W^T */
    IB_WEIGHT_GEGLU,   /* f32 [2M, K]: rows [0,M) value, rows [M,2M) gate */
    IB_WEIGHT_CONV3X3, /* f32 [Co, Ci, 3, 3], torch's Conv2d; repacked by the backend */
    IB_WEIGHT_CONVT,   /* f32 [Ci, Co, k, k], torch's ConvTranspose2d with stride k */
    IB_WEIGHT_HEAD     /* f32 [32, Ci, 3, 3] followed by f32 [32]: output_conv2's 3x3 and its 1x1 */
} ib_weight_kind;

typedef struct ib_weight_desc {
    ib_weight_kind kind;
    int64_t out_channels, in_channels; /* M,K or Co,Ci of one of the layouts above (GEGLU: M, not 2M) */
    int kernel;                        /* CONVT: k; else 0 */
    const float *data;                 /* host memory, canonical layout above; NULL with the null backend */
} ib_weight_desc;

/* ---- network ops ------------------------------------------------------------------------------------------------ */

/* Cuts images into 14x14 patches, one row per patch, row by row over the image; within a row (ky, kx, c).
 * y[t, py*w + px, (ky*14 + kx)*3 + c] = x[t, 14 py + ky, 14 px + kx, c]; columns from 588 on are zero. */
typedef struct ib_patchify_args {
    ib_tensor x; /* f32 (T,14h,14w,3), contiguous */
    ib_tensor y; /* act (T,h*w,592), contiguous */
} ib_patchify_args;
#define IB_PATCH 14
#define IB_PATCH_K 588
#define IB_PATCH_KPAD 592

/* Class token, patches and positions into the residual stream:
 * y[t,0,:] = cls + pos[0]; y[t,1+n,:] = x[t,n,:] + pos[1+n]. */
typedef struct ib_embed_tokens_args {
    ib_tensor x;   /* f32 (T,N,C) */
    ib_tensor cls; /* f32 (C) */
    ib_tensor pos; /* f32 (N+1,C) */
    ib_tensor y;   /* f32 (T,N+1,C) */
} ib_embed_tokens_args;

/* y = (x - mean) / sqrt(var + eps) * weight + bias [+ pos[t]], biased variance over C. Reads and writes with strides,
 * so that it can drop the class token. */
typedef struct ib_layernorm_args {
    ib_tensor x;            /* f32 (T,N,C) */
    ib_tensor weight, bias; /* f32 (C) */
    ib_tensor pos;          /* f32 (T,C), or data == NULL: none; added after the affine part */
    float eps;
    ib_tensor y; /* act or f32 (T,N,C) */
} ib_layernorm_args;

/* y = x + pos[t] (the stream mode's cached LayerNorm outputs get the position of the slot they now hold). */
typedef struct ib_add_pos_args {
    ib_tensor x;   /* act or f32 (T,N,C) */
    ib_tensor pos; /* f32 (T,C) */
    ib_tensor y;   /* act (T,N,C) */
} ib_add_pos_args;

typedef enum ib_act { IB_ACT_NONE, IB_ACT_GELU, IB_ACT_RELU, IB_ACT_GEGLU } ib_act;

/* y = act(x W^T + bias) + residual. GELU is the exact one, x/2 (1 + erf(x/sqrt 2)). GEGLU (weight kind GEGLU):
 * value * gelu(gate), with the bias holding 2M entries in the weight's order. */
typedef struct ib_linear_args {
    ib_tensor x;         /* act (T,N,K), any strides in T and N */
    const ib_weight *w;  /* LINEAR or GEGLU [M,K]; K may be smaller than x's K only for patchify's zero padding */
    ib_tensor bias;      /* f32 (M), or data == NULL */
    ib_act act;
    ib_tensor residual; /* f32 or act (T,N,M), or data == NULL; may be the same view as y */
    ib_tensor y;        /* f32 or act (T,N,M) */
} ib_linear_args;

/* Multi-head self-attention within a frame: y = softmax(q k^T / sqrt(D)) v per head. */
typedef struct ib_attention_args {
    ib_tensor qkv; /* act (T,N,3C): q of all heads, then k, then v; heads contiguous; C = heads*D */
    int heads;     /* D = C / heads is 64 in every encoder of the family */
    ib_tensor y;   /* act (T,N,C) */
} ib_attention_args;

/* Attention over frames, each pixel by itself, all frames of k visible to every frame of q; scale D^-0.5. */
typedef struct ib_temporal_attention_args {
    ib_tensor q;    /* act (Tq,P,C), any strides in T and P (views into a packed q|k|v) */
    ib_tensor k, v; /* act (Tk,P,C), Tk <= 32 */
    int heads;      /* 8; D = C/8, a multiple of 4 */
    ib_tensor y;    /* act (Tq,P,C) */
} ib_temporal_attention_args;

/* GroupNorm over one frame: groups of C/groups channels x P pixels, biased variance; affine per channel. */
typedef struct ib_groupnorm_args {
    ib_tensor x;            /* act (T,P,C), contiguous within a frame */
    ib_tensor weight, bias; /* f32 (C) */
    int groups;             /* 32 */
    float eps;
    ib_tensor y; /* act (T,P,C) */
} ib_groupnorm_args;

/* 3x3 convolution, padding 1, stride 1 or 2, channel-last; ReLU of the input on the way in, of the output before the
 * residuals: y = relu?(conv(relu?(x)) + bias) + residual + residual2. */
typedef struct ib_conv3x3_args {
    ib_tensor x;        /* act (T,H,W,Ci), contiguous within a frame */
    const ib_weight *w; /* CONV3X3 */
    ib_tensor bias;     /* f32 (Co), or data == NULL */
    int stride;         /* 1 or 2: Ho = (H - 1)/stride + 1 */
    int relu_in, relu_out;
    ib_tensor residual, residual2; /* act (T,Ho,Wo,Co), or data == NULL; residual may be the same view as y */
    ib_tensor y;                   /* act (T,Ho,Wo,Co) */
} ib_conv3x3_args;

/* Transposed convolution with kernel = stride = k, no overlap:
 * y[t, k*i+ky, k*j+kx, co] = bias[co] + sum_ci x[t,i,j,ci] W[ci,co,ky,kx]. */
typedef struct ib_conv_transpose_args {
    ib_tensor x;        /* act (T,H,W,Ci), contiguous within a frame */
    const ib_weight *w; /* CONVT */
    ib_tensor bias;     /* f32 (Co) */
    ib_tensor y;        /* act (T,kH,kW,Co) */
} ib_conv_transpose_args;

/* Bilinear, align_corners = True: source = dst*(in-1)/(out-1), 0 where out = 1. Arithmetic as in ib_bilinear_axis. */
typedef struct ib_resize_bilinear_args {
    ib_tensor x; /* act (T,h,w,C) */
    ib_tensor y; /* act (T,H,W,C) */
} ib_resize_bilinear_args;

/* What is left of a 3x3 convolution (padding 1, stride 1) behind a bilinear resize (align_corners) when its products come
 * first: the resize's weights sum to one and the products are linear, so they can be made at the input's size.
 * y[t,i,j,c] = bias[c] + sum over taps (ky,kx) with (i+ky-1, j+kx-1) inside (H,W) of
 *              resize(x[..., (3 ky + kx) C + c])[t, i+ky-1, j+kx-1]. */
typedef struct ib_resize_taps_args {
    ib_tensor x;    /* act (T,h,w,9C) */
    ib_tensor bias; /* f32 (C) */
    ib_tensor y;    /* act (T,H,W,C) */
} ib_resize_taps_args;

/* What is left of a 3x3 convolution (padding 1, stride 1) behind a transposed one with kernel = stride = k when the products of
 * both come first, as one: every input position adds (k+2) x (k+2) pixels, which overlap those of its neighbours by one on
 * each side: y[t,Y,X,c] = sum over (i,j,u,v) with k i + u - 1 = Y, k j + v - 1 = X, u and v in [0,k+2) of
 * x[t,i,j,(u (k+2) + v) C + c]. */
typedef struct ib_overlap_add_args {
    ib_tensor x; /* act (T,h,w,(k+2)^2 C) */
    int kernel;  /* k >= 2 */
    ib_tensor y; /* act (T,kh,kw,C) */
} ib_overlap_add_args;

/* The end of the head as one op, so that no intermediate needs the range of fp16: bilinear (align_corners) to (H,W),
 * 3x3 to 32 channels, ReLU, 1x1 to one channel, ReLU or sigmoid. The resized map and the 32 channels are f32 in range
 * (products may use a type with f32's exponent). */
typedef struct ib_output_head_args {
    ib_tensor x;        /* act (T,h,w,Ci), contiguous within a frame; f32 allowed in every mode */
    const ib_weight *w; /* HEAD */
    ib_tensor bias;     /* f32 (33): 32 of the 3x3, then the 1x1's */
    ib_tensor y;        /* f32 (T,H,W) */
    float sigmoid;      /* 0: y = relu(v); s > 0: y = s / (1 + exp(-v)), NaN where v is not finite, so that a guard sees it */
} ib_output_head_args;

/* y = x, with conversion of type (f32 <-> act); strides allowed. Used for caches and taps. */
typedef struct ib_copy_args {
    ib_tensor x; /* f32 or act (T,N,C) */
    ib_tensor y; /* f32 or act (T,N,C) */
} ib_copy_args;

/* y = a + b, in f32, rounded once; strides allowed. y may be the same view as a. */
typedef struct ib_add_args {
    ib_tensor a, b; /* act or f32 (T,N,C) */
    ib_tensor y;    /* act or f32 (T,N,C) */
} ib_add_args;

/* Counts the values that are not finite, over the whole tensor; *count is host memory and valid on return. */
typedef struct ib_count_nonfinite_args {
    ib_tensor x; /* f32, f16 or bf16, contiguous, any rank */
    int64_t *count;
} ib_count_nonfinite_args;

/* ---- ops around the network: the same bits on every backend ------------------------------------------------------- */

/* A decoded picture to RGB, by base/yuv_pixel.h: y[i,j] = pixel(luma[i,j], u[r,j >> ssx], v[r,j >> ssx]) with
 * r = ib_chroma_row(i). A sample is min(stored >> shift, 2^bits - 1); B is 1 when bits + shift <= 8, else 2 with the low
 * byte first. The views of u and v may interleave (NV12). Equal bytes on every backend. */
typedef struct ib_yuv_to_rgb_args {
    ib_tensor luma; /* u8 (H,W,B) */
    ib_tensor u, v; /* u8 (ceil(H/2^ssy),ceil(W/2^ssx),B) */
    int bits, shift, ssx, ssy, interlaced;
    ib_yuv_coefficients k;
    ib_tensor y; /* u8 (H,W,3) */
} ib_yuv_to_rgb_args;

/* RGB to network input: cubic resize (a = -0.75, half-pixel centres, replicated border, no antialias; OpenCV's
 * INTER_CUBIC on f32) of rgb/255, then (v - mean)/std. FACTS of the reference; see docs/MODEL.md. Within 1e-5 of ref
 * on every backend (the only op of this group that is not held to equal bits). */
typedef struct ib_preprocess_args {
    ib_tensor x; /* u8 (T,H,W,3), contiguous in rows: stride[2] = 3, stride[1] >= 3W */
    ib_tensor y; /* f32 (T,h,w,3), contiguous */
} ib_preprocess_args;

/* One aligned frame at output size: each raw frame a is upsampled (bilinear, align_corners, f32, ib_bilinear_axis), then
 * v = a*scale + shift (two roundings, no fma), v < 0 -> 0. With b: out = va*(1-weight) + vb*weight, each product and
 * the sum rounded on its own; 1-weight is computed in double and rounded. Equal bits on every backend. */
typedef struct ib_render_args {
    ib_tensor a, b;               /* f32 (h,w) raw depth; b.data == NULL: no cross-fade */
    float a_scale, a_shift;       /* of the window that a comes from */
    float b_scale, b_shift;
    double weight;                /* of b */
    ib_tensor y;                  /* f32 (H,W) */
    float *min_out, *max_out;     /* host; range of y; NULL allowed */
} ib_render_args;

/* Least-squares sums of the alignment: over two frames at output size, p = upsampled raw p[i]; r = upsampled reference
 * r[i], r[1] scaled, shifted and clamped as in ib_render_args. sums = {n, sum p, sum p*p, sum r, sum p*r}.
 * Order (equal bits on every backend): products of f32 values in double (exact); per row 16 lanes, lane j adds x = j,
 * j+16, ... in order; lanes fold 8, 4, 2, 1 (lane i += lane i + half); rows add in order, frame 0 then frame 1. */
typedef struct ib_fit_sums_args {
    ib_tensor p[2]; /* f32 (h,w): raw slots 0 and 1 of window k */
    ib_tensor r[2]; /* f32 (h,w): raw slot 0 of window 0, raw slot 12 of window k-1 */
    float r1_scale, r1_shift;
    int64_t height, width; /* output size H,W */
    double *sums;          /* host [5] */
} ib_fit_sums_args;

/* One axis of align_corners bilinear: index i0, i1 and weight w1 of `dst` (w0 = 1 - w1 in f32), in f32 as torch does:
 * scale = (in-1)/(out-1); s = scale*dst; i0 = (int)s; w1 = s - i0. A 2-D sample is
 * w0y*(w0x*p00 + w1x*p01) + w1y*(w0x*p10 + w1x*p11), every operation rounded to f32 on its own. */
static inline void ib_bilinear_axis(int64_t dst, int64_t in, int64_t out, int64_t *i0, int64_t *i1, float *w1)
{
    float scale = out > 1 ? (float)(in - 1) / (float)(out - 1) : 0.0f;
    float s = scale * (float)dst;
    *i0 = (int64_t)s;
    if (*i0 > in - 1) *i0 = in - 1;
    *i1 = *i0 + (*i0 < in - 1 ? 1 : 0);
    *w1 = s - (float)*i0;
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

/* The X-macro list of ops: ib_op_table, the front ends, checkop and the null backend are all made from it. */
#define IB_OPS(X)                                                                                                      \
    X(patchify)                                                                                                        \
    X(embed_tokens)                                                                                                    \
    X(layernorm)                                                                                                       \
    X(add_pos)                                                                                                         \
    X(linear)                                                                                                          \
    X(attention)                                                                                                       \
    X(temporal_attention)                                                                                              \
    X(groupnorm)                                                                                                       \
    X(conv3x3)                                                                                                         \
    X(conv_transpose)                                                                                                  \
    X(resize_bilinear)                                                                                                 \
    X(resize_taps)                                                                                                     \
    X(overlap_add)                                                                                                     \
    X(output_head)                                                                                                     \
    X(copy)                                                                                                            \
    X(add)                                                                                                             \
    X(count_nonfinite)                                                                                                 \
    X(yuv_to_rgb)                                                                                                      \
    X(preprocess)                                                                                                      \
    X(render)                                                                                                          \
    X(fit_sums)

/* A whole temporal module as one op, for the shapes that a backend has it for (the model does it op by op elsewhere):
 * s = linear(x, proj_in); twice s += linear(temporal_attention(linear(layernorm(s) + pos, qkv)), out);
 * s += linear(GEGLU(linear(layernorm(s), ff_in)), ff_out); y = linear(s, proj_out) + residual.
 * Rounding to act happens where the single ops round, except that s stays in f32 until proj_out. */
typedef struct ib_temporal_block_args {
    ib_tensor x;        /* act (T,P,C), T <= 32: the module's input after its GroupNorm */
    ib_tensor residual; /* act (T,P,C): the input before it; may be the same view as y */
    const ib_weight *proj_in, *proj_out;
    ib_tensor proj_in_bias, proj_out_bias; /* f32 (C), all vectors without gaps */
    struct {
        ib_tensor norm_weight, norm_bias; /* f32 (C) */
        ib_tensor pos;                    /* f32 (32*C): positions in the order of frames */
        const ib_weight *qkv, *out;       /* LINEAR [3C,C] (no bias) and [C,C] */
        ib_tensor out_bias;
    } attn[2];
    ib_tensor ff_norm_weight, ff_norm_bias;
    const ib_weight *ff_in, *ff_out; /* GEGLU [4C,C], LINEAR [C,4C] */
    ib_tensor ff_in_bias, ff_out_bias;
    int heads;
    float eps; /* of the three LayerNorms */
    ib_tensor y; /* act (T,P,C) */
} ib_temporal_block_args;

/* Enqueues ops; see op/graph.h. */
typedef isobath_status (*ib_graph_fn)(void *ctx);

/* A backend's functions. Not thread-safe: one thread per ib_backend object at a time. Ops may run asynchronously; `sync`
 * waits; ops with host results (count_nonfinite, render's range, fit_sums) and download return when they are there. */
typedef struct ib_op_table {
    const char *name; /* "ref", "cpu", "cuda", "null" */
    /* Memory of the device, 256-byte aligned. ISOBATH_ERR_MEMORY when there is not that much. */
    isobath_status (*buffer_alloc)(ib_backend *, size_t bytes, void **out);
    void (*buffer_free)(ib_backend *, void *buffer);
    isobath_status (*upload)(ib_backend *, void *device_dst, const void *host_src, size_t bytes);
    isobath_status (*download)(ib_backend *, void *host_dst, const void *device_src, size_t bytes);
    isobath_status (*sync)(ib_backend *);
    /* Packs host f32 data into the backend's layout and activation type. */
    isobath_status (*weight_create)(ib_backend *, const ib_weight_desc *, ib_weight **out);
    void (*weight_destroy)(ib_backend *, ib_weight *);
    void (*close)(ib_backend *);
    /* Transfers that overlap with work; all NULL where there is nothing to overlap, because device memory is the host's (use the
     * functions of op/transfer.h). */
    isobath_status (*bind_thread)(ib_backend *);
    isobath_status (*host_alloc)(ib_backend *, size_t bytes, void **out);
    void (*host_free)(ib_backend *, void *host);
    isobath_status (*host_register)(ib_backend *, void *host, size_t bytes);
    void (*host_unregister)(ib_backend *, void *host);
    isobath_status (*fetch_begin)(ib_backend *, int slot, const ib_tensor *const *x, int count, void *host_dst);
    isobath_status (*fetch_end)(ib_backend *, int slot, int64_t *nonfinite);
    isobath_status (*stage_begin)(ib_backend *, int slot);
    isobath_status (*stage_upload)(ib_backend *, void *device_dst, const void *host_src, size_t bytes);
    isobath_status (*stage_end)(ib_backend *, int slot);
    isobath_status (*stage_used)(ib_backend *, int slot);
#define IB_OP_MEMBER(op) isobath_status (*op)(ib_backend *, const ib_##op##_args *);
    IB_OPS(IB_OP_MEMBER)
#undef IB_OP_MEMBER
    /* NULL: not there. *done = 0: not for this shape, and nothing ran. */
    isobath_status (*temporal_block)(ib_backend *, const ib_temporal_block_args *, int *done);
    isobath_status (*lane)(ib_backend *, int lane); /* NULL: not there. ib_lane of op/transfer.h */
    /* NULL: not there. op/graph.h */
    isobath_status (*graph_run)(ib_backend *, const void *owner, uint64_t name, ib_graph_fn fn, void *ctx);
    void (*graph_forget)(ib_backend *, const void *owner);
    /* 1: linear and resize_taps are faster here than resize_bilinear and conv3x3, linear and overlap_add than conv_transpose and
     * conv3x3. */
    int taps_first;
} ib_op_table;

/* What every backend object starts with; backends embed it as their first member. */
struct ib_backend {
    const ib_op_table *ops;
    ib_dtype act;   /* activation type, fixed at open */
    ib_diag *diag;  /* where errors are recorded; not owned */
    ib_pool *pool;  /* host threads for CPU backends; may be NULL; not owned */
    int64_t fetched[2]; /* of op/transfer.c on backends without transfers of their own */
    char kind[128]; /* what contract 2 calls a kind: "cpu avx512 bf16", "cuda sm_90 fp16 13.0" ... */
};

/* What every packed weight starts with, whatever the backend. */
struct ib_weight {
    ib_weight_kind kind;
    int64_t out_channels, in_channels;
    int kernel;
    size_t bytes; /* memory it takes on the device */
};

/* Front ends: validate, then call the backend. ISOBATH_ERR_INTERNAL with a line naming op and shapes when an argument
 * breaks the contract above. */
#define IB_OP_DECLARE(op) isobath_status ib_##op(ib_backend *, const ib_##op##_args *);
IB_OPS(IB_OP_DECLARE)
#undef IB_OP_DECLARE

/* *done = 0 and ISOBATH_OK where the backend has no such op for this shape. */
isobath_status ib_temporal_block(ib_backend *, const ib_temporal_block_args *, int *done);

static inline int ib_tensor_present(const ib_tensor *t) { return t->data != NULL; }

#endif
