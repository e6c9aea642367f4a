/* Several inputs; see include/isobath/batch.h. */
#include "media/images.h"
#include "pipeline/setup.h"
#include "sink/file.h"
#include <isobath/batch.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct batch_item {
    char *input;
    char name[256];
} batch_item;

struct isobath_batch {
    ib_diag diag;
    batch_item *items;
    size_t count, capacity;
    int list_on_stdin;
};

isobath_batch *isobath_batch_create(void)
{
    isobath_batch *b = calloc(1, sizeof *b);
    if (b) ib_diag_init(&b->diag);
    return b;
}

void isobath_batch_destroy(isobath_batch *b)
{
    if (!b) return;
    for (size_t i = 0; i < b->count; i++) free(b->items[i].input);
    free(b->items);
    ib_diag_destroy(&b->diag);
    free(b);
}

static isobath_status add_one(isobath_batch *b, const char *input)
{
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 16;
        batch_item *items = realloc(b->items, capacity * sizeof *items);
        if (!items) return ib_fail(&b->diag, ISOBATH_ERR_MEMORY, "out of memory for the list of inputs");
        b->items = items;
        b->capacity = capacity;
    }
    batch_item *item = &b->items[b->count];
    item->input = strdup(input);
    if (!item->input) return ib_fail(&b->diag, ISOBATH_ERR_MEMORY, "out of memory for the list of inputs");
    ib_setup_name(input, item->name, sizeof item->name);
    b->count++;
    return ISOBATH_OK;
}

static int is_video_name(const char *name)
{
    static const char *const known[] = {"mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv",
                                        "y4m", "ogv", "3gp", "mxf", "vob"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof known / sizeof *known; i++)
        if (strcasecmp(dot + 1, known[i]) == 0) return 1;
    return 0;
}

static int natural(const void *a, const void *b) { return ib_natural_compare(*(char *const *)a, *(char *const *)b); }

/* The videos in a folder, in order (none when it cannot be read); each is the caller's to free, and so is the list. */
static isobath_status list_videos(isobath_batch *b, const char *folder, char ***out, size_t *count)
{
    char **list = NULL;
    size_t n = 0, capacity = 0;
    isobath_status st = ISOBATH_OK;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && st == ISOBATH_OK && (e = readdir(d));) {
        if (e->d_name[0] == '.' || !is_video_name(e->d_name)) continue;
        if (n == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            char **more = realloc(list, capacity * sizeof *more);
            if (!more) {
                st = ISOBATH_ERR_MEMORY;
                break;
            }
            list = more;
        }
        size_t length = strlen(folder);
        char *path = ib_text("%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", e->d_name);
        if (path) list[n++] = path;
        else st = ISOBATH_ERR_MEMORY;
    }
    if (d) closedir(d);
    if (n) qsort(list, n, sizeof *list, natural);
    *out = list;
    *count = n;
    return st == ISOBATH_OK ? st : ib_fail(&b->diag, st, "%s: out of memory for the list of videos", folder);
}

isobath_status isobath_batch_add(isobath_batch *b, const char *input)
{
    struct stat sb;
    ib_image_list images = {0};
    int is_list = 0;
    if (stat(input, &sb) != 0 || !S_ISDIR(sb.st_mode)) return add_one(b, input);
    if (ib_image_list_find(input, NULL, &images, &is_list) == ISOBATH_OK && is_list) {
        ib_image_list_free(&images);
        return add_one(b, input);
    }
    char **videos = NULL;
    size_t count = 0;
    isobath_status st = list_videos(b, input, &videos, &count);
    if (st == ISOBATH_OK && !count) st = add_one(b, input);
    for (size_t i = 0; i < count; i++) {
        if (st == ISOBATH_OK) st = add_one(b, videos[i]);
        free(videos[i]);
    }
    free(videos);
    return st;
}

isobath_status isobath_batch_add_list(isobath_batch *b, const char *path)
{
    int from_stdin = strcmp(path, "-") == 0;
    FILE *f = from_stdin ? stdin : fopen(path, "r");
    if (!f) return ib_fail(&b->diag, ISOBATH_ERR_INPUT, "%s: cannot read the list of inputs: %s", path, strerror(errno));
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    isobath_status st = ISOBATH_OK;
    b->list_on_stdin |= from_stdin;
    while (st == ISOBATH_OK && (length = getline(&line, &capacity, f)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = 0;
        if (strlen(line) != (size_t)length)
            st = ib_fail(&b->diag, ISOBATH_ERR_INPUT, "%s: not a list of inputs: expected text, one input a line", path);
        else if (length) st = isobath_batch_add(b, line);
    }
    if (st == ISOBATH_OK && ferror(f)) st = ib_fail(&b->diag, ISOBATH_ERR_INPUT, "%s: cannot read the list of inputs", path);
    free(line);
    if (!from_stdin) fclose(f);
    return st;
}

static int by_name(const void *a, const void *b)
{
    const batch_item *x = *(const batch_item *const *)a, *y = *(const batch_item *const *)b;
    int c = strcmp(x->name, y->name);
    return c ? c : x < y ? -1 : 1;
}

isobath_status isobath_batch_check(isobath_batch *b)
{
    if (!b->count) return ib_fail(&b->diag, ISOBATH_ERR_INPUT, "the list of inputs is empty");
    const batch_item **sorted = malloc(b->count * sizeof(const batch_item *));
    if (!sorted) return ib_fail(&b->diag, ISOBATH_ERR_MEMORY, "out of memory for the list of inputs");
    isobath_status st = ISOBATH_OK;
    for (size_t i = 0; i < b->count; i++) {
        sorted[i] = &b->items[i];
        if (b->list_on_stdin && strcmp(b->items[i].input, "-") == 0)
            st = ib_fail(&b->diag, ISOBATH_ERR_USAGE, "standard input cannot be both the list and a video");
    }
    qsort(sorted, b->count, sizeof *sorted, by_name);
    for (size_t i = 1; st == ISOBATH_OK && i < b->count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            st = ib_fail(&b->diag, ISOBATH_ERR_USAGE, "%s and %s would both give results called %s: run them into folders of their own",
                         sorted[i - 1]->input, sorted[i]->input, sorted[i]->name);
    free(sorted);
    return st;
}

size_t isobath_batch_count(const isobath_batch *b) { return b->count; }
const char *isobath_batch_input(const isobath_batch *b, size_t i) { return b->items[i].input; }
const char *isobath_batch_name(const isobath_batch *b, size_t i) { return b->items[i].name; }
const char *isobath_batch_error(const isobath_batch *b) { return b->diag.text; }
