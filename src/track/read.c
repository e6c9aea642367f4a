/* Opens tracks: a file or a folder, of a named format or by content; see tracks.h. */
#include "sink/file.h"
#include "track/tracks.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_LIMIT ((size_t)1 << 30)
#define KNOWN "ultralytics-txt, ultralytics-json, mot, boxmot, kitti, coco or json"

static const char *const names[] = {"ultralytics-txt", "ultralytics-json", "mot", "boxmot", "kitti", "coco", "json"};
static const char *const columns[] = {"box", "box,conf", "box,id", "box,conf,id",
                                      "seg", "seg,conf", "seg,id", "seg,conf,id"};

static const char *find(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], word) == 0) return list[i];
    return NULL;
}

static isobath_status check(const ib_tracks_options *o, ib_diag *diag, const char **format)
{
    *format = NULL;
    if (o->format && strcmp(o->format, "auto") != 0) {
        *format = find(names, sizeof names / sizeof *names, o->format);
        if (!*format) return ib_fail(diag, ISOBATH_ERR_USAGE, "--tracks-format %s: expected auto, " KNOWN, o->format);
    }
    if (o->columns && !find(columns, sizeof columns / sizeof *columns, o->columns))
        return ib_fail(diag, ISOBATH_ERR_USAGE,
                       "--columns %s: expected box or seg, then ,conf and ,id where they are there", o->columns);
    return ISOBATH_OK;
}

static isobath_status parse(const char *text, size_t size, const char *name, const ib_tracks_options *options,
                            int64_t frame, ib_diag *diag, ib_tracks *tracks)
{
    ib_tracks_source source = {text, size, name, options, frame, diag, tracks};
    if (strcmp(tracks->format, "ultralytics-txt") == 0) return ib_tracks_parse_ultralytics(&source);
    if (strstr(tracks->format, "json") || strcmp(tracks->format, "coco") == 0) return ib_tracks_parse_json(&source);
    return ib_tracks_parse_lines(&source);
}

isobath_status ib_tracks_parse(const char *text, size_t size, const char *name, const ib_tracks_options *options,
                               int64_t frame, ib_diag *diag, ib_tracks *tracks)
{
    memset(tracks, 0, sizeof *tracks);
    IB_TRY(check(options, diag, &tracks->format));
    if (!tracks->format) tracks->format = ib_tracks_sniff(text, size);
    if (!tracks->format)
        return ib_fail(diag, ISOBATH_ERR_INPUT,
                       "%s: line 1: not a track format that shows by itself: say --tracks-format " KNOWN, name);
    IB_TRY(parse(text, size, name, options, frame, diag, tracks));
    ib_tracks_sort(tracks);
    return ISOBATH_OK;
}

/* The last number in a file's name, -1: none. */
static int64_t name_number(const char *name)
{
    const char *dot = strrchr(name, '.'), *end = dot ? dot : name + strlen(name);
    while (end > name && !(end[-1] >= '0' && end[-1] <= '9')) end--;
    const char *first = end;
    while (first > name && first[-1] >= '0' && first[-1] <= '9') first--;
    return first == end || end - first > 12 ? -1 : strtoll(first, NULL, 10);
}

static isobath_status read_one(const char *path, const char *file, const ib_tracks_options *o, ib_diag *diag,
                               ib_tracks *tracks)
{
    int64_t frame = name_number(file),
            first = o->first_frame >= 0 ? o->first_frame : strcmp(tracks->format, "ultralytics-txt") == 0;
    char *full = ib_text("%s/%s", path, file);
    uint8_t *data = NULL;
    size_t size;
    isobath_status st;
    if (!full)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    else if (frame < first || frame - first >= IB_TRACK_MAX_FRAME)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: expected a frame number from %d in the file's name%s", full,
                     (int)first, frame == 0 ? " (--first-frame 0 if they count from 0)" : "");
    else
        st = ib_read_file(full, FILE_LIMIT, diag, &data, &size);
    if (st == ISOBATH_OK) st = parse((const char *)data, size, full, o, frame - first, diag, tracks);
    free(data);
    free(full);
    return st;
}

static int ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* A folder with a file per frame: .txt or .json, whatever is there. */
static isobath_status read_folder(const char *path, const ib_tracks_options *o, ib_diag *diag, ib_tracks *tracks)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort), texts = 0, jsons = 0;
    if (n < 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot read the folder: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        texts += ends_with(list[i]->d_name, ".txt");
        jsons += ends_with(list[i]->d_name, ".json");
    }
    isobath_status st = ISOBATH_OK;
    if (!tracks->format && (texts > 0) != (jsons > 0)) tracks->format = texts ? "ultralytics-txt" : "ultralytics-json";
    if (!tracks->format || !strstr(tracks->format, "ultralytics") || texts + jsons == 0)
        st = ib_fail(diag, ISOBATH_ERR_INPUT,
                     "%s: expected a folder of .txt or of .json files of Ultralytics, one per frame", path);
    const char *suffix = st == ISOBATH_OK && strstr(tracks->format, "json") ? ".json" : ".txt";
    for (int i = 0; i < n; i++) {
        if (st == ISOBATH_OK && ends_with(list[i]->d_name, suffix))
            st = read_one(path, list[i]->d_name, o, diag, tracks);
        free(list[i]);
    }
    free(list);
    return st;
}

isobath_status ib_tracks_read(const char *path, const ib_tracks_options *options, ib_diag *diag, ib_tracks *tracks)
{
    memset(tracks, 0, sizeof *tracks);
    struct stat sb;
    if (stat(path, &sb) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (S_ISDIR(sb.st_mode)) {
        IB_TRY(check(options, diag, &tracks->format));
        IB_TRY(read_folder(path, options, diag, tracks));
        ib_tracks_sort(tracks);
    } else {
        uint8_t *data;
        size_t size;
        IB_TRY(ib_read_file(path, FILE_LIMIT, diag, &data, &size));
        isobath_status st;
        if (options->format && strcmp(options->format, "ultralytics-txt") == 0)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: expected the folder with the .txt files of all frames", path);
        else
            st = ib_tracks_parse((const char *)data, size, path, options, 0, diag, tracks);
        free(data);
        IB_TRY(st);
    }
    if (tracks->count == 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no detections", path);
    return ISOBATH_OK;
}
