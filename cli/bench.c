/* isobath bench: frames per second of the network by device, precision and size, and what a whole run spends its time on. */
#include "cli.h"

#include <isobath/doctor.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_flags {
    const char *models, *devices, *precisions, *sizes, *input;
    isobath_bench_options o;
    int json;
    json_t *network, *runs; /* results for --json */
} bench_flags;

/* Item i of a comma-separated list into buf; 0 after the last. */
static int item(const char *list, int i, char *buf, size_t size)
{
    for (; i > 0 && list; i--) list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL;
    if (!list) return 0;
    snprintf(buf, size, "%.*s", (int)strcspn(list, ","), list);
    return 1;
}

static void keep(json_t *list, json_t *object)
{
    if (object) json_array_append_new(list, object);
}

/* One row. What this machine lacks is a row, too, not a failure; anything else is. */
static isobath_status measure(bench_flags *f)
{
    isobath_bench_result r;
    char error[1024], memory[32];
    isobath_status st = isobath_bench_network(&f->o, &r, error, sizeof error);
    if (st == ISOBATH_ERR_UNSUPPORTED) {
        if (f->json) keep(f->network, json_pack("{s:s, s:s, s:s}", "device", f->o.device, "precision", f->o.precision, "reason", error));
        else printf("%-10s %-8s %-5s %s\n", f->o.model ? f->o.model : "", f->o.device, f->o.precision, error);
        return ISOBATH_OK;
    }
    if (st != ISOBATH_OK) {
        cli_fail("bench", st, error);
        return st;
    }
    if (f->json)
        keep(f->network, json_pack("{s:s, s:s, s:s, s:s, s:[i,i], s:f, s:f, s:f, s:f, s:I, s:I}", "model", r.model, "device", f->o.device,
                                   "precision", f->o.precision, "kind", r.kind, "network_size", r.network_width, r.network_height,
                                   "frames_per_s", r.frames_per_s, "flops_per_frame", r.flops_per_frame, "flops_per_s",
                                   r.frames_per_s * r.flops_per_frame, "load_s", r.load_s, "memory_bytes", (json_int_t)r.memory_bytes,
                                   "nonfinite", (json_int_t)r.nonfinite));
    else
        printf("%-10s %-8s %-5s %5d x %-5d %9.2f %9.3f %7.2f %10s  %s\n", r.model, f->o.device, f->o.precision, r.network_width,
               r.network_height, r.frames_per_s, r.frames_per_s * r.flops_per_frame * 1e-12, r.load_s,
               cli_bytes((double)r.memory_bytes, memory, sizeof memory), r.kind);
    fflush(stdout);
    return ISOBATH_OK;
}

static isobath_status measure_networks(bench_flags *f)
{
    char model[4096], size[64], device[32], precision[16];
    if (!f->json)
        printf("%-10s %-8s %-5s %13s %9s %9s %7s %10s  %s\n", "model", "device", "prec", "network", "frames/s", "TFLOP/s", "load s", "memory",
               "kind");
    for (int m = 0; item(f->models, m, model, sizeof model); m++)
        for (int s = 0; item(f->sizes, s, size, sizeof size); s++)
            for (int d = 0; item(f->devices, d, device, sizeof device); d++)
                for (int p = 0; item(f->precisions, p, precision, sizeof precision); p++) {
                    int end = 0;
                    f->o.model = model[0] ? model : NULL;
                    f->o.device = device;
                    f->o.precision = precision;
                    if (sscanf(size, "%dx%d%n", &f->o.width, &f->o.height, &end) != 2 || size[end] || f->o.width < 1 || f->o.height < 1) {
                        fprintf(stderr, "isobath bench: --size %s: expected WIDTHxHEIGHT\n", size);
                        return ISOBATH_ERR_USAGE;
                    }
                    isobath_status st = measure(f);
                    if (st != ISOBATH_OK) return st;
                }
    return ISOBATH_OK;
}

