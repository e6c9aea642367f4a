/* Writing a journal; see journal.h. journal_read.c reads it. */
#include "pipeline/journal/journal_format.h"

#include "base/bytes.h"
#include "sink/file.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ib_journal {
    int fd;
    char *path;
    int64_t size;
    pthread_mutex_t lock; /* of size and the file */
    ib_diag *diag;
};

static isobath_status wrap(const char *path, int fd, int64_t size, ib_diag *diag, ib_journal **out)
{
    ib_journal *j = calloc(1, sizeof *j);
    if (!j || !(j->path = strdup(path))) {
        free(j);
        close(fd);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    j->fd = fd;
    j->size = size;
    j->diag = diag;
    pthread_mutex_init(&j->lock, NULL);
    *out = j;
    return ISOBATH_OK;
}

/* Writes all of it behind the last record, or nothing. */
static isobath_status append_bytes(ib_journal *j, const uint8_t *data, size_t size)
{
    isobath_status st = ISOBATH_OK;
    pthread_mutex_lock(&j->lock);
    for (size_t done = 0; st == ISOBATH_OK && done < size;) {
        ssize_t n = pwrite(j->fd, data + done, size - done, j->size + (int64_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        st = ib_fail(j->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", j->path, strerror(n < 0 ? errno : ENOSPC));
        if (ftruncate(j->fd, j->size) != 0) { /* then it is a torn end, which the reader drops */
        }
    }
    if (st == ISOBATH_OK) j->size += (int64_t)size;
    pthread_mutex_unlock(&j->lock);
    return st;
}

/* Room for a record with `size` bytes behind its type; NULL: out of memory. */
static uint8_t *record_create(ib_journal_record type, size_t size)
{
    uint8_t *record = size < IB_JOURNAL_MAX_RECORD ? malloc(IB_JOURNAL_HEAD + 1 + size) : NULL;
    if (!record) return NULL;
    ib_put32(record, (uint32_t)(1 + size));
    record[IB_JOURNAL_HEAD] = (uint8_t)type;
    return record;
}

/* Seals, appends and frees. */
static isobath_status record_append(ib_journal *j, uint8_t *record)
{
    if (!record) return ib_fail(j->diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a record", j->path);
    uint32_t size;
    ib_get32(record, &size);
    ib_put32(record + 4, libdeflate_crc32(0, record + IB_JOURNAL_HEAD, size));
    isobath_status st = append_bytes(j, record, IB_JOURNAL_HEAD + size);
    free(record);
    return st;
}

static isobath_status append_text(ib_journal *j, ib_journal_record type, int number, const char *text)
{
    size_t n = strlen(text);
    uint8_t *record = record_create(type, 4 + n);
    if (record) memcpy(ib_put32(record + IB_JOURNAL_HEAD + 1, (uint32_t)number), text, n);
    return record_append(j, record);
}

/* The folder that holds PATH. */
static isobath_status sync_folder(const char *path, ib_diag *diag)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? ib_text("%.*s", (int)(slash - path) + 1, path) : strdup(".");
    isobath_status st = folder ? ib_sync_path(folder, diag) : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    free(folder);
    return st;
}

isobath_status ib_journal_create(const char *path, const char *identity, ib_diag *diag, ib_journal **out)
{
    *out = NULL;
    char *tmp = ib_text("%s.tmp", path);
    if (!tmp) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    isobath_status st = fd < 0 ? ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", tmp, strerror(errno)) : ISOBATH_OK;
    if (st == ISOBATH_OK) st = wrap(path, fd, 0, diag, out);
    if (st == ISOBATH_OK) st = append_bytes(*out, (const uint8_t *)IB_JOURNAL_MAGIC, 8);
    if (st == ISOBATH_OK) st = append_text(*out, IB_RECORD_IDENTITY, 0, identity);
    if (st == ISOBATH_OK) st = ib_journal_sync(*out);
    if (st == ISOBATH_OK && rename(tmp, path) != 0)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot rename: %s", path, strerror(errno));
    if (st == ISOBATH_OK) st = sync_folder(path, diag);
    if (st != ISOBATH_OK) {
        ib_journal_close(*out);
        *out = NULL;
        unlink(tmp);
    }
    free(tmp);
    return st;
}

isobath_status ib_journal_open(const char *path, int64_t valid_bytes, ib_diag *diag, ib_journal **out)
{
    *out = NULL;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, valid_bytes) != 0) {
        int saved = errno;
        if (fd >= 0) close(fd);
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot write: %s", path, strerror(saved));
    }
    return wrap(path, fd, valid_bytes, diag, out);
}

isobath_status ib_journal_input(ib_journal *j, const char sha256[65]) { return append_text(j, IB_RECORD_INPUT, 0, sha256); }

isobath_status ib_journal_repeats(ib_journal *j, const ib_repeats *repeats)
{
    uint8_t *record = record_create(IB_RECORD_REPEATS, 4 + 8 * (size_t)repeats->count);
    if (record) {
        uint8_t *p = ib_put32(record + IB_JOURNAL_HEAD + 1, (uint32_t)repeats->count);
        for (int64_t i = 0; i < repeats->count; i++) p = ib_put64(p, (uint64_t)repeats->list[i].index);
    }
    return record_append(j, record);
}

isobath_status ib_journal_window(ib_journal *j, const ib_window_record *w)
{
    uint8_t *record = record_create(IB_RECORD_WINDOW, IB_JOURNAL_WINDOW_BYTES);
    if (record) {
        const ib_alignment *a = &w->alignment;
        uint64_t fit[2];
        memcpy(&fit[0], &a->fit_scale, 8);
        memcpy(&fit[1], &a->fit_shift, 8);
        uint8_t *p = record + IB_JOURNAL_HEAD + 1;
        p = ib_put64(ib_put64(p, (uint64_t)w->shot), (uint64_t)w->shot_first);
        p = ib_put64(ib_put64(p, (uint64_t)w->k), (uint64_t)w->frames_total);
        p = ib_put_float(ib_put_float(p, a->scale), a->shift);
        p = ib_put64(ib_put64(p, fit[0]), fit[1]);
        p = ib_put32(p, (uint32_t)(a->guarded != 0) | (uint32_t)(w->redone != 0) << 1);
        ib_put64(p, (uint64_t)w->nonfinite);
    }
    return record_append(j, record);
}

isobath_status ib_journal_frames(ib_journal *j, int64_t first, int64_t count, const ib_frame_record *frames, int sinks,
                                 const int *state_bytes, uint8_t *const *state)
{
    size_t each = IB_JOURNAL_FRAME_BYTES;
    for (int s = 0; s < sinks; s++) each += (size_t)state_bytes[s];
    uint8_t *record = record_create(IB_RECORD_FRAMES, 16 + 4 * (size_t)sinks + (size_t)count * each);
    if (record) {
        uint8_t *p = record + IB_JOURNAL_HEAD + 1;
        p = ib_put32(ib_put32(ib_put64(p, (uint64_t)first), (uint32_t)count), (uint32_t)sinks);
        for (int s = 0; s < sinks; s++) p = ib_put32(p, (uint32_t)state_bytes[s]);
        for (int64_t i = 0; i < count; i++)
            p = ib_put_float(ib_put_float(ib_put_float(ib_put_float(ib_put64(p, (uint64_t)frames[i].pts_us), frames[i].min),
                                                       frames[i].max), frames[i].scale), frames[i].shift);
        for (int s = 0; s < sinks; s++) {
            size_t bytes = (size_t)count * (size_t)state_bytes[s];
            if (bytes) memcpy(p, state[s], bytes);
            p += bytes;
        }
    }
    return record_append(j, record);
}

isobath_status ib_journal_end(ib_journal *j, int64_t frames)
{
    uint8_t *record = record_create(IB_RECORD_END, 8);
    if (record) ib_put64(record + IB_JOURNAL_HEAD + 1, (uint64_t)frames);
    return record_append(j, record);
}

isobath_status ib_journal_finished(ib_journal *j, int sink, const char *description)
{
    return append_text(j, IB_RECORD_FINISHED, sink, description);
}

isobath_status ib_journal_sync(ib_journal *j)
{
    if (fsync(j->fd) == 0) return ISOBATH_OK;
    return ib_fail(j->diag, ISOBATH_ERR_IO, "%s: cannot sync: %s", j->path, strerror(errno));
}

void ib_journal_close(ib_journal *j)
{
    if (!j) return;
    close(j->fd);
    pthread_mutex_destroy(&j->lock);
    free(j->path);
    free(j);
}
