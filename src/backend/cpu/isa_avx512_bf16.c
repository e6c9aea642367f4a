/* Vector kernels for AVX-512 with AVX512_BF16, bfloat16 activations. */
#define IB_CPU_TABLE ib_cpu_kernels_avx512_bf16
#define IB_CPU_ISA "avx512"
#define IB_CPU_BF16

#include "backend/cpu/kernels.h"
