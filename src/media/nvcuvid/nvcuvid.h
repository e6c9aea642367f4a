/* What isobath_nvcuvid.so tells the program that loads it. */
#ifndef IB_MEDIA_NVCUVID_H
#define IB_MEDIA_NVCUVID_H

#include <stdint.h>

/* Pictures that were mapped by the calling thread. */
typedef struct ib_nvcuvid_counts {
    uint64_t mapped;
    uint64_t damaged; /* of these: decoded with an error, concealed or not */
    uint64_t unknown; /* of these: the driver does not tell (it does for H.264, HEVC and JPEG) */
} ib_nvcuvid_counts;

/* Exported functions, by name. */
#define IB_NVCUVID_ATTACH "isobath_nvcuvid_attach"
#define IB_NVCUVID_COUNTS "isobath_nvcuvid_counts"
#define IB_NVCUVID_WORK_FOR "isobath_nvcuvid_work_for"
#define IB_NVCUVID_RELEASE "isobath_nvcuvid_release"
/* Loads the driver's own library, whose path this is. Once; 1: it is there with all functions. Thread-safe. */
typedef int ib_nvcuvid_attach(const char *path);
/* Counts of the calling thread, which go on. */
typedef ib_nvcuvid_counts *ib_nvcuvid_counts_of_thread(void);
/* Whose decoders the calling thread makes from now on (NULL: nobody's): they are kept for that owner's next ones, until it releases them with the
 * context of its card current (keep.h). */
typedef void ib_nvcuvid_work_for(const void *owner);
typedef void ib_nvcuvid_release(const void *owner);

#endif
