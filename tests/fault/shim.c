/* Fails or kills at the k-th change of files; see shim.h. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static char folder[512];
static _Atomic shim_mode mode;
static atomic_long seen, strike;
static atomic_int struck;

EXPORT shim_arm_function fault_shim_arm;
EXPORT shim_count_function fault_shim_count;

void fault_shim_arm(const char *path, shim_mode m, long k)
{
    snprintf(folder, sizeof folder, "%s", path);
    atomic_store(&seen, 0);
    atomic_store(&struck, 0);
    atomic_store(&strike, k);
    atomic_store(&mode, m);
}

long fault_shim_count(int *out)
{
    *out = atomic_load(&struck);
    return atomic_load(&seen);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is_below(const char *path) { return strstr(path, folder) != NULL; }

static int is_open_below(int fd)
{
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return is_below(path);
}

/* Before a change below the folder: 0 go on, 1 go on and die, 2 write half and die; -1 with errno: fail. */
static int decide(int is_write)
{
    shim_mode m = atomic_load(&mode);
    if (m == SHIM_OFF) return 0;
    long at = atomic_fetch_add(&seen, 1), k = atomic_load(&strike);
    int lasting = (m == SHIM_ENOSPC && is_write) || m == SHIM_EROFS;
    if (lasting ? at < k : at != k) return 0;
    if (m == SHIM_ENOSPC && !is_write) return 0;
    atomic_store(&struck, 1);
    if (m == SHIM_KILL || (m == SHIM_TORN && !is_write)) die();
    if (m == SHIM_KILL_AFTER) return 1;
    if (m == SHIM_TORN) return 2;
    errno = m == SHIM_EIO ? EIO : m == SHIM_ENOSPC ? ENOSPC : EROFS;
    return -1;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = REAL(ssize_t(*)(int, const void *, size_t), "write");
    if (atomic_load(&mode) == SHIM_OFF || !is_open_below(fd)) return real(fd, data, size);
    int d = decide(1);
    if (d < 0) return -1;
    ssize_t n = real(fd, data, d == 2 ? size / 2 : size);
    if (d) die();
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = REAL(ssize_t(*)(int, const void *, size_t, off_t), "pwrite");
    if (atomic_load(&mode) == SHIM_OFF || !is_open_below(fd)) return real(fd, data, size, offset);
    int d = decide(1);
    if (d < 0) return -1;
    ssize_t n = real(fd, data, d == 2 ? size / 2 : size, offset);
    if (d) die();
    return n;
}

#define ON_PATH(declaration, type, name, path, call)                                                                             \
    EXPORT int declaration                                                                                                       \
    {                                                                                                                            \
        int (*real) type = REAL(int(*) type, name);                                                                              \
        if (atomic_load(&mode) == SHIM_OFF || !(path)) return real call;                                                         \
        int d = decide(0);                                                                                                       \
        if (d < 0) return -1;                                                                                                    \
        int code = real call;                                                                                                    \
        if (d) die();                                                                                                            \
        return code;                                                                                                             \
    }

ON_PATH(ftruncate(int fd, off_t size), (int, off_t), "ftruncate", is_open_below(fd), (fd, size))
ON_PATH(fsync(int fd), (int), "fsync", is_open_below(fd), (fd))
ON_PATH(syncfs(int fd), (int), "syncfs", is_open_below(fd), (fd))
ON_PATH(rename(const char *from, const char *to), (const char *, const char *), "rename", is_below(to), (from, to))
ON_PATH(unlink(const char *path), (const char *), "unlink", is_below(path), (path))
ON_PATH(rmdir(const char *path), (const char *), "rmdir", is_below(path), (path))
ON_PATH(mkdir(const char *path, mode_t rights), (const char *, mode_t), "mkdir", is_below(path), (path, rights))
ON_PATH(unlinkat(int fd, const char *path, int flags), (int, const char *, int), "unlinkat", is_open_below(fd), (fd, path, flags))
