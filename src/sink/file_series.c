/* Numbered files; see file_series.h. */
#include "sink/file_series.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "sink/describe.h"
#include "sink/file.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    record *records; /* of frames from `first` on */
    int64_t first, capacity;
    int64_t synced; /* frames [0, synced) are durable */
    int shared;     /* other processes write into this folder, too */
};

static char *frame_path(const ib_file_series *s, int64_t i)
{
    return ib_text("%s/%s%0*" PRId64 "%s", s->folder, s->prefix, s->digits, s->config.start_number + i, s->extension);
}

/* Removes unfinished files, and those from number `from` on; from < 0: only unfinished ones. */
static void clean(const ib_file_series *s, int64_t from)
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
        int late = from >= 0 && strtoll(e->d_name + prefix, NULL, 10) >= from;
        if (ib_is_unfinished(rest) || (*rest == 0 && late)) unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
}

/* Takes over the files that an earlier process wrote. */
static isobath_status restore(ib_file_series *s, const ib_sink_resume *resume)
{
    s->first = s->synced = resume->count;
    s->shared = !resume->frames;
    if (s->shared) return ISOBATH_OK;
    s->first = 0;
    s->capacity = resume->count > 256 ? resume->count : 256;
    s->records = calloc((size_t)s->capacity, sizeof *s->records);
    if (!s->records) return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->folder);
    const uint8_t *p = resume->state;
    for (int64_t i = 0; i < resume->count; i++, p += 32) {
        uint64_t bytes;
        struct stat sb;
        p = ib_get64(p, &bytes);
        s->records[i].bytes = (int64_t)bytes;
        ib_sha256_unpack(p, s->records[i].sha256);
        char *path = frame_path(s, i);
        int bad = !path || stat(path, &sb) != 0 || sb.st_size != s->records[i].bytes;
        isobath_status st = bad ? ib_fail(s->diag, ISOBATH_ERR_IO, "%s: is missing or changed since the run was stopped: begin again with "
                                          "--overwrite", path ? path : s->folder) : ISOBATH_OK;
        free(path);
        IB_TRY(st);
    }
    return ISOBATH_OK;
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
    if (st == ISOBATH_OK && config->resume) st = restore(s, config->resume);
    if (st != ISOBATH_OK) {
        ib_file_series_close(s);
        return st;
    }
    if (!s->shared) clean(s, config->start_number + s->synced);
    s->config.resume = NULL;
    *out = s;
    return ISOBATH_OK;
}

void ib_file_series_close(ib_file_series *s)
{
    if (!s) return;
    if (s->folder && !s->shared) clean(s, -1);
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
    isobath_status st = s->shared ? ib_write_file_shared(path, data, size, 0, s->diag) : ib_write_file(path, data, size, 0, s->diag);
    free(path);
    if (st != ISOBATH_OK) return st;
    IB_TRY(ib_sha256_memory(data, size, s->diag, r.sha256));
    pthread_mutex_lock(&s->lock);
    int64_t at = index - s->first;
    if (at >= s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 256;
        while (capacity <= at) capacity *= 2;
        record *records = realloc(s->records, (size_t)capacity * sizeof *records);
        if (records) {
            s->records = records;
            s->capacity = capacity;
        } else
            st = ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->folder);
    }
    if (st == ISOBATH_OK) s->records[at] = r;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static char *path_of(const void *ctx, int64_t i) { return frame_path(ctx, i); }

isobath_status ib_file_series_flush(ib_file_series *s, int64_t frames)
{
    if (frames <= s->synced) return ISOBATH_OK;
    IB_TRY(ib_sync_files(s->folder, path_of, s, s->synced, frames, s->diag));
    s->synced = frames;
    return ISOBATH_OK;
}

void ib_file_series_save(ib_file_series *s, int64_t first, int64_t end, uint8_t *state)
{
    pthread_mutex_lock(&s->lock);
    for (int64_t i = first; i < end; i++, state += 32) {
        const record *r = &s->records[i - s->first];
        state = ib_put64(state, (uint64_t)r->bytes);
        ib_sha256_pack(r->sha256, state);
    }
    pthread_mutex_unlock(&s->lock);
}

isobath_status ib_file_series_finish(ib_file_series *s, int64_t frames)
{
    IB_TRY(ib_file_series_flush(s, frames));
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
    if (!sha256[0]) return NULL;
    return ib_describe_folder(format, &s->config, s->relative, s->pattern, frames, bytes, sha256);
}
