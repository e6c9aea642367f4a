/* The rules of op.h that hold for one tensor argument by itself, and for aliasing between them; see fields.h. */
#include "op/fields.h"

#include <stdio.h>

/* Bytes from the first element to one past the last. */
static size_t extent(const ib_tensor *t)
{
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++) last += (t->dim[i] - 1) * t->stride[i];
    return (size_t)(last + 1) * ib_dtype_size(t->dtype);
}

/* Bytes of a row, dimensions that follow each other without gaps taken together; `outer` is how many remain. */
static size_t row_bytes(const ib_tensor *t, int *outer)
{
    int64_t run = 1;
    int i = t->rank;
    while (i > 0 && (t->dim[i - 1] == 1 || t->stride[i - 1] == run)) run *= t->dim[--i];
    *outer = i;
    return (size_t)run * ib_dtype_size(t->dtype);
}

static size_t gcd(size_t a, size_t b)
{
    while (b) {
        size_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* 0 when no byte belongs to both. Exact for whole ranges; for interleaved views (columns of one packed buffer) rows are
 * compared modulo the common stride. */
static int overlap(const ib_tensor *a, const ib_tensor *b)
{
    uintptr_t pa = (uintptr_t)a->data, pb = (uintptr_t)b->data;
    if (pa + extent(a) <= pb || pb + extent(b) <= pa) return 0;
    int outer_a, outer_b;
    size_t row_a = row_bytes(a, &outer_a), row_b = row_bytes(b, &outer_b), pitch = 0;
    for (int i = 0; i < outer_a; i++)
        if (a->dim[i] > 1) pitch = gcd(pitch, (size_t)a->stride[i] * ib_dtype_size(a->dtype));
    for (int i = 0; i < outer_b; i++)
        if (b->dim[i] > 1) pitch = gcd(pitch, (size_t)b->stride[i] * ib_dtype_size(b->dtype));
    if (pitch == 0 || row_a + row_b > pitch) return 1;
    size_t a_to_b = (size_t)((pb % pitch + pitch - pa % pitch) % pitch);
    return !(a_to_b >= row_a && pitch - a_to_b >= row_b);
}

/* Does no element of the view share memory with another one? Dimensions in order of stride must nest. */
static int distinct_elements(const ib_tensor *t)
{
    int order[IB_MAX_RANK], n = 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] == 1) continue;
        int j = n++;
        for (; j > 0 && t->stride[order[j - 1]] > t->stride[i]; j--) order[j] = order[j - 1];
        order[j] = i;
    }
    int64_t span = 1;
    for (int k = 0; k < n; k++) {
        if (t->stride[order[k]] < span) return 0;
        span += (t->dim[order[k]] - 1) * t->stride[order[k]];
    }
    return 1;
}

static int dense_frame(const ib_tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank - 1; i > 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != stride) return 0;
        stride *= t->dim[i];
    }
    return 1;
}

static int same_view(const ib_tensor *a, const ib_tensor *b)
{
    if (a->data != b->data || a->dtype != b->dtype || a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i] || (a->dim[i] > 1 && a->stride[i] != b->stride[i])) return 0;
    return 1;
}

/* The rules that hold for one tensor by itself. */
static const char *check_field(const ib_field *f)
{
    const ib_tensor *t = f->t;
    if (!t->data) return f->flags & IB_FIELD_OPTIONAL ? NULL : "a required tensor is NULL";
    if ((unsigned)t->dtype > IB_U8 || !(f->types & 1u << t->dtype)) return "wrong type";
    if (t->rank < 1 || t->rank > IB_MAX_RANK || (f->rank && t->rank != f->rank)) return "wrong rank";
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] < 1) return "a dimension is not positive";
        if (t->stride[i] < 0) return "a stride is negative";
    }
    if (t->dim[t->rank - 1] > 1 && t->stride[t->rank - 1] != 1) return "the last dimension is not contiguous";
    if ((uintptr_t)t->data % ib_dtype_size(t->dtype)) return "the address is not a multiple of the element size";
    if ((f->flags & IB_FIELD_CONTIGUOUS) && !ib_tensor_is_contiguous(t)) return "must be contiguous";
    if ((f->flags & IB_FIELD_DENSE_FRAME) && !dense_frame(t)) return "must be contiguous within a frame";
    if ((f->flags & IB_FIELD_OUTPUT) && !distinct_elements(t)) return "elements of the output overlap each other";
    return NULL;
}

const char *ib_fields_check(const ib_field *fields, int count, const ib_field **bad)
{
    for (int i = 0; i < count; i++) {
        *bad = &fields[i];
        const char *why = check_field(&fields[i]);
        if (why) return why;
    }
    const ib_field *out = &fields[count - 1];
    for (int i = 0; i < count - 1 && (out->flags & IB_FIELD_OUTPUT); i++) {
        const ib_field *in = &fields[i];
        *bad = in;
        if (!in->t->data || !overlap(in->t, out->t)) continue;
        if (!(in->flags & IB_FIELD_SAME_VIEW)) return "the output overlaps an input";
        if (!same_view(in->t, out->t)) return "overlaps the output without being the same view";
    }
    *bad = NULL;
    return NULL;
}

isobath_status ib_fields_fail(ib_backend *b, const char *op, const char *why, const ib_field *bad, const ib_field *fields, int count,
                              const ib_weight *w)
{
    char text[IB_DIAG_TEXT], shape[96];
    size_t n = 0;
    for (int i = 0; i < count && n < sizeof text; i++) {
        const ib_tensor *t = fields[i].t;
        int known = (unsigned)t->dtype <= IB_U8 && t->rank >= 0 && t->rank <= IB_MAX_RANK;
        const char *s = !t->data ? "none" : known ? ib_tensor_describe(t, shape, sizeof shape) : "not a tensor";
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %s", i ? ", " : "", fields[i].name, s);
    }
    if (w && n < sizeof text)
        snprintf(text + n, sizeof text - n, ", weight %lldx%lld", (long long)w->out_channels,
                 (long long)w->in_channels);
    return ib_fail(b->diag, ISOBATH_ERR_INTERNAL, "op %s on %s: %s%s%s (%s)", op, b->ops->name, bad ? bad->name : "",
                   bad ? ": " : "", why, text);
}
