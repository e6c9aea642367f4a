/* One run at a time per result: an advisory lock on a hidden file that says who holds it. */
#ifndef IB_PIPELINE_JOURNAL_LOCK_H
#define IB_PIPELINE_JOURNAL_LOCK_H

#include "base/diag.h"

typedef struct ib_lock ib_lock;

/* Takes the lock, waiting a second at most (processes of a run that was killed may live that long). `what`: of the error line.
 * On a file system without locks it succeeds. The kernel lets it go when the process ends, however it ends.
 * Errors: ISOBATH_ERR_EXISTS (another run holds it: its process and machine), ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_lock_take(const char *path, const char *what, ib_diag *diag, ib_lock **out);
void ib_lock_release(ib_lock *lock); /* removes the file; NULL allowed */

#endif
