/* The list of depth formats. */
#include "sink/formats.h"

#include <stdlib.h>
#include <string.h>

const ib_sink_format *const ib_sink_formats[] = {&ib_sink_png16, &ib_sink_preview, &ib_sink_npz,
#ifdef ISOBATH_HAVE_EXR
                                                 &ib_sink_exr,
#endif
                                                 &ib_sink_ffv1,  &ib_sink_src,     &ib_sink_ply, &ib_sink_none, NULL};

const ib_sink_format *ib_sink_format_find(const char *name)
{
    for (int i = 0; ib_sink_formats[i]; i++)
        if (strcmp(ib_sink_formats[i]->name, name) == 0) return ib_sink_formats[i];
    return NULL;
}

isobath_status ib_times_append(int64_t **times_us, int64_t *count, int64_t *capacity, int64_t pts_us, ib_diag *diag)
{
    if (*count == *capacity) {
        int64_t grown = *capacity ? 2 * *capacity : 1024;
        int64_t *times = realloc(*times_us, (size_t)grown * sizeof *times);
        if (!times)
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the times of %lld frames", (long long)grown);
        *times_us = times;
        *capacity = grown;
    }
    (*times_us)[(*count)++] = pts_us;
    return ISOBATH_OK;
}
