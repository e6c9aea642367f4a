/* Whether pictures that libavcodec takes from the card's decoder were damaged. libavcodec does not ask; the module isobath_nvcuvid.so
 * (nvcuvid/watch.c) stands between the two and does. */
#ifndef IB_MEDIA_HW_WATCH_H
#define IB_MEDIA_HW_WATCH_H

#include "media/nvcuvid/nvcuvid.h"
#include <stddef.h>

typedef struct ib_hw_watch {
    ib_nvcuvid_counts_of_thread *counts; /* NULL: nobody asks, and there are no others either */
    ib_nvcuvid_work_for *work_for;
    ib_nvcuvid_release *release;
} ib_hw_watch;

/* Puts the module in its place, once per process, before libavcodec loads the driver's library. Returns 1 when that library,
 * libnvcuvid.so.1, is there at all. watch->counts NULL: not watched, why[size] says the reason, else it is "". Thread-safe. */
int ib_hw_watch_open(ib_hw_watch *watch, char *why, size_t size);

#endif
