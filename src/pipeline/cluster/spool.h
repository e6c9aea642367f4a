/* Spool files: the raw windows of one segment of a run that was cut into tasks, kept until they are aligned and rendered. Only maps that
 * someone reads later are kept, bits and all: docs/CLUSTER.md says which and how they are packed. */
#ifndef IB_PIPELINE_CLUSTER_SPOOL_H
#define IB_PIPELINE_CLUSTER_SPOOL_H

#include "base/diag.h"
#include "pipeline/plan.h"
#include <stddef.h>
#include <stdint.h>

/* Slots of window k of a shot of n frames that the chain or the rendering reads, as a bit mask. `temporal` 0: every frame is by itself.
 * With `all_weights` maps that enter a cross-fade with weight 0 are kept, too (--guard off: an infinite scale times 0 is not 0). Pure. */
uint32_t ib_spool_slots(int64_t k, int64_t n, int temporal, int metric, int all_weights);
/* Those of them that the chain reads. */
uint32_t ib_spool_chain_slots(int64_t k, int64_t n, int temporal, int metric);

/* What a file is of: must be equal in what writes and reads it. */
typedef struct ib_spool_head {
    char plan[65];             /* of the plan: hex SHA-256 */
    int64_t segment;
    int64_t first, count;      /* windows of the video */
    int32_t width, height;     /* of a map */
    char kind[128];            /* backend, path and precision that computed it */
    char decoder[96];          /* codec, decoder and version that read the input */
} ib_spool_head;

/* What is said of a window beside its maps. */
typedef struct ib_spool_window {
    int32_t redone;
    int64_t nonfinite;
} ib_spool_window;

/* Writing: PATH appears complete or not at all, and two writers of one file do not disturb each other. One thread. */
typedef struct ib_spool_writer ib_spool_writer;
isobath_status ib_spool_create(const char *path, const ib_spool_head *head, ib_diag *diag, ib_spool_writer **out);
/* The next window: those maps of raw f32 (32,height,width) that `slots` names. */
isobath_status ib_spool_write(ib_spool_writer *writer, const ib_spool_window *window, uint32_t slots, const float *raw);
/* Syncs, renames and frees; *bytes is the file's size. */
isobath_status ib_spool_commit(ib_spool_writer *writer, int64_t *bytes);
void ib_spool_abort(ib_spool_writer *writer); /* NULL allowed */

/* Reading. A damaged or foreign file is ISOBATH_ERR_INPUT with one line that says what is wrong with it; one that is not there
 * likewise. One thread at a time. */
typedef struct ib_spool ib_spool;
isobath_status ib_spool_open(const char *path, ib_diag *diag, ib_spool **out);
void ib_spool_close(ib_spool *spool); /* NULL allowed */
const ib_spool_head *ib_spool_get_head(const ib_spool *spool);
ib_spool_window ib_spool_get_window(const ib_spool *spool, int64_t window);        /* window: of the video, in the file's range */
float ib_spool_get_max(const ib_spool *spool, int64_t window, int slot); /* largest value of a map; 0: not kept, or nothing above 0 */
/* One map, f32 (height,width). */
isobath_status ib_spool_read(ib_spool *spool, int64_t window, int slot, float *map);
/* The same, with another place for the error line than what it was opened with. */
isobath_status ib_spool_read_into(ib_spool *spool, int64_t window, int slot, float *map, ib_diag *diag);
/* Reads and checks every block: for a segment that is there already. */
isobath_status ib_spool_verify(ib_spool *spool);

/* The packing of a map by itself: packed holds at most ib_spool_bound() bytes. Pure but for scratch memory; for tests and benchmarks.
 * `most` 0: the quickest code that this processor has; 1: none beyond AVX2; 2: plain. The bytes and the maps are the same. */
typedef struct ib_spool_packer ib_spool_packer;
ib_spool_packer *ib_spool_packer_create(int most); /* NULL: out of memory */
void ib_spool_packer_destroy(ib_spool_packer *packer);
size_t ib_spool_bound(int width, int height);
/* Returns the packed size, 0: out of memory. */
size_t ib_spool_pack(ib_spool_packer *packer, const float *map, int width, int height, uint8_t *packed);
/* 0: the bytes are not such a map. */
int ib_spool_unpack(ib_spool_packer *packer, const uint8_t *packed, size_t size, int width, int height, float *map);

#endif
