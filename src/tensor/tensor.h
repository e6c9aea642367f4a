/* Views of memory with a shape: what ops take and models pass around. A view owns nothing. */
#ifndef IB_TENSOR_TENSOR_H
#define IB_TENSOR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

/* The letters used for shapes everywhere: T frames, N tokens (or P pixels), C channels, H W rows and columns,
 * A heads, D head size, K inner dimension of a product. Channel-last always. */

typedef enum ib_dtype { IB_F32 = 0, IB_F16 = 1, IB_BF16 = 2, IB_U8 = 3 } ib_dtype;

#define IB_MAX_RANK 4

/* Strides are in elements; the last dimension is always contiguous (stride 1). `data` may be device memory. */
typedef struct ib_tensor {
    void *data;
    ib_dtype dtype;
    int rank; /* 1..IB_MAX_RANK */
    int64_t dim[IB_MAX_RANK];
    int64_t stride[IB_MAX_RANK];
} ib_tensor;

size_t ib_dtype_size(ib_dtype dtype);
const char *ib_dtype_name(ib_dtype dtype);

/* Contiguous views of rank 1 to 4 over `data`. */
ib_tensor ib_tensor_1d(void *data, ib_dtype dtype, int64_t d0);
ib_tensor ib_tensor_2d(void *data, ib_dtype dtype, int64_t d0, int64_t d1);
ib_tensor ib_tensor_3d(void *data, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2);
ib_tensor ib_tensor_4d(void *data, ib_dtype dtype, int64_t d0, int64_t d1, int64_t d2, int64_t d3);

/* Elements (product of the dimensions), and bytes of a contiguous tensor of that shape. */
int64_t ib_tensor_count(const ib_tensor *t);
size_t ib_tensor_bytes(const ib_tensor *t);
/* 1 when rows follow each other without gaps. */
int ib_tensor_is_contiguous(const ib_tensor *t);

/* Frames [first, first + count) along dimension 0. */
ib_tensor ib_tensor_slice(const ib_tensor *t, int64_t first, int64_t count);
/* Rows [first, first + count) along dimension `axis`. */
ib_tensor ib_tensor_narrow(const ib_tensor *t, int axis, int64_t first, int64_t count);
/* (T,H,W,C) <-> (T,H*W,C): the token view of a map and back; the map must be contiguous within a frame. */
ib_tensor ib_tensor_as_tokens(const ib_tensor *map);
ib_tensor ib_tensor_as_map(const ib_tensor *tokens, int64_t height, int64_t width);

/* "f32 (32,1370,384)" into buf; for error texts. Returns buf. */
char *ib_tensor_describe(const ib_tensor *t, char *buf, size_t size);

#endif
