/* The list of depth formats. */
#include "sink/formats.h"

#include "sink/queue.h"

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

int ib_sink_packs(const ib_sink_config *config, const ib_sink_format *const *formats, ib_sink *const *sinks, int count, int threads)
{
    int at = -1;
    for (int i = 0; i < count; i++) {
        if (!sinks[i]) continue;
        if (formats[i]->pack) at = i;
        else if (formats[i]->uses == IB_USES_DEPTH || (formats[i]->uses == IB_USES_DEPTH_WITHOUT_PNG16 && !config->png16_present)) return -1;
    }
    return threads <= ib_sink_threads(config) ? at : -1;
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
