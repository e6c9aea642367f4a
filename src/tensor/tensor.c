/* Views of memory with a shape; see tensor.h. */
#include "tensor/tensor.h"

#include <stdio.h>

size_t ib_dtype_size(ib_dtype dtype) { return dtype == IB_F32 ? 4 : dtype == IB_U8 ? 1 : 2; }

const char *ib_dtype_name(ib_dtype dtype)
{
    static const char *const names[] = {"f32", "f16", "bf16", "u8"};
    return names[dtype];
}

static ib_tensor make(void *data, ib_dtype dtype, int rank, const int64_t *dim)
{
    ib_tensor t = {.data = data, .dtype = dtype, .rank = rank};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t.dim[i] = dim[i];
        t.stride[i] = stride;
        stride *= dim[i];
    }
    return t;
}

ib_tensor ib_tensor_1d(void *data, ib_dtype dtype, int64_t d0) { return make(data, dtype, 1, (int64_t[]){d0}); }

ib_tensor ib_tensor_2d(void *data, ib_dtype dtype, int64_t d0, int64_t d1)
{
    return make(data, dtype, 2, (int64_t[]){d0, d1});
}

ib_tensor ib_tensor_3d(void *data, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2)
{
    return make(data, dtype, 3, (int64_t[]){d0, d1, d2});
}

ib_tensor ib_tensor_4d(void *data, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    return make(data, dtype, 4, (int64_t[]){d0, d1, d2, d3});
}

int64_t ib_tensor_count(const ib_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

size_t ib_tensor_bytes(const ib_tensor *t) { return (size_t)ib_tensor_count(t) * ib_dtype_size(t->dtype); }

int ib_tensor_is_contiguous(const ib_tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != stride) return 0;
        stride *= t->dim[i];
    }
    return 1;
}

ib_tensor ib_tensor_narrow(const ib_tensor *t, int axis, int64_t first, int64_t count)
{
    ib_tensor r = *t;
    r.data = (char *)t->data + (size_t)(first * t->stride[axis]) * ib_dtype_size(t->dtype);
    r.dim[axis] = count;
    return r;
}

ib_tensor ib_tensor_slice(const ib_tensor *t, int64_t first, int64_t count)
{
    return ib_tensor_narrow(t, 0, first, count);
}

ib_tensor ib_tensor_as_tokens(const ib_tensor *map)
{
    ib_tensor r = {.data = map->data, .dtype = map->dtype, .rank = 3};
    r.dim[0] = map->dim[0];
    r.dim[1] = map->dim[1] * map->dim[2];
    r.dim[2] = map->dim[3];
    r.stride[0] = map->stride[0];
    r.stride[1] = map->stride[2];
    r.stride[2] = 1;
    return r;
}

ib_tensor ib_tensor_as_map(const ib_tensor *tokens, int64_t height, int64_t width)
{
    ib_tensor r = {.data = tokens->data, .dtype = tokens->dtype, .rank = 4};
    r.dim[0] = tokens->dim[0];
    r.dim[1] = height;
    r.dim[2] = width;
    r.dim[3] = tokens->dim[2];
    r.stride[0] = tokens->stride[0];
    r.stride[1] = width * tokens->stride[1];
    r.stride[2] = tokens->stride[1];
    r.stride[3] = 1;
    return r;
}

char *ib_tensor_describe(const ib_tensor *t, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s (", ib_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && n >= 0 && (size_t)n < size; i++)
        n += snprintf(buf + n, size - (size_t)n, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    if (n >= 0 && (size_t)n < size) snprintf(buf + n, size - (size_t)n, ")");
    return buf;
}
