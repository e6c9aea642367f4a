/* SHA-256 in hex, over memory and files (OpenSSL). */
#ifndef IB_BASE_HASH_H
#define IB_BASE_HASH_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ib_sha256 ib_sha256; /* a running hash */
ib_sha256 *ib_sha256_create(void);  /* NULL: out of memory */
void ib_sha256_update(ib_sha256 *hash, const void *data, size_t size);
void ib_sha256_finish(ib_sha256 *hash, char hex[65]); /* writes the digest and frees; hash may be NULL ("" is written) */

/* ISOBATH_ERR_MEMORY ("" is written). */
isobath_status ib_sha256_memory(const void *data, size_t size, ib_diag *diag, char hex[65]);
/* The same of two memories, hex[i] of 65 bytes each. `pair`, which may be NULL, does both in little more than the time of one. */
typedef void (*ib_sha256_pair)(const void *const data[2], const size_t size[2], uint8_t digest[2][32]);
ib_sha256_pair ib_sha256_pair_find(void); /* NULL: this processor has no SHA instructions */
isobath_status ib_sha256_two(ib_sha256_pair pair, const void *const data[2], const size_t size[2], ib_diag *diag, char *const hex[2]);
/* Errors: ISOBATH_ERR_IO with the path. */
isobath_status ib_sha256_file(const char *path, ib_diag *diag, char hex[65]);

/* 64 hex digits to 32 bytes and back. */
void ib_sha256_pack(const char hex[65], uint8_t bytes[32]);
void ib_sha256_unpack(const uint8_t bytes[32], char hex[65]);

#endif
