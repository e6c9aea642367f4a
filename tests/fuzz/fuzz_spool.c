/* Spool and chain files from strangers. */
#include "accept.h"
#include "pipeline/cluster/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_spool(const uint8_t *data, size_t size)
{
    char path[64];
    ib_diag diag = IB_DIAG_INIT;
    ib_spool *s;
    int fd = memfd_create("spool", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    isobath_status st = ib_spool_open(path, &diag, &s);
    if (st == ISOBATH_OK) {
        const ib_spool_head *h = ib_spool_get_head(s);
        for (int64_t w = h->first; w < h->first + h->count; w++) ib_spool_get_window(s, w);
        if ((int64_t)h->width * h->height <= 1 << 20) st = ib_spool_verify(s);
    }
    fuzz_accept(st == ISOBATH_OK);
    if (st != ISOBATH_OK && !*diag.text) abort();
    ib_spool_close(s);
    close(fd);
    ib_diag_destroy(&diag);
}

/* "MAP", width, height, then a packed map: what a file's checksums keep from the unpacking. All paths give the same. */
static void unpack_map(const uint8_t *data, size_t size)
{
    if (size < 6 || memcmp(data, "MAP", 3) != 0 || !data[3] || !data[4]) return;
    int width = data[3], height = data[4], sound[3];
    size_t bytes = (size_t)width * (size_t)height * sizeof(float);
    float *map[3];
    uint8_t *packed = malloc(size - 6 ? size - 6 : 1); /* of its own: whoever reads beyond it is caught */
    if (!packed) abort();
    memcpy(packed, data + 6, size - 6);
    for (int i = 0; i < 3; i++) {
        ib_spool_packer *p = ib_spool_packer_create(i);
        if (!p || !(map[i] = calloc(1, bytes))) abort();
        sound[i] = ib_spool_unpack(p, packed, size - 6, width, height, map[i]);
        if (sound[i] != sound[0] || (sound[0] && memcmp(map[i], map[0], bytes) != 0)) abort();
        ib_spool_packer_destroy(p);
    }
    for (int i = 0; i < 3; i++) free(map[i]);
    free(packed);
    fuzz_accept(sound[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unpack_map(data, size);
    ib_shard shard = {.windows = 3};
    ib_chain chain;
    ib_diag diag = IB_DIAG_INIT;
    memset(shard.id, 'a', 64);
    read_spool(data, size);
    isobath_status st = ib_chain_parse(data, size, &shard, "fuzz", &diag, &chain);
    if (st == ISOBATH_OK && (!memchr(chain.kind, 0, sizeof chain.kind) || !chain.alignments)) abort();
    if (st != ISOBATH_OK && !*diag.text) abort();
    ib_chain_free(&chain);
    ib_diag_destroy(&diag);
    return 0;
}
