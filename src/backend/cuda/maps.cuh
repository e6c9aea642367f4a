/* What ops from one channel-last map (T,H,W,C) to another share when a thread makes V neighbouring channels of an output column:
 * their parameters, where a thread stands, and on the host which V, which type, which grid. */
#ifndef IB_BACKEND_CUDA_MAPS_CUH
#define IB_BACKEND_CUDA_MAPS_CUH

#include "backend/cuda/common.cuh"

struct ib_maps {
    const void *x;
    void *y;
    int64_t x_t, x_h, x_w, y_t, y_h, y_w; /* strides in elements */
    int in_h, in_w, out_h, out_w, channels; /* channels of y */
    float scale_h, scale_w; /* of ib_bilinear_axis_device */
};

/* The column of a thread and its first channel; of blockIdx.x, threads of a block in a row. Beyond the last column: none. */
struct ib_map_place {
    int column, c;
};
template <int V> __device__ __forceinline__ ib_map_place ib_map_place_of(const ib_maps &m)
{
    const uint32_t vectors = (uint32_t)m.channels / V, i = blockIdx.x * blockDim.x + threadIdx.x, column = i / vectors;
    return {(int)column, (int)(i - column * vectors) * V};
}
/* There, in the first row of frame blockIdx.z. */
template <typename T> __device__ __forceinline__ T *ib_map_out(const ib_maps &m, const ib_map_place &at)
{
    return (T *)m.y + blockIdx.z * m.y_t + (int64_t)at.column * m.y_w + at.c;
}

static inline ib_maps ib_cuda_maps(const ib_tensor *x, const ib_tensor *y)
{
    return {x->data,
            y->data,
            x->stride[0],
            x->stride[1],
            x->stride[2],
            y->stride[0],
            y->stride[1],
            y->stride[2],
            (int)x->dim[1],
            (int)x->dim[2],
            (int)y->dim[1],
            (int)y->dim[2],
            (int)y->dim[3],
            ib_cuda_bilinear_scale(x->dim[1], y->dim[1]),
            ib_cuda_bilinear_scale(x->dim[2], y->dim[2])};
}

/* `threads` of them in a block, each making V channels of `rows` rows of y. */
template <typename P>
static inline void ib_cuda_launch_maps(const ib_cuda_backend *be, void (*kernel)(P), int V, int threads, int rows,
                                       const ib_tensor *y, const P &p)
{
    const dim3 grid((unsigned)ib_ceil_div(y->dim[2] * (y->dim[3] / V), threads), (unsigned)ib_ceil_div(y->dim[1], rows),
                    (unsigned)y->dim[0]);
    ib_cuda_launch(be, kernel, grid, (unsigned)threads, 0, p);
}

/* Runs the statement with the type T of x and V channels a thread: 16 bytes of them where both tensors allow it, else one:
 *     IB_CUDA_DISPATCH_MAPS(&a->x, &a->y, T, V, ib_cuda_launch_maps(be, k_foo<T, V>, V, THREADS, ROWS, &a->y, p)); */
#define IB_CUDA_DISPATCH_MAPS(x_, y_, T, V, ...)                                                                       \
    do {                                                                                                               \
        const int wide_ = (y_)->dim[3] % (int64_t)(16 / ib_dtype_size((x_)->dtype)) == 0 && ib_cuda_aligned(x_, 16) && \
                          ib_cuda_aligned(y_, 16);                                                                     \
        IB_CUDA_DISPATCH((x_)->dtype, T, if (wide_) {                                                                  \
            constexpr int V = 16 / (int)sizeof(T);                                                                     \
            __VA_ARGS__;                                                                                               \
        } else {                                                                                                       \
            constexpr int V = 1;                                                                                       \
            __VA_ARGS__;                                                                                               \
        });                                                                                                            \
    } while (0)

#endif
