/* .safetensors reader: 8 bytes of header length, a JSON header, then the data of all tensors without gap or overlap. */
#include "weights/checkpoint_build.h"

#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LIMIT 100000000u /* the format's own */

/* A tensor of the header before it is known to be sound; offsets count from the end of the header. */
typedef struct entry {
    const char *name;
    ib_checkpoint_tensor tensor;
    uint64_t begin, end;
} entry;

typedef struct reader {
    const char *path;
    ib_diag *diag;
    const uint8_t *body;
    uint64_t body_size;
} reader;

static isobath_status bad(const reader *r, const char *name, const char *what)
{
    return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': %s", r->path, ib_quote(name, strlen(name)).text, what);
}

static int parse_dtype(const char *text, ib_dtype *dtype)
{
    static const struct {
        const char *name;
        ib_dtype dtype;
    } known[] = {{"F32", IB_F32}, {"F16", IB_F16}, {"BF16", IB_BF16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(text, known[i].name) == 0) {
            *dtype = known[i].dtype;
            return 1;
        }
    }
    return 0;
}

static isobath_status parse_entry(const reader *r, const char *name, json_t *value, entry *e)
{
    e->name = name;
    ib_checkpoint_tensor *t = &e->tensor;
    const json_t *dtype = json_object_get(value, "dtype"), *shape = json_object_get(value, "shape");
    const json_t *offsets = json_object_get(value, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets) || json_array_size(offsets) != 2)
        return bad(r, name, "expected an object with dtype, shape and two data_offsets");
    if (!parse_dtype(json_string_value(dtype), &t->dtype)) {
        const char *text = json_string_value(dtype);
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': dtype %s, expected F32, F16 or BF16", r->path,
                       ib_quote(name, strlen(name)).text, ib_quote(text, strlen(text)).text);
    }
    if (json_array_size(shape) > IB_CHECKPOINT_MAX_RANK)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: tensor '%s': rank %zu, expected at most %d", r->path,
                       ib_quote(name, strlen(name)).text, json_array_size(shape), IB_CHECKPOINT_MAX_RANK);
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return bad(r, name, "a dimension of the shape is not a non-negative integer");
        t->dim[i] = json_integer_value(d);
    }
    if (!ib_shape_count(t->dim, t->rank, &t->count)) return bad(r, name, "the shape has more than 2^60 values");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin))
        return bad(r, name, "data_offsets are not two rising non-negative integers");
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    uint64_t bytes = (uint64_t)t->count * ib_dtype_size(t->dtype);
    if (e->end - e->begin != bytes)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: tensor '%s': data_offsets span %" PRIu64 " bytes, expected %" PRIu64
                       " for its shape and dtype",
                       r->path, ib_quote(name, strlen(name)).text, e->end - e->begin, bytes);
    if (e->end > r->body_size)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: tensor '%s' ends at byte %" PRIu64 " of the data, but there are only %" PRIu64
                       ": the file is truncated",
                       r->path, ib_quote(name, strlen(name)).text, e->end, r->body_size);
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        t->stride[i] = stride;
        stride *= t->dim[i] ? t->dim[i] : 1;
    }
    t->name = name;
    t->data = r->body + e->begin;
    return ISOBATH_OK;
}

static isobath_status parse_metadata(const reader *r, json_t *value, ib_checkpoint *c)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: __metadata__ is not an object of strings", r->path);
    json_object_foreach(value, key, item)
    {
        if (!json_is_string(item))
            return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: __metadata__ value of '%s' is not a string", r->path,
                           ib_quote(key, strlen(key)).text);
        IB_TRY(ib_checkpoint_add_metadata(c, key, json_string_value(item), r->diag));
    }
    return ISOBATH_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* In file order the tensors must tile the data exactly. */
static isobath_status check_tiling(const reader *r, const entry *entries, size_t count)
{
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        if (e->begin < at)
            return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                           "%s: tensors '%s' and '%s' overlap at byte %" PRIu64 " of the data", r->path,
                           ib_quote(entries[i - 1].name, strlen(entries[i - 1].name)).text,
                           ib_quote(e->name, strlen(e->name)).text, e->begin);
        if (e->begin > at)
            return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                           "%s: bytes %" PRIu64 " to %" PRIu64 " of the data, before tensor '%s', belong to no tensor",
                           r->path, at, e->begin, ib_quote(e->name, strlen(e->name)).text);
        at = e->end;
    }
    if (at != r->body_size)
        return ib_fail(r->diag, ISOBATH_ERR_MODEL,
                       "%s: %" PRIu64 " bytes of data, but the tensors hold %" PRIu64
                       ": bytes at the end belong to no tensor",
                       r->path, r->body_size, at);
    return ISOBATH_OK;
}

static isobath_status parse_header(const reader *r, json_t *root, entry *entries, ib_checkpoint *c)
{
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            IB_TRY(parse_metadata(r, value, c));
        else
            IB_TRY(parse_entry(r, key, value, &entries[count++]));
    }
    if (count == 0) return ib_fail(r->diag, ISOBATH_ERR_MODEL, "%s: the checkpoint holds no tensors", r->path);
    qsort(entries, count, sizeof *entries, compare_offsets);
    IB_TRY(check_tiling(r, entries, count));
    for (size_t i = 0; i < count; i++) IB_TRY(ib_checkpoint_add(c, &entries[i].tensor, r->diag));
    return ib_checkpoint_seal(c, r->diag);
}

isobath_status ib_safetensors_parse(const void *data, size_t size, const char *name, ib_diag *diag, ib_checkpoint **out)
{
    *out = NULL;
    if (size < 8)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: %zu bytes, expected at least the 8-byte header length: truncated",
                       name, size);
    const uint8_t *bytes = data;
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > HEADER_LIMIT)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: header length %" PRIu64 " at byte 0, the format allows at most %u",
                       name, length, HEADER_LIMIT);
    if (length > size - 8)
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: a header of %" PRIu64 " bytes is announced, but only %zu follow: the file is truncated",
                       name, length, size - 8);
    if (length < 2 || bytes[8] != '{')
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: the header at byte 8 does not start with '{'", name);
    json_error_t error;
    json_t *root = json_loadb((const char *)bytes + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return ib_fail(diag, ib_json_status(&error, ISOBATH_ERR_MODEL), "%s: header, near byte %d: %s", name, error.position + 8,
                       ib_quote(ib_json_reason(&error), strlen(ib_json_reason(&error))).text);
    reader r = {name, diag, bytes + 8 + length, size - 8 - length};
    ib_checkpoint *c = NULL;
    entry *entries = calloc(json_object_size(root) + 1, sizeof *entries);
    isobath_status st = entries ? ib_checkpoint_create(name, "safetensors", data, size, diag, &c)
                                : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
    if (st == ISOBATH_OK) st = parse_header(&r, root, entries, c);
    free(entries);
    json_decref(root);
    if (st != ISOBATH_OK) {
        ib_checkpoint_close(c);
        return st;
    }
    *out = c;
    return ISOBATH_OK;
}
