/* How runs are doing, from outside: every run writes NAME_isobath.status.json into its output folder once a second; this reads such
 * files, in another process or on another machine that sees the folder. */
#ifndef ISOBATH_REPORT_H
#define ISOBATH_REPORT_H

#include <isobath/session.h>
#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ISOBATH_REPORT_DEVICES 16
/* Longer without a sign of life than this, and a run on another machine counts as dead. */
#define ISOBATH_REPORT_STALE_S 20

typedef enum isobath_report_state {
    ISOBATH_REPORT_RUNNING,
    ISOBATH_REPORT_DONE,
    ISOBATH_REPORT_FAILED,      /* it said why: `error` */
    ISOBATH_REPORT_INTERRUPTED, /* stopped on request */
    ISOBATH_REPORT_DEAD         /* its process is gone, or nothing was heard of it for ISOBATH_REPORT_STALE_S */
} isobath_report_state;

/* A graphics card of the run's machine, as NVML says; what it does not say is -1. */
typedef struct isobath_report_gpu {
    int index;
    char name[96], pci[24];
    double utilisation;             /* 0..1 */
    double memory_bytes, used_bytes;
    double temperature_c, power_w;
} isobath_report_gpu;

typedef struct isobath_report {
    char name[256];  /* NAME of the results */
    char task[64];   /* what part of a run that was cut into tasks; "": all of it */
    char host[256];
    int64_t pid;
    double started, updated; /* seconds since 1970, by the run's clock */
    double age_s;            /* since the file was last written */
    isobath_report_state state;
    char error[768];
    isobath_progress progress; /* `slowest` is a constant; shares as of a session */
    double recent_frames_per_s; /* over the last seconds */
    int device_count, gpu_count;
    isobath_device_progress device[ISOBATH_REPORT_DEVICES];
    isobath_report_gpu gpu[ISOBATH_REPORT_DEVICES];
} isobath_report;

/* Reads every status file in `folder` (or the one file `folder`), those of tasks included, by name. *list is malloc'ed, the
 * caller frees it. Errors, with one line in `error` (may be NULL): ISOBATH_ERR_INPUT (no such folder, no status file in it, a
 * damaged one), ISOBATH_ERR_MEMORY. Thread-safe. */
isobath_status isobath_report_read(const char *folder, isobath_report **list, size_t *count, char *error, size_t error_size);

const char *isobath_report_state_name(isobath_report_state state); /* "running" ...; a constant */

#ifdef __cplusplus
}
#endif
#endif
