/* isobath_join_run; see isobath/join.h. */
#include "join/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void isobath_join_options_init(isobath_join_options *options)
{
    *options = (isobath_join_options){.metric = -1, .blend_frames = 8};
}

void isobath_join_summary_free(isobath_join_summary *summary)
{
    free(summary->chunks);
    summary->chunks = NULL;
    summary->count = 0;
}

isobath_status isobath_join_run(const isobath_join_options *options, isobath_join_summary *summary, char *error,
                                size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(summary, 0, sizeof *summary);
    ib_join j = {.o = options, .summary = summary, .diag = &diag};
    isobath_status st = ib_join_open(&j);
    summary->frames = j.plan.frames;
    summary->width = j.width;
    summary->height = j.height;
    if (st == ISOBATH_OK) st = ib_join_look_at_frames(&j);
    if (st == ISOBATH_OK) st = ib_join_align(&j);
    if (st == ISOBATH_OK) st = ib_join_write(&j);
    if (st != ISOBATH_OK && error && error_size) snprintf(error, error_size, "%s", diag.text);
    ib_join_free(&j);
    ib_diag_destroy(&diag);
    return st;
}
