/* Vector kernels for AVX-512 with AVX512_BF16, bfloat16 activations, attention by AMX. */
#define IB_CPU_TABLE ib_cpu_kernels_amx
#define IB_CPU_ISA "amx"
#define IB_CPU_BF16
#define IB_CPU_TILES
#define IB_CPU_AMX

#include "backend/cpu/kernels.h"
