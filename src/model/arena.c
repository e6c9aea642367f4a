/* A bump arena over one device buffer; see arena.h. */
#include "model/arena.h"

isobath_status ib_device_alloc(ib_backend *be, ib_budget *budget, size_t bytes, void **out)
{
    *out = NULL;
    if (!ib_budget_take(budget, bytes))
        return ib_fail(be->diag, ISOBATH_ERR_MEMORY, "%s: %.1f MiB asked for, %.1f of the %.1f MiB allowed are in use", be->ops->name,
                       (double)bytes / 1048576.0, (double)atomic_load(&budget->used) / 1048576.0,
                       (double)budget->limit / 1048576.0);
    isobath_status st = be->ops->buffer_alloc(be, bytes, out);
    if (st != ISOBATH_OK) ib_budget_give(budget, bytes);
    return st;
}

void ib_device_free(ib_backend *be, ib_budget *budget, void *buffer, size_t bytes)
{
    if (!buffer) return;
    be->ops->buffer_free(be, buffer);
    ib_budget_give(budget, bytes);
}

isobath_status ib_arena_init(ib_arena *arena, ib_backend *backend, size_t bytes, ib_budget *budget)
{
    *arena = (ib_arena){.backend = backend, .size = bytes, .budget = budget};
    void *base = NULL;
    IB_TRY(ib_device_alloc(backend, budget, bytes, &base));
    arena->base = base;
    return ISOBATH_OK;
}

void ib_arena_free(ib_arena *arena)
{
    if (arena->base) ib_device_free(arena->backend, arena->budget, arena->base, arena->size);
    arena->base = NULL;
}

static isobath_status take(ib_arena *arena, size_t bytes, void **out)
{
    size_t rounded = (bytes + 255) & ~(size_t)255;
    if (rounded > arena->size - arena->used)
        return ib_fail(arena->backend->diag, ISOBATH_ERR_MEMORY,
                       "arena of %zu bytes is too small: %zu in use, %zu more asked for", arena->size, arena->used, bytes);
    *out = arena->base + arena->used;
    arena->used += rounded;
    if (arena->used > arena->peak) arena->peak = arena->used;
    return ISOBATH_OK;
}

isobath_status ib_arena_3d(ib_arena *arena, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, ib_tensor *out)
{
    *out = ib_tensor_3d(NULL, dtype, d0, d1, d2);
    return take(arena, ib_tensor_bytes(out), &out->data);
}

isobath_status ib_arena_4d(ib_arena *arena, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, int64_t d3,
                           ib_tensor *out)
{
    *out = ib_tensor_4d(NULL, dtype, d0, d1, d2, d3);
    return take(arena, ib_tensor_bytes(out), &out->data);
}
