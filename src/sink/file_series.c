/* Numbered files; see file_series.h. */
#include "sink/file_series.h"

#include "base/hash.h"
#include "sink/describe.h"
#include "sink/file.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct record {
    int64_t bytes;
    char sha256[65];
} record;

struct ib_file_series {
    ib_sink_config config;
    ib_diag *diag;
    const char *prefix, *extension;
    int digits;
    char *relative, *folder, *pattern;
    pthread_mutex_t lock; /* of records */
    record *records;
    int64_t capacity;
};

static char *frame_path(const ib_file_series *s, int64_t i)
{
    return ib_text("%s/%s%0*" PRId64 "%s", s->folder, s->prefix, s->digits, s->config.start_number + i, s->extension);
}

static void clean(const ib_file_series *s, int only_tmp)
{
    DIR *dir = opendir(s->folder);
    if (!dir) return;
    size_t prefix = strlen(s->prefix), extension = strlen(s->extension);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strncmp(e->d_name, s->prefix, prefix) != 0) continue;
        size_t digits = strspn(e->d_name + prefix, "0123456789");
        const char *rest = e->d_name + prefix + digits;
        if ((int)digits < s->digits || strncmp(rest, s->extension, extension) != 0) continue;
        rest += extension;
        if (strcmp(rest, ".tmp") == 0 || (*rest == 0 && !only_tmp)) unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
}

isobath_status ib_file_series_open(const ib_sink_config *config, const char *suffix, const char *prefix, int digits,
                                   const char *extension, ib_diag *diag, ib_file_series **out)
{
    *out = NULL;
    ib_file_series *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s%s", config->name, suffix);
    pthread_mutex_init(&s->lock, NULL);
    s->config = *config;
    s->diag = diag;
    s->prefix = prefix;
    s->extension = extension;
    s->digits = digits;
    s->relative = ib_text("%s_%s", config->name, suffix);
    s->folder = ib_text("%s/%s_%s", config->folder, config->name, suffix);
    s->pattern = ib_text("%s%%0%dd%s", prefix, digits, extension);
    isobath_status st = s->relative && s->folder && s->pattern
                            ? ib_make_folder(s->folder, diag)
                            : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s%s", config->name, suffix);
    if (st != ISOBATH_OK) {
        ib_file_series_close(s);
        return st;
    }
    clean(s, 0);
    *out = s;
    return ISOBATH_OK;
}

void ib_file_series_close(ib_file_series *s)
{
    if (!s) return;
    if (s->folder) clean(s, 1);
    pthread_mutex_destroy(&s->lock);
    free(s->records);
    free(s->relative);
    free(s->folder);
    free(s->pattern);
    free(s);
}

isobath_status ib_file_series_write(ib_file_series *s, int64_t index, const void *data, size_t size)
{
    record r = {.bytes = (int64_t)size};
    char *path = frame_path(s, index);
    if (!path) return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->folder);
    isobath_status st = ib_write_file(path, data, size, 0, s->diag);
    free(path);
    if (st != ISOBATH_OK) return st;
    ib_sha256_memory(data, size, r.sha256);
    pthread_mutex_lock(&s->lock);
    if (index >= s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 256;
        while (capacity <= index) capacity *= 2;
        record *records = realloc(s->records, (size_t)capacity * sizeof *records);
        if (records) {
            s->records = records;
            s->capacity = capacity;
        } else
            st = ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->folder);
    }
    if (st == ISOBATH_OK) s->records[index] = r;
    pthread_mutex_unlock(&s->lock);
    return st;
}

isobath_status ib_file_series_finish(ib_file_series *s, int64_t frames)
{
    for (int64_t i = 0; i < frames; i++) {
        char *path = frame_path(s, i);
        isobath_status st =
            path ? ib_sync_path(path, s->diag) : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->folder);
        free(path);
        if (st != ISOBATH_OK) return st;
    }
    return ib_sync_path(s->folder, s->diag);
}

json_t *ib_file_series_describe(const ib_file_series *s, const char *format, int64_t frames)
{
    int64_t bytes = 0;
    char sha256[65];
    ib_sha256 *hash = ib_sha256_create();
    for (int64_t i = 0; i < frames; i++) {
        bytes += s->records[i].bytes;
        ib_sha256_update(hash, s->records[i].sha256, 64);
        ib_sha256_update(hash, "\n", 1);
    }
    ib_sha256_finish(hash, sha256);
    return ib_describe_folder(format, &s->config, s->relative, s->pattern, frames, bytes, sha256);
}
