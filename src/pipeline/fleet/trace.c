/* A timeline of several processes in one file; see trace.h. It is an array of events in JSON whose closing bracket may be missing, so that
 * processes append to it without asking each other, and what a killed one had written stays. */
#include "pipeline/fleet/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 256
#define BUFFER_BYTES ((size_t)1 << 16)

struct ib_trace {
    int fd;
    pthread_mutex_t lock;
    size_t used;
    char buffer[BUFFER_BYTES];
};

/* Whole lines at once, so that those of other processes do not end up in between. The lock is held. */
static void flush(ib_trace *t)
{
    while (t->used && write(t->fd, t->buffer, t->used) < 0 && errno == EINTR) continue;
    t->used = 0;
}

static void add(ib_trace *t, const char *line)
{
    size_t n = strlen(line);
    pthread_mutex_lock(&t->lock);
    if (t->used + n > sizeof t->buffer) flush(t);
    memcpy(t->buffer + t->used, line, n);
    t->used += n;
    pthread_mutex_unlock(&t->lock);
}

ib_trace *ib_trace_open(const char *process, int first)
{
    char line[LINE_BYTES];
    const char *path = getenv("ISOBATH_TRACE");
    ib_trace *t = path && *path ? malloc(sizeof *t) : NULL;
    if (!t) return NULL;
    t->used = 0;
    t->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (first ? O_TRUNC : 0), 0666);
    if (t->fd < 0) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    if (!process) return t;
    snprintf(line, sizeof line, "%s{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"%.64s\"}},\n", first ? "[\n" : "",
             (int)getpid(), process);
    add(t, line);
    flush(t); /* the bracket before everybody else's lines */
    return t;
}

void ib_trace_close(ib_trace *t)
{
    if (!t) return;
    flush(t);
    close(t->fd);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void ib_trace_span(ib_trace *t, const char *name, int64_t start_us, int64_t window)
{
    char line[LINE_BYTES], thread[16] = "";
    if (!t) return;
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    snprintf(line, sizeof line, "{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%" PRId64 ",\"dur\":%" PRId64
             ",\"args\":{\"window\":%" PRId64 ",\"thread\":\"%s\"}},\n", name, (int)getpid(), (int)gettid(), start_us, ib_now_us() - start_us, window,
             thread);
    add(t, line);
}

void ib_trace_count(ib_trace *t, const char *name, int64_t value)
{
    char line[LINE_BYTES];
    if (!t) return;
    snprintf(line, sizeof line, "{\"name\":\"%s\",\"ph\":\"C\",\"pid\":%d,\"ts\":%" PRId64 ",\"args\":{\"count\":%" PRId64 "}},\n", name,
             (int)getpid(), ib_now_us(), value);
    add(t, line);
}
