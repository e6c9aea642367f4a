/* temporal_attention: attention over at most 32 frames, each pixel by itself. */
#include "backend/ref/ref.h"

#include <math.h>

/* All heads of one query frame at one pixel. */
static void pixel(void *ctx, int64_t i, int thread)
{
    (void)thread;
    const ib_temporal_attention_args *a = ctx;
    int64_t t = i / a->q.dim[1], n = i % a->q.dim[1], frames = a->k.dim[0], size = a->q.dim[2] / a->heads;
    double scale = 1.0 / sqrt((double)size), p[32];
    for (int64_t head = 0; head < a->heads; head++) {
        int64_t q = ib_ref_row(&a->q, t, n) + head * size, y = ib_ref_row(&a->y, t, n) + head * size;
        double max = -INFINITY, total = 0;
        for (int64_t j = 0; j < frames; j++) {
            int64_t k = ib_ref_row(&a->k, j, n) + head * size;
            double s = 0;
            for (int64_t d = 0; d < size; d++) s += (double)ib_ref_get(&a->q, q + d) * ib_ref_get(&a->k, k + d);
            p[j] = s * scale;
            max = p[j] > max ? p[j] : max; /* a NaN score makes `total` NaN below */
        }
        for (int64_t j = 0; j < frames; j++) {
            p[j] = exp(p[j] - max);
            total += p[j];
        }
        for (int64_t d = 0; d < size; d++) {
            double sum = 0;
            for (int64_t j = 0; j < frames; j++)
                sum += p[j] * ib_ref_get(&a->v, ib_ref_row(&a->v, j, n) + head * size + d);
            ib_ref_set(&a->y, y + d, sum / total);
        }
    }
}

isobath_status ib_ref_temporal_attention(ib_backend *b, const ib_temporal_attention_args *a)
{
    ib_pool_run(b->pool, a->q.dim[0] * a->q.dim[1], pixel, (void *)a);
    return ISOBATH_OK;
}
