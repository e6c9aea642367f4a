/* PyTorch .pth reader: a zip of stored entries, PREFIX/data.pkl (the state dict, by the restricted pickle reader) and
 * PREFIX/data/KEY (one per storage). Nothing in the file is executed. */
#include "weights/checkpoint_build.h"
#include "weights/pickle.h"
#include "weights/zip.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PICKLE_LIMIT (16u << 20) /* a state dict's pickle has about 150 bytes per tensor */
#define NEST_LIMIT 4

typedef struct reader {
    const char *path;
    ib_diag *diag;
    ib_zip zip;
    char prefix[256]; /* of all entries, with its slash */
    ib_checkpoint *checkpoint;
} reader;

static int ends_with(const ib_zip_entry *e, const char *tail)
{
    size_t n = strlen(tail);
    return e->name_length >= n && memcmp(e->name + e->name_length - n, tail, n) == 0;
}

/* The entry PREFIX/data.pkl; sets the prefix. */
static isobath_status find_pickle(reader *r, ib_zip_entry **out)
{
    ib_zip_entry *found = NULL;
    for (size_t i = 0; i < r->zip.count; i++) {
        ib_zip_entry *e = &r->zip.entries[i];
        if (ends_with(e, "/constants.pkl"))
            return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                           "%s: a TorchScript program, not a checkpoint: save model.state_dict() with torch.save",
                           r->path);
        if (!ends_with(e, "/data.pkl")) continue;
        if (found)
            return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: two entries are named data.pkl, expected one", r->path);
        found = e;
    }
    if (!found)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: a zip archive without data.pkl, not written by torch.save",
                       r->path);
    size_t length = found->name_length - strlen("data.pkl");
    if (length >= sizeof r->prefix || memchr(found->name, 0, length))
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the archive's folder '%s' is not a sane name", r->path,
                       ib_quote(found->name, length).text);
    memcpy(r->prefix, found->name, length);
    r->prefix[length] = 0;
    if (found->size > PICKLE_LIMIT)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: data.pkl has %" PRIu64 " bytes, expected at most %u", r->path,
                       found->size, PICKLE_LIMIT);
    *out = found;
    return ISOBATH_OK;
}

static isobath_status check_byte_order(const reader *r)
{
    char name[300];
    int n = snprintf(name, sizeof name, "%sbyteorder", r->prefix);
    ib_zip_entry *e = ib_zip_find(&r->zip, name, (size_t)n);
    if (!e) return ISOBATH_OK; /* older files have none and are little-endian */
    IB_TRY(ib_zip_check(&r->zip, e, r->diag));
    if (e->size != 6 || memcmp(e->data, "little", 6) != 0)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: byte order '%s', expected little", r->path,
                       ib_quote((const char *)e->data, (size_t)e->size).text);
    return ISOBATH_OK;
}

/* The bytes of a storage. */
static isobath_status find_storage(const reader *r, const ib_pickle_value *storage, const char *name,
                                   const ib_zip_entry **out)
{
    const ib_pickle_value *key = storage->as.storage.key;
    char path[600];
    ib_quoted label = ib_quote(key->as.string.text, key->as.string.length);
    if (key->as.string.length > 255)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': storage key '%s' is too long", r->path, name,
                       label.text);
    int n = snprintf(path, sizeof path, "%sdata/", r->prefix);
    memcpy(path + n, key->as.string.text, key->as.string.length);
    ib_zip_entry *e = ib_zip_find(&r->zip, path, (size_t)n + key->as.string.length);
    if (!e)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': its storage data/%s is missing", r->path, name,
                       label.text);
    int64_t numel = storage->as.storage.numel, bytes = storage->as.storage.type->item_bytes;
    if (numel < 0 || numel > INT64_MAX / 8 || (uint64_t)(numel * bytes) != e->size)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: tensor '%s': storage data/%s has %" PRIu64 " bytes, expected %" PRId64 " values of %" PRId64
                       " bytes",
                       r->path, name, label.text, e->size, numel, bytes);
    *out = e;
    return ib_zip_check(&r->zip, e, r->diag);
}

/* Checks that all elements of the view lie in `limit` elements of storage; offsets are products of untrusted numbers.
 */
static int view_fits(const ib_checkpoint_tensor *t, int64_t offset, int64_t limit)
{
    if (offset < 0 || offset > limit || t->count > limit) return 0;
    if (t->count == 0) return 1;
    int64_t room = limit - offset - 1; /* index of the last element may rise by this much */
    for (int i = 0; i < t->rank; i++) {
        if (t->stride[i] < 0) return 0;
        if (t->dim[i] == 1 || t->stride[i] == 0) continue;
        if (t->stride[i] > room / (t->dim[i] - 1)) return 0;
        room -= t->stride[i] * (t->dim[i] - 1);
    }
    return room >= 0;
}

