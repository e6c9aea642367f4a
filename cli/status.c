/* isobath status: how the runs of a folder are doing. */
#include "cli.h"
#include "report.h"

#include <isobath/report.h>
#include <isobath/task.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef enum status_form { FORM_TEXT, FORM_JSON, FORM_PROMETHEUS } status_form;

/* Of a run that was cut into tasks: how far they are together; only those that run or need attention are shown one by one. */
static void print_text(const char *folder, isobath_report *list, size_t count)
{
    isobath_task_progress p;
    size_t shown = 0;
    if (isobath_task_progress_read(folder, NULL, &p, NULL, 0) == ISOBATH_OK) {
        printf("%s: %lld frames in tasks: segments %lld of %lld", p.name, (long long)p.frames, (long long)p.segments_done, (long long)p.segments);
        printf(", %s", p.chain_done ? "aligned" : "not aligned");
        if (p.parts) printf(", rendered %lld of %lld", (long long)p.parts_done, (long long)p.parts);
        printf("\n");
        for (size_t i = 0; i < count; i++)
            if (!*list[i].task || list[i].state != ISOBATH_REPORT_DONE) list[shown++] = list[i];
        count = shown;
    }
    cli_report_text(list, count);
}

static void print_reports(const char *folder, isobath_report *list, size_t count, status_form form)
{
    if (form == FORM_JSON) cli_report_json(list, count);
    else if (form == FORM_PROMETHEUS) cli_report_prometheus(list, count);
    else print_text(folder, list, count);
    fflush(stdout);
}

/* 0 while all is well, 1 when a run has failed or died. */
static int verdict(const isobath_report *list, size_t count, int *running)
{
    int bad = 0;
    *running = 0;
    for (size_t i = 0; i < count; i++) {
        *running += list[i].state == ISOBATH_REPORT_RUNNING;
        bad |= list[i].state == ISOBATH_REPORT_FAILED || list[i].state == ISOBATH_REPORT_DEAD;
    }
    return bad;
}

int cmd_status(int argc, char **argv)
{
    int follow = 0, json = 0, prometheus = 0, rest;
    double every = 1;
    static const cli_command command = {
        .name = "status",
        .usage = "status OUT [--follow] [--json | --prometheus]",
        .summary = "how a run is doing, from another terminal or machine",
        .description = "Reads the status files that runs write into their output folder every second: frames done, rates, what\n"
                       "every stage and device is doing, load, memory, temperature and power of the cards, time left.\n"
                       "It says when a run is dead: its process is gone, or nothing was heard of it for 20 seconds.\n"
                       "OUT is the output folder, on this machine or on a shared disk.\n\n"
                       "Exit code 1 when a run has failed or died, 3 when there is none.",
        .examples = "  isobath status out --follow\n"
                    "  isobath status out --prometheus > /var/lib/node_exporter/isobath.prom\n"};
    const cli_option options[] = {
        {CLI_FLAG, "--follow", 0, NULL, "again and again until no run is going on and every plan is finished", &follow},
        {CLI_DOUBLE, "--every", 0, "S", "seconds between two looks with --follow (default 1)", &every},
        {CLI_FLAG, "--json", 0, NULL, "one JSON array", &json},
        {CLI_FLAG, "--prometheus", 0, NULL, "text for a Prometheus scraper", &prometheus},
        {CLI_END}};
    int code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 1) return cli_fail("status", ISOBATH_ERR_USAGE, "one folder expected (see isobath status --help)");
    if (json && prometheus) return cli_fail("status", ISOBATH_ERR_USAGE, "--json or --prometheus, not both");
    if (!(every >= 0.1 && every <= 3600)) return cli_fail("status", ISOBATH_ERR_USAGE, "--every: expected 0.1 to 3600 seconds");
    status_form form = json ? FORM_JSON : prometheus ? FORM_PROMETHEUS : FORM_TEXT;
    int terminal = follow && form == FORM_TEXT && isatty(STDOUT_FILENO);
    for (int running = 1; running;) {
        isobath_report *list;
        size_t count;
        char error[1024];
        isobath_status st = isobath_report_read(argv[1], &list, &count, error, sizeof error);
        if (st != ISOBATH_OK) return cli_fail("status", st, error);
        if (terminal) printf("\033[H\033[2J");
        isobath_task_progress p; /* between its tasks a cut run is not over */
        code = verdict(list, count, &running);
        if (isobath_task_progress_read(argv[1], NULL, &p, NULL, 0) == ISOBATH_OK && !p.finished) running = 1;
        print_reports(argv[1], list, count, form);
        free(list);
        if (!follow) break;
        if (running) nanosleep(&(struct timespec){(time_t)every, (long)((every - (double)(time_t)every) * 1e9)}, NULL);
    }
    return code;
}
