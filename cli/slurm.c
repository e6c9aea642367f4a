/* isobath slurm: a whole run on a Slurm cluster. */
#include "cli.h"
#include "run_options.h"
#include "slurm_jobs.h"
#include "task.h"

#include <isobath/batch.h>
#include <isobath/report.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5 /* times that what has failed is submitted again, as long as each gets further */

static volatile sig_atomic_t interrupts;
static void on_signal(int number)
{
    (void)number;
    interrupts++;
}

typedef struct slurm_run {
    slurm_place place;
    slurm_options options;
    int64_t parts;
    int quiet, no_wait, count_packets;
    char ids[4096]; /* of the jobs that are on their way */
} slurm_run;

static int add_extra(void *target, const char *arg)
{
    slurm_options *o = target;
    if (o->extra_count == SLURM_MOST_OPTIONS || strncmp(arg, "--", 2) != 0) return -1;
    o->extra[o->extra_count++] = arg;
    return 0;
}

/* 1: the result is complete. The manifest is the last thing that is written, and the tasks' files go after it. */
static int is_finished(const slurm_run *r)
{
    char path[4700];
    snprintf(path, sizeof path, "%s/%s_isobath.json", r->place.folder, r->place.name);
    return access(path, F_OK) == 0;
}

static int read_progress(const slurm_run *r, isobath_task_progress *p)
{
    char error[1024];
    isobath_status st = isobath_task_progress_read(r->place.folder, r->place.name, p, error, sizeof error);
    return st == ISOBATH_OK ? 0 : cli_fail("slurm", st, error);
}

/* Submits what is not done yet, each stage after the one before. */
static int submit(slurm_run *r)
{
    isobath_task_progress p;
    char error[1024], after[4096] = "";
    int code = read_progress(r, &p);
    if (code) return code;
    r->ids[0] = 0;
    for (int stage = 0; stage < SLURM_STAGES; stage++) {
        int64_t *list = NULL, count = 0;
        char ids[4096] = "";
        isobath_status st = ISOBATH_OK;
        if (stage == SLURM_CHAIN && p.chain_done) continue;
        if (stage == SLURM_RENDER && !p.rendered) continue;
        if (stage == SLURM_WORK && p.chain_done && !p.rendered && p.segments == p.segments_done) continue;
        if (stage == SLURM_WORK || stage == SLURM_RENDER)
            st = isobath_task_missing(r->place.folder, r->place.name, stage == SLURM_WORK ? ISOBATH_TASK_WORK : ISOBATH_TASK_RENDER, r->parts, &list,
                                      &count, error, sizeof error);
        if (st != ISOBATH_OK) return cli_fail("slurm", st, error);
        if (list && !count) {
            free(list);
            continue;
        }
        int bad = slurm_submit(&r->place, &r->options, (slurm_stage)stage, list, count, after, ids, sizeof ids);
        free(list);
        if (bad) return ISOBATH_ERR_DEVICE;
        snprintf(after, sizeof after, "%s", ids);
        size_t n = strlen(r->ids);
        snprintf(r->ids + n, sizeof r->ids - n, "%s%s", n ? ":" : "", ids);
    }
    char path[4700];
    snprintf(path, sizeof path, "%s/jobs", r->place.scripts);
    FILE *f = fopen(path, "w"); /* so that a second isobath slurm follows these */
    if (f) {
        fprintf(f, "%s\n", r->ids);
        fclose(f);
    }
    if (!r->quiet) fprintf(stderr, "submitted jobs %s\n", r->ids);
    return 0;
}

/* Jobs of an earlier isobath slurm that are still on their way. */
static int adopt(slurm_run *r)
{
    char path[4700];
    int waiting, running;
    snprintf(path, sizeof path, "%s/jobs", r->place.scripts);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    int got = fgets(r->ids, sizeof r->ids, f) != NULL;
    fclose(f);
    r->ids[strcspn(r->ids, "\n")] = 0;
    return got && *r->ids && slurm_ask(r->ids, &waiting, &running) == 0 && waiting + running > 0;
}

/* "segments 12 of 64, rendering 0 of 64; 8 tasks run (312.5 frames/s), 40 wait" */
static void print_progress(const slurm_run *r, const isobath_task_progress *p, int waiting, int running, char *last, size_t size)
{
    isobath_report *list;
    size_t count;
    double rate = 0;
    char text[320];
    if (isobath_report_read(r->place.folder, &list, &count, NULL, 0) == ISOBATH_OK) {
        for (size_t i = 0; i < count; i++)
            if (list[i].state == ISOBATH_REPORT_RUNNING && strcmp(list[i].name, r->place.name) == 0) rate += list[i].recent_frames_per_s;
        free(list);
    }
    int n = snprintf(text, sizeof text, "segments %lld of %lld", (long long)p->segments_done, (long long)p->segments);
    if (p->chain_done) n += snprintf(text + n, sizeof text - (size_t)n, ", aligned");
    if (p->parts_done) n += snprintf(text + n, sizeof text - (size_t)n, ", rendered %lld of %lld", (long long)p->parts_done, (long long)r->parts);
    snprintf(text + n, sizeof text - (size_t)n, "; %d run, %d wait", running, waiting);
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K%s, %.1f frames/s", text, rate);
    else if (strcmp(text, last) != 0) fprintf(stderr, "%s\n", text);
    snprintf(last, size, "%s", text);
}