/* A whole run of --input into `folder`: rate and shares. */
static isobath_status measure_run(bench_flags *f, const char *folder, const char *model, const char *device, const char *precision)
{
    isobath_run_options o;
    isobath_session *s;
    isobath_progress p;
    if (strcmp(device, "cpu") == 0 && strcmp(precision, "fp16") == 0) return ISOBATH_OK; /* the table above has said so */
    isobath_run_options_init(&o);
    o.input = f->input;
    o.output = folder;
    o.model = model[0] ? model : NULL;
    o.devices = device;
    o.precision = precision;
    o.input_size = f->o.input_size;
    o.threads = f->o.threads;
    o.overwrite = 1;
    isobath_status st = isobath_session_create(&o, &s);
    if (st == ISOBATH_OK) st = isobath_session_run(s);
    if (st == ISOBATH_OK) {
        isobath_session_progress(s, &p);
        const isobath_plan *plan = isobath_session_plan(s);
        if (f->json)
            keep(f->runs, json_pack("{s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "model", plan->model, "kind", plan->device,
                                    "precision", plan->precision, "frames", (json_int_t)p.frames_done, "elapsed_s", p.elapsed_s,
                                    "frames_per_s", p.frames_per_s, "decode", p.decode_share, "network", p.network_share, "align",
                                    p.align_share, "write", p.write_share));
        else
            printf("%-10s %-8s %-5s whole run: %lld frames, %.2f frames/s; busy: decode %.1f%%, network %.1f%%, align %.1f%%, write %.1f%%\n",
                   plan->model, device, plan->precision, (long long)p.frames_done, p.frames_per_s, p.decode_share * 100,
                   p.network_share * 100, p.align_share * 100, p.write_share * 100);
    } else cli_fail("bench", st, s ? isobath_session_error(s) : "out of memory");
    isobath_session_destroy(s);
    return st;
}

static isobath_status measure_runs(bench_flags *f, const char *folder)
{
    char model[4096], device[32], precision[16];
    for (int m = 0; item(f->models, m, model, sizeof model); m++)
        for (int d = 0; item(f->devices, d, device, sizeof device); d++)
            for (int p = 0; item(f->precisions, p, precision, sizeof precision); p++) {
                isobath_status st = measure_run(f, folder, model, device, precision);
                if (st != ISOBATH_OK) return st;
            }
    return ISOBATH_OK;
}

int cmd_bench(int argc, char **argv)
{
    bench_flags f = {.models = "", .devices = "cpu", .precisions = "fp32", .sizes = "1280x720"};
    const char *output = NULL;
    static const cli_command command = {
        .name = "bench",
        .usage = "bench [options]",
        .summary = "frames/s of the network and of a whole run",
        .description = "Measures the network alone on synthetic frames, every frame new, for each combination of the lists: output\n"
                       "frames/s with upload, preprocessing, finite check and download. With --input also a whole run of that video\n"
                       "into --output: its rate, and what its stages were busy for. Lists are separated by commas.",
        .examples = "  isobath bench --model vits,vitl --devices cpu,cuda:0 --precision fp32,bf16 --size 518x518,1280x720\n"
                    "  isobath bench --input clip.mp4 --output /tmp/bench --json\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Options"},
        {CLI_STRING, "--model", 'm', "LIST", "checkpoints or known names (default: the model that ships)", &f.models},
        {CLI_STRING, "--devices", 'd', "LIST", "cpu (default), cuda:0, ...", &f.devices},
        {CLI_STRING, "--precision", 0, "LIST", "fp32 (default), fp16, bf16", &f.precisions},
        {CLI_STRING, "--size", 's', "LIST", "sizes of the source, WIDTHxHEIGHT (default 1280x720)", &f.sizes},
        {CLI_INT, "--input-size", 0, "N", "as for isobath run", &f.o.input_size},
        {CLI_THREADS, "--threads", 'j', "N", "CPU threads (default: all)", &f.o.threads},
        {CLI_DOUBLE, "--seconds", 0, "S", "for each line (default 5; at least one window)", &f.o.seconds},
        {CLI_STRING, "--input", 'i', "FILE", "a video for whole runs", &f.input},
        {CLI_STRING, "--output", 'o', "FOLDER", "where their results go (replaced)", &output},
        {CLI_FLAG, "--json", 0, NULL, "one JSON object on stdout", &f.json},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest) return cli_fail("bench", ISOBATH_ERR_USAGE, "only options are expected (see isobath bench --help)");
    if (!f.input != !output) return cli_fail("bench", ISOBATH_ERR_USAGE, "--input and --output belong together");
    f.network = json_array();
    f.runs = json_array();
    isobath_status st = measure_networks(&f);
    if (st == ISOBATH_OK && f.input) st = measure_runs(&f, output);
    json_t *all = json_pack("{s:s, s:o, s:o}", "version", ISOBATH_VERSION, "network", f.network, "runs", f.runs);
    if (f.json && st == ISOBATH_OK && all) {
        json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        printf("\n");
    }
    json_decref(all);
    return (int)st;
}
