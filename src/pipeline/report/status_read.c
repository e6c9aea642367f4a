/* Status files of this and other machines: into reports; see status.h and include/isobath/report.h. */
#include "pipeline/report/status.h"
#include "pipeline/report/status_process.h"
#include "sink/file.h"
#include "sink/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LARGEST ((size_t)1 << 20) /* no status file comes near */
#define SUFFIX ".status.json"
#define TASKS "_isobath.tasks" /* folders of a run that was cut into tasks end in this */

static const char *const state_names[] = {"running", "done", "failed", "interrupted", "dead"};

const char *isobath_report_state_name(isobath_report_state state) { return state_names[state]; }

/* A key of an object as text (cut to size) or number; what is missing or of another type is "" or `otherwise`. */
static void get_text(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));
    snprintf(out, size, "%s", s ? s : "");
}
static double get_number(const json_t *o, const char *key, double otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}
static int64_t get_integer(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static void parse_progress(const json_t *o, isobath_report *r)
{
    static const char *const stages[] = {"decode", "network", "align", "write"};
    isobath_progress *p = &r->progress;
    const char *slowest = json_string_value(json_object_get(o, "slowest"));
    *p = (isobath_progress){.frames_decoded = get_integer(o, "frames_decoded"), .frames_done = get_integer(o, "frames_done"),
                            .windows_done = get_integer(o, "windows_done"), .frames_hint = get_integer(o, "frames_hint"),
                            .fraction = get_number(o, "fraction", -1), .elapsed_s = get_number(o, "elapsed_s", 0),
                            .frames_per_s = get_number(o, "frames_per_s", 0), .left_s = get_number(o, "left_s", -1),
                            .decode_share = get_number(o, "decode", 0), .network_share = get_number(o, "network", 0),
                            .align_share = get_number(o, "align", 0), .write_share = get_number(o, "write", 0),
                            .guards = get_integer(o, "guards"), .slowest = stages[1]};
    for (int i = 0; slowest && i < 4; i++)
        if (strcmp(slowest, stages[i]) == 0) p->slowest = stages[i];
    r->recent_frames_per_s = get_number(o, "recent_frames_per_s", 0);
}

static void parse_lists(const json_t *j, isobath_report *r)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(j, "devices"), i, o) {
        if (r->device_count == ISOBATH_REPORT_DEVICES) break;
        isobath_device_progress *d = &r->device[r->device_count++];
        get_text(o, "name", d->name, sizeof d->name);
        get_text(o, "kind", d->kind, sizeof d->kind);
        d->frames = get_integer(o, "frames");
        d->busy = get_number(o, "busy", 0);
    }
    json_array_foreach(json_object_get(j, "gpus"), i, o) {
        if (r->gpu_count == ISOBATH_REPORT_DEVICES) break;
        isobath_report_gpu *g = &r->gpu[r->gpu_count++];
        g->index = (int)(get_integer(o, "index") & 0xffff);
        get_text(o, "name", g->name, sizeof g->name);
        get_text(o, "pci", g->pci, sizeof g->pci);
        g->utilisation = get_number(o, "utilisation", -1);
        g->memory_bytes = get_number(o, "memory_bytes", -1);
        g->used_bytes = get_number(o, "used_bytes", -1);
        g->temperature_c = get_number(o, "temperature_c", -1);
        g->power_w = get_number(o, "power_w", -1);
    }
}

isobath_status ib_status_parse(const char *text, size_t size, const char *name, ib_diag *diag, isobath_report *r)
{
    json_t *j;
    *r = (isobath_report){.age_s = 0};
    IB_TRY(ib_json_parse(text, size, name, diag, &j));
    const char *format = json_string_value(json_object_get(j, "format")), *state = json_string_value(json_object_get(j, "state"));
    int known = -1;
    for (int i = 0; state && i < ISOBATH_REPORT_DEAD; i++)
        if (strcmp(state, state_names[i]) == 0) known = i;
    isobath_status st = format && strcmp(format, "isobath-status-1") == 0 && known >= 0
                            ? ISOBATH_OK
                            : ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a status file: expected format isobath-status-1 and a state", name);
    if (st == ISOBATH_OK) {
        r->state = (isobath_report_state)known;
        get_text(j, "name", r->name, sizeof r->name);
        get_text(j, "task", r->task, sizeof r->task);
        get_text(j, "host", r->host, sizeof r->host);
        get_text(j, "error", r->error, sizeof r->error);
        r->pid = get_integer(j, "pid");
        r->started = get_number(j, "started", 0);
        r->updated = get_number(j, "updated", 0);
        parse_progress(json_object_get(j, "progress"), r);
        parse_lists(j, r);
    }
    json_decref(j);
    return st;
}

