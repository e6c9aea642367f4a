/* A channel of pointers between threads; see channel.h. */
#include "base/channel.h"

#include <stdlib.h>

typedef struct node {
    struct node *next;
    void *item;
    size_t bytes;
} node;

struct ib_channel {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    ib_diag *diag;
    size_t limit, used;
    node *head, **tail;
    int closed, stopped;
};

isobath_status ib_channel_create(size_t bytes, ib_diag *diag, ib_channel **out)
{
    ib_channel *c = calloc(1, sizeof *c);
    *out = c;
    if (!c) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a channel");
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->diag = diag;
    c->limit = bytes;
    c->tail = &c->head;
    return ISOBATH_OK;
}

void ib_channel_destroy(ib_channel *c, void (*drop)(void *item))
{
    if (!c) return;
    while (c->head) {
        node *n = c->head;
        c->head = n->next;
        if (drop) drop(n->item);
        free(n);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int ib_channel_push(ib_channel *c, void *item, size_t bytes)
{
    node *n = malloc(sizeof *n);
    if (!n) {
        ib_fail(c->diag, ISOBATH_ERR_MEMORY, "out of memory for a channel"); /* and not a silent end */
        ib_channel_stop(c);
        return 0;
    }
    *n = (node){NULL, item, bytes};
    pthread_mutex_lock(&c->lock);
    while (!c->stopped && c->used && c->used + bytes > c->limit) pthread_cond_wait(&c->changed, &c->lock);
    int taken = !c->stopped;
    if (taken) {
        *c->tail = n;
        c->tail = &n->next;
        c->used += bytes;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    if (!taken) free(n);
    return taken;
}

void *ib_channel_pop(ib_channel *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->stopped && !c->head && !c->closed) pthread_cond_wait(&c->changed, &c->lock);
    node *n = c->stopped ? NULL : c->head;
    void *item = NULL;
    if (n) {
        c->head = n->next;
        if (!c->head) c->tail = &c->head;
        c->used -= n->bytes;
        item = n->item;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    free(n);
    return item;
}

static void set_flag(ib_channel *c, int *flag)
{
    pthread_mutex_lock(&c->lock);
    *flag = 1;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void ib_channel_close(ib_channel *c) { set_flag(c, &c->closed); }
void ib_channel_stop(ib_channel *c) { set_flag(c, &c->stopped); }

int ib_channel_stopped(ib_channel *c)
{
    pthread_mutex_lock(&c->lock);
    int stopped = c->stopped;
    pthread_mutex_unlock(&c->lock);
    return stopped;
}
