/* A byte-bounded queue with worker threads; see queue.h. Frames wait in a linked list; a worker takes the oldest, so
 * the worker whose turn it is to commit is never waiting for a frame that nobody has taken. */
#include "sink/queue.h"

#include "base/pool.h"
#include "base/thread_name.h"
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define PAIR_WAIT_NS 20000000 /* that a packed frame waits for another one: at 50 frames/s there is time to hash each alone */

typedef struct waiting {
    struct waiting *next;
    ib_depth_frame *frame;
    int64_t bytes;
    int64_t sequence; /* 0, 1, 2 ... of the pushes */
    struct timespec until; /* it waits for another one, where two are taken together */
} waiting;

typedef struct worker {
    ib_frame_queue *queue;
    int thread;
    int64_t sequence; /* in work; INT64_MAX: none */
    pthread_t handle;
    pthread_cond_t wake; /* its own: a frame wakes one thread, not all of them */
    int idle;
    struct worker *next; /* that is idle */
} worker;

struct ib_frame_queue {
    ib_frame_queue_ops ops;
    void *ctx;
    int64_t bound_bytes;
    pthread_mutex_t lock;
    pthread_cond_t turned; /* it may be somebody's turn to commit */
    pthread_cond_t room;   /* a frame is finished */
    waiting *head, **tail;
    int64_t bytes;            /* queued and in work */
    int64_t pushed, finished; /* frames */
    int64_t turn;             /* sequence whose commit is next */
    isobath_status status;    /* first failure */
    int quit;
    int hurry;   /* callers that wait: nothing is kept waiting for another frame */
    int watched; /* 1: a thread watches the time of a frame that waits for another one */
    int threads;
    worker *workers, *idle;
};

static int64_t frame_bytes(const ib_depth_frame *frame)
{
    int64_t bytes = (int64_t)frame->width * frame->height * 4;
    if (frame->rgb) bytes += (int64_t)frame->rgb_width * frame->rgb_height * 3;
    return bytes;
}

/* Runs one frame; called without the lock. */
static isobath_status run_one(ib_frame_queue *queue, const waiting *item, int thread)
{
    isobath_status st = queue->ops.work(queue->ctx, item->frame, thread);
    if (!queue->ops.commit) return st;
    pthread_mutex_lock(&queue->lock);
    if (st != ISOBATH_OK && queue->status == ISOBATH_OK) queue->status = st;
    while (queue->turn != item->sequence) pthread_cond_wait(&queue->turned, &queue->lock);
    int skip = queue->status != ISOBATH_OK || queue->quit;
    pthread_mutex_unlock(&queue->lock);
    if (!skip) st = queue->ops.commit(queue->ctx, item->frame, thread);
    return st;
}

/* 1: the oldest frame is to wait for another one to be taken with. With the lock held. */
static int is_early(const ib_frame_queue *queue)
{
    struct timespec now;
    const waiting *head = queue->head;
    if (!head || head->next || head->frame->depth || !queue->ops.two || queue->ops.commit || queue->hurry || queue->quit || queue->status != ISOBATH_OK) return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < head->until.tv_sec || (now.tv_sec == head->until.tv_sec && now.tv_nsec < head->until.tv_nsec);
}

/* With the lock held. */
static void wake_one(ib_frame_queue *queue)
{
    worker *w = queue->idle;
    if (!w) return; /* whoever ends what it does looks for more */
    queue->idle = w->next;
    w->idle = 0;
    pthread_cond_signal(&w->wake);
}

/* Until it is woken, or the time has come (NULL: it does not); with the lock held. */
static void rest(ib_frame_queue *queue, worker *self, const struct timespec *until)
{
    int over = 0;
    self->idle = 1;
    self->next = queue->idle;
    queue->idle = self;
    while (self->idle && !over) over = until ? pthread_cond_timedwait(&self->wake, &queue->lock, until) == ETIMEDOUT : pthread_cond_wait(&self->wake, &queue->lock);
    if (!self->idle) return;
    worker **at = &queue->idle;
    while (*at != self) at = &(*at)->next;
    *at = self->next;
    self->idle = 0;
}

/* Until there is work, or the end; with the lock held. Of a frame that waits for another one a single thread watches the time. */
static void await_work(ib_frame_queue *queue, worker *self)
{
    for (int early; (early = is_early(queue)) || (!queue->head && !queue->quit);) {
        if (early && !queue->watched) {
            struct timespec until = queue->head->until;
            queue->watched = 1;
            rest(queue, self, &until);
            queue->watched = 0;
        } else
            rest(queue, self, NULL);
    }
}

/* Takes the oldest frame, or the two oldest; with the lock held. Returns how many. */
static int take(ib_frame_queue *queue, waiting *items[2])
{
    int count = 0, two = queue->ops.two && !queue->ops.commit;
    while (queue->head && count < 1 + two) {
        items[count] = queue->head;
        two &= !queue->head->frame->depth;
        if (count && !two) break;
        queue->head = items[count++]->next;
    }
    if (!queue->head) queue->tail = &queue->head;
    else if (count) wake_one(queue); /* somebody has to take what is left, or watch it */
    return count;
}

