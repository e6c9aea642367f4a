/* isobath doctor: what this machine has, whether a model is right here, and how long an input takes. */
#include "cli.h"

#include <isobath/doctor.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(void *ctx, isobath_doctor_level level, const char *topic, const char *text)
{
    static const char *const labels[] = {"", "NOTE ", "BAD "};
    (void)ctx;
    printf("%-9s%s%s\n", topic, labels[level], text);
    fflush(stdout);
}

static json_t *cards_json(const isobath_doctor_report *r)
{
    json_t *cards = json_array();
    for (int i = 0; i < r->card_count; i++)
        json_array_append_new(cards, json_pack("{s:s, s:[i,i], s:I}", "name", r->cards[i].name, "compute", r->cards[i].compute_major,
                                               r->cards[i].compute_minor, "memory_bytes", (json_int_t)r->cards[i].memory_bytes));
    return cards;
}

static json_t *trials_json(const isobath_doctor_report *r)
{
    json_t *trials = json_array();
    for (int i = 0; i < r->trial_count; i++) {
        const isobath_doctor_trial *t = &r->trials[i];
        json_array_append_new(
            trials, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[i,i], s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:b, s:f}", "device", t->device,
                              "precision", t->precision, "kind", t->kind, "status", isobath_status_name(t->status), "reason", t->reason,
                              "size", t->width, t->height, "values", (json_int_t)t->values, "nonfinite", (json_int_t)t->nonfinite, "min",
                              t->min, "max", t->max, "median_error", t->median_error, "p9999_error", t->p9999_error, "worst_error",
                              t->worst_error, "sane", t->sane, "frames_per_s", t->frames_per_s, "extrapolated", t->extrapolated, "hours",
                              t->hours));
    }
    return trials;
}

static void print_json(const isobath_doctor_report *r, isobath_status st, const char *error)
{
    const isobath_plan *p = &r->plan;
    json_t *o = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:i}, s:{s:I, s:I}, s:f, s:{s:i, s:s, s:o}, s:s, s:{s:s, s:s, s:[i,i], s:f, s:I, s:f}, "
        "s:{s:s, s:s, s:b, s:[i,i], s:f}, s:{s:s, s:I, s:I, s:f}, s:o}",
        "status", isobath_status_name(st), "error", error, "cpu", "name", r->cpu, "features", r->cpu_features, "usable", r->cpus, "memory",
        "bytes", (json_int_t)r->memory_bytes, "available", (json_int_t)r->memory_available, "disk_available", r->disk_available, "cuda",
        "driver_version", r->cuda_version, "reason", r->cuda_reason, "cards", cards_json(r), "ffmpeg", r->ffmpeg, "input", "decoder",
        r->decoder, "colour", r->colour, "size", p->source_width, p->source_height, "fps", p->fps, "frames_hint",
        (json_int_t)p->frames_hint, "decode_frames_per_s", r->decode_frames_per_s, "model", "path", r->model_path, "name", p->model,
        "metric", p->metric, "network_size", p->network_width, p->network_height, "flops_per_frame", p->flops_per_frame, "plan", "device",
        p->device, "host_bytes", (json_int_t)p->host_bytes, "device_bytes", (json_int_t)p->device_bytes, "disk_bytes", p->disk_bytes,
        "trials", trials_json(r));
    if (o) json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(o);
}

int cmd_doctor(int argc, char **argv)
{
    isobath_doctor_options o = {0};
    int json = 0;
    static const cli_command command = {
        .name = "doctor",
        .usage = "doctor [INPUT] [--model M] [options]",
        .summary = "devices, drivers, decoder, precision self-test, speed, hours for INPUT",
        .description = "Says what this machine has, what a run of INPUT would use and take, whether the model gives sane numbers on\n"
                       "every device in every precision (compared with fp32 on the CPU, on the input's own frames), and how fast it\n"
                       "is. Takes some ten seconds; what had to be extrapolated from a smaller picture says so. Writes nothing.\n"
                       "Exit code 0: a run would work; else that of the first problem.",
        .examples = "  isobath doctor\n  isobath doctor clip.mp4 --model video_depth_anything_vitl.pth\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Options"},
        {CLI_STRING, "--model", 'm', "NAME|PATH", "checkpoint or known name (default: the model that ships)", &o.model},
        {CLI_FLAG, "--metric", 0, NULL, "the checkpoint gives metres (else as the file says)", &o.metric},
        {CLI_STRING, "--output", 'o', "FOLDER", "the disk that the result would go to (default: here)", &o.output},
        {CLI_STRING, "--format", 'f', "LIST", "as for isobath run, for the room on the disk", &o.formats},
        {CLI_INT, "--input-size", 0, "N", "as for isobath run", &o.input_size},
        {CLI_STRING, "--devices", 'd', "D", "auto (default: all), cpu or cuda:N", &o.devices},
        {CLI_STRING, "--precision", 0, "P", "auto (default: all), fp32, fp16 or bf16", &o.precision},
        {CLI_THREADS, "--threads", 'j', "N", "CPU threads (default: all)", &o.threads},
        {CLI_DOUBLE, "--seconds", 0, "S", "time for measuring (default 7)", &o.seconds},
        {CLI_FLAG, "--json", 0, NULL, "one JSON object on stdout", &json},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest > 1) return cli_fail("doctor", ISOBATH_ERR_USAGE, "one INPUT expected");
    o.input = rest ? argv[1] : NULL;
    if (!json) o.line = print_line;
    isobath_doctor_report *report = malloc(sizeof *report);
    char error[1024];
    if (!report) return cli_fail("doctor", ISOBATH_ERR_MEMORY, "out of memory");
    isobath_status st = isobath_doctor_run(&o, report, error, sizeof error);
    if (json) print_json(report, st, error);
    free(report);
    return st == ISOBATH_OK ? 0 : cli_fail("doctor", st, error);
}
