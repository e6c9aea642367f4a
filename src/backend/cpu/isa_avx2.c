/* Vector kernels for AVX2 with FMA, f32 activations. */
#define IB_CPU_TABLE ib_cpu_kernels_avx2
#define IB_CPU_ISA "avx2"

#include "backend/cpu/kernels.h"