static isobath_status add_tensor(const reader *r, const char *name, const ib_pickle_value *value)
{
    ib_quoted label = ib_quote(name, strlen(name));
    const ib_pickle_value *dim = value->as.tensor.dim, *stride = value->as.tensor.stride;
    const ib_pickle_global *type = value->as.tensor.type;
    if (type->dtype < 0)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': type %s.%s, expected Float, Half or BFloat16",
                       r->path, label.text, type->module, type->name);
    if (dim->as.seq.count > IB_CHECKPOINT_MAX_RANK)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': rank %zu, expected at most %d", r->path,
                       label.text, dim->as.seq.count, IB_CHECKPOINT_MAX_RANK);
    ib_checkpoint_tensor t = {.name = name, .dtype = (ib_dtype)type->dtype, .rank = (int)dim->as.seq.count};
    for (int i = 0; i < t.rank; i++) {
        t.dim[i] = dim->as.seq.items[i]->as.integer;
        t.stride[i] = stride->as.seq.items[i]->as.integer;
    }
    if (!ib_shape_count(t.dim, t.rank, &t.count))
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: tensor '%s': a dimension is negative or the shape has more than "
                       "2^60 values",
                       r->path, label.text);
    const ib_zip_entry *entry = NULL;
    IB_TRY(find_storage(r, value->as.tensor.storage, label.text, &entry));
    int64_t limit = (int64_t)(entry->size / (uint64_t)type->item_bytes);
    if (!view_fits(&t, value->as.tensor.offset, limit))
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: tensor '%s': shape, strides and offset do not fit its storage of %" PRId64 " values",
                       r->path, label.text, limit);
    t.data = entry->data + (uint64_t)value->as.tensor.offset * (uint64_t)type->item_bytes;
    return ib_checkpoint_add(r->checkpoint, &t, r->diag);
}

static int key_is(const ib_pickle_value *key, const char *text)
{
    return key->kind == IB_PICKLE_STRING && key->as.string.length == strlen(text) &&
           memcmp(key->as.string.text, text, key->as.string.length) == 0;
}

/* The dict that holds the tensors: the root, or what training code wraps it in. */
static isobath_status find_state(const reader *r, const ib_pickle_value *root, const ib_pickle_value **out)
{
    static const char *const wrappers[] = {"state_dict", "model", "model_state_dict"};
    const ib_pickle_value *dict = root;
    for (int depth = 0; depth <= NEST_LIMIT; depth++) {
        if (dict->kind != IB_PICKLE_DICT)
            return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the checkpoint is a %s, expected a dict of tensors",
                           r->path, ib_pickle_kind_name(dict->kind));
        const ib_pickle_value *inner = NULL;
        int tensors = 0;
        for (size_t i = 0; i < dict->as.seq.count; i += 2) {
            const ib_pickle_value *value = dict->as.seq.items[i + 1];
            tensors |= value->kind == IB_PICKLE_TENSOR;
            for (size_t k = 0; !inner && value->kind == IB_PICKLE_DICT && k < sizeof wrappers / sizeof *wrappers; k++)
                if (key_is(dict->as.seq.items[i], wrappers[k])) inner = value;
        }
        if (!inner && tensors) {
            *out = dict;
            return ISOBATH_OK;
        }
        if (!inner) return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the checkpoint holds no tensors", r->path);
        dict = inner;
    }
    return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the dict of tensors is nested more than %d deep", r->path,
                   NEST_LIMIT);
}

/* Values that are no tensors (an epoch, None) are passed over. */
static isobath_status add_tensors(const reader *r, const ib_pickle_value *dict)
{
    for (size_t i = 0; i < dict->as.seq.count; i += 2) {
        const ib_pickle_value *key = dict->as.seq.items[i], *value = dict->as.seq.items[i + 1];
        if (value->kind != IB_PICKLE_TENSOR) continue;
        if (key->kind != IB_PICKLE_STRING)
            return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the name of a tensor is of type %s, expected string",
                           r->path, ib_pickle_kind_name(key->kind));
        const char *text = key->as.string.text;
        size_t length = key->as.string.length;
        if (length > 7 && memcmp(text, "module.", 7) == 0) { /* torch.nn.DataParallel */
            text += 7;
            length -= 7;
        }
        char name[512];
        if (length == 0 || length >= sizeof name || memchr(text, 0, length))
            return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: '%s' is not a sane name of a tensor", r->path,
                           ib_quote(text, length).text);
        memcpy(name, text, length);
        name[length] = 0;
        IB_TRY(add_tensor(r, name, value));
    }
    return ib_checkpoint_seal(r->checkpoint, r->diag);
}

static isobath_status read_archive(reader *r)
{
    ib_zip_entry *entry = NULL;
    IB_TRY(find_pickle(r, &entry));
    IB_TRY(check_byte_order(r));
    IB_TRY(ib_zip_check(&r->zip, entry, r->diag));
    char where[600];
    snprintf(where, sizeof where, "%.500s: data.pkl", r->path);
    ib_pickle *pickle = NULL;
    IB_TRY(ib_pickle_run(entry->data, (size_t)entry->size, where, r->diag, &pickle));
    const ib_pickle_value *dict = NULL;
    isobath_status st = find_state(r, ib_pickle_root(pickle), &dict);
    if (st == ISOBATH_OK) st = add_tensors(r, dict);
    ib_pickle_free(pickle);
    return st;
}

isobath_status ib_torch_pth_parse(const void *data, size_t size, const char *name, ib_diag *diag, ib_checkpoint **out)
{
    *out = NULL;
    reader r = {.path = name, .diag = diag};
    IB_TRY(ib_zip_open(data, size, name, diag, &r.zip));
    isobath_status st = ib_checkpoint_create(name, "pytorch", data, size, diag, &r.checkpoint);
    if (st == ISOBATH_OK) st = read_archive(&r);
    ib_zip_free(&r.zip);
    if (st != ISOBATH_OK) {
        ib_checkpoint_close(r.checkpoint);
        return st;
    }
    *out = r.checkpoint;
    return ISOBATH_OK;
}
