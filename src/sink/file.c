/* Complete files or none; see file.h. */
#include "sink/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct ib_out_file {
    char *path, *tmp;
    int fd, keep;
    int64_t size;
    ib_diag *diag;
};

char *ib_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

/* `tmp` is taken over. */
static isobath_status open_file(const char *path, char *tmp, int flags, ib_diag *diag, ib_out_file **out)
{
    *out = NULL;
    ib_out_file *file = calloc(1, sizeof *file);
    if (!file || !tmp || !(file->path = strdup(path))) {
        free(file);
        free(tmp);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    file->tmp = tmp;
    file->diag = diag;
    file->fd = open(file->tmp, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0666);
    if (file->fd < 0) {
        isobath_status st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", file->tmp, strerror(errno));
        free(file->path);
        free(file->tmp);
        free(file);
        return st;
    }
    *out = file;
    return ISOBATH_OK;
}

isobath_status ib_out_file_open(const char *path, ib_diag *diag, ib_out_file **out)
{
    return open_file(path, ib_text("%s.tmp", path), O_TRUNC, diag, out);
}

isobath_status ib_out_file_open_part(const char *path, const char *part, int keep, ib_diag *diag, ib_out_file **out)
{
    IB_TRY(open_file(path, strdup(part), 0, diag, out));
    (*out)->keep = keep;
    return ISOBATH_OK;
}

isobath_status ib_out_file_resize(ib_out_file *file, int64_t size)
{
    struct stat sb;
    if (fstat(file->fd, &sb) != 0)
        return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot read: %s", file->tmp, strerror(errno));
    if (sb.st_size < size)
        return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: %lld bytes, expected %lld or more: it was changed; begin again with --overwrite",
                       file->tmp, (long long)sb.st_size, (long long)size);
    if (ftruncate(file->fd, size) != 0)
        return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", file->tmp, strerror(errno));
    file->size = size;
    return ISOBATH_OK;
}

isobath_status ib_out_file_sync(ib_out_file *file)
{
    if (fsync(file->fd) == 0) return ISOBATH_OK;
    return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot sync: %s", file->tmp, strerror(errno));
}

static isobath_status write_at(ib_out_file *file, int64_t offset, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = pwrite(file->fd, p, size, offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot write after %lld bytes: %s", file->path,
                           (long long)offset, strerror(n < 0 ? errno : EIO));
        p += n;
        offset += n;
        size -= (size_t)n;
    }
    return ISOBATH_OK;
}

isobath_status ib_out_file_write(ib_out_file *file, const void *data, size_t size)
{
    IB_TRY(write_at(file, file->size, data, size));
    file->size += (int64_t)size;
    return ISOBATH_OK;
}

isobath_status ib_out_file_patch(ib_out_file *file, int64_t offset, const void *data, size_t size)
{
    return write_at(file, offset, data, size);
}

isobath_status ib_out_file_skip(ib_out_file *file, int64_t bytes)
{
    if (ftruncate(file->fd, file->size + bytes) != 0)
        return ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot write after %lld bytes: %s", file->path,
                       (long long)file->size, strerror(errno));
    file->size += bytes;
    return ISOBATH_OK;
}

int64_t ib_out_file_size(const ib_out_file *file) { return file->size; }

isobath_status ib_out_file_commit(ib_out_file *file, int durable)
{
    const char *failed = NULL;
    if (durable && fsync(file->fd) != 0) failed = "sync";
    int saved = errno;
    /* close reports late write errors of network file systems */
    if (close(file->fd) != 0 && !failed) failed = "close", saved = errno;
    if (!failed && rename(file->tmp, file->path) != 0) failed = "rename", saved = errno;
    isobath_status st = ISOBATH_OK;
    if (failed) {
        if (!file->keep) unlink(file->tmp);
        st = ib_fail(file->diag, ISOBATH_ERR_IO, "%s: cannot %s: %s", file->path, failed, strerror(saved));
    }
    free(file->path);
    free(file->tmp);
    free(file);
    return st;
}

void ib_out_file_abort(ib_out_file *file)
{
    if (!file) return;
    close(file->fd);
    if (!file->keep) unlink(file->tmp);
    free(file->path);
    free(file->tmp);
    free(file);
}

/* Told how long a file will be, ext4 does not reserve room page by page: an eighth less of the time that writing a megabyte takes. Other file systems
 * gain nothing, or ask a server. What fails here fails again when it is written. */
static void announce_size(const ib_out_file *file, size_t size)
{
    struct statfs fs;
    if (size > 1 << 16 && fstatfs(file->fd, &fs) == 0 && fs.f_type == EXT4_SUPER_MAGIC) (void)!fallocate(file->fd, 0, 0, (off_t)size);
}

static isobath_status write_whole(ib_out_file *file, const void *data, size_t size, int durable)
{
    announce_size(file, size);
    isobath_status st = ib_out_file_write(file, data, size);
    if (st == ISOBATH_OK) return ib_out_file_commit(file, durable);
    ib_out_file_abort(file);
    return st;
}

