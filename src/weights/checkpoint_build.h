/* What the two readers share: a checkpoint under construction, and checked arithmetic on untrusted shapes. */
#ifndef IB_WEIGHTS_CHECKPOINT_BUILD_H
#define IB_WEIGHTS_CHECKPOINT_BUILD_H

#include "weights/checkpoint.h"

#include <pthread.h>

struct ib_checkpoint {
    char *path;
    const char *format;
    const void *data; /* the whole file */
    size_t size;
    int mapped; /* data is an mmap that close undoes */
    ib_checkpoint_tensor *tensors;
    size_t count, capacity;
    size_t *by_name; /* indices of tensors, sorted by name */
    char **metadata; /* key, value, key, value ... */
    size_t metadata_count;
    pthread_mutex_t lock; /* guards sha256 */
    char sha256[65];
};

/* An empty checkpoint over `data`. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_checkpoint_create(const char *path, const char *format, const void *data, size_t size, ib_diag *diag,
                                    ib_checkpoint **out);
/* Appends a copy of `tensor` with a copy of its name. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_checkpoint_add(ib_checkpoint *checkpoint, const ib_checkpoint_tensor *tensor, ib_diag *diag);
isobath_status ib_checkpoint_add_metadata(ib_checkpoint *checkpoint, const char *key, const char *value, ib_diag *diag);
/* Sorts the names; two equal ones are ISOBATH_ERR_MODEL. */
isobath_status ib_checkpoint_seal(ib_checkpoint *checkpoint, ib_diag *diag);

/* Product of the dimensions into *count; 0 when a dimension is negative or count * 8 would not fit int64. */
int ib_shape_count(const int64_t *dim, int rank, int64_t *count);

/* An untrusted string made fit for a one-line error text: control characters become '?', long ones are cut. */
typedef struct ib_quoted {
    char text[120];
} ib_quoted;
ib_quoted ib_quote(const char *text, size_t size);

#endif
