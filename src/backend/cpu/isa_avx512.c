/* Vector kernels for AVX-512 (F, BW, DQ, VL), f32 activations. */
#define IB_CPU_TABLE ib_cpu_kernels_avx512
#define IB_CPU_ISA "avx512"

#include "backend/cpu/kernels.h"
