/* What the few globals and calls of a torch checkpoint mean to the restricted pickle reader; see pickle.h. */
#include "weights/pickle.h"

#include <string.h>

static const ib_pickle_global globals[] = {
    {"collections", "OrderedDict", IB_GLOBAL_DICT, 0, -1},
    {"torch", "Size", IB_GLOBAL_SIZE, 0, -1},
    {"torch._utils", "_rebuild_tensor_v2", IB_GLOBAL_TENSOR_V2, 0, -1},
    {"torch._utils", "_rebuild_tensor_v3", IB_GLOBAL_TENSOR_V3, 0, -1},
    {"torch._utils", "_rebuild_parameter", IB_GLOBAL_PARAMETER, 0, -1},
    {"torch", "FloatStorage", IB_GLOBAL_STORAGE, 4, IB_F32},
    {"torch", "HalfStorage", IB_GLOBAL_STORAGE, 2, IB_F16},
    {"torch", "BFloat16Storage", IB_GLOBAL_STORAGE, 2, IB_BF16},
    {"torch.storage", "UntypedStorage", IB_GLOBAL_STORAGE, 1, -1},
    /* Counters and the like may sit beside the weights; they are described but cannot be read as weights. */
    {"torch", "DoubleStorage", IB_GLOBAL_STORAGE, 8, -1},
    {"torch", "LongStorage", IB_GLOBAL_STORAGE, 8, -1},
    {"torch", "IntStorage", IB_GLOBAL_STORAGE, 4, -1},
    {"torch", "ShortStorage", IB_GLOBAL_STORAGE, 2, -1},
    {"torch", "CharStorage", IB_GLOBAL_STORAGE, 1, -1},
    {"torch", "ByteStorage", IB_GLOBAL_STORAGE, 1, -1},
    {"torch", "BoolStorage", IB_GLOBAL_STORAGE, 1, -1},
    {"torch", "float32", IB_GLOBAL_DTYPE, 4, IB_F32},
    {"torch", "float16", IB_GLOBAL_DTYPE, 2, IB_F16},
    {"torch", "bfloat16", IB_GLOBAL_DTYPE, 2, IB_BF16},
};

const ib_pickle_global *ib_pickle_global_find(const char *module, size_t module_length, const char *name,
                                              size_t name_length)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const ib_pickle_global *g = &globals[i];
        if (strlen(g->module) == module_length && memcmp(g->module, module, module_length) == 0 &&
            strlen(g->name) == name_length && memcmp(g->name, name, name_length) == 0)
            return g;
    }
    return NULL;
}

/* Item i of a tuple if it is of that kind, else NULL. */
static const ib_pickle_value *item(const ib_pickle_value *tuple, size_t i, ib_pickle_kind kind)
{
    if (tuple->kind != IB_PICKLE_TUPLE || i >= tuple->as.seq.count || tuple->as.seq.items[i]->kind != kind) return NULL;
    return tuple->as.seq.items[i];
}

static int all_integers(const ib_pickle_value *tuple)
{
    for (size_t i = 0; i < tuple->as.seq.count; i++)
        if (!item(tuple, i, IB_PICKLE_INT)) return 0;
    return 1;
}

/* (storage, storage_offset, size, stride, requires_grad, backward_hooks[, dtype][, metadata]) */
static isobath_status call_tensor(ib_pickle *pickle, const ib_pickle_global *callee, const ib_pickle_value *args,
                                  ib_pickle_value **result)
{
    int v3 = callee->use == IB_GLOBAL_TENSOR_V3;
    const ib_pickle_value *storage = item(args, 0, IB_PICKLE_STORAGE), *offset = item(args, 1, IB_PICKLE_INT);
    const ib_pickle_value *dim = item(args, 2, IB_PICKLE_TUPLE), *stride = item(args, 3, IB_PICKLE_TUPLE);
    const ib_pickle_value *dtype = v3 ? item(args, 6, IB_PICKLE_GLOBAL) : NULL;
    size_t least = v3 ? 7 : 6;
    if (!storage || !offset || !dim || !stride || args->as.seq.count < least || args->as.seq.count > least + 1)
        return ib_pickle_fail(pickle, "the arguments of %s are not (storage, offset, size, stride, ...)", callee->name);
    if (!all_integers(dim) || !all_integers(stride) || dim->as.seq.count != stride->as.seq.count)
        return ib_pickle_fail(pickle, "size and stride of a tensor are not tuples of as many integers");
    if (v3 && (!dtype || dtype->as.global->use != IB_GLOBAL_DTYPE))
        return ib_pickle_fail(pickle, "argument 6 of %s is not a known torch dtype", callee->name);
    if (v3 && storage->as.storage.type->item_bytes != 1)
        return ib_pickle_fail(pickle, "%s on torch.%s, expected torch.storage.UntypedStorage", callee->name,
                              storage->as.storage.type->name);
    ib_pickle_value *t = ib_pickle_new(pickle, IB_PICKLE_TENSOR);
    if (!t) return ISOBATH_ERR_MEMORY;
    t->as.tensor.storage = storage;
    t->as.tensor.type = v3 ? dtype->as.global : storage->as.storage.type;
    t->as.tensor.offset = offset->as.integer;
    t->as.tensor.dim = dim;
    t->as.tensor.stride = stride;
    *result = t;
    return ISOBATH_OK;
}

