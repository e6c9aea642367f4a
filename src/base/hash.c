/* SHA-256; see hash.h. */
#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ib_sha256 {
    EVP_MD_CTX *ctx;
};

ib_sha256 *ib_sha256_create(void)
{
    ib_sha256 *hash = malloc(sizeof *hash);
    if (!hash) return NULL;
    hash->ctx = EVP_MD_CTX_new();
    if (!hash->ctx || EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(hash->ctx);
        free(hash);
        return NULL;
    }
    return hash;
}

void ib_sha256_update(ib_sha256 *hash, const void *data, size_t size)
{
    if (hash) EVP_DigestUpdate(hash->ctx, data, size);
}

void ib_sha256_finish(ib_sha256 *hash, char hex[65])
{
    hex[0] = 0;
    if (!hash) return;
    unsigned char digest[32];
    if (EVP_DigestFinal_ex(hash->ctx, digest, NULL) == 1)
        for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash->ctx);
    free(hash);
}

isobath_status ib_sha256_memory(const void *data, size_t size, ib_diag *diag, char hex[65])
{
    ib_sha256 *hash = ib_sha256_create();
    ib_sha256_update(hash, data, size);
    ib_sha256_finish(hash, hex);
    return hex[0] ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a hash");
}

isobath_status ib_sha256_file(const char *path, ib_diag *diag, char hex[65])
{
    hex[0] = 0;
    FILE *f = fopen(path, "rb");
    if (!f) return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    ib_sha256 *hash = ib_sha256_create();
    char *buf = malloc(1 << 20);
    isobath_status st = ISOBATH_OK;
    if (!hash || !buf) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a hash", path);
    while (st == ISOBATH_OK) {
        size_t n = fread(buf, 1, 1 << 20, f);
        ib_sha256_update(hash, buf, n);
        if (n < 1 << 20) {
            if (ferror(f)) st = ib_fail(diag, ISOBATH_ERR_IO, "%s: read failed: %s", path, strerror(errno));
            break;
        }
    }
    ib_sha256_finish(hash, hex);
    if (st != ISOBATH_OK) hex[0] = 0;
    free(buf);
    fclose(f);
    return st;
}

static uint8_t nibble(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

void ib_sha256_pack(const char hex[65], uint8_t bytes[32])
{
    for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
}

void ib_sha256_unpack(const uint8_t bytes[32], char hex[65])
{
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    hex[64] = '\0';
}