/* Until none of the jobs is left; -1: interrupted. */
static int follow(slurm_run *r)
{
    char last[320] = "";
    for (int quiet_polls = 0; !interrupts;) {
        int waiting, running;
        isobath_task_progress p;
        if (is_finished(r)) return 0;
        int asked = slurm_ask(r->ids, &waiting, &running);
        if (asked != 0) waiting = 1; /* a controller that is away comes back */
        if (!r->quiet && asked == 0 && isobath_task_progress_read(r->place.folder, r->place.name, &p, NULL, 0) == ISOBATH_OK)
            print_progress(r, &p, waiting, running, last, sizeof last);
        quiet_polls = waiting + running ? 0 : quiet_polls + 1;
        if (quiet_polls == 2) return 0; /* a shared disk may lag behind */
        struct timespec wait = {.tv_sec = 1};
        nanosleep(&wait, NULL);
    }
    return -1;
}

static int64_t work_left(const slurm_run *r)
{
    isobath_task_progress p;
    if (is_finished(r)) return 0;
    if (isobath_task_progress_read(r->place.folder, r->place.name, &p, NULL, 0) != ISOBATH_OK) return INT64_MAX;
    return (p.segments - p.segments_done) + (r->parts - p.parts_done) + !p.chain_done + 1;
}

static int run_all(slurm_run *r)
{
    int code = slurm_write_scripts(&r->place, &r->options, r->parts) ? ISOBATH_ERR_IO : 0;
    int64_t left = INT64_MAX;
    int stuck = 0;
    for (int round = 0; code == 0; round++) {
        if (round > 0 || !adopt(r)) code = submit(r);
        if (code || r->no_wait) return code;
        if (follow(r) < 0) {
            fprintf(stderr, "\nthe jobs go on; the same command follows them again, scancel ends them: %s\n", r->ids);
            return ISOBATH_ERR_INTERRUPTED;
        }
        if (is_finished(r)) return 0;
        int64_t now = work_left(r);
        stuck = now < left ? 0 : stuck + 1;
        left = now;
        if (stuck == 2 || round == 10 * ROUNDS) break;
        if (!r->quiet) fprintf(stderr, "some tasks did not succeed: what is missing is submitted again (logs: %s)\n", r->place.scripts);
    }
    if (code) return code;
    fprintf(stderr, "isobath slurm: tasks fail again and again; their logs are in %s\n", r->place.scripts);
    return ISOBATH_ERR_DEVICE;
}

static int start(slurm_run *r, isobath_run_options *o, int64_t segments)
{
    isobath_task_options t;
    isobath_task_progress p;
    ssize_t n = readlink("/proc/self/exe", r->place.program, sizeof r->place.program - 1);
    if (n < 0) return cli_fail("slurm", ISOBATH_ERR_INTERNAL, "/proc/self/exe cannot be read");
    if (mkdir(o->output, 0777) != 0 && errno != EEXIST) return cli_fail("slurm", ISOBATH_ERR_IO, "the output folder cannot be created");
    if (!realpath(o->output, r->place.folder)) return cli_fail("slurm", ISOBATH_ERR_IO, "the output folder cannot be found");
    isobath_batch *one = isobath_batch_create(); /* knows how results are called */
    if (one && !o->name && isobath_batch_add(one, o->input) == ISOBATH_OK && isobath_batch_count(one) == 1) {
        snprintf(r->place.name, sizeof r->place.name, "%s", isobath_batch_name(one, 0));
        o->name = r->place.name;
    }
    isobath_batch_destroy(one);
    isobath_task_options_init(&t);
    t.kind = ISOBATH_TASK_SHARD;
    t.segments = segments > 0 ? segments : 4 * (int64_t)r->options.nodes * (r->options.gpus_per_node > 0 ? r->options.gpus_per_node : 1);
    o->output = r->place.folder;
    t.run = o;
    t.count_packets = r->count_packets;
    if (o->overwrite || isobath_task_progress_read(r->place.folder, o->name, &p, NULL, 0) != ISOBATH_OK) {
        if (!r->quiet) fprintf(stderr, "reading the input once, for the plan\n");
        int code = cli_task_run("slurm", &t, r->quiet, NULL);
        if (code) return code;
        code = isobath_task_progress_read(r->place.folder, o->name, &p, NULL, 0) != ISOBATH_OK;
        if (code) return cli_fail("slurm", ISOBATH_ERR_IO, "the plan that was written cannot be read");
    } else if (!r->quiet) fprintf(stderr, "going on with the plan that is there and its options (--overwrite makes a new one)\n");
    memmove(r->place.name, p.name, sizeof p.name);
    snprintf(r->place.scripts, sizeof r->place.scripts, "%.4000s/%.255s_isobath.slurm", r->place.folder, p.name);
    if (r->parts <= 0 || r->parts > p.windows) r->parts = p.parts > 0 ? p.parts : p.segments;
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    int code = run_all(r);
    if (code == 0 && !r->no_wait) {
        slurm_remove_scripts(&r->place);
        if (!r->quiet) fprintf(stderr, "%sdone\n", isatty(STDERR_FILENO) ? "\r\033[K" : "");
        printf("%s/%s_isobath.json\n", r->place.folder, r->place.name);
    }
    return code;
}

