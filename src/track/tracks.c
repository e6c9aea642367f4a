/* The list of detections, and the words of text formats; see tracks.h. */
#include "track/tracks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ib_tracks_free(ib_tracks *tracks)
{
    for (int i = 0; i < tracks->class_count; i++) free(tracks->class_names[i]);
    free(tracks->class_names);
    free(tracks->list);
    free(tracks->xy);
    free(tracks->runs);
    memset(tracks, 0, sizeof *tracks);
}

int ib_tracks_add(ib_tracks *tracks, const ib_detection *detection)
{
    if (tracks->count == tracks->capacity) {
        size_t capacity = tracks->capacity ? 2 * tracks->capacity : 256;
        ib_detection *list = realloc(tracks->list, capacity * sizeof *list);
        if (!list) return 0;
        tracks->list = list;
        tracks->capacity = capacity;
    }
    tracks->list[tracks->count] = *detection;
    tracks->list[tracks->count].order = (int64_t)tracks->count;
    tracks->count++;
    return 1;
}

int ib_tracks_add_point(ib_tracks *tracks, double x, double y)
{
    if (tracks->xy_count == tracks->xy_capacity) {
        size_t capacity = tracks->xy_capacity ? 2 * tracks->xy_capacity : 256;
        float *xy = realloc(tracks->xy, 2 * capacity * sizeof *xy);
        if (!xy) return 0;
        tracks->xy = xy;
        tracks->xy_capacity = capacity;
    }
    tracks->xy[2 * tracks->xy_count] = (float)x;
    tracks->xy[2 * tracks->xy_count + 1] = (float)y;
    tracks->xy_count++;
    return 1;
}

int ib_tracks_add_run(ib_tracks *tracks, uint32_t end)
{
    if (tracks->run_count == tracks->run_capacity) {
        size_t capacity = tracks->run_capacity ? 2 * tracks->run_capacity : 1024;
        uint32_t *runs = realloc(tracks->runs, capacity * sizeof *runs);
        if (!runs) return 0;
        tracks->runs = runs;
        tracks->run_capacity = capacity;
    }
    tracks->runs[tracks->run_count++] = end;
    return 1;
}

static int in_polygon(const float *xy, size_t n, double x, double y)
{
    int in = 0;
    for (size_t i = 0, j = n - 1; i < n; j = i++) {
        double xi = xy[2 * i], yi = xy[2 * i + 1], xj = xy[2 * j], yj = xy[2 * j + 1];
        if ((yi > y) != (yj > y) && x < (xj - xi) * (y - yi) / (yj - yi) + xi) in = !in;
    }
    return in;
}

int ib_tracks_in_mask(const ib_tracks *t, const ib_detection *d, double u, double v, int width, int height)
{
    if (d->runs) {
        double column = floor(u * d->grid_width / width), row = floor(v * d->grid_height / height);
        if (!(column >= 0 && row >= 0 && column < d->grid_width && row < d->grid_height)) return 0;
        uint32_t at = (uint32_t)((int64_t)column * d->grid_height + (int64_t)row);
        size_t low = 0, high = d->runs; /* the first run that ends behind `at` */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (t->runs[d->run + middle] > at)
                high = middle;
            else
                low = middle + 1;
        }
        return low < d->runs && low % 2 == 1;
    }
    if (!d->points) return 0;
    const float *xy = t->xy + 2 * d->polygon;
    for (size_t first = 0, i = 0; i <= d->points; i++) {
        if (i < d->points && !isnan(xy[2 * i])) continue;
        if (i > first && in_polygon(xy + 2 * first, i - first, u, v)) return 1;
        first = i + 1;
    }
    return 0;
}

int ib_tracks_class(ib_tracks *tracks, const char *name)
{
    for (int i = 0; i < tracks->class_count; i++)
        if (strcmp(tracks->class_names[i], name) == 0) return i;
    char **names = realloc(tracks->class_names, ((size_t)tracks->class_count + 1) * sizeof *names);
    if (!names) return -1;
    tracks->class_names = names;
    names[tracks->class_count] = strdup(name);
    if (!names[tracks->class_count]) return -1;
    return tracks->class_count++;
}

static int by_frame(const void *a, const void *b)
{
    const ib_detection *p = a, *q = b;
    if (p->frame != q->frame) return p->frame < q->frame ? -1 : 1;
    return p->order < q->order ? -1 : p->order > q->order;
}

void ib_tracks_sort(ib_tracks *tracks)
{
    if (tracks->count) qsort(tracks->list, tracks->count, sizeof *tracks->list, by_frame);
}

void ib_tracks_to_pixels(ib_tracks *tracks, int width, int height)
{
    if (!tracks->normalised) return;
    for (size_t i = 0; i < tracks->count; i++)
        for (int k = 0; k < 4; k++) tracks->list[i].box[k] *= k % 2 ? height : width;
    for (size_t i = 0; i < tracks->xy_count; i++) {
        tracks->xy[2 * i] *= (float)width;
        tracks->xy[2 * i + 1] *= (float)height;
    }
    tracks->normalised = 0;
}

int ib_words_split(ib_words *words, const char *line, size_t size, int comma)
{
    if (words->line_capacity < size + 1) {
        char *copy = realloc(words->line, size + 1);
        if (!copy) return 0;
        words->line = copy;
        words->line_capacity = size + 1;
    }
    memcpy(words->line, line, size);
    words->line[size] = 0;
    words->count = 0;
    char *p = words->line, *end = p + size;
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
        if (p == end) break;
        if (words->count == words->capacity) {
            size_t capacity = words->capacity ? 2 * words->capacity : 32;
            char **word = realloc(words->word, capacity * sizeof *word);
            if (!word) return 0;
            words->word = word;
            words->capacity = capacity;
        }
        words->word[words->count++] = p;
        while (p < end && (comma ? *p != ',' : *p != ' ' && *p != '\t' && *p != '\r')) p++;
        if (p == end) break;
        *p++ = 0;
    }
    /* blanks before a comma belong to no word */
    for (size_t i = 0; i < words->count; i++) {
        size_t n = strlen(words->word[i]);
        while (n && (words->word[i][n - 1] == ' ' || words->word[i][n - 1] == '\t' || words->word[i][n - 1] == '\r'))
            words->word[i][--n] = 0;
    }
    return 1;
}

void ib_words_free(ib_words *words)
{
    free(words->line);
    free(words->word);
    memset(words, 0, sizeof *words);
}

int ib_word_number(const char *word, double *value)
{
    if (!*word || strspn(word, "0123456789+-.eE") != strlen(word)) return 0;
    char *end;
    *value = strtod(word, &end);
    return !*end && isfinite(*value) && fabs(*value) <= 1e9;
}

int ib_word_integer(const char *word, int64_t *value)
{
    double v;
    if (!ib_word_number(word, &v) || v != floor(v)) return 0;
    *value = (int64_t)v;
    return 1;
}
