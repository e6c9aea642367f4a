/* What the kinds of depth readers share. */
#ifndef IB_DEPTHIO_DEPTH_READER_INTERNAL_H
#define IB_DEPTHIO_DEPTH_READER_INTERNAL_H

#include "depthio/depth_reader.h"
#include "depthio/file_list.h"

/* One kind of source. `self` is what open made; it gives samples, the scale is applied by ib_depth_reader_read. */
typedef struct ib_depth_source {
    isobath_status (*read)(void *self, int64_t i, float *samples);
    int64_t (*time_us)(void *self, int64_t i); /* NULL: never has times */
    void (*forget_scale)(void *self);          /* the user gave another scale than the files; NULL allowed */
    void (*close)(void *self);
} ib_depth_source;

struct ib_depth_reader {
    ib_depth_reader_info info;
    ib_diag *diag;
    const ib_depth_source *source;
    void *self;
};

/* Each takes ownership of the list, and fills reader->info, source and self; also on failure, as far as it came. */
isobath_status ib_depth_open_png(ib_depth_reader *reader, ib_file_list *list);
isobath_status ib_depth_open_exr(ib_depth_reader *reader, ib_file_list *list);
isobath_status ib_depth_open_array(ib_depth_reader *reader, ib_file_list *list);
isobath_status ib_depth_open_video(ib_depth_reader *reader, const char *path);

/* The depth of a folder with one NAME_isobath.json, as a fresh path; NULL: there is no manifest. Errors:
 * ISOBATH_ERR_INPUT (several, damaged, without depth), ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_find_result(const char *folder, ib_diag *diag, char **path);

/* depth.json must agree with what its folder holds (frames, size, scale); its times go into fresh memory.
 * Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status ib_depth_sidecar_check(const json_t *json, const char *path, ib_depth_reader_info *info, double scale,
                                      ib_diag *diag, int64_t **times_us);

/* Largest frame that readers accept: 2^28 pixels. */
#define IB_DEPTH_MAX_PIXELS ((int64_t)1 << 28)

#endif
