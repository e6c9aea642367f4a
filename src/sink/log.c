/* The run's log; see log.h. */
#include "sink/log.h"

#include "base/json.h"
#include "sink/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct ib_log {
    char *path;
    int fd;
    pthread_mutex_t lock;
    int failed; /* errno of the first line that was lost */
    ib_diag *diag;
};

isobath_status ib_log_open(const char *path, int append, ib_diag *diag, ib_log **out)
{
    *out = NULL;
    ib_log *log = calloc(1, sizeof *log);
    if (!log || !(log->path = strdup(path))) {
        free(log);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0666);
    if (log->fd < 0) {
        free(log->path);
        free(log);
        return ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create: %s", path, strerror(errno));
    }
    log->diag = diag;
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return ISOBATH_OK;
}

/* "2026-01-31T12:00:00.000Z" */
static void now_text(char out[40])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 40 - n, ".%03ldZ", now.tv_nsec / 1000000);
}

void ib_log_event(ib_log *log, const char *event, json_t *fields)
{
    if (log) {
        char time[40];
        now_text(time);
        json_t *line = json_pack("{s:s, s:s}", "time", time, "event", event);
        if (line && fields) json_object_update_missing(line, fields);
        char *body = line ? ib_json_dump(line, JSON_COMPACT) : NULL;
        char *text = body ? ib_text("%s\n", body) : NULL;
        size_t size = text ? strlen(text) : 0;
        pthread_mutex_lock(&log->lock);
        ssize_t n = text ? write(log->fd, text, size) : -1;
        if (n != (ssize_t)size && !log->failed) log->failed = text && n < 0 ? errno : text ? ENOSPC : ENOMEM;
        if (n > 0 && n != (ssize_t)size) { /* take a torn line back */
            off_t end = lseek(log->fd, 0, SEEK_END);
            if (end >= n && ftruncate(log->fd, end - n) != 0) log->failed = errno;
        }
        pthread_mutex_unlock(&log->lock);
        free(text);
        free(body);
        json_decref(line);
    }
    json_decref(fields);
}

isobath_status ib_log_close(ib_log *log)
{
    if (!log) return ISOBATH_OK;
    int failed = log->failed;
    if (close(log->fd) != 0 && !failed) failed = errno;
    isobath_status st = ISOBATH_OK;
    if (failed) st = ib_fail(log->diag, ISOBATH_ERR_IO, "%s: cannot write: %s", log->path, strerror(failed));
    pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
    return st;
}