isobath_status ib_write_file(const char *path, const void *data, size_t size, int durable, ib_diag *diag)
{
    ib_out_file *file;
    IB_TRY(ib_out_file_open(path, diag, &file));
    return write_whole(file, data, size, durable);
}

isobath_status ib_write_file_shared(const char *path, const void *data, size_t size, int durable, ib_diag *diag)
{
    ib_out_file *file;
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) random = (uint64_t)getpid() << 32 ^ (uintptr_t)&random;
    IB_TRY(open_file(path, ib_text("%s.%016llx.tmp", path, (unsigned long long)random), O_EXCL, diag, &file));
    return write_whole(file, data, size, durable);
}

int ib_is_unfinished(const char *behind)
{
    if (*behind == '.' && strspn(behind + 1, "0123456789abcdef") == 16) behind += 17;
    return strcmp(behind, ".tmp") == 0;
}

isobath_status ib_read_file_again(const char *path, size_t limit, ib_diag *diag, uint8_t **buf, size_t *capacity, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    struct stat sb;
    isobath_status st = ISOBATH_OK;
    size_t have = 0, want = 0;
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode))
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a regular file", path);
    else if ((uint64_t)sb.st_size > limit)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %lld bytes, more than the %zu expected at most", path,
                     (long long)sb.st_size, limit);
    else if (want = (size_t)sb.st_size, want + 1 > *capacity) {
        free(*buf);
        *capacity = want + 1;
        if (!(*buf = malloc(*capacity))) {
            *capacity = 0;
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for %zu bytes", path, want);
        }
    }
    while (st == ISOBATH_OK && have < want) {
        ssize_t n = read(fd, *buf + have, want - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read after %zu of %zu bytes: %s", path, have, want,
                         n < 0 ? strerror(errno) : "the file became shorter");
        else
            have += (size_t)n;
    }
    close(fd);
    if (st != ISOBATH_OK) return st;
    (*buf)[want] = 0;
    *size = want;
    return ISOBATH_OK;
}

isobath_status ib_read_file(const char *path, size_t limit, ib_diag *diag, uint8_t **data, size_t *size)
{
    size_t capacity = 0;
    *data = NULL;
    *size = 0;
    isobath_status st = ib_read_file_again(path, limit, diag, data, &capacity, size);
    if (st == ISOBATH_OK) return ISOBATH_OK;
    free(*data);
    *data = NULL;
    return st;
}

isobath_status ib_sync_path(const char *path, ib_diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    int saved = errno;
    if (fd >= 0) close(fd);
    if (bad && saved != EINVAL) /* some file systems cannot sync a folder */
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot sync: %s", path, strerror(saved));
    return ISOBATH_OK;
}

isobath_status ib_commit_path(const char *tmp, const char *path, ib_diag *diag)
{
    isobath_status st = ib_sync_path(tmp, diag);
    if (st == ISOBATH_OK && rename(tmp, path) != 0)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot rename: %s", path, strerror(errno));
    if (st != ISOBATH_OK) unlink(tmp);
    return st;
}

/* Above this many files one sync of the whole file system is cheaper than one of each. */
#define MANY_FILES 64

isobath_status ib_sync_files(const char *folder, char *(*path_of)(const void *ctx, int64_t i), const void *ctx,
                             int64_t first, int64_t end, ib_diag *diag)
{
    if (end - first > MANY_FILES) {
        int fd = open(folder, O_RDONLY | O_CLOEXEC);
        int bad = fd < 0 || syncfs(fd) != 0, saved = errno;
        if (fd >= 0) close(fd);
        return bad ? ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot sync: %s", folder, strerror(saved)) : ISOBATH_OK;
    }
    for (int64_t i = first; i < end; i++) {
        char *path = path_of(ctx, i);
        isobath_status st = path ? ib_sync_path(path, diag) : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
        free(path);
        IB_TRY(st);
    }
    return first < end ? ib_sync_path(folder, diag) : ISOBATH_OK;
}

isobath_status ib_remove_part(const char *path, ib_diag *diag)
{
    if (unlink(path) == 0 || errno == ENOENT) return ISOBATH_OK;
    if (errno == EISDIR) {
        DIR *dir = opendir(path);
        for (struct dirent *e; dir && (e = readdir(dir));) unlinkat(dirfd(dir), e->d_name, 0);
        if (dir) closedir(dir);
        if (rmdir(path) == 0 || errno == ENOENT) return ISOBATH_OK;
    }
    return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot remove what an earlier run left: %s", path, strerror(errno));
}

isobath_status ib_make_folder(const char *path, ib_diag *diag)
{
    struct stat sb;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &sb) == 0 && S_ISDIR(sb.st_mode))) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create this folder: %s", path, strerror(errno));
}
