/* The frame that all sinks of a run share: one allocation each for depth and picture, an atomic reference count. */
#include "sink/sink.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* What ib_depth_frame_create really allocates: the public part first. */
typedef struct counted_frame {
    ib_depth_frame frame;
    atomic_int references;
    ib_depth_frame_pool *pool;  /* where it goes back to; NULL: nowhere */
    struct counted_frame *next; /* of those that are there */
} counted_frame;

#define KEPT_MOST 24 /* frames that nobody has: what a burst took more goes back to the system */

struct ib_depth_frame_pool {
    pthread_mutex_t lock;
    counted_frame *free; /* what was used last is used next */
    int64_t out;
    int kept; /* in `free` */
    int closed;
};

static isobath_status create(int width, int height, int with_depth, int with_rgb, int rgb_width, int rgb_height, ib_diag *diag, ib_depth_frame **out)
{
    *out = NULL;
    if (width < 1 || height < 1 || (with_rgb && (rgb_width < 1 || rgb_height < 1)))
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "depth frame of %dx%d with a picture of %dx%d", width, height,
                       rgb_width, rgb_height);
    counted_frame *counted = calloc(1, sizeof *counted);
    float *depth = !with_depth ? NULL : malloc((size_t)width * (size_t)height * sizeof *depth);
    uint8_t *rgb = with_rgb ? malloc((size_t)rgb_width * (size_t)rgb_height * 3) : NULL;
    if (!counted || (with_depth && !depth) || (with_rgb && !rgb)) {
        free(counted);
        free(depth);
        free(rgb);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a depth frame of %dx%d", width, height);
    }
    ib_depth_frame *frame = &counted->frame;
    frame->width = width;
    frame->height = height;
    frame->depth = depth;
    frame->rgb = rgb;
    frame->rgb_width = with_rgb ? rgb_width : 0;
    frame->rgb_height = with_rgb ? rgb_height : 0;
    atomic_init(&counted->references, 1);
    *out = frame;
    return ISOBATH_OK;
}

isobath_status ib_depth_frame_create(int width, int height, int with_rgb, int rgb_width, int rgb_height, ib_diag *diag,
                                     ib_depth_frame **out)
{
    return create(width, height, 1, with_rgb, rgb_width, rgb_height, diag, out);
}

void ib_depth_frame_ref(ib_depth_frame *frame)
{
    atomic_fetch_add_explicit(&((counted_frame *)frame)->references, 1, memory_order_relaxed);
}

static void free_frame(counted_frame *counted)
{
    free(counted->frame.depth);
    free(counted->frame.rgb);
    free(counted->frame.packed.data);
    free(counted);
}

isobath_status ib_depth_frame_pool_create(ib_diag *diag, ib_depth_frame_pool **out)
{
    ib_depth_frame_pool *pool = *out = calloc(1, sizeof *pool);
    if (!pool) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for depth frames");
    pthread_mutex_init(&pool->lock, NULL);
    return ISOBATH_OK;
}

static void free_pool(ib_depth_frame_pool *pool)
{
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void ib_depth_frame_pool_close(ib_depth_frame_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    while (pool->free) {
        counted_frame *next = pool->free->next;
        free_frame(pool->free);
        pool->free = next;
    }
    pool->closed = 1;
    int last = pool->out == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) free_pool(pool);
}

isobath_status ib_depth_frame_take(ib_depth_frame_pool *pool, int width, int height, int with_depth, int with_rgb, int rgb_width, int rgb_height,
                                   ib_diag *diag, ib_depth_frame **out)
{
    pthread_mutex_lock(&pool->lock);
    counted_frame *counted = pool->free;
    if (counted) pool->free = counted->next;
    pool->kept -= counted != NULL;
    pool->out += counted != NULL;
    pthread_mutex_unlock(&pool->lock);
    if (counted) {
        atomic_store_explicit(&counted->references, 1, memory_order_relaxed);
        *out = &counted->frame;
        return ISOBATH_OK;
    }
    IB_TRY(create(width, height, with_depth, with_rgb, rgb_width, rgb_height, diag, out));
    ((counted_frame *)*out)->pool = pool;
    pthread_mutex_lock(&pool->lock);
    pool->out++;
    pthread_mutex_unlock(&pool->lock);
    return ISOBATH_OK;
}

static void give_back(counted_frame *counted)
{
    ib_depth_frame_pool *pool = counted->pool;
    pthread_mutex_lock(&pool->lock);
    int keep = !pool->closed && pool->kept < KEPT_MOST, last = --pool->out == 0 && pool->closed;
    if (keep) {
        counted->next = pool->free;
        pool->free = counted;
        pool->kept++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep) free_frame(counted);
    if (last) free_pool(pool);
}

void ib_depth_frame_unref(ib_depth_frame *frame)
{
    if (!frame) return;
    counted_frame *counted = (counted_frame *)frame;
    if (atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) != 1) return;
    if (counted->pool) give_back(counted);
    else free_frame(counted);
}
