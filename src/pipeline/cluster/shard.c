/* Arithmetic of a plan, its paths and memory; see shard.h. */
#include "pipeline/cluster/shard.h"

#include "pipeline/cluster/spool.h"
#include "sink/file.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ib_shard_free(ib_shard *s)
{
    for (int i = 0; i < s->string_count; i++) free(s->strings[i]);
    free(s->pts_us);
    ib_repeats_free(&s->repeats);
    free(s->checks);
    free(s->shots);
    free(s->shot_window);
    memset(s, 0, sizeof *s);
}

char *ib_shard_path(const ib_shard *s, const char *format, ...)
{
    char file[256];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(file, sizeof file, format, ap);
    va_end(ap);
    return n < 0 || n >= (int)sizeof file ? NULL : ib_text("%s/%s_isobath.tasks%s%s", s->options.output, s->name, *file ? "/" : "", file);
}

void ib_shard_segment(const ib_shard *s, int64_t i, int64_t *first, int64_t *end)
{
    *first = (int64_t)((__int128)i * s->windows / s->segments);
    *end = (int64_t)((__int128)(i + 1) * s->windows / s->segments);
}

int64_t ib_shard_window(const ib_shard *s, int64_t w, int64_t *k)
{
    int64_t low = 0, high = s->shot_count - 1;
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (s->shot_window[middle] <= w) low = middle;
        else high = middle - 1;
    }
    *k = w - s->shot_window[low];
    return low;
}

void ib_shard_final_frames(const ib_shard *s, int64_t w, int64_t *first, int64_t *end)
{
    int64_t k;
    const ib_shot *shot = &s->shots[ib_shard_window(s, w, &k)];
    if (s->temporal) ib_plan_final_frames(k, shot->count, first, end);
    else ib_plan_new_frames(k, shot->count, first, end);
    *first += shot->first;
    *end += shot->first;
}

const ib_exec_hello *ib_shard_program(const ib_shard *s, ib_exec_hello *hello)
{
    if (!*s->program) return NULL;
    *hello = (ib_exec_hello){.width = s->network_width, .height = s->network_height, .metric = s->metric};
    memcpy(hello->name, s->program, sizeof hello->name);
    return hello;
}

uint32_t ib_shard_slots(const ib_shard *s, int64_t w)
{
    int64_t k, shot = ib_shard_window(s, w, &k);
    return ib_spool_slots(k, s->shots[shot].count, s->temporal, s->metric, !s->options.guard);
}
