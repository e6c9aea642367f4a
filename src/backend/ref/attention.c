/* attention: softmax(q k^T / sqrt(D)) v per head and frame, D = 64. Scores are computed twice (maximum, then sum), so
 * that no scratch is needed. */
#include "backend/ref/ref.h"

#include <math.h>

#define D 64

typedef struct context {
    const ib_attention_args *a;
    int64_t tokens, heads;
} context;

static double score(const ib_tensor *qkv, int64_t q, int64_t k)
{
    double s[4] = {0};
    for (int64_t d = 0; d < D; d++) s[d % 4] += (double)ib_ref_get(qkv, q + d) * ib_ref_get(qkv, k + d);
    return (s[0] + s[1] + s[2] + s[3]) * 0.125;
}

/* One query token of one head of one frame. */
static void query(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const context *c = ctx;
    const ib_tensor *qkv = &c->a->qkv, *y = &c->a->y;
    int64_t n = i % c->tokens, head = i / c->tokens % c->heads, t = i / c->tokens / c->heads;
    int64_t channels = c->heads * D, q = ib_ref_row(qkv, t, n) + head * D;
    double max = -INFINITY, total = 0, sum[D] = {0};
    for (int64_t j = 0; j < c->tokens; j++) {
        double s = score(qkv, q, ib_ref_row(qkv, t, j) + channels + head * D);
        max = s > max ? s : max; /* a NaN score makes `total` NaN below */
    }
    for (int64_t j = 0; j < c->tokens; j++) {
        int64_t k = ib_ref_row(qkv, t, j) + channels + head * D;
        double p = exp(score(qkv, q, k) - max);
        total += p;
        for (int64_t d = 0; d < D; d++) sum[d] += p * ib_ref_get(qkv, k + channels + d);
    }
    for (int64_t d = 0; d < D; d++) ib_ref_set(y, ib_ref_row(y, t, n) + head * D + d, sum[d] / total);
}

isobath_status ib_ref_attention(ib_backend *b, const ib_attention_args *a)
{
    context c = {a, a->qkv.dim[1], a->heads};
    ib_pool_run(b->pool, a->qkv.dim[0] * c.heads * c.tokens, query, &c);
    return ISOBATH_OK;
}
