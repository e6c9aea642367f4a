/* What the kinds of depth readers share. */
#ifndef IB_SINK_DEPTH_READER_INTERNAL_H
#define IB_SINK_DEPTH_READER_INTERNAL_H

#include "sink/depth_reader.h"

/* One kind of source. `self` is what open made. */
typedef struct ib_depth_source {
    isobath_status (*read)(void *self, int64_t i, float *depth);
    int64_t (*time_us)(void *self, int64_t i);
    void (*set_scale)(void *self, double scale, double offset); /* NULL: float data */
    void (*close)(void *self);
} ib_depth_source;

struct ib_depth_reader {
    ib_depth_reader_info info;
    ib_diag *diag;
    const ib_depth_source *source;
    void *self;
};

/* Each fills reader->info, source and self. */
isobath_status ib_depth_open_png(ib_depth_reader *reader, const char *path, int is_folder);
isobath_status ib_depth_open_array(ib_depth_reader *reader, const char *path);

/* depth.json must agree with what its folder holds (frames, size, scale); its times go into fresh memory.
 * Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_sidecar_check(const json_t *json, const char *path, ib_depth_reader_info *info, double scale,
                                      ib_diag *diag, int64_t **times_us);

/* Largest frame that readers accept: 2^28 pixels. */
#define IB_DEPTH_MAX_PIXELS ((int64_t)1 << 28)

/* The names in a folder that end with `suffix`, sorted by the numbers in them (frame_2 before frame_10). *names and
 * each name are the caller's. Errors: ISOBATH_ERR_INPUT (not a folder), ISOBATH_ERR_MEMORY. */
isobath_status ib_list_folder(const char *folder, const char *suffix, ib_diag *diag, char ***names, int64_t *count);
void ib_list_free(char **names, int64_t count);

#endif
