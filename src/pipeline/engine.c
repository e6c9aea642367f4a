/* A device that stays open with the model loaded; see engine.h. */
#include "pipeline/engine.h"
#include "pipeline/fleet/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What must be the same for a network to serve another run. */
typedef struct engine_key {
    char model[4096], isa[16];
    int64_t model_bytes, model_changed_ns;
    ib_dtype act;
    int device, threads;
} engine_key;

struct isobath_engine {
    engine_key key;
    ib_vda_config config; /* the network points to it */
    ib_pool *pool;
    ib_backend *backend;
    ib_vda *vda;
    ib_vda_shape shape;
    ib_vda_memory memory;
    int busy;
    ib_child *child[IB_MAX_DEVICES]; /* at rest */
    int child_device[IB_MAX_DEVICES], child_count;
    int64_t loaded; /* times that a model was read */
};

isobath_engine *isobath_engine_create(void) { return calloc(1, sizeof(isobath_engine)); }

static void drop(isobath_engine *e)
{
    ib_vda_destroy(e->vda);
    ib_backend_close(e->backend);
    ib_pool_destroy(e->pool);
    e->vda = NULL;
    e->backend = NULL;
    e->pool = NULL;
}

void isobath_engine_destroy(isobath_engine *e)
{
    if (!e) return;
    drop(e);
    while (e->child_count) ib_child_close(e->child[--e->child_count]);
    free(e);
}

void ib_engine_started_child(isobath_engine *e) { e->loaded++; }

void ib_engine_keep_child(isobath_engine *e, int device, ib_child *child)
{
    if (e->child_count == IB_MAX_DEVICES) {
        ib_child_close(child);
        return;
    }
    e->child_device[e->child_count] = device;
    e->child[e->child_count++] = child;
}

ib_child *ib_engine_take_child(isobath_engine *e, int device)
{
    for (int i = 0; i < e->child_count; i++) {
        if (e->child_device[i] != device) continue;
        ib_child *c = e->child[i];
        e->child_count--;
        e->child[i] = e->child[e->child_count];
        e->child_device[i] = e->child_device[e->child_count];
        return c;
    }
    return NULL;
}

int64_t isobath_engine_loads(const isobath_engine *e) { return e->loaded; }

static engine_key key_of(const ib_setup *s)
{
    engine_key k;
    struct stat sb;
    memset(&k, 0, sizeof k); /* compared as bytes */
    snprintf(k.model, sizeof k.model, "%s", s->model_path);
    snprintf(k.isa, sizeof k.isa, "%s", s->options.cpu_isa ? s->options.cpu_isa : "");
    if (stat(s->model_path, &sb) == 0) {
        k.model_bytes = (int64_t)sb.st_size;
        k.model_changed_ns = (int64_t)sb.st_mtim.tv_sec * 1000000000 + sb.st_mtim.tv_nsec;
    }
    k.act = s->act;
    k.device = s->device;
    k.threads = s->threads;
    return k;
}

static isobath_status open_anew(isobath_engine *e, const engine_key *key, ib_setup *s, ib_diag *diag)
{
    drop(e);
    e->key = *key;
    e->config = s->config;
    IB_TRY(ib_pool_create(s->threads, diag, &e->pool));
    IB_TRY(ib_setup_open_network(s, s->act, e->pool, diag, &e->backend, &e->vda, NULL));
    ib_vda_lend(e->vda, &e->config, diag);
    e->loaded++;
    return ISOBATH_OK;
}

isobath_status ib_engine_take(isobath_engine *e, ib_setup *s, ib_diag *diag, ib_pool **pool, ib_backend **backend, ib_vda **vda)
{
    engine_key key = key_of(s);
    if (e->busy) return ib_fail(diag, ISOBATH_ERR_USAGE, "an engine serves one session at a time");
    isobath_status st = ISOBATH_OK;
    int same = e->vda && memcmp(&key, &e->key, sizeof key) == 0 && memcmp(&s->config, &e->config, sizeof e->config) == 0;
    if (same) {
        e->backend->diag = diag;
        ib_vda_lend(e->vda, &e->config, diag);
        int fits = e->shape.height == s->shape.height && e->shape.width == s->shape.width;
        if (!fits && (st = ib_vda_reshape(e->vda, &s->shape)) != ISOBATH_OK) { /* with all of the device's memory, then */
            ib_diag_reset(diag);
            same = 0;
        }
        if (fits) {
            s->shape = e->shape;
            s->memory = e->memory;
        }
    }
    if (!same) st = open_anew(e, &key, s, diag);
    if (st != ISOBATH_OK) {
        drop(e);
        return st;
    }
    e->shape = s->shape;
    e->memory = s->memory;
    e->busy = 1;
    *pool = e->pool;
    *backend = e->backend;
    *vda = e->vda;
    return ISOBATH_OK;
}

void ib_engine_give(isobath_engine *e)
{
    e->busy = 0;
    if (e->backend) e->backend->diag = NULL;
}
