/* The status file; see status.h. */
#include "pipeline/report/status.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/thread_name.h"
#include "pipeline/report/nvml.h"
#include "pipeline/report/status_process.h"
#include "sink/describe.h"
#include "sink/file.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECENT 10 /* seconds that the recent rate looks back */

struct ib_status {
    char *path, *name, *task;
    ib_status_source source;
    double started;
    int64_t process_start; /* of this process, in the kernel's ticks since boot: tells it from a later one of the same number */
    double seen_s[RECENT];
    int64_t seen_frames[RECENT];
    int64_t writes;
    ib_nvml *nvml;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int stop;
};

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A number that is not known is null. */
static json_t *number(double x) { return isfinite(x) && x >= 0 ? json_real(x) : json_null(); }

static json_t *progress_json(const isobath_progress *p, double recent)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:s, s:I}", "frames_decoded",
                     (json_int_t)p->frames_decoded, "frames_done", (json_int_t)p->frames_done, "windows_done",
                     (json_int_t)p->windows_done, "frames_hint", (json_int_t)p->frames_hint, "fraction", number(p->fraction),
                     "elapsed_s", p->elapsed_s, "frames_per_s", p->frames_per_s, "recent_frames_per_s", recent, "left_s",
                     number(p->left_s), "decode", p->decode_share, "network", p->network_share, "align", p->align_share, "write",
                     p->write_share, "slowest", p->slowest ? p->slowest : "network", "guards", (json_int_t)p->guards);
}

/* Frames per second since up to RECENT writes ago. */
static double recent_rate(ib_status *s, const isobath_progress *p)
{
    int64_t n = s->writes++, slot = n % RECENT, oldest = n < RECENT ? 0 : slot;
    double dt = n ? p->elapsed_s - s->seen_s[oldest] : p->elapsed_s;
    double frames = (double)(p->frames_done - (n ? s->seen_frames[oldest] : 0));
    s->seen_s[slot] = p->elapsed_s;
    s->seen_frames[slot] = p->frames_done;
    return dt > 0 && frames > 0 ? frames / dt : 0;
}

static json_t *devices_json(ib_status *s)
{
    json_t *list = json_array();
    isobath_device_progress d;
    for (int i = 0; i < ISOBATH_REPORT_DEVICES && s->source.device(s->source.ctx, i, &d); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f}", "name", d.name, "kind", d.kind, "frames", (json_int_t)d.frames,
                                              "busy", d.busy));
    return list;
}

static json_t *gpus_json(ib_status *s)
{
    json_t *list = json_array();
    isobath_report_gpu gpu[ISOBATH_REPORT_DEVICES];
    int count = ib_nvml_read(s->nvml, gpu, ISOBATH_REPORT_DEVICES);
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:i, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "index", gpu[i].index, "name",
                                              ib_json_string(gpu[i].name), "pci", gpu[i].pci, "utilisation",
                                              number(gpu[i].utilisation), "memory_bytes", number(gpu[i].memory_bytes),
                                              "used_bytes", number(gpu[i].used_bytes), "temperature_c",
                                              number(gpu[i].temperature_c), "power_w", number(gpu[i].power_w)));
    return list;
}

static void write_status(ib_status *s, const char *state, const char *error)
{
    isobath_progress p;
    char host[256] = "", boot[64];
    int64_t space;
    ib_process_place(boot, &space);
    if (gethostname(host, sizeof host - 1) != 0) host[0] = 0;
    s->source.progress(s->source.ctx, &p);
    if (strcmp(state, "done") == 0) {
        p.fraction = 1;
        p.left_s = 0;
    }
    json_t *j = json_pack("{s:s, s:o, s:s, s:o, s:I, s:I, s:s, s:I, s:f, s:f, s:s, s:o, s:o, s:o, s:o}", "format", "isobath-status-1", "name",
                          ib_json_string(s->name), "task", s->task, "host", ib_json_string(host), "pid", (json_int_t)getpid(),
                          "process_start", (json_int_t)s->process_start, "boot", boot, "pid_space", (json_int_t)space, "started",
                          s->started, "updated", wall_s(), "state", state, "error", ib_json_string(error), "progress",
                          progress_json(&p, recent_rate(s, &p)), "devices", devices_json(s), "gpus", gpus_json(s));
    char *text = j ? ib_json_dump(j, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) : NULL;
    if (text) ib_write_file(s->path, text, strlen(text), 0, NULL); /* the run goes on without it */
    free(text);
    json_decref(j);
}

static void *status_main(void *arg)
{
    ib_status *s = arg;
    ib_thread_name("status");
    s->nvml = ib_nvml_open();
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        pthread_mutex_unlock(&s->lock);
        write_status(s, "running", "");
        pthread_mutex_lock(&s->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        if (!s->stop) pthread_cond_timedwait(&s->wake, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void free_status(ib_status *s)
{
    ib_nvml_close(s->nvml);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    free(s->path);
    free(s->name);
    free(s->task);
    free(s);
}

isobath_status ib_status_start(const char *path, const char *name, const char *task, const ib_status_source *source, ib_diag *diag,
                               ib_status **out)
{
    *out = NULL;
    ib_status *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the status file");
    s->path = strdup(path);
    s->name = strdup(name);
    s->task = strdup(task ? task : "");
    s->source = *source;
    s->started = wall_s();
    s->process_start = ib_process_start(getpid());
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    isobath_status st = s->path && s->name && s->task ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the status file");
    if (st == ISOBATH_OK && pthread_create(&s->thread, NULL, status_main, s) != 0)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "could not start the status thread");
    if (st != ISOBATH_OK) free_status(s);
    else *out = s;
    return st;
}

void ib_status_stop(ib_status *s, isobath_status end, const char *error)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->stop = 1;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    write_status(s, end == ISOBATH_OK ? "done" : end == ISOBATH_ERR_INTERRUPTED ? "interrupted" : "failed", end == ISOBATH_OK ? "" : error);
    free_status(s);
}