int ib_status_alive(const char *text, size_t size)
{
    json_t *j;
    char boot[64];
    int64_t space;
    if (ib_json_parse(text, size, "", NULL, &j) != ISOBATH_OK) return -1;
    ib_process_place(boot, &space);
    const char *theirs = json_string_value(json_object_get(j, "boot"));
    int alive = -1;
    if (theirs && *boot && strcmp(theirs, boot) == 0 && get_integer(j, "pid_space") == space) {
        int64_t pid = get_integer(j, "pid");
        alive = pid > 0 && ib_process_start(pid) == get_integer(j, "process_start");
    }
    json_decref(j);
    return alive;
}

typedef struct report_list {
    isobath_report *list;
    size_t count, capacity;
} report_list;

static isobath_status read_file(const char *path, report_list *all, ib_diag *diag)
{
    uint8_t *text;
    size_t size;
    struct stat sb;
    struct timespec now;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 8;
        isobath_report *list = realloc(all->list, capacity * sizeof *list);
        if (!list) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the reports");
        all->list = list;
        all->capacity = capacity;
    }
    isobath_report *r = &all->list[all->count];
    IB_TRY(ib_read_file(path, LARGEST, diag, &text, &size));
    isobath_status st = ib_status_parse((const char *)text, size, path, diag, r);
    int alive = st == ISOBATH_OK ? ib_status_alive((const char *)text, size) : -1;
    free(text);
    IB_TRY(st);
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat(path, &sb) == 0) r->age_s = (double)(now.tv_sec - sb.st_mtim.tv_sec) + (double)(now.tv_nsec - sb.st_mtim.tv_nsec) * 1e-9;
    if (r->age_s < 0) r->age_s = 0; /* another machine's clock */
    if (r->state == ISOBATH_REPORT_RUNNING && (alive == 0 || (alive < 0 && r->age_s > ISOBATH_REPORT_STALE_S))) r->state = ISOBATH_REPORT_DEAD;
    all->count++;
    return ISOBATH_OK;
}

static int ends_in(const char *name, const char *suffix)
{
    size_t a = strlen(name), b = strlen(suffix);
    return a >= b && strcmp(name + a - b, suffix) == 0;
}

/* The status files of a folder, and of its folders of tasks. */
static isobath_status read_folder(const char *folder, int inner, report_list *all, ib_diag *diag)
{
    DIR *d = opendir(folder);
    if (!d) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read the folder: %s", folder, strerror(errno));
    isobath_status st = ISOBATH_OK;
    for (struct dirent *e; st == ISOBATH_OK && (e = readdir(d));) {
        int tasks = !inner && ends_in(e->d_name, TASKS);
        if (!tasks && !ends_in(e->d_name, SUFFIX)) continue;
        char *path = ib_text("%s/%s", folder, e->d_name);
        if (!path) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the reports");
        else st = tasks ? read_folder(path, 1, all, diag) : read_file(path, all, diag);
        free(path);
    }
    closedir(d);
    return st;
}

static int by_name(const void *a, const void *b)
{
    const isobath_report *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->task, y->task);
}

isobath_status isobath_report_read(const char *folder, isobath_report **list, size_t *count, char *error, size_t error_size)
{
    ib_diag diag = IB_DIAG_INIT;
    report_list all = {0};
    struct stat sb;
    isobath_status st = stat(folder, &sb) == 0 && !S_ISDIR(sb.st_mode) ? read_file(folder, &all, &diag) : read_folder(folder, 0, &all, &diag);
    if (st == ISOBATH_OK && !all.count) st = ib_fail(&diag, ISOBATH_ERR_INPUT, "%s: no run has left a status file here", folder);
    if (st != ISOBATH_OK) {
        free(all.list);
        all = (report_list){0};
    } else qsort(all.list, all.count, sizeof *all.list, by_name);
    *list = all.list;
    *count = all.count;
    if (error && error_size) snprintf(error, error_size, "%s", diag.text);
    ib_diag_destroy(&diag);
    return st;
}
