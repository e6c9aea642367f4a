/* A library put in front of the C library (LD_PRELOAD) that makes the k-th change of files below a folder fail, or kills the
 * process there. The test finds its functions with dlsym. Changes: write, pwrite, pwritev-like calls of libav and stdio's own are
 * not seen; ftruncate, rename, renameat, fsync, syncfs, unlink, unlinkat, mkdir, rmdir. */
#ifndef TESTS_FAULT_SHIM_H
#define TESTS_FAULT_SHIM_H

typedef enum shim_mode {
    SHIM_OFF,
    SHIM_KILL,       /* SIGKILL instead of the change */
    SHIM_KILL_AFTER, /* SIGKILL after it */
    SHIM_TORN,       /* a write writes half, then SIGKILL; others as SHIM_KILL */
    SHIM_EIO,        /* this change fails with EIO */
    SHIM_ENOSPC,     /* this write and all later ones fail with ENOSPC (other changes pass) */
    SHIM_EROFS       /* this change and all later ones fail with EROFS */
} shim_mode;

/* k counts from 0. */
typedef void shim_arm_function(const char *folder, shim_mode mode, long k);
/* Changes seen since then; *struck: 1 when the k-th came. */
typedef long shim_count_function(int *struck);

#endif