int cmd_slurm(int argc, char **argv)
{
    isobath_run_options o;
    slurm_run r = {.options = {.nodes = 1}};
    isobath_run_options_init(&o);
    double range[2] = {0, 0};
    int metric = 0, rest;
    int64_t segments = 0;
    static const cli_command command = {
        .name = "slurm",
        .usage = "slurm INPUT -o OUT --nodes N [--gpus-per-node G] [options]",
        .summary = "a whole run on a Slurm cluster",
        .description = "Cuts the run into tasks (isobath shard, here), submits them as job arrays that wait for each other, and\n"
                       "shows how far they are until the result is there. INPUT and OUT must be on a disk that all nodes see.\n"
                       "A node that is lost gives its tasks back to the queue; tasks that fail are submitted again. The same\n"
                       "command goes on where an earlier one was stopped. The result is that of isobath run, byte by byte.",
        .examples = "  isobath slurm /shared/film.mp4 -o /shared/film --nodes 16 --gpus-per-node 4 --precision fp16\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Cluster"},
        {CLI_INT, "--nodes", 0, "N", "tasks that run at once (default 1)", &r.options.nodes},
        {CLI_INT, "--gpus-per-node", 0, "G", "G segments at once on a node, each on one GPU (default 0: on the CPU)", &r.options.gpus_per_node},
        {CLI_INT, "--cpus-per-task", 0, "C", "for sbatch", &r.options.cpus_per_task},
        {CLI_STRING, "--mem", 0, "M", "for sbatch: memory of a task", &r.options.memory},
        {CLI_STRING, "--time", 0, "T", "for sbatch: time limit of a task", &r.options.time},
        {CLI_STRING, "--partition", 0, "P", "for sbatch", &r.options.partition},
        {CLI_STRING, "--account", 0, "A", "for sbatch", &r.options.account},
        {CLI_CALL, "--sbatch", 0, "OPTION", "one more option for sbatch, as in --sbatch=--qos=low; again for more", &r.options, add_extra},
        {CLI_INT64, "--segments", 0, "N", "segments of windows (default: four for each that runs at once)", &segments},
        {CLI_INT64, "--parts", 0, "N", "parts of the rendering (default: as many as segments)", &r.parts},
        {CLI_FLAG, "--no-wait", 0, NULL, "submit and return", &r.no_wait},
        {CLI_CALL, "--count", 0, "frames|packets", "as for isobath shard", &r.count_packets, cli_set_count},
        CLI_INPUT_OPTIONS(o),
        CLI_MODEL_OPTIONS(o, metric),
        {CLI_CALL, "--guard", 0, "on|off", "as for isobath run", &o.guard, cli_set_guard},
        {CLI_DOUBLE, "--stabilize", 0, "S", "as for isobath run", &o.stabilize_s},
        {CLI_DOUBLE, "--exec-timeout", 0, "S", "as for isobath run", &o.exec_timeout_s},
        {CLI_STRING, "--cuts", 0, "off|auto|FILE", "as for isobath run", &o.cuts},
        CLI_SINK_OPTIONS(o, range),
        {CLI_HEADING, .help = "Reporting"},
        {CLI_FLAG, "--quiet", 'q', NULL, "say nothing but errors", &r.quiet},
        {CLI_END}};
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("slurm", ISOBATH_ERR_USAGE, "one INPUT expected (see isobath slurm --help)");
    if (!o.output) return cli_fail("slurm", ISOBATH_ERR_USAGE, "no output folder: -o OUT");
    if (r.options.nodes < 1 || r.options.gpus_per_node < 0) return cli_fail("slurm", ISOBATH_ERR_USAGE, "--nodes: expected 1 or more");
    o.input = argv[1];
    if (metric) o.metric = 1;
    if (r.options.gpus_per_node && (!o.precision || strcmp(o.precision, "auto") == 0)) o.precision = "fp16";
    o.range_min = range[0];
    o.range_max = range[1];
    return start(&r, &o, segments);
}
