/* patchify: images into rows of 14x14x3 values, one row per patch; a thread writes 8 adjacent values. */
#include "backend/cuda/common.cuh"

template <typename T, bool VECTOR>
__global__ void k_patchify(const float *__restrict__ x, T *__restrict__ y, int64_t chunks, int rows, int columns)
{
    ib_grid_begin();
    const int64_t id = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (id >= chunks) return;
    const int k0 = (int)(id % (IB_PATCH_KPAD / 8)) * 8;
    const int64_t patch = id / (IB_PATCH_KPAD / 8);
    const int px = (int)(patch % columns);
    const int64_t q = patch / columns; /* t*rows + py: image rows 14 q .. 14 q + 13 of the stack of frames */
    const float *image = x + (q * IB_PATCH * columns + px) * (IB_PATCH * 3);
    float v[8];
#pragma unroll
    for (int e = 0; e < 8; e++) {
        const int k = k0 + e, ky = k / (IB_PATCH * 3);
        v[e] = k < IB_PATCH_K ? image[(int64_t)ky * columns * (IB_PATCH * 3) + k % (IB_PATCH * 3)] : 0.0f;
    }
    T *out = y + patch * IB_PATCH_KPAD + k0;
    if (VECTOR) {
        constexpr int N = 16 / sizeof(T);
#pragma unroll
        for (int e = 0; e < 8; e += N) {
            ib_vec<T, N> packed;
#pragma unroll
            for (int n = 0; n < N; n++) packed.v[n] = ib_from_f32<T>(v[e + n]);
            ib_store<T, N>(out + e, packed);
        }
    } else {
#pragma unroll
        for (int e = 0; e < 8; e++) out[e] = ib_from_f32<T>(v[e]);
    }
}

isobath_status ib_cuda_patchify(ib_backend *backend, const ib_patchify_args *a)
{
    ib_cuda_backend *be = ib_cuda(backend);
    const int64_t rows = a->x.dim[1] / IB_PATCH, columns = a->x.dim[2] / IB_PATCH;
    const int64_t chunks = a->x.dim[0] * rows * columns * (IB_PATCH_KPAD / 8);
    if (chunks == 0) return ISOBATH_OK;
    const unsigned grid = (unsigned)ib_ceil_div(chunks, 256);
    const float *x = (const float *)a->x.data;
    if (ib_cuda_aligned(&a->y, 16))
        IB_CUDA_DISPATCH(a->y.dtype, T, (ib_cuda_launch(be, k_patchify<T, true>, grid, 256, 0, x, (T *)a->y.data, chunks, (int)rows, (int)columns)));
    else
        IB_CUDA_DISPATCH(a->y.dtype, T, (ib_cuda_launch(be, k_patchify<T, false>, grid, 256, 0, x, (T *)a->y.data, chunks, (int)rows, (int)columns)));
    return ib_cuda_launched(backend, "patchify");
}
