/* Faulty linear kernels: one plain f32 loop with a switch per fault. */
#include "backend/ref/ref.h"
#include "bad.h"

#include <math.h>

enum {
    WRONG_COLUMN,
    SKIPS_TAIL_COLUMNS,
    SKIPS_TAIL_ROWS,
    READS_PAST_END,
    WRITES_PAST_END,
    NO_RESIDUAL,
    NO_BIAS,
    SWALLOWS_NAN,
    FMAX_RELU,
    IGNORES_STRIDE,
    HALF_ACCUMULATOR,
    SHORT_PRODUCTS,
    SATURATES,
    TANH_GELU,
    SWAPPED_GATE,
    ROUNDS_BEFORE_RESIDUAL,
    WRITES_INPUT,
    ORDER_BY_BATCH,
    ORDER_BY_ADDRESS,
    ORDER_BY_THREADS
};

/* Ten bits of fraction, as in tensor-core formats. */
static float shorten(float v) { return ib_f32_from_bits((ib_f32_bits(v) + 0x1000u) & 0xffffe000u); }

/* The sum of one output: in one go, or in two halves where the fault says so. */
static float dot(const ib_linear_args *a, int64_t row, const float *w, int64_t pitch, int fault, int halves)
{
    int64_t k = a->w->in_channels, middle = halves ? k / 2 : k, past = fault == READS_PAST_END ? (4 - k % 4) % 4 : 0;
    float sum[2] = {0};
    for (int64_t i = 0; i < k + past; i++) {
        float x = ib_ref_get(&a->x, row + i), y = i < k ? w[i * pitch] : 0;
        if (fault == SHORT_PRODUCTS) x = shorten(x), y = shorten(y);
        sum[i >= middle] += x * y;
        if (fault == HALF_ACCUMULATOR) sum[0] = ck_round(sum[0], IB_F16);
    }
    return sum[0] + sum[1];
}

static isobath_status run(ib_backend *b, const ib_linear_args *a, int fault)
{
    const ib_ref_weight *w = ib_ref_weight_of(a->w);
    int64_t rows = a->x.dim[1], outputs = a->w->out_channels, gate_at = w->pitch / 2;
    int halves = (fault == ORDER_BY_BATCH && rows % 2 == 0) ||
                 (fault == ORDER_BY_ADDRESS && (uintptr_t)a->x.data % 16) ||
                 (fault == ORDER_BY_THREADS && ib_pool_threads(b->pool) > 1);
    int geglu = a->act == IB_ACT_GEGLU, swap = fault == SWAPPED_GATE && geglu;
    for (int64_t r = 0; r < a->x.dim[0] * rows; r++) {
        int64_t t = r / rows, n = r % rows, from = ib_ref_row(&a->x, t, n);
        if (fault == IGNORES_STRIDE) from = t * a->x.stride[0] + n * a->x.dim[2];
        if (fault == SKIPS_TAIL_ROWS && rows > 4 && n >= rows / 4 * 4) continue;
        for (int64_t m = 0; m < outputs; m++) {
            if (fault == SKIPS_TAIL_COLUMNS && m >= outputs / 8 * 8) continue;
            int64_t column = fault == WRONG_COLUMN && m > 32 ? m - 1 : m;
            float v = dot(a, from, w->data + column + (swap ? gate_at : 0), w->pitch, fault, halves);
            float bias =
                ib_tensor_present(&a->bias) && fault != NO_BIAS ? ib_ref_get(&a->bias, m + (swap ? outputs : 0)) : 0;
            v += bias;
            if (a->act == IB_ACT_GELU && fault == TANH_GELU)
                v = 0.5f * v * (1 + tanhf(0.7978845608f * (v + 0.044715f * v * v * v)));
            else if (a->act == IB_ACT_GELU)
                v = (float)ib_ref_gelu((double)v);
            if (a->act == IB_ACT_RELU) v = fault == FMAX_RELU ? fmaxf(v, 0) : v < 0 ? 0 : v;
            if (geglu) {
                float gate = dot(a, from, w->data + column + (swap ? 0 : gate_at), w->pitch, fault, halves);
                if (ib_tensor_present(&a->bias)) gate += ib_ref_get(&a->bias, m + (swap ? 0 : outputs));
                v *= (float)ib_ref_gelu((double)gate);
            }
            if (fault == ROUNDS_BEFORE_RESIDUAL) v = ck_round(v, b->act);
            if (ib_tensor_present(&a->residual) && fault != NO_RESIDUAL)
                v += ib_ref_get(&a->residual, ib_ref_row(&a->residual, t, n) + m);
            if (fault == SWALLOWS_NAN && isnan(v)) v = 0;
            if (fault == SATURATES && isinf(v)) v = v > 0 ? 65504.0f : -65504.0f;
            int64_t to = ib_ref_row(&a->y, t, n) + m;
            ib_ref_set(&a->y, to, (double)v);
            if (fault == WRITES_PAST_END && m == outputs - 1 && r == a->x.dim[0] * rows - 1)
                ib_ref_set(&a->y, to + 1, 0);
        }
    }
    if (fault == WRITES_INPUT) ib_ref_set(&a->x, 0, 0.5);
    return ISOBATH_OK;
}

