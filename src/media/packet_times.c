/* Times of all frames from the container alone; see media.h. */
#include "media/index.h"
#include <stdlib.h>

isobath_status ib_media_packet_times(const char *input, const ib_media_options *options, int stride, ib_diag *diag, int64_t **times_us,
                                     int64_t *count)
{
    ib_media_index *index;
    int64_t *times = NULL, n = 0, capacity = 0;
    *times_us = NULL;
    *count = 0;
    IB_TRY(ib_media_index_open(input, options, stride, diag, &index));
    isobath_status st;
    ib_media_entry entry;
    for (int got = 1; (st = ib_media_index_next(index, &entry, &got)) == ISOBATH_OK && got; times[n++] = entry.pts_us) {
        if (n < capacity) continue;
        capacity = capacity ? 2 * capacity : 4096;
        int64_t *p = realloc(times, (size_t)capacity * sizeof *p);
        if (!p) {
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the times of frames");
            break;
        }
        times = p;
    }
    ib_media_index_close(index);
    if (st != ISOBATH_OK) {
        free(times);
        return st;
    }
    *times_us = times;
    *count = n;
    return ISOBATH_OK;
}
