/* Tensor maps for the copy engine, through the driver's encoders found at run time (the module never links libcuda). */
#include "backend/cuda/tma.cuh"

typedef CUresult (*encode_tiled_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                    const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                    CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
typedef CUresult (*encode_im2col_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                     const cuuint64_t *, const int *, const int *, cuuint32_t, cuuint32_t,
                                     const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                     CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static void *find(const char *name)
{
    void *function = NULL;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    cudaError_t error = cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found);
#else
    cudaError_t error = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found);
#endif
    if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) {
        cudaGetLastError();
        return NULL;
    }
    return function;
}

int ib_cuda_find_encoders(ib_cuda_backend *be)
{
    be->encode_tiled = find("cuTensorMapEncodeTiled");
    be->encode_im2col = find("cuTensorMapEncodeIm2col");
    return be->encode_tiled && be->encode_im2col;
}

static CUtensorMapDataType data_type(const ib_cuda_backend *be)
{
    return be->base.act == IB_F16    ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
           : be->base.act == IB_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                     : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}
static cuuint64_t size_of(const ib_cuda_backend *be) { return (cuuint64_t)ib_dtype_size(be->base.act); }
/* Values of 128 bytes, which is what a copy moves of a row or position. */
static cuuint32_t run_of(const ib_cuda_backend *be) { return (cuuint32_t)(128 / size_of(be)); }

int ib_cuda_map_rows(const ib_cuda_backend *be, const void *data, int64_t k, int64_t rows, int64_t pitch, int box_rows,
                     CUtensorMap *map)
{
    const cuuint64_t dims[2] = {(cuuint64_t)k, (cuuint64_t)rows}, strides[1] = {(cuuint64_t)pitch * size_of(be)};
    const cuuint32_t box[2] = {run_of(be), (cuuint32_t)box_rows}, steps[2] = {1, 1};
    return ((encode_tiled_fn)be->encode_tiled)(map, data_type(be), 2, (void *)data, dims, strides, box, steps,
                                               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                               CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

int ib_cuda_map_windows(const ib_cuda_backend *be, const void *data, const int64_t dim[4], const int64_t stride[3],
                        int step, int pixels, CUtensorMap *map)
{
    const cuuint64_t dims[4] = {(cuuint64_t)dim[3], (cuuint64_t)dim[2], (cuuint64_t)dim[1], (cuuint64_t)dim[0]};
    const cuuint64_t strides[3] = {(cuuint64_t)stride[2] * size_of(be), (cuuint64_t)stride[1] * size_of(be),
                                   (cuuint64_t)stride[0] * size_of(be)};
    const int corner[2] = {-1, -1}; /* windows begin at -1 and end (begin) one before the last row and column */
    const cuuint32_t steps[4] = {1, (cuuint32_t)step, (cuuint32_t)step, 1};
    return ((encode_im2col_fn)be->encode_im2col)(map, data_type(be), 4, (void *)data, dims, strides, corner, corner, run_of(be),
                                                 (cuuint32_t)pixels, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                                 CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                                 CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

int ib_cuda_map_patch(const ib_cuda_backend *be, const void *data, const int64_t dim[4], const int64_t stride[3],
                      int box_w, int box_h, CUtensorMap *map)
{
    const cuuint64_t dims[4] = {(cuuint64_t)dim[3], (cuuint64_t)dim[2], (cuuint64_t)dim[1], (cuuint64_t)dim[0]};
    const cuuint64_t strides[3] = {(cuuint64_t)stride[2] * size_of(be), (cuuint64_t)stride[1] * size_of(be),
                                   (cuuint64_t)stride[0] * size_of(be)};
    const cuuint32_t box[4] = {run_of(be), (cuuint32_t)box_w, (cuuint32_t)box_h, 1}, steps[4] = {1, 1, 1, 1};
    return ((encode_tiled_fn)be->encode_tiled)(map, data_type(be), 4, (void *)data, dims, strides, box, steps,
                                               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                               CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
