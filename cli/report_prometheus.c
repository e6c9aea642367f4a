/* Reports in Prometheus' text exposition format (version 0.0.4); see report.h. */
#include "report.h"

#include <stdio.h>

/* A label's value: backslash, quote and newline escaped. */
static void put_value(const char *s)
{
    for (; *s; s++) {
        if (*s == '\n') printf("\\n");
        else if (*s == '\\' || *s == '"') printf("\\%c", *s);
        else putchar(*s);
    }
}

static void put_label(const char *name, const char *value, int first)
{
    printf("%s%s=\"", first ? "{" : ",", name);
    put_value(value);
    putchar('"');
}

static void put_run(const char *metric, const isobath_report *r)
{
    printf("%s", metric);
    put_label("name", r->name, 1);
    put_label("task", r->task, 0);
    put_label("host", r->host, 0);
}

typedef struct run_metric {
    const char *name, *type, *help;
    double (*value)(const isobath_report *r); /* negative: not known, no sample */
} run_metric;

static double up(const isobath_report *r) { return r->state == ISOBATH_REPORT_RUNNING; }
static double done(const isobath_report *r) { return r->state == ISOBATH_REPORT_DONE; }
static double failed(const isobath_report *r) { return r->state == ISOBATH_REPORT_FAILED || r->state == ISOBATH_REPORT_DEAD; }
static double frames_done(const isobath_report *r) { return (double)r->progress.frames_done; }
static double frames_hint(const isobath_report *r) { return (double)r->progress.frames_hint; }
static double recent(const isobath_report *r) { return r->recent_frames_per_s; }
static double elapsed(const isobath_report *r) { return r->progress.elapsed_s; }
static double left(const isobath_report *r) { return r->state == ISOBATH_REPORT_RUNNING ? r->progress.left_s : -1; }
static double guards(const isobath_report *r) { return (double)r->progress.guards; }
static double age(const isobath_report *r) { return r->age_s; }

static const run_metric run_metrics[] = {
    {"isobath_running", "gauge", "1 while the run goes on.", up},
    {"isobath_done", "gauge", "1 when the run has finished.", done},
    {"isobath_failed", "gauge", "1 when the run has failed or died.", failed},
    {"isobath_frames_done_total", "counter", "Frames handed to all outputs.", frames_done},
    {"isobath_frames_expected", "gauge", "Frames of the input, estimated.", frames_hint},
    {"isobath_frames_per_second", "gauge", "Frames per second over the last seconds.", recent},
    {"isobath_elapsed_seconds", "gauge", "Seconds since the run began.", elapsed},
    {"isobath_left_seconds", "gauge", "Seconds that are left, estimated.", left},
    {"isobath_guards_total", "counter", "Windows whose alignment was kept or that were redone in fp32.", guards},
    {"isobath_status_age_seconds", "gauge", "Seconds since the run was heard of.", age},
};

static void head(const char *name, const char *type, const char *help) { printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, type); }

static void put_stages(const isobath_report *list, size_t count)
{
    head("isobath_stage_busy_ratio", "gauge", "Share of the time that a stage was busy.");
    for (size_t i = 0; i < count; i++) {
        const isobath_progress *p = &list[i].progress;
        const char *const names[] = {"decode", "network", "align", "write"};
        const double share[] = {p->decode_share, p->network_share, p->align_share, p->write_share};
        for (int k = 0; k < 4; k++) {
            put_run("isobath_stage_busy_ratio", &list[i]);
            put_label("stage", names[k], 0);
            printf("} %.6g\n", share[k]);
        }
    }
}

static void put_devices(const isobath_report *list, size_t count)
{
    for (int busy = 0; busy < 2; busy++) {
        const char *name = busy ? "isobath_device_busy_ratio" : "isobath_device_frames_total";
        head(name, busy ? "gauge" : "counter", busy ? "Share of the time that a device computed." : "Frames of the windows that a device has done.");
        for (size_t i = 0; i < count; i++)
            for (int k = 0; k < list[i].device_count; k++) {
                put_run(name, &list[i]);
                put_label("device", list[i].device[k].name, 0);
                printf("} %.9g\n", busy ? list[i].device[k].busy : (double)list[i].device[k].frames);
            }
    }
}

static double gpu_use(const isobath_report_gpu *g) { return g->utilisation; }
static double gpu_used(const isobath_report_gpu *g) { return g->used_bytes; }
static double gpu_memory(const isobath_report_gpu *g) { return g->memory_bytes; }
static double gpu_celsius(const isobath_report_gpu *g) { return g->temperature_c; }
static double gpu_power(const isobath_report_gpu *g) { return g->power_w; }

static void put_gpus(const isobath_report *list, size_t count)
{
    static const struct {
        const char *name, *help;
        double (*value)(const isobath_report_gpu *);
    } metrics[] = {{"isobath_gpu_utilisation_ratio", "Load of a card.", gpu_use},
                   {"isobath_gpu_memory_used_bytes", "Memory of a card in use.", gpu_used},
                   {"isobath_gpu_memory_bytes", "Memory of a card.", gpu_memory},
                   {"isobath_gpu_temperature_celsius", "Temperature of a card.", gpu_celsius},
                   {"isobath_gpu_power_watts", "Power that a card draws.", gpu_power}};
    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        head(metrics[m].name, "gauge", metrics[m].help);
        for (size_t i = 0; i < count; i++)
            for (int k = 0; k < list[i].gpu_count; k++) {
                const isobath_report_gpu *g = &list[i].gpu[k];
                char index[16];
                if (metrics[m].value(g) < 0) continue;
                snprintf(index, sizeof index, "%d", g->index);
                put_run(metrics[m].name, &list[i]);
                put_label("gpu", index, 0);
                put_label("model", g->name, 0);
                put_label("pci", g->pci, 0);
                printf("} %.9g\n", metrics[m].value(g));
            }
    }
}

void cli_report_prometheus(const isobath_report *list, size_t count)
{
    for (size_t m = 0; m < sizeof run_metrics / sizeof *run_metrics; m++) {
        head(run_metrics[m].name, run_metrics[m].type, run_metrics[m].help);
        for (size_t i = 0; i < count; i++) {
            double value = run_metrics[m].value(&list[i]);
            if (value < 0) continue;
            put_run(run_metrics[m].name, &list[i]);
            printf("} %.12g\n", value);
        }
    }
    put_stages(list, count);
    put_devices(list, count);
    put_gpus(list, count);
}
