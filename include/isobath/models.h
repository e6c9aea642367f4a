/* The models that isobath knows by name: what they are, whether they are on this machine, and fetching them. */
#ifndef ISOBATH_MODELS_H
#define ISOBATH_MODELS_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One known model. All strings are constants; all but `repository` are never NULL. */
typedef struct isobath_known_model {
    const char *name; /* "nano", "nano-metric", "vits", "vits-metric" ... */
    const char *file; /* "video_depth_anything_vits.pth" */
    const char
        *repository;     /* "depth-anything/Video-Depth-Anything-Small"; NULL: comes with isobath, is never fetched */
    const char *page;    /* where a person reads about it */
    const char *licence; /* SPDX identifier: "Apache-2.0", "CC-BY-NC-4.0" */
    const char *terms;   /* what the licence means, in one line */
    int noncommercial;   /* 1: may not be used commercially */
    int metric;          /* 1: metres, 0: relative disparity */
} isobath_known_model;

/* The table, in the order to show it. Thread-safe. */
size_t isobath_models_count(void);
const isobath_known_model *isobath_models_at(size_t i); /* NULL beyond the end */
/* By name, or by file name with or without its extension; NULL when unknown. */
const isobath_known_model *isobath_models_find(const char *name);

/* Path of a known model's file if it is on this machine, into path[size] (4096 is enough). Looked for, in this order:
 * models/ beside the binary, ../assets/models (a source tree) and ../share/isobath/models from there, the install
 * prefix, $ISOBATH_MODELS, the cache folder. A .safetensors of the same stem is taken too (isobath convert makes one).
 * ISOBATH_ERR_MODEL when it is nowhere. Thread-safe. */
isobath_status isobath_models_locate(const isobath_known_model *model, char *path, size_t size);

/* The folder that models are fetched to: $XDG_CACHE_HOME/isobath or ~/.cache/isobath. ISOBATH_ERR_USAGE when neither
 * variable is set. */
isobath_status isobath_models_cache(char *path, size_t size);

/* How to fetch. Zeroed: the defaults. */
typedef struct isobath_pull_options {
    int accept_licence;   /* the user has read `terms` and agreed; without it nothing is fetched (ISOBATH_ERR_USAGE) */
    const char *folder;   /* where to; NULL: the cache folder. Created when missing */
    const char *base_url; /* NULL: $ISOBATH_MODELS_URL, else https://huggingface.co */
    int attempts;         /* tries without a new byte before giving up; 0: 5 */
    int stall_seconds;    /* a connection slower than 1 kB/s for that long is dropped and resumed; 0: 30 */
    int retry_ms;         /* pause before the second try, doubled for each further one; 0: 1000 */
    /* Called now and then from the calling thread: bytes there, bytes in all (-1: unknown). Non-zero stops the
     * transfer with ISOBATH_ERR_INTERRUPTED; what is there is kept for the next call. NULL: not called. */
    int (*progress)(void *ctx, int64_t done, int64_t total);
    void *ctx;
} isobath_pull_options;

/* Fetches a known model into the folder, as FILE.part first; a broken or stopped transfer goes on from there, now or
 * in a later call. Before the file gets its name its size is checked, its SHA-256 where the server states one, and that
 * it is a checkpoint. A file that is there already is left alone. `path` gets the file's path; on failure `error` (may
 * be NULL) one line. Errors: ISOBATH_ERR_USAGE (licence; a model that is not fetched), ISOBATH_ERR_IO (network, disk,
 * another process fetching the same file), ISOBATH_ERR_MODEL (what came is not what was announced),
 * ISOBATH_ERR_INTERRUPTED, ISOBATH_ERR_MEMORY. Thread-safe. */
isobath_status isobath_models_pull(const isobath_known_model *model, const isobath_pull_options *options, char *path,
                                   size_t path_size, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif
#endif
