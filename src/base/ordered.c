/* Side by side, and out in order; see ordered.h. Whoever ends the oldest item lets it go, and those after it that are done already. */
#include "base/ordered.h"

#include "base/thread_name.h"
#include <stdint.h>
#include <stdlib.h>

typedef struct place {
    void *item;
    int done;
    isobath_status status; /* of the work */
} place;

typedef struct helper {
    ib_ordered *ordered;
    int thread;
    pthread_t handle;
    pthread_cond_t wake; /* each has its own: nobody is woken for nothing */
    int idle;
    struct helper *next; /* that is idle */
} helper;

struct ib_ordered {
    ib_ordered_options o;
    pthread_mutex_t lock;
    pthread_cond_t left_one;
    place *places; /* ring of o.room: item n is in place n % room */
    int64_t pushed, begun, left;
    int leaving; /* somebody lets items go */
    int failed;  /* nothing is worked on any more */
    int quit;
    isobath_status status; /* the first failure in order */
    helper *helpers, *idle;
    int started;
};

/* Items that could be begun now. */
static int64_t beginnable(const ib_ordered *o)
{
    int64_t end = o->left + o->o.ahead < o->pushed ? o->left + o->o.ahead : o->pushed;
    return end - o->begun;
}

static void wake(ib_ordered *o, int64_t count)
{
    for (; count > 0 && o->idle; count--) {
        helper *h = o->idle;
        o->idle = h->next;
        h->idle = 0;
        pthread_cond_signal(&h->wake);
    }
}

/* The lock is held; given back while an item leaves. */
static void let_go(ib_ordered *o)
{
    if (o->leaving) return;
    o->leaving = 1;
    for (place *p; o->left < o->begun && (p = &o->places[o->left % o->o.room])->done;) {
        isobath_status st = o->status != ISOBATH_OK ? o->status : p->status;
        void *item = p->item;
        pthread_mutex_unlock(&o->lock);
        st = o->o.leave(o->o.ctx, item, st);
        pthread_mutex_lock(&o->lock);
        p->done = 0;
        if (st != ISOBATH_OK) o->failed = 1;
        if (o->status == ISOBATH_OK) o->status = st;
        o->left++;
        pthread_cond_broadcast(&o->left_one);
        wake(o, beginnable(o));
    }
    o->leaving = 0;
}

/* The next item from beginning to end. The lock is held before and after. */
static void do_one(ib_ordered *o, int thread)
{
    place *p = &o->places[o->begun++ % o->o.room];
    isobath_status st = ISOBATH_ERR_INTERRUPTED;
    int skip = o->failed;
    pthread_mutex_unlock(&o->lock);
    if (!skip && !(o->o.stopped && o->o.stopped(o->o.ctx))) st = o->o.work(o->o.ctx, p->item, thread);
    pthread_mutex_lock(&o->lock);
    p->status = st;
    p->done = 1;
    if (st != ISOBATH_OK) o->failed = 1;
    let_go(o);
}

static void *helper_main(void *arg)
{
    helper *h = arg;
    ib_ordered *o = h->ordered;
    ib_thread_name(o->o.name);
    pthread_mutex_lock(&o->lock);
    while (!o->quit) {
        if (beginnable(o) > 0) {
            do_one(o, h->thread);
            continue;
        }
        h->idle = 1;
        h->next = o->idle;
        o->idle = h;
        while (h->idle) pthread_cond_wait(&h->wake, &o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

isobath_status ib_ordered_create(const ib_ordered_options *options, ib_ordered **out)
{
    *out = NULL;
    ib_ordered *o = calloc(1, sizeof *o);
    if (!o) return ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for %d threads", options->threads);
    o->o = *options;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->left_one, NULL);
    o->places = calloc((size_t)options->room, sizeof *o->places);
    o->helpers = calloc((size_t)options->threads + 1, sizeof *o->helpers);
    isobath_status st = o->places && o->helpers ? ISOBATH_OK : ib_fail(options->diag, ISOBATH_ERR_MEMORY, "out of memory for %d threads", options->threads);
    while (st == ISOBATH_OK && o->started < options->threads) {
        helper *h = &o->helpers[o->started];
        h->ordered = o;
        h->thread = o->started;
        pthread_cond_init(&h->wake, NULL);
        if (pthread_create(&h->handle, NULL, helper_main, h) == 0) {
            o->started++;
            continue;
        }
        pthread_cond_destroy(&h->wake);
        st = ib_fail(options->diag, ISOBATH_ERR_MEMORY, "could not start thread %d of %d", o->started + 1, options->threads);
    }
    if (st != ISOBATH_OK) ib_ordered_destroy(o);
    else *out = o;
    return st;
}

void ib_ordered_destroy(ib_ordered *o)
{
    if (!o) return;
    ib_ordered_drain(o);
    pthread_mutex_lock(&o->lock);
    o->quit = 1;
    wake(o, o->started);
    pthread_mutex_unlock(&o->lock);
    for (int i = 0; i < o->started; i++) {
        pthread_join(o->helpers[i].handle, NULL);
        pthread_cond_destroy(&o->helpers[i].wake);
    }
    pthread_cond_destroy(&o->left_one);
    pthread_mutex_destroy(&o->lock);
    free(o->helpers);
    free(o->places);
    free(o);
}

isobath_status ib_ordered_push(ib_ordered *o, void *item)
{
    pthread_mutex_lock(&o->lock);
    while (o->pushed - o->left == o->o.room) pthread_cond_wait(&o->left_one, &o->lock);
    o->places[o->pushed++ % o->o.room].item = item;
    if (o->o.threads) wake(o, beginnable(o));
    else do_one(o, 0);
    isobath_status st = o->status;
    pthread_mutex_unlock(&o->lock);
    return st;
}

isobath_status ib_ordered_drain(ib_ordered *o)
{
    pthread_mutex_lock(&o->lock);
    while (o->left < o->pushed) pthread_cond_wait(&o->left_one, &o->lock);
    isobath_status st = o->status;
    pthread_mutex_unlock(&o->lock);
    return st;
}
