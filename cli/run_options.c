/* What `run` and `stream` share; see run_options.h. */
#include "run_options.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

int cli_set_on_error(void *target, const char *arg)
{
    if (strcmp(arg, "stop") && strcmp(arg, "repeat")) return -1;
    *(int *)target = strcmp(arg, "repeat") == 0;
    return 0;
}

int cli_set_guard(void *target, const char *arg)
{
    if (strcmp(arg, "on") && strcmp(arg, "off")) return -1;
    *(int *)target = strcmp(arg, "on") == 0;
    return 0;
}

int cli_set_bytes(void *target, const char *arg)
{
    char unit;
    double value;
    int end = 0;
    if (sscanf(arg, "%lf%c%n", &value, &unit, &end) != 2 || arg[end] || !(value > 0 && value < 1e6)) return -1;
    if (unit != 'M' && unit != 'G') return -1;
    *(size_t *)target = (size_t)(value * (unit == 'M' ? 1048576.0 : 1073741824.0));
    return 0;
}

int cli_set_png_level(void *target, const char *arg)
{
    if (strcmp(arg, "fast") && strcmp(arg, "max")) return -1;
    *(int *)target = strcmp(arg, "max") == 0;
    return 0;
}

void cli_print_plan(const isobath_plan *p, const isobath_run_options *o)
{
    char host[32], device[32], disk[32];
    fprintf(stderr, "input    %s: %d x %d", o->input, p->source_width, p->source_height);
    if (p->fps > 0) fprintf(stderr, ", %.3f frames/s", p->fps);
    if (p->frames_hint >= 0) fprintf(stderr, ", about %lld frames", (long long)p->frames_hint);
    fprintf(stderr, "\nmodel    %s (%s), %s, network %d x %d, %.0f GFLOP per frame\n", p->model,
            p->metric ? "metric, metres" : "relative disparity", p->precision, p->network_width, p->network_height,
            p->flops_per_frame * 1e-9);
    if (o->output)
        fprintf(stderr, "output   %s: %d x %d, %s", o->output, p->output_width, p->output_height, o->formats ? o->formats : "png16,preview");
    else fprintf(stderr, "output   a pipe: %d x %d", p->output_width, p->output_height);
    if (p->disk_bytes > 0) fprintf(stderr, ", at most %s", cli_bytes(p->disk_bytes, disk, sizeof disk));
    fprintf(stderr, "\nmemory   %s", cli_bytes((double)p->host_bytes, host, sizeof host));
    if (p->device_bytes) fprintf(stderr, ", on the device %s", cli_bytes((double)p->device_bytes, device, sizeof device));
    fprintf(stderr, "\ndevice   %s\n", p->device);
}

void cli_print_plan_json(const isobath_plan *p)
{
    json_t *o = json_pack("{s:s, s:[i,i], s:[i,i], s:[i,i], s:f, s:I, s:s, s:b, s:s, s:s, s:I, s:I, s:f, s:f}", "event", "plan",
                          "source_size", p->source_width, p->source_height, "network_size", p->network_width, p->network_height,
                          "output_size", p->output_width, p->output_height, "fps", p->fps, "frames_hint",
                          (json_int_t)p->frames_hint, "model", p->model, "metric", p->metric, "device", p->device, "precision",
                          p->precision, "host_bytes", (json_int_t)p->host_bytes, "device_bytes", (json_int_t)p->device_bytes,
                          "disk_bytes", p->disk_bytes, "flops_per_frame", p->flops_per_frame);
    if (o) json_dumpf(o, stdout, JSON_COMPACT);
    printf("\n");
    fflush(stdout);
    json_decref(o);
}

void cli_print_note(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "note     %s\n", line);
}
