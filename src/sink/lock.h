/* One writer at a time per result: an advisory lock on a hidden file that says who holds it. A result is what a folder holds of one
 * NAME; results of other names may be written beside it. */
#ifndef IB_SINK_LOCK_H
#define IB_SINK_LOCK_H

#include "base/diag.h"

typedef struct ib_lock ib_lock;

/* FOLDER/.NAME_isobath.lock, as below; `shared`: together with others that share it (tasks that write different files of one result).
 * The folder must be there. */
isobath_status ib_lock_result(const char *folder, const char *name, int shared, ib_diag *diag, ib_lock **out);

/* Takes the lock, waiting a second at most (processes of a run that was killed may live that long). `what`: of the error line.
 * On a file system without locks it succeeds. The kernel lets it go when the process ends, however it ends.
 * Errors: ISOBATH_ERR_EXISTS (another run holds it: its process and machine), ISOBATH_ERR_IO, ISOBATH_ERR_MEMORY. */
isobath_status ib_lock_take(const char *path, const char *what, int shared, ib_diag *diag, ib_lock **out);
void ib_lock_release(ib_lock *lock); /* removes the file, unless others share it; NULL allowed */

#endif
