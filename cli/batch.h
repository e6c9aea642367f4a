/* What a run of several inputs says between and after them. */
#ifndef ISOBATH_CLI_BATCH_H
#define ISOBATH_CLI_BATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct cli_batch_row {
    const char *input;
    int64_t frames;
    double seconds;
    int code; /* exit code of this input; -1: not begun */
} cli_batch_row;

/* "input 2 of 5: clip.mp4", or an event. */
void cli_batch_announce(const char *input, size_t i, size_t count, int json, int quiet);
/* The table, on stderr; with `json` an event on stdout. */
void cli_batch_print(const cli_batch_row *rows, size_t count, int json);

#endif
