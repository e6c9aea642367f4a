/* The list of frames that stand in for damaged ones; see repeats.h. */
#include "pipeline/repeats.h"

#include "sink/describe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TOLD 8

isobath_status ib_repeats_add(ib_repeats *r, const ib_media_frame *frame, ib_diag *diag)
{
    if (!frame->repeated || (r->count && r->list[r->count - 1].index >= frame->index)) return ISOBATH_OK;
    if (r->count == r->cap) {
        int64_t cap = r->cap ? 2 * r->cap : 16;
        ib_repeat *grown = realloc(r->list, (size_t)cap * sizeof *grown);
        if (!grown) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the list of damaged frames");
        r->list = grown;
        r->cap = cap;
    }
    ib_repeat *at = &r->list[r->count++];
    *at = (ib_repeat){.index = frame->index, .pts_us = frame->pts_us};
    snprintf(at->why, sizeof at->why, "%s", frame->why ? frame->why : "");
    return ISOBATH_OK;
}

isobath_status ib_repeats_copy(ib_repeats *to, const ib_repeats *from, ib_diag *diag)
{
    ib_repeats_free(to);
    if (!from->count) return ISOBATH_OK;
    to->list = malloc((size_t)from->count * sizeof *to->list);
    if (!to->list) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the list of damaged frames");
    memcpy(to->list, from->list, (size_t)from->count * sizeof *to->list);
    to->count = to->cap = from->count;
    return ISOBATH_OK;
}

json_t *ib_repeats_json(const ib_repeats *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->count; i++) ib_json_add(&list, json_integer(r->list[i].index));
    return list;
}

void ib_repeats_line(const ib_repeats *r, char *line, size_t size)
{
    size_t at = (size_t)snprintf(line, size, "damaged frames that repeat the one before them:");
    for (int64_t i = 0; i < r->count && i < MOST_TOLD && at < size; i++)
        at += (size_t)snprintf(line + at, size - at, "%s %lld", i ? "," : "", (long long)r->list[i].index);
    if (r->count > MOST_TOLD && at < size) snprintf(line + at, size - at, " ... (%lld in all, see the manifest)", (long long)r->count);
}

void ib_repeats_free(ib_repeats *r)
{
    free(r->list);
    *r = (ib_repeats){0};
}
