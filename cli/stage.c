/* Progress in stages; see stage.h. */
#include "stage.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

void cli_stage_start(cli_stage *stage, int quiet)
{
    *stage = (cli_stage){.shows = !quiet && isatty(STDERR_FILENO)};
    struct sigaction action = {.sa_handler = on_signal,
                               .sa_flags = SA_RESETHAND | SA_RESTART}; /* a second one ends the process */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_stage_report(void *ctx, const char *name, int64_t done, int64_t total)
{
    cli_stage *stage = ctx;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    if (!stage->shows || now < stage->next_us) return interrupted;
    stage->next_us = now + 200000;
    int n = total > 0 ? fprintf(stderr, "\r%s %lld of %lld", name, (long long)done, (long long)total)
                      : fprintf(stderr, "\r%s %lld", name, (long long)done);
    for (int i = n; i < stage->width; i++) fputc(' ', stderr);
    stage->width = n;
    return interrupted;
}

void cli_stage_stop(cli_stage *stage)
{
    if (stage->width) fprintf(stderr, "\r%*s\r", stage->width, "");
}
