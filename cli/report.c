/* Reports as text and JSON; see report.h. */
#include "report.h"

#include "cli.h"
#include <jansson.h>
#include <stdio.h>

#define MOST_DONE 12 /* results that are done and still listed */

static void print_gpu(const isobath_report_gpu *g)
{
    char used[32], all[32];
    printf("  card %d %s", g->index, g->name);
    if (g->utilisation >= 0) printf(": %.0f%% busy", g->utilisation * 100);
    if (g->memory_bytes >= 0)
        printf(", %s of %s", cli_bytes(g->used_bytes, used, sizeof used), cli_bytes(g->memory_bytes, all, sizeof all));
    if (g->temperature_c >= 0) printf(", %.0f C", g->temperature_c);
    if (g->power_w >= 0) printf(", %.0f W", g->power_w);
    printf("\n");
}

static void print_report(const isobath_report *r)
{
    const isobath_progress *p = &r->progress;
    char t[32];
    printf("%s%s%s: %s", r->name, *r->task ? ", " : "", r->task, isobath_report_state_name(r->state));
    if (r->state == ISOBATH_REPORT_RUNNING) printf(" on %s, process %lld", r->host, (long long)r->pid);
    if (r->state == ISOBATH_REPORT_DEAD)
        printf(": process %lld on %s is gone or silent, last heard of %s ago", (long long)r->pid, r->host, cli_duration(r->age_s, t, sizeof t));
    if (*r->error) printf(": %s", r->error);
    printf("\n  %lld", (long long)p->frames_done);
    if (p->frames_hint > 0) printf(" of about %lld", (long long)p->frames_hint);
    printf(" frames");
    if (p->fraction >= 0) printf(" (%.0f%%)", p->fraction * 100);
    printf(" in %s, %.2f frames/s", cli_duration(p->elapsed_s, t, sizeof t), p->frames_per_s);
    if (r->state == ISOBATH_REPORT_RUNNING) {
        printf(" (now %.2f)", r->recent_frames_per_s);
        if (p->left_s >= 0) printf(", left %s", cli_duration(p->left_s, t, sizeof t));
    }
    if (p->guards) printf(", guards %lld", (long long)p->guards);
    printf("\n  busy: decode %.0f%%, network %.0f%%, align %.0f%%, write %.0f%%; slowest: %s\n", p->decode_share * 100,
           p->network_share * 100, p->align_share * 100, p->write_share * 100, p->slowest);
    if (r->device_count) printf("  %-12s %10s %9s %5s\n", "device", "frames", "frames/s", "busy");
    for (int i = 0; i < r->device_count; i++)
        printf("  %-12s %10lld %9.2f %4.0f%%  %s\n", r->device[i].name, (long long)r->device[i].frames,
               p->elapsed_s > 0 ? (double)r->device[i].frames / p->elapsed_s : 0, r->device[i].busy * 100, r->device[i].kind);
    for (int i = 0; i < r->gpu_count; i++) print_gpu(&r->gpu[i]);
}

/* Of several runs those that are done have a line each, or one together, before those that go on or need attention. */
void cli_report_text(const isobath_report *list, size_t count)
{
    size_t done = 0;
    int64_t frames = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].state != ISOBATH_REPORT_DONE) continue;
        done++;
        frames += list[i].progress.frames_done;
    }
    int brief = count > 1 ? done > MOST_DONE ? 2 : 1 : 0;
    if (brief == 2) printf("%zu done: %lld frames\n", done, (long long)frames);
    for (size_t i = 0; i < count && brief == 1; i++) {
        const isobath_progress *p = &list[i].progress;
        char t[32];
        if (list[i].state != ISOBATH_REPORT_DONE) continue;
        printf("%s%s%s: done, %lld frames in %s, %.2f frames/s\n", list[i].name, *list[i].task ? ", " : "", list[i].task,
               (long long)p->frames_done, cli_duration(p->elapsed_s, t, sizeof t), p->frames_per_s);
    }
    for (size_t i = 0; i < count; i++)
        if (!brief || list[i].state != ISOBATH_REPORT_DONE) print_report(&list[i]);
}

static json_t *number(double x) { return x >= 0 ? json_real(x) : json_null(); }

static json_t *report_json(const isobath_report *r)
{
    const isobath_progress *p = &r->progress;
    json_t *devices = json_array(), *gpus = json_array();
    for (int i = 0; i < r->device_count; i++)
        json_array_append_new(devices, json_pack("{s:s, s:s, s:I, s:f, s:f}", "name", r->device[i].name, "kind", r->device[i].kind,
                                                 "frames", (json_int_t)r->device[i].frames, "frames_per_s",
                                                 p->elapsed_s > 0 ? (double)r->device[i].frames / p->elapsed_s : 0, "busy",
                                                 r->device[i].busy));
    for (int i = 0; i < r->gpu_count; i++) {
        const isobath_report_gpu *g = &r->gpu[i];
        json_array_append_new(gpus, json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "index", g->index, "name", g->name, "pci",
                                              g->pci, "utilisation", number(g->utilisation), "memory_bytes",
                                              number(g->memory_bytes), "used_bytes", number(g->used_bytes), "temperature_c",
                                              number(g->temperature_c), "power_w", number(g->power_w)));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:f, s:s, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:s, s:I, s:o, s:o}",
                     "name", r->name, "task", r->task, "state", isobath_report_state_name(r->state), "host", r->host, "pid",
                     (json_int_t)r->pid, "age_s", r->age_s, "error", r->error, "frames_done", (json_int_t)p->frames_done,
                     "frames_decoded", (json_int_t)p->frames_decoded, "frames_hint", (json_int_t)p->frames_hint, "fraction",
                     number(p->fraction), "elapsed_s", p->elapsed_s, "frames_per_s", p->frames_per_s, "recent_frames_per_s",
                     r->recent_frames_per_s, "left_s", number(p->left_s), "decode", p->decode_share, "network",
                     p->network_share, "align", p->align_share, "write", p->write_share, "slowest", p->slowest, "guards",
                     (json_int_t)p->guards, "devices", devices, "gpus", gpus);
}

void cli_report_json(const isobath_report *list, size_t count)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(all, report_json(&list[i]));
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(all);
}
