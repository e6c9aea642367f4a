/* Status codes: what every fallible function of the library returns. */
#ifndef ISOBATH_STATUS_H
#define ISOBATH_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Zero is success; everything else is a failure with one line of text (see the object that failed).
 * The command `isobath` exits with these same numbers, so scripts can tell them apart. */
typedef enum isobath_status {
    ISOBATH_OK = 0,
    ISOBATH_ERR_INTERNAL = 1,    /* a bug in isobath, or a failing check (`isobath check` exits 1) */
    ISOBATH_ERR_USAGE = 2,       /* an option or argument is wrong */
    ISOBATH_ERR_INPUT = 3,       /* an input file is missing, damaged or of a kind that is not handled */
    ISOBATH_ERR_MODEL = 4,       /* a checkpoint is missing, damaged or not of a known family */
    ISOBATH_ERR_IO = 5,          /* reading or writing failed: disk full, permission, EIO */
    ISOBATH_ERR_MEMORY = 6,      /* an allocation failed or the plan does not fit */
    ISOBATH_ERR_DEVICE = 7,      /* a device is missing, unfit or was lost */
    ISOBATH_ERR_EXISTS = 8,      /* the result exists already (use --overwrite or --resume) */
    ISOBATH_ERR_UNSUPPORTED = 9, /* valid, but this build or machine cannot do it */
    ISOBATH_ERR_INTERRUPTED = 10 /* stopped by the caller or a signal; what is there is complete */
} isobath_status;

/* A short constant name for a status, never NULL ("ok", "usage error", ...). Thread-safe. */
const char *isobath_status_name(isobath_status status);

#ifdef __cplusplus
}
#endif
#endif
