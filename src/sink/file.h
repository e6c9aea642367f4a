/* Output files that are complete or absent: written as x.tmp, synced, renamed. */
#ifndef IB_SINK_FILE_H
#define IB_SINK_FILE_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

/* printf into a fresh string; NULL: out of memory. The caller frees. */
char *ib_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A file being written. Every failure is one line with the path, ISOBATH_ERR_IO (a full disk, EIO, permission; the
 * program must ignore SIGXFSZ to get EFBIG as an error). One thread at a time. */
typedef struct ib_out_file ib_out_file;

/* Creates PATH.tmp, replacing a stale one. */
isobath_status ib_out_file_open(const char *path, ib_diag *diag, ib_out_file **out);
/* Goes on with a file that another process began: PART (instead of PATH.tmp) is opened, or created. With `keep` abort
 * leaves it. Its size counts as 0 until ib_out_file_resize. */
isobath_status ib_out_file_open_part(const char *path, const char *part, int keep, ib_diag *diag, ib_out_file **out);
/* Cuts the file to `size` bytes, which must be there: what follows is written behind them. */
isobath_status ib_out_file_resize(ib_out_file *file, int64_t size);
isobath_status ib_out_file_sync(ib_out_file *file);
isobath_status ib_out_file_write(ib_out_file *file, const void *data, size_t size);
/* Overwrites bytes that were written before. */
isobath_status ib_out_file_patch(ib_out_file *file, int64_t offset, const void *data, size_t size);
/* Leaves a hole of zeros. */
isobath_status ib_out_file_skip(ib_out_file *file, int64_t bytes);
int64_t ib_out_file_size(const ib_out_file *file);
/* Syncs (when `durable`), renames to PATH and frees; on failure PATH.tmp is removed. */
isobath_status ib_out_file_commit(ib_out_file *file, int durable);
/* Removes PATH.tmp and frees; NULL allowed. */
void ib_out_file_abort(ib_out_file *file);

/* All of it in one call. */
isobath_status ib_write_file(const char *path, const void *data, size_t size, int durable, ib_diag *diag);
/* The same where other processes, perhaps on other machines, may write the same file at the same time: through PATH.RANDOM.tmp, so that the
 * last rename counts and none disturbs another. */
isobath_status ib_write_file_shared(const char *path, const void *data, size_t size, int durable, ib_diag *diag);
/* 1: what stands behind a file's name marks it as unfinished: .tmp or .RANDOM.tmp. */
int ib_is_unfinished(const char *behind);
/* Reads a whole file, at most `limit` bytes, into fresh memory that the caller frees; one more byte, a zero, follows.
 * Errors: ISOBATH_ERR_INPUT (missing, unreadable, larger than the limit), ISOBATH_ERR_MEMORY. */
isobath_status ib_read_file(const char *path, size_t limit, ib_diag *diag, uint8_t **data, size_t *size);
/* The same into *buf, which is replaced when its *capacity is too small (NULL and 0 at first); the caller frees it at the end, failure or
 * not. For many files, one after the other. */
isobath_status ib_read_file_again(const char *path, size_t limit, ib_diag *diag, uint8_t **buf, size_t *capacity, size_t *size);
/* For files that a library wrote: syncs TMP and renames it to PATH; on failure TMP is removed. */
isobath_status ib_commit_path(const char *tmp, const char *path, ib_diag *diag);
/* fsync of a finished file or folder. */
isobath_status ib_sync_path(const char *path, ib_diag *diag);
/* Makes files [first, end) of a folder durable, and their names. path_of is malloc'ed (NULL: out of memory). */
isobath_status ib_sync_files(const char *folder, char *(*path_of)(const void *ctx, int64_t i), const void *ctx,
                             int64_t first, int64_t end, ib_diag *diag);
/* Removes a file, or a folder and the files in it; what is not there is no error. */
isobath_status ib_remove_part(const char *path, ib_diag *diag);
/* Creates a folder unless it is there. */
isobath_status ib_make_folder(const char *path, ib_diag *diag);

#endif
