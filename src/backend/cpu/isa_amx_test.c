/* isa_amx.c with vector instructions in the place of AMX, so that its code can be tested on processors without. */
#define IB_CPU_TABLE ib_cpu_kernels_amx_test
#define IB_CPU_ISA "tiles"
#define IB_CPU_BF16
#define IB_CPU_TILES

#include "backend/cpu/kernels.h"
