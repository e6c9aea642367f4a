/* Progress of tools that work in stages: one line on a terminal, nothing elsewhere; Ctrl-C stops them cleanly. */
#ifndef ISOBATH_CLI_STAGE_H
#define ISOBATH_CLI_STAGE_H

#include <stdint.h>

typedef struct cli_stage {
    int shows;       /* stderr is a terminal */
    int width;       /* of what stands there */
    int64_t next_us; /* when to print again */
} cli_stage;

/* Catches SIGINT and SIGTERM until the process ends. */
void cli_stage_start(cli_stage *stage, int quiet);
/* A progress callback of the library: 1 after Ctrl-C. total -1: unknown. */
int cli_stage_report(void *stage, const char *name, int64_t done, int64_t total);
/* Clears the line. */
void cli_stage_stop(cli_stage *stage);

#endif
