/* isobath_check_run: finds out what a path is, collects the findings. See isobath/check.h. */
#include "depthio/file_list.h"
#include "eval/report.h"
#include "media/grey.h"
#include "sink/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void ib_check_add(isobath_check *check, isobath_check_level level, const char *path, const char *format, ...)
{
    if (level == ISOBATH_CHECK_BAD) check->bad++;
    if (check->count == check->capacity) {
        size_t capacity = check->capacity ? 2 * check->capacity : 16;
        isobath_check_item *items = realloc(check->items, capacity * sizeof *items);
        if (!items) {
            check->out_of_memory = 1;
            return;
        }
        check->items = items;
        check->capacity = capacity;
    }
    char *text = NULL, *name = strdup(path);
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) text = NULL;
    va_end(args);
    if (!text || !name) {
        free(text);
        free(name);
        check->out_of_memory = 1;
        return;
    }
    check->items[check->count++] = (isobath_check_item){level, name, text};
}

/* Every manifest of a folder; 0 when there is none. */
static int check_folder(isobath_check *check, const char *folder)
{
    char **names;
    int64_t count, found = 0;
    if (ib_list_folder(folder, "_isobath.json", &check->diag, &names, &count) != ISOBATH_OK) return 0;
    for (int64_t i = 0; i < count; i++) {
        char *path = ib_text("%s/%s", folder, names[i]);
        if (path) {
            ib_check_manifest(check, path);
            found++;
        } else {
            check->out_of_memory = 1;
        }
        free(path);
    }
    ib_list_free(names, count);
    return found > 0;
}

static int holds_depth(const char *folder)
{
    static const char *const suffixes[] = {".png", ".exr", ".npz", ".npy"};
    int64_t found = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char **names;
        int64_t count;
        if (ib_list_folder(folder, suffixes[i], NULL, &names, &count) != ISOBATH_OK) return 0;
        ib_list_free(names, count);
        found += count;
    }
    return found > 0;
}

/* Grey video is depth, any other a video. */
static void check_film(isobath_check *check, const char *path, const ib_check_expect *expect)
{
    ib_grey *grey;
    int is_depth = ib_grey_open(path, 1, NULL, &grey) == ISOBATH_OK;
    if (is_depth) ib_grey_close(grey);
    (is_depth ? ib_check_depth : ib_check_video)(check, path, expect);
}

isobath_status isobath_check_run(const char *path, const isobath_check_options *options, isobath_check **out)
{
    isobath_check *check = *out = calloc(1, sizeof *check);
    if (!check) return ISOBATH_ERR_MEMORY;
    ib_diag_init(&check->diag);
    if (options) check->options = *options;
    struct stat sb;
    size_t n = strlen(path);
    ib_check_expect unknown = {path, -1, NULL, -1};
    if (stat(path, &sb) != 0)
        return ib_fail(&check->diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (S_ISDIR(sb.st_mode)) {
        if (!check_folder(check, path)) {
            if (!holds_depth(path))
                return ib_fail(
                    &check->diag, ISOBATH_ERR_INPUT,
                    "%s: no NAME_isobath.json and no depth (PNG, EXR, npz, npy) here: not a result, or a run that never finished", path);
            ib_check_depth(check, path, &unknown);
        }
    } else if (n > 5 && strcmp(path + n - 5, ".json") == 0) {
        ib_check_manifest(check, path);
    } else if (n > 4 && (strcmp(path + n - 4, ".mp4") == 0 || strcmp(path + n - 4, ".mkv") == 0)) {
        check_film(check, path, &unknown);
    } else {
        ib_check_depth(check, path, &unknown);
    }
    if (check->out_of_memory) return ib_fail(&check->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    return ISOBATH_OK;
}

int isobath_check_passed(const isobath_check *check) { return check->bad == 0 && check->count > 0; }
size_t isobath_check_count(const isobath_check *check) { return check->count; }
isobath_check_item isobath_check_get(const isobath_check *check, size_t i) { return check->items[i]; }
const char *isobath_check_error(const isobath_check *check) { return check->diag.text; }

void isobath_check_destroy(isobath_check *check)
{
    if (!check) return;
    for (size_t i = 0; i < check->count; i++) {
        free((char *)check->items[i].path);
        free((char *)check->items[i].text);
    }
    free(check->items);
    ib_diag_destroy(&check->diag);
    free(check);
}
