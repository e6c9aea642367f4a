/* A run's backend and network, opened where memory allows; see setup.h. */
#include "pipeline/setup.h"

isobath_status ib_setup_open_backend(const ib_setup *s, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **out)
{
    ib_backend_options b = {.act = act, .device = s->device, .isa = s->options.cpu_isa, .pool = pool, .diag = diag};
    return s->device >= 0 ? ib_cuda_open(&b, out) : s->device == IB_DEVICE_NULL ? ib_null_open(&b, out) : ib_cpu_open(&b, out);
}

/* One attempt at a shape; on failure nothing is left open. */
static isobath_status try_network(const ib_setup *s, const ib_checkpoint *ckpt, ib_dtype act, const ib_vda_shape *shape,
                                  ib_pool *pool, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    isobath_status st = ib_setup_open_backend(s, act, pool, diag, backend);
    if (st == ISOBATH_OK) st = ib_vda_create(*backend, ckpt, &s->config, shape, diag, vda);
    if (st == ISOBATH_OK) return st;
    ib_backend_close(*backend);
    *backend = NULL;
    return st;
}

isobath_status ib_setup_open_network(ib_setup *s, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend,
                                     ib_vda **vda, char sha256[65])
{
    *backend = NULL;
    *vda = NULL;
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    ib_vda_shape shape = s->shape;
    ib_diag attempt = IB_DIAG_INIT;
    isobath_status st;
    int shrunk = 0;
    while ((st = try_network(s, ckpt, act, &shape, pool, &attempt, backend, vda)) == ISOBATH_ERR_MEMORY && ib_vda_shape_shrink(&shape)) {
        shrunk = 1;
        ib_diag_reset(&attempt);
    }
    if (st == ISOBATH_OK) {
        (*backend)->diag = diag;
        ib_vda_set_diag(*vda, diag);
    } else {
        ib_fail(diag, st, "%s", attempt.text);
    }
    ib_diag_destroy(&attempt);
    if (st == ISOBATH_OK && shrunk && act == s->act) {
        s->shape = shape;
        st = ib_vda_plan(&s->config, &s->shape, act, diag, &s->memory);
        ib_setup_note(s, "memory is short: smaller batches, the same result");
    }
    if (st == ISOBATH_OK && sha256) st = ib_setup_hash_model(s, diag, sha256);
    ib_checkpoint_close(ckpt);
    return st;
}

isobath_status ib_setup_reload_network(const ib_setup *s, ib_vda *vda, ib_diag *diag)
{
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    isobath_status st = ib_vda_reload(vda, ckpt);
    ib_checkpoint_close(ckpt);
    return st;
}
