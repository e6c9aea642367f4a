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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