isobath_status ib_pickle_call(ib_pickle *pickle, const ib_pickle_value *callable, ib_pickle_value *args,
                              ib_pickle_value **result)
{
    if (callable->kind != IB_PICKLE_GLOBAL)
        return ib_pickle_fail(pickle, "opcode REDUCE calls a %s, expected a function that builds tensors",
                              ib_pickle_kind_name(callable->kind));
    if (args->kind != IB_PICKLE_TUPLE)
        return ib_pickle_fail(pickle, "opcode REDUCE with a %s for arguments, expected a tuple",
                              ib_pickle_kind_name(args->kind));
    const ib_pickle_global *g = callable->as.global;
    switch (g->use) {
    case IB_GLOBAL_TENSOR_V2:
    case IB_GLOBAL_TENSOR_V3: return call_tensor(pickle, g, args, result);
    case IB_GLOBAL_PARAMETER: /* (data, requires_grad, backward_hooks) */
        if (args->as.seq.count != 3 || !item(args, 0, IB_PICKLE_TENSOR))
            return ib_pickle_fail(pickle, "the arguments of _rebuild_parameter are not (tensor, requires_grad, hooks)");
        *result = args->as.seq.items[0];
        return ISOBATH_OK;
    case IB_GLOBAL_DICT:
        if (args->as.seq.count != 0)
            return ib_pickle_fail(pickle, "collections.OrderedDict with %zu arguments, expected none",
                                  args->as.seq.count);
        *result = ib_pickle_new(pickle, IB_PICKLE_DICT);
        if (!*result) return ISOBATH_ERR_MEMORY;
        (*result)->as.seq.ordered = 1;
        return ISOBATH_OK;
    case IB_GLOBAL_SIZE:
        if (args->as.seq.count != 1 || !item(args, 0, IB_PICKLE_TUPLE))
            return ib_pickle_fail(pickle, "the argument of torch.Size is not a tuple");
        *result = args->as.seq.items[0];
        return ISOBATH_OK;
    case IB_GLOBAL_STORAGE:
    case IB_GLOBAL_DTYPE: break;
    }
    return ib_pickle_fail(pickle, "opcode REDUCE calls %s.%s: refused, it builds no tensor", g->module, g->name);
}

isobath_status ib_pickle_persistent(ib_pickle *pickle, const ib_pickle_value *id, ib_pickle_value **result)
{
    const ib_pickle_value *tag = item(id, 0, IB_PICKLE_STRING), *type = item(id, 1, IB_PICKLE_GLOBAL);
    const ib_pickle_value *key = item(id, 2, IB_PICKLE_STRING), *numel = item(id, 4, IB_PICKLE_INT);
    if (!tag || tag->as.string.length != 7 || memcmp(tag->as.string.text, "storage", 7) != 0 || !type || !key ||
        !item(id, 3, IB_PICKLE_STRING) || !numel || id->as.seq.count != 5)
        return ib_pickle_fail(pickle, "a persistent id is not ('storage', type, key, location, size)");
    if (type->as.global->use != IB_GLOBAL_STORAGE)
        return ib_pickle_fail(pickle, "a persistent id names %s.%s, expected a storage type", type->as.global->module,
                              type->as.global->name);
    ib_pickle_value *s = ib_pickle_new(pickle, IB_PICKLE_STORAGE);
    if (!s) return ISOBATH_ERR_MEMORY;
    s->as.storage.type = type->as.global;
    s->as.storage.key = key;
    s->as.storage.numel = numel->as.integer;
    *result = s;
    return ISOBATH_OK;
}
