/* Is a result complete and sane? Reads it back and says, item by item, what is right and what is not. */
#ifndef ISOBATH_CHECK_H
#define ISOBATH_CHECK_H

#include <isobath/status.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum isobath_check_level {
    ISOBATH_CHECK_GOOD = 0,
    ISOBATH_CHECK_NOTE = 1, /* worth knowing, not wrong: an alignment guard fired, a window was redone */
    ISOBATH_CHECK_BAD = 2
} isobath_check_level;

typedef struct isobath_check_item {
    isobath_check_level level;
    const char *path; /* file or folder it is about, as the manifest names it */
    const char *text; /* one line */
} isobath_check_item;

typedef struct isobath_check_options {
    int quick;   /* 1: counts, sizes and headers only; 0: every byte is hashed and every frame decoded */
    int threads; /* 0: as many as CPUs */
    int digests; /* 1: every byte is hashed, but nothing is decoded: is this what was written? */
} isobath_check_options;

typedef struct isobath_check isobath_check;

/* Checks a folder that `isobath run` wrote (every NAME_isobath.json in it), one manifest, or one result without a
 * manifest (a folder of PNG, EXR or npy files, an .npz, .npy, .exr, .mkv or .mp4). `options` may be NULL. *out is set unless memory is out; destroy
 * it. Returns ISOBATH_OK when the check could be made, whatever it found; ISOBATH_ERR_INPUT when PATH is nothing that
 * can be checked (isobath_check_error says why), ISOBATH_ERR_MEMORY. Thread-safe. */
isobath_status isobath_check_run(const char *path, const isobath_check_options *options, isobath_check **out);
/* 1 when no item is bad. */
int isobath_check_passed(const isobath_check *check);
size_t isobath_check_count(const isobath_check *check);
/* Item i; the strings live as long as the check. */
isobath_check_item isobath_check_get(const isobath_check *check, size_t i);
const char *isobath_check_error(const isobath_check *check);
void isobath_check_destroy(isobath_check *check); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
