/* The copy engine and warpgroup products of sm_90a: tensor maps (host), mbarriers, bulk tensor copies, wgmma.
 * Shared-memory tiles are rows of 64 16-bit values (128 bytes) in the hardware's 128-byte swizzle: chunk c of row r lies
 * at c ^ (r & 7), as in gemm_mma.cuh; tiles start at multiples of 1024 bytes. */
#ifndef IB_BACKEND_CUDA_TMA_CUH
#define IB_BACKEND_CUDA_TMA_CUH

#include "backend/cuda/common.cuh"
#include <cuda.h>

/* ---- host: tensor maps ------------------------------------------------------------------------------------------- */

/* Finds the driver's encoders; 0 when the driver has none. Fills be->encode_tiled and be->encode_im2col. */
int ib_cuda_find_encoders(ib_cuda_backend *be);
/* Rows of `k` 16-bit values, `pitch` values apart; a copy moves 64 values of `box_rows` rows. 0 on failure. */
int ib_cuda_map_rows(const ib_cuda_backend *be, const void *data, int64_t k, int64_t rows, int64_t pitch, int box_rows,
                     CUtensorMap *map);
/* A channel-last map (T,H,W,C) read as the 3x3 windows of a convolution with padding 1: a copy moves 64 channels of
 * `pixels` consecutive output positions at one tap. Strides in elements. 0 on failure. */
int ib_cuda_map_windows(const ib_cuda_backend *be, const void *data, const int64_t dim[4], const int64_t stride[3],
                        int step, int pixels, CUtensorMap *map);
/* A channel-last map (T,H,W,C): a copy moves 64 channels of box_h x box_w positions of one frame, zeros outside. */
int ib_cuda_map_patch(const ib_cuda_backend *be, const void *data, const int64_t dim[4], const int64_t stride[3],
                      int box_w, int box_h, CUtensorMap *map);

/* ---- host: launches in clusters ---------------------------------------------------------------------------------- */

/* As ib_cuda_launch, `cluster` neighbouring blocks to a cluster. */
template <typename... P, typename... A>
static inline void ib_cuda_launch_clusters(const ib_cuda_backend *be, void (*kernel)(P...), int cluster, dim3 grid, dim3 block,
                                           size_t shared, A... args)
{
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeClusterDimension;
    attributes[0].val.clusterDim.x = (unsigned)cluster;
    attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
    attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[1].val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = be->stream;
    config.attrs = attributes;
    config.numAttrs = 1 + (unsigned)be->early_launch;
    (void)cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

/* ---- device ------------------------------------------------------------------------------------------------------- */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

__device__ __forceinline__ void ib_mbarrier_init(uint32_t barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals) : "memory");
}
/* Makes initialised barriers visible to the copy engine. */
__device__ __forceinline__ void ib_mbarrier_fence_init()
{
    asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
}
__device__ __forceinline__ void ib_mbarrier_expect(uint32_t barrier, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void ib_mbarrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}
/* Of the same barrier in block `rank` of the cluster. */
__device__ __forceinline__ void ib_mbarrier_arrive_at(uint32_t barrier, uint32_t rank)
{
    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
                 "}\n" ::"r"(barrier),
                 "r"(rank)
                 : "memory");
}
/* Blocks of the cluster; one without clusters. */
__device__ __forceinline__ uint32_t ib_cluster_blocks()
{
    uint32_t n;
    asm("mov.u32 %0, %%cluster_nctaid.x;\n" : "=r"(n));
    return n;
}
/* All threads of all its blocks meet. */
__device__ __forceinline__ void ib_cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;\n" ::: "memory");
}
/* Waits until the phase of this parity is complete. */
__device__ __forceinline__ void ib_mbarrier_wait(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra finished;\n"
                 "bra again;\n"
                 "finished:\n"
                 "}\n" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* The barriers of a ring of stages, by one thread: STAGES that a stage's copies complete, then STAGES that `readers` arrivals
 * free. */
template <int STAGES> __device__ __forceinline__ void ib_ring_init(uint32_t full, int readers)
{
    for (int s = 0; s < STAGES; s++) {
        ib_mbarrier_init(full + 8 * s, 1);
        ib_mbarrier_init(full + 8 * (STAGES + s), readers);
    }
}
/* Where one who fills or waits for the stages of a ring stands: its stage, the parity of its phase; tap and first channel of its
 * step of a product. */
template <int STAGES, int BK> struct ib_ring_place {
    int stage, tap, c;
    uint32_t parity;
    __device__ __forceinline__ explicit ib_ring_place(uint32_t first_parity) : stage(0), tap(0), c(0), parity(first_parity) {}
    __device__ __forceinline__ void begin_tile() { tap = c = 0; }
    __device__ __forceinline__ void advance(int channels)
    {
        c += BK;
        if (c >= channels) {
            c = 0;
            tap++;
        }
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
};
/* Two warpgroups of a block take turns at the tensor cores, in the order of the tiles (`turn` counts them): a barrier's parity
 * tells phases apart only for who saw the one before. `more`: the other group has a tile after this one. */
__device__ __forceinline__ void ib_turn_begin(int group, uint32_t turn)
{
    if (turn > 0) asm volatile("bar.sync %0, 256;\n" ::"r"(1 + group) : "memory");
}
__device__ __forceinline__ void ib_turn_end(int group, bool more)
{
    if (more) asm volatile("bar.arrive %0, 256;\n" ::"r"(2 - group) : "memory");
}

__device__ __forceinline__ void ib_tma_prefetch_map(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];\n" ::"l"(map) : "memory");
}
__device__ __forceinline__ void ib_tma_rows(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int k, int row)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
                 "[%2];\n" ::"r"(dst),
                 "l"(map), "r"(barrier), "r"(k), "r"(row)
                 : "memory");
}
/* The same into every block of the cluster that `blocks` names by bits, at the same place, and so its barrier. */
__device__ __forceinline__ void ib_tma_rows_shared(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int k, int row,
                                                   uint16_t blocks)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
                 "[%1, {%3, %4}], [%2], %5;\n" ::"r"(dst),
                 "l"(map), "r"(barrier), "r"(k), "r"(row), "h"(blocks)
                 : "memory");
}
/* c: first channel; (w,h,t): top left tap of the first window; dx, dy: the tap. */
__device__ __forceinline__ void ib_tma_windows(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int c, int w,
                                               int h, int t, int dx, int dy)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5, %6}], [%2], {%7, %8};\n" ::"r"(dst),
                 "l"(map), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(t), "h"((uint16_t)dx), "h"((uint16_t)dy)
                 : "memory");
}

