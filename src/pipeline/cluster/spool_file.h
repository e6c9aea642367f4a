/* The layout of spool files (spool.c describes it), for what writes and what reads them. */
#ifndef IB_PIPELINE_CLUSTER_SPOOL_FILE_H
#define IB_PIPELINE_CLUSTER_SPOOL_FILE_H

#include "pipeline/cluster/spool.h"

#define IB_SPOOL_MAGIC "ISOBSPL2"
#define IB_SPOOL_MOST_WINDOWS (1u << 24)

enum {
    IB_SPOOL_HEAD_BYTES = 8 + 64 + 8 + 8 + 8 + 4 + 4 + 128 + 96 + 4,
    IB_SPOOL_ENTRY_BYTES = 4 + 8 + 4 + 8 + 12 * IB_PLAN_WINDOW,
    IB_SPOOL_TRAILER_BYTES = 8 + 4 + 8,
    IB_SPOOL_CHAIN_SLOTS = 1 | 1 << 1 | 1 << 12 /* first in the file */
};

typedef struct ib_spool_entry {
    ib_spool_window window;
    uint32_t slots;
    uint64_t offset; /* of its first map */
    uint32_t size[IB_PLAN_WINDOW], crc[IB_PLAN_WINDOW];
    float max[IB_PLAN_WINDOW]; /* of the map; 0 where it is not kept */
} ib_spool_entry;

/* The order of a window's maps in the file: takes the next slot out of what is left of the chain's and of the rest. */
static inline int ib_spool_next_slot(uint32_t *chain, uint32_t *rest)
{
    uint32_t *from = *chain ? chain : rest;
    int slot = __builtin_ctz(*from);
    *from &= *from - 1;
    return slot;
}

#endif
