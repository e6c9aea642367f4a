/* Several inputs: announcements and the table; see batch.h. */
#include "batch.h"

#include "cli.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void print_event(json_t *event)
{
    if (event) json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("\n");
    fflush(stdout);
    json_decref(event);
}

/* A path is bytes; JSON wants UTF-8. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    return j ? j : json_string("(a name that is not UTF-8)");
}

void cli_batch_announce(const char *input, size_t i, size_t count, int json, int quiet)
{
    if (json)
        print_event(json_pack("{s:s, s:o, s:I, s:I}", "event", "input", "input", text(input), "number", (json_int_t)i + 1, "of",
                              (json_int_t)count));
    else if (!quiet) fprintf(stderr, "%s---- input %zu of %zu ----\n", i ? "\n" : "", i + 1, count);
}

static const char *state(const cli_batch_row *row)
{
    return row->code < 0 ? "not begun" : row->code == 0 ? "done" : isobath_status_name((isobath_status)row->code);
}

static double rate(const cli_batch_row *row) { return row->seconds > 0 ? (double)row->frames / row->seconds : 0; }

static void print_json(const cli_batch_row *rows, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o, s:I, s:f, s:f, s:s, s:i}", "input", text(rows[i].input), "frames",
                                              (json_int_t)rows[i].frames, "seconds", rows[i].seconds, "frames_per_s",
                                              rate(&rows[i]), "state", state(&rows[i]), "exit", rows[i].code));
    print_event(json_pack("{s:s, s:o}", "event", "summary", "inputs", list));
}

void cli_batch_print(const cli_batch_row *rows, size_t count, int json)
{
    if (json) {
        print_json(rows, count);
        return;
    }
    int width = 5;
    size_t done = 0;
    int64_t frames = 0;
    double seconds = 0;
    for (size_t i = 0; i < count; i++) {
        int n = (int)strlen(rows[i].input);
        if (n > width) width = n < 60 ? n : 60;
        done += rows[i].code == 0;
        frames += rows[i].frames;
        seconds += rows[i].seconds;
    }
    fprintf(stderr, "\n%-*s %9s %10s %9s  %s\n", width, "input", "frames", "seconds", "frames/s", "state");
    for (size_t i = 0; i < count; i++) {
        int n = (int)strlen(rows[i].input); /* of a long path the end says more */
        fprintf(stderr, "%-*s %9lld %10.1f %9.2f  %s\n", width, rows[i].input + (n > width ? n - width : 0),
                (long long)rows[i].frames, rows[i].seconds, rate(&rows[i]), state(&rows[i]));
    }
    fprintf(stderr, "%zu of %zu done, %lld frames in %.1f s\n", done, count, (long long)frames, seconds);
}