/* (x,y): top left position of the patch, from channel 0 on. */
__device__ __forceinline__ void ib_tma_patch(uint32_t dst, const CUtensorMap *map, uint32_t barrier, int x, int y, int t)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
                 "%6}], [%2];\n" ::"r"(dst),
                 "l"(map), "r"(barrier), "r"(0), "r"(x), "r"(y), "r"(t)
                 : "memory");
}

/* Descriptor of a K-major tile in 128-byte swizzle: 8-row groups 1024 bytes apart. */
__device__ __forceinline__ uint64_t ib_wgmma_descriptor(uint32_t address)
{
    return (uint64_t)((address & 0x3ffffu) >> 4) | (uint64_t)1 << 16 | (uint64_t)64 << 32 | (uint64_t)1 << 62;
}
__device__ __forceinline__ void ib_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void ib_wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int pending> __device__ __forceinline__ void ib_wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(pending) : "memory");
}

template <int N> __device__ __forceinline__ void ib_wgmma_clear(float (&d)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) d[n][e] = 0.0f;
}

/* d (64 x N, f32) += A (64x16) B (Nx16)^T, A and B in shared memory, or A in registers (ldmatrix order).
 * Registers d[8 columns][4]: as mma m16n8, warp w of the group has rows 16w + g and 16w + g + 8. */
#define IB_D4(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define IB_D16(i) IB_D4(i), IB_D4(i + 1), IB_D4(i + 2), IB_D4(i + 3)
#define IB_D32(i) IB_D16(i), IB_D16(i + 4)
#define IB_D64(i) IB_D32(i), IB_D32(i + 8)
#define IB_R16_A "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define IB_R16_B ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define IB_R32_C                                                                                                       \
    ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"  \
    "%60,%61,%62,%63"
#define IB_R32_D                                                                                                       \
    ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,"  \
    "%92,%93,%94,%95"
#define IB_R32_E                                                                                                       \
    ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,"  \
    "%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define IB_D96(i) IB_D64(i), IB_D32(i + 16)
#define IB_D128(i) IB_D64(i), IB_D64(i + 16)
#define IB_WGMMA(N, TYPE, T, REGS, D, A_SS, B_SS, A0, A1, A2, A3, B_RS)                                                \
    template <> struct ib_wgmma<T, N> {                                                                                \
        static __device__ __forceinline__ void shared(float (&d)[N / 8][4], uint64_t a, uint64_t b)                    \
        {                                                                                                              \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" REGS "}, " A_SS ", " B_SS \
                         ", 1, 1, 1, 0, 0;\n"                                                                          \
                         : D(0)                                                                                        \
                         : "l"(a), "l"(b));                                                                            \
        }                                                                                                              \
        static __device__ __forceinline__ void registers(float (&d)[N / 8][4], const uint32_t (&a)[4], uint64_t b)     \
        {                                                                                                              \
            asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" REGS "}, {" A0 "," A1     \
                         "," A2 "," A3 "}, " B_RS ", 1, 1, 1, 0;\n"                                                    \
                         : D(0)                                                                                        \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                        \
        }                                                                                                              \
    };
template <typename T, int N> struct ib_wgmma;
#define IB_WGMMA_ALL(TYPE, T)                                                                                          \
    IB_WGMMA(32, TYPE, T, IB_R16_A, IB_D16, "%16", "%17", "%16", "%17", "%18", "%19", "%20")                           \
    IB_WGMMA(64, TYPE, T, IB_R16_A IB_R16_B, IB_D32, "%32", "%33", "%32", "%33", "%34", "%35", "%36")                  \
    IB_WGMMA(128, TYPE, T, IB_R16_A IB_R16_B IB_R32_C, IB_D64, "%64", "%65", "%64", "%65", "%66", "%67", "%68")       \
    IB_WGMMA(192, TYPE, T, IB_R16_A IB_R16_B IB_R32_C IB_R32_D, IB_D96, "%96", "%97", "%96", "%97", "%98", "%99", "%100") \
    IB_WGMMA(256, TYPE, T, IB_R16_A IB_R16_B IB_R32_C IB_R32_D IB_R32_E, IB_D128, "%128", "%129", "%128", "%129", "%130",  \
             "%131", "%132")
IB_WGMMA_ALL("f16", ib_f16)
IB_WGMMA_ALL("bf16", ib_bf16)

#endif
#endif
