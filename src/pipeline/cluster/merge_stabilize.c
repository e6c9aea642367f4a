/* --stabilize in a cut run: a scale and a shift for every frame, each held to the frame before, by the chain; see merge.h. */
#include "pipeline/cluster/merge.h"
#include "pipeline/stabilize.h"

#include <stdlib.h>

/* Of a window all maps are read at once, on all threads; they are looked at one after another. */
struct ib_frame_chain {
    const ib_shard *shard;
    ib_pool *pool;
    ib_segments *const *readers;
    ib_stabilizer stabilizer;
    float *maps;       /* (IB_PLAN_WINDOW,height,width) */
    int64_t window;    /* that is being read */
    int first;         /* slot of its first new frame */
    atomic_int status; /* of reading */
};

isobath_status ib_frame_chain_create(const ib_shard *s, ib_pool *pool, ib_segments *const *readers, ib_diag *diag, ib_frame_chain **out)
{
    int64_t map = (int64_t)s->network_width * s->network_height;
    ib_frame_chain *c = *out = calloc(1, sizeof *c);
    if (!c) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
    c->shard = s;
    c->pool = pool;
    c->readers = readers;
    c->maps = malloc((size_t)IB_PLAN_WINDOW * (size_t)map * sizeof *c->maps);
    if (!c->maps) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the chain");
    return ib_stabilizer_init(&c->stabilizer, map, s->metric, s->options.stabilize_s, diag);
}

void ib_frame_chain_destroy(ib_frame_chain *c)
{
    if (!c) return;
    ib_stabilizer_free(&c->stabilizer);
    free(c->maps);
    free(c);
}

static void read_map(void *ctx, int64_t i, int thread)
{
    ib_frame_chain *c = ctx;
    int none = ISOBATH_OK;
    if (atomic_load(&c->status) != ISOBATH_OK) return;
    int st = ib_segments_map(c->readers[thread], c->window, c->first + (int)i, c->maps + i * c->stabilizer.count);
    if (st != ISOBATH_OK) atomic_compare_exchange_strong(&c->status, &none, st);
}

isobath_status ib_frame_chain_window(ib_frame_chain *c, int64_t w, ib_alignment *frames)
{
    int64_t k, first, end, shot = ib_shard_window(c->shard, w, &k), start = c->shard->shots[shot].first;
    ib_shard_final_frames(c->shard, w, &first, &end);
    if (k == 0) ib_stabilizer_restart(&c->stabilizer);
    c->window = w;
    c->first = (int)(first - start - IB_PLAN_STEP * k);
    atomic_store(&c->status, ISOBATH_OK);
    ib_pool_run(c->pool, end - first, read_map, c);
    IB_TRY((isobath_status)atomic_load(&c->status));
    for (int64_t i = first; i < end; i++) frames[i] = ib_stabilize(&c->stabilizer, c->maps + (i - first) * c->stabilizer.count, c->shard->pts_us[i]);
    return ISOBATH_OK;
}