#define FAULTS(X)                                                                              \
    X(WRONG_COLUMN, "columns from 33 on take the weights of their neighbour", IB_F32, 0)       \
    X(SKIPS_TAIL_COLUMNS, "leaves out the columns after the last multiple of 8", IB_F32, 0)    \
    X(SKIPS_TAIL_ROWS, "leaves out the rows after the last multiple of 4", IB_F32, 0)          \
    X(READS_PAST_END, "reads K rounded up to 4, times zero", IB_F32, 0)                        \
    X(WRITES_PAST_END, "writes one element past the result", IB_F32, 0)                        \
    X(NO_RESIDUAL, "ignores the residual", IB_F32, 0)                                          \
    X(NO_BIAS, "ignores the bias", IB_F32, 0)                                                  \
    X(SWALLOWS_NAN, "turns NaN into 0", IB_F32, 0)                                             \
    X(FMAX_RELU, "fmaxf as ReLU: hides NaN", IB_F32, 0)                                        \
    X(IGNORES_STRIDE, "takes rows as contiguous", IB_F32, 0)                                   \
    X(HALF_ACCUMULATOR, "accumulates in f16", IB_F16, 0)                                       \
    X(SHORT_PRODUCTS, "multiplies f32 with ten bits of fraction", IB_F32, 0)                   \
    X(SATURATES, "saturates infinity to 65504", IB_F16, 0)                                     \
    X(TANH_GELU, "the tanh form of GELU", IB_F32, 0)                                           \
    X(SWAPPED_GATE, "swaps value and gate", IB_F32, 0)                                         \
    X(ROUNDS_BEFORE_RESIDUAL, "rounds to bf16 before the residual is added", IB_BF16, 0)       \
    X(WRITES_INPUT, "writes into its input", IB_F32, 0)                                        \
    X(ORDER_BY_BATCH, "order of the sum depends on the number of rows", IB_F32, 1)             \
    X(ORDER_BY_ADDRESS, "order of the sum depends on the alignment of the address", IB_F32, 1) \
    X(ORDER_BY_THREADS, "order of the sum depends on the number of threads", IB_F32, 1)

#define KERNEL(fault, text, act, invariance)                                                                  \
    static isobath_status linear_##fault(ib_backend *b, const ib_linear_args *a) { return run(b, a, fault); } \
    CK_INSTALL(linear, linear_##fault)
FAULTS(KERNEL)

#define ENTRY(fault, text, act, invariance) {"linear", text, act, invariance, install_linear_##fault},
const ck_bad ck_bad_linear[] = {FAULTS(ENTRY){NULL}};
