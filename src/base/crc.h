/* CRC-32 as PNG, zip and our own files have it, of large blocks. */
#ifndef IB_BASE_CRC_H
#define IB_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Of `crc`'s data and then of these; 0: of these alone. The number that libdeflate_crc32 gives, up to four times as fast. */
uint32_t ib_crc32(uint32_t crc, const void *data, size_t size);

#endif
