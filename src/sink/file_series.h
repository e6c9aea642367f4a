/* Folders of numbered files, one a frame, in any format: names, digests, and the rest of what such sinks share. */
#ifndef IB_SINK_FILE_SERIES_H
#define IB_SINK_FILE_SERIES_H

#include "sink/sink.h"

typedef struct ib_file_series ib_file_series;

#define IB_SERIES_STATE_BYTES 40 /* of a frame, for a resume */

/* Creates FOLDER/NAME_suffix and removes files of an earlier run from it (prefix, at least `digits` digits, extension),
 * but for those before config->resume. */
isobath_status ib_file_series_open(const ib_sink_config *config, const char *suffix, const char *prefix, int digits,
                                   const char *extension, ib_diag *diag, ib_file_series **out);
void ib_file_series_close(ib_file_series *series); /* removes .tmp files; NULL allowed */
/* Writes frame `index`. Any thread. */
isobath_status ib_file_series_write(ib_file_series *series, int64_t index, const void *data, size_t size);
/* As ib_sink_format says; frames [0, *frames) are written. */
isobath_status ib_file_series_flush(ib_file_series *series, int64_t frames);
void ib_file_series_save(ib_file_series *series, int64_t first, int64_t end, uint8_t *state);
/* Syncs all of it. */
isobath_status ib_file_series_finish(ib_file_series *series, int64_t frames);
/* For the manifest. */
json_t *ib_file_series_describe(const ib_file_series *series, const char *format, int64_t frames);

#endif