static void *worker_main(void *arg)
{
    worker *self = arg;
    ib_thread_name("sink");
    ib_frame_queue *queue = self->queue;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        waiting *items[2];
        await_work(queue, self);
        int count = take(queue, items);
        if (!count) break;
        self->sequence = items[0]->sequence;
        int skip = queue->status != ISOBATH_OK || queue->quit;
        isobath_status st = ISOBATH_OK;
        pthread_mutex_unlock(&queue->lock);
        if (!skip) st = count == 2 ? queue->ops.two(queue->ctx, (ib_depth_frame *const[2]){items[0]->frame, items[1]->frame}, self->thread)
                                   : run_one(queue, items[0], self->thread);
        for (int i = 0; i < count; i++) ib_depth_frame_unref(items[i]->frame);
        pthread_mutex_lock(&queue->lock);
        if (skip)
            while (queue->turn != items[0]->sequence && queue->ops.commit) pthread_cond_wait(&queue->turned, &queue->lock);
        if (queue->ops.commit) queue->turn = items[0]->sequence + 1;
        if (st != ISOBATH_OK && queue->status == ISOBATH_OK) queue->status = st;
        for (int i = 0; i < count; i++) {
            queue->bytes -= items[i]->bytes;
            free(items[i]);
        }
        queue->finished += count;
        self->sequence = INT64_MAX;
        if (queue->ops.commit) pthread_cond_broadcast(&queue->turned);
        pthread_cond_broadcast(&queue->room);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

isobath_status ib_frame_queue_create(int threads, int64_t bound_bytes, const ib_frame_queue_ops *ops, void *ctx,
                                     ib_diag *diag, ib_frame_queue **out)
{
    *out = NULL;
    if (threads <= 0) threads = ib_cpu_count();
    ib_frame_queue *queue = calloc(1, sizeof *queue);
    worker *workers = calloc((size_t)threads, sizeof *workers);
    if (!queue || !workers) {
        free(queue);
        free(workers);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a sink with %d threads", threads);
    }
    queue->ops = *ops;
    queue->ctx = ctx;
    queue->bound_bytes = bound_bytes > 0 ? bound_bytes : (int64_t)64 << 20;
    queue->tail = &queue->head;
    queue->workers = workers;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->turned, NULL);
    pthread_cond_init(&queue->room, NULL);
    for (int i = 0; i < threads; i++) {
        workers[i].queue = queue;
        workers[i].thread = i;
        workers[i].sequence = INT64_MAX;
        pthread_cond_init(&workers[i].wake, &monotonic);
        if (pthread_create(&workers[i].handle, NULL, worker_main, &workers[i]) != 0) {
            pthread_cond_destroy(&workers[i].wake);
            pthread_condattr_destroy(&monotonic);
            ib_frame_queue_destroy(queue);
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start sink thread %d of %d", i + 1, threads);
        }
        queue->threads++;
    }
    pthread_condattr_destroy(&monotonic);
    *out = queue;
    return ISOBATH_OK;
}

/* Until frames are finished; with the lock held. */
static void await_room(ib_frame_queue *queue)
{
    queue->hurry++;
    if (queue->head) wake_one(queue);
    pthread_cond_wait(&queue->room, &queue->lock);
    queue->hurry--;
}

isobath_status ib_frame_queue_push(ib_frame_queue *queue, ib_depth_frame *frame)
{
    waiting *item = malloc(sizeof *item);
    int64_t bytes = frame_bytes(frame);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (until.tv_nsec + PAIR_WAIT_NS) / 1000000000;
    until.tv_nsec = (until.tv_nsec + PAIR_WAIT_NS) % 1000000000;
    pthread_mutex_lock(&queue->lock);
    if (!item && queue->status == ISOBATH_OK) queue->status = ISOBATH_ERR_MEMORY;
    while (queue->status == ISOBATH_OK && queue->bytes > 0 && queue->bytes + bytes > queue->bound_bytes) await_room(queue);
    isobath_status st = queue->status;
    if (st == ISOBATH_OK) {
        ib_depth_frame_ref(frame);
        *item = (waiting){NULL, frame, bytes, queue->pushed++, until};
        *queue->tail = item;
        queue->tail = &item->next;
        queue->bytes += bytes;
        wake_one(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    if (st != ISOBATH_OK) free(item);
    return st;
}

int64_t ib_frame_queue_done(ib_frame_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    int64_t done = queue->head ? queue->head->sequence : queue->pushed;
    for (int i = 0; i < queue->threads; i++)
        if (queue->workers[i].sequence < done) done = queue->workers[i].sequence;
    if (queue->status != ISOBATH_OK) done = 0;
    pthread_mutex_unlock(&queue->lock);
    return done;
}

isobath_status ib_frame_queue_drain(ib_frame_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->finished < queue->pushed) await_room(queue);
    isobath_status st = queue->status;
    pthread_mutex_unlock(&queue->lock);
    return st;
}

void ib_frame_queue_destroy(ib_frame_queue *queue)
{
    if (!queue) return;
    pthread_mutex_lock(&queue->lock);
    queue->quit = 1;
    while (queue->idle) wake_one(queue);
    pthread_cond_broadcast(&queue->turned);
    pthread_mutex_unlock(&queue->lock);
    for (int i = 0; i < queue->threads; i++) {
        pthread_join(queue->workers[i].handle, NULL);
        pthread_cond_destroy(&queue->workers[i].wake);
    }
    pthread_cond_destroy(&queue->turned);
    pthread_cond_destroy(&queue->room);
    pthread_mutex_destroy(&queue->lock);
    free(queue->workers);
    free(queue);
}

int ib_frame_queue_threads(const ib_frame_queue *queue) { return queue->threads; }

int ib_sink_threads(const ib_sink_config *config) { return config->threads > 0 ? config->threads : ib_cpu_count(); }
