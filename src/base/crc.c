/* CRC-32 by ISA-L; see crc.h. */
#include "base/crc.h"

#include <isa-l/crc.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* ISA-L's AVX-512 code leaves the upper halves of registers dirty, after which SSE code, such as our PNG filter, takes three times as long. */
__attribute__((target("avx"))) static void clean_registers(void) { _mm256_zeroupper(); }
static int has_upper_halves(void) { return __builtin_cpu_supports("avx"); }
#else
static void clean_registers(void) {}
static int has_upper_halves(void) { return 0; }
#endif

uint32_t ib_crc32(uint32_t crc, const void *data, size_t size)
{
    crc = crc32_gzip_refl(crc, data, size);
    if (has_upper_halves()) clean_registers();
    return crc;
}
