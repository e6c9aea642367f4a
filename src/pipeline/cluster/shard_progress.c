/* How far the tasks of a cut run are, by the files that are there; see include/isobath/task.h. */
#include "pipeline/cluster/shard_task.h"
#include "pipeline/cluster/merge.h"
#include "sink/file.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int there(const ib_shard *s, const char *file)
{
    char *path = ib_shard_path(s, "%s", file);
    int yes = path && access(path, F_OK) == 0;
    free(path);
    return yes;
}

isobath_status isobath_task_progress_read(const char *folder, const char *name, isobath_task_progress *out, char *error, size_t error_size)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_shard s;
    *out = (isobath_task_progress){.frames = 0};
    isobath_status st = ib_shard_read(folder, name, &diag, &s);
    if (st == ISOBATH_OK) {
        char *tasks = ib_shard_path(&s, "%s", ""), *manifest = ib_text("%s/%s_isobath.json", folder, s.name);
        DIR *d = tasks ? opendir(tasks) : NULL;
        long long n, of;
        int end;
        for (struct dirent *e; d && (e = readdir(d));) {
            end = 0;
            if (sscanf(e->d_name, "segment_%lld.raw%n", &n, &end) == 1 && end == (int)strlen(e->d_name)) out->segments_done++;
            end = 0;
            if (sscanf(e->d_name, "render_%lld_of_%lld.bin%n", &n, &of, &end) == 2 && end == (int)strlen(e->d_name)) {
                out->parts_done++;
                out->parts = of;
            }
        }
        if (d) closedir(d);
        snprintf(out->name, sizeof out->name, "%s", s.name);
        out->frames = s.frames;
        out->windows = s.windows;
        out->segments = s.segments;
        char *save = NULL, formats[512];
        snprintf(formats, sizeof formats, "%s", s.options.formats ? s.options.formats : "png16,preview");
        for (char *f = strtok_r(formats, ",", &save); f; f = strtok_r(NULL, ",", &save)) {
            const ib_sink_format *format = ib_sink_format_find(f);
            out->rendered |= format && ib_part_format(format);
        }
        out->chain_done = there(&s, "chain.bin");
        out->finished = manifest && access(manifest, F_OK) == 0;
        free(tasks);
        free(manifest);
        ib_shard_free(&s);
    }
    if (error && error_size) snprintf(error, error_size, "%s", diag.text);
    ib_diag_destroy(&diag);
    return st;
}

isobath_status isobath_task_missing(const char *folder, const char *name, isobath_task_kind kind, int64_t parts, int64_t **list, int64_t *count,
                                    char *error, size_t error_size)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_shard s;
    *list = NULL;
    *count = 0;
    isobath_status st = ib_shard_read(folder, name, &diag, &s);
    if (st == ISOBATH_OK) {
        int64_t most = kind == ISOBATH_TASK_WORK ? s.segments : parts;
        *list = malloc((size_t)(most > 0 ? most : 1) * sizeof **list);
        if (!*list) st = ib_fail(&diag, ISOBATH_ERR_MEMORY, "out of memory for a list of tasks");
        for (int64_t i = 0; st == ISOBATH_OK && i < most; i++) {
            char file[96];
            if (kind == ISOBATH_TASK_WORK) snprintf(file, sizeof file, "segment_%05lld.raw", (long long)i);
            else snprintf(file, sizeof file, "render_%05lld_of_%05lld.bin", (long long)i, (long long)parts);
            if (!there(&s, file)) (*list)[(*count)++] = i;
        }
        ib_shard_free(&s);
    }
    if (error && error_size) snprintf(error, error_size, "%s", diag.text);
    ib_diag_destroy(&diag);
    return st;
}
