/* Vector kernels for SSE4.1, the baseline (x86-64-v2), f32 activations. */
#define IB_CPU_TABLE ib_cpu_kernels_sse4
#define IB_CPU_ISA "sse4"

#include "backend/cpu/kernels.h"
