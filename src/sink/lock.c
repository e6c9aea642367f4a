/* The lock of a result; see lock.h. The file is removed while it is held, so whoever gets a lock looks whether the name still
 * leads to what it has locked. */
#include "sink/lock.h"

#include "sink/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 1000
#define STEP_MS 20

struct ib_lock {
    int fd, shared;
    char path[];
};

/* 1: the name leads to the open file. */
static int is_linked(const char *path, int fd)
{
    struct stat by_name, open_file;
    return stat(path, &by_name) == 0 && fstat(fd, &open_file) == 0 && by_name.st_ino == open_file.st_ino &&
           by_name.st_dev == open_file.st_dev;
}

static isobath_status held_by_other(int fd, const char *what, ib_diag *diag)
{
    char owner[160] = "";
    ssize_t n = pread(fd, owner, sizeof owner - 1, 0);
    owner[n > 0 ? n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    return ib_fail(diag, ISOBATH_ERR_EXISTS, "%s: another run is writing this result%s%s%s", what, *owner ? " (" : "", owner,
                   *owner ? ")" : "");
}

static void sign(int fd)
{
    char host[96] = "", text[160];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) { /* only the text of others' error line is poorer */
    }
}

isobath_status ib_lock_result(const char *folder, const char *name, int shared, ib_diag *diag, ib_lock **out)
{
    *out = NULL;
    char *path = ib_text("%s/.%s_isobath.lock", folder, name);
    isobath_status st = path ? ib_lock_take(path, folder, shared, diag, out) : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    free(path);
    return st;
}

isobath_status ib_lock_take(const char *path, const char *what, int shared, ib_diag *diag, ib_lock **out)
{
    *out = NULL;
    ib_lock *lock = malloc(sizeof *lock + strlen(path) + 1);
    if (!lock) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    strcpy(lock->path, path);
    lock->shared = shared;
    for (int waited = 0;; waited += STEP_MS) {
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (lock->fd < 0) {
            isobath_status st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", path, strerror(errno));
            free(lock);
            return st;
        }
        int code;
        while ((code = flock(lock->fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB)) != 0 && errno == EINTR) {
        }
        int taken = code == 0 || errno != EWOULDBLOCK; /* no locks on this file system: go on without */
        if (taken && is_linked(path, lock->fd)) break;
        if (!taken && waited >= WAIT_MS) {
            isobath_status st = held_by_other(lock->fd, what, diag);
            close(lock->fd);
            free(lock);
            return st;
        }
        close(lock->fd);
        if (!taken) usleep(STEP_MS * 1000);
    }
    sign(lock->fd);
    *out = lock;
    return ISOBATH_OK;
}

void ib_lock_release(ib_lock *lock)
{
    if (!lock) return;
    /* one that was shared: whoever is the last finds nobody, and takes the file away */
    if (!lock->shared || (flock(lock->fd, LOCK_EX | LOCK_NB) == 0 && is_linked(lock->path, lock->fd))) unlink(lock->path);
    close(lock->fd);
    free(lock);
}
