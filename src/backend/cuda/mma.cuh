/* Warp-wide building blocks of tensor-core kernels for sm_80 and newer: asynchronous copies into shared memory,
 * ldmatrix and mma.sync. Code that uses them is guarded by `#if __CUDA_ARCH__ >= 800` and runs where
 * be->path >= IB_CUDA_MMA. Fragment letters follow the PTX manual: g = lane / 4, t = lane % 4.
 */
#ifndef IB_BACKEND_CUDA_MMA_CUH
#define IB_BACKEND_CUDA_MMA_CUH

#include "backend/cuda/common.cuh"

__device__ __forceinline__ uint32_t ib_smem_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* 16 bytes from global to shared memory; with valid == 0 the destination is zeroed and nothing is read. */
__device__ __forceinline__ void ib_cp_async16(uint32_t dst, const void *src, int valid)
{
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(dst), "l"(src), "r"(bytes) : "memory");
}
__device__ __forceinline__ void ib_cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/* Waits until at most `pending` of this thread's groups are under way. */
template <int pending> __device__ __forceinline__ void ib_cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(pending) : "memory");
}

/* Four 8x8 matrices of 16-bit values; lane 8i + r gives the address of row r of matrix i. Register i of a lane holds
 * row g, columns 2t and 2t+1 of matrix i (of 32-bit values: four per row, row g, column t). */
__device__ __forceinline__ void ib_ldmatrix_x4(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
/* The same, each matrix transposed: register i holds rows 2t and 2t+1 of column g. */
__device__ __forceinline__ void ib_ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* d (16x8, f32) += a (16x16) b (16x8), a row-major, b column-major. d: rows g, g+8, columns 2t, 2t+1. */
template <typename T>
__device__ __forceinline__ void ib_mma_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
__device__ __forceinline__ void ib_mma_16816<ib_f16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void ib_mma_16816<ib_bf16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* d (16x8, f32) += a (16x8) b (8x8): a0 row g, a1 row g+8, columns 2t, 2t+1. */
template <typename T> __device__ __forceinline__ void ib_mma_1688(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t b0);
template <> __device__ __forceinline__ void ib_mma_1688<ib_f16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t b0)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(b0));
}
template <> __device__ __forceinline__ void ib_mma_1688<ib_bf16>(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t b0)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(b0));
}
/* TF32: a0 (g,t), a1 (g+8,t), a2 (g,t+4), a3 (g+8,t+4); b0 (k=t,n=g), b1 (k=t+4,n=g); operands rounded beforehand. */
__device__ __forceinline__ void ib_mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* f32 to the nearest TF32 value (ties away from zero), as f32 bits; NaN and infinity keep their meaning. */
__device__ __forceinline__ float ib_round_tf32(float x)
{
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(r) : "f"(x));
    return __uint_as_float(r);
}
#endif

/* 2^x to about 2 ulp, subnormal results flushed to zero: ample for softmax weights. */
__device__ __forceinline__ float ib_exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

#endif
