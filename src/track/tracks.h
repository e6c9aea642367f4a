/* 2-D tracks of any format as one flat list, and the readers that fill it. */
#ifndef IB_TRACK_TRACKS_H
#define IB_TRACK_TRACKS_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

#define IB_TRACK_MAX_FRAME ((int64_t)1 << 22)

/* One box in one frame. Coordinates are continuous: pixel (x,y) covers [x,x+1) x [y,y+1). */
typedef struct ib_detection {
    int64_t frame; /* from 0 */
    int64_t id;    /* of the track, -1: none */
    int64_t order; /* as read, for a stable order */
    double box[4]; /* x1 y1 x2 y2 */
    double confidence;
    int class_index; /* into class_names, -1: none */
    /* A mask, or none (points and runs 0): `points` (x,y) pairs from ib_tracks.xy[2 * polygon], several polygons with a
     * pair of NaN between them; or `runs` ends of runs from ib_tracks.runs[run], of a grid of grid_width x grid_height
     * pixels over the video, column by column, the first run outside. */
    size_t polygon, points, run, runs;
    int grid_width, grid_height;
    int64_t item; /* of JSON formats: number of its object among those of its list (coco) or file */
} ib_detection;

typedef struct ib_tracks {
    ib_detection *list;
    size_t count, capacity;
    float *xy;                    /* polygons, x y x y */
    size_t xy_count, xy_capacity; /* in pairs */
    uint32_t *runs;               /* ends of the runs of masks */
    size_t run_count, run_capacity;
    char **class_names;
    int class_count;
    int width, height;  /* of the video as the file says, 0: it does not */
    int normalised;     /* 1: coordinates are shares of width and height */
    const char *format; /* "mot", "ultralytics-txt" ... */
} ib_tracks;

/* How to read. Zeroed: by content. */
typedef struct ib_tracks_options {
    const char *format;  /* NULL or "auto": by content; "ultralytics-txt", "ultralytics-json", "mot", "boxmot", "kitti",
                            "coco", "json" */
    const char *columns; /* of ultralytics-txt: "box", "box,conf", "box,id", "box,conf,id" and the same with "seg";
                            NULL: as the count says */
    int first_frame;     /* the number of the first frame in the file; -1: as the format has it (mot, boxmot,
                            ultralytics-txt 1, else 0) */
    int64_t video_id;    /* coco: of which video; -1: the only one */
} ib_tracks_options;

/* Reads a file, or a folder (ultralytics-txt: a .txt per frame; ultralytics-json: a .json per frame), sorted by frame
 * and then as read. Errors: ISOBATH_ERR_INPUT with file, line and what was expected; ISOBATH_ERR_USAGE (format or
 * columns unknown), ISOBATH_ERR_MEMORY. ib_tracks_free in any case is allowed. */
isobath_status ib_tracks_read(const char *path, const ib_tracks_options *options, ib_diag *diag, ib_tracks *tracks);
/* One file from memory. ultralytics-txt: `text` is the file of frame `frame` (ignored by the others). */
isobath_status ib_tracks_parse(const char *text, size_t size, const char *name, const ib_tracks_options *options,
                               int64_t frame, ib_diag *diag, ib_tracks *tracks);
void ib_tracks_free(ib_tracks *tracks);

/* Rescales normalised coordinates to pixels of width x height. */
void ib_tracks_to_pixels(ib_tracks *tracks, int width, int height);
/* By frame, then as read. */
void ib_tracks_sort(ib_tracks *tracks);
/* 0: out of memory. The order is filled in. */
int ib_tracks_add(ib_tracks *tracks, const ib_detection *detection);
int ib_tracks_add_point(ib_tracks *tracks, double x, double y);
int ib_tracks_add_run(ib_tracks *tracks, uint32_t end);
/* Is the point (u,v), in pixels of a video of width x height, in the mask of d? */
int ib_tracks_in_mask(const ib_tracks *tracks, const ib_detection *d, double u, double v, int width, int height);
static inline int ib_has_mask(const ib_detection *d) { return d->points > 0 || d->runs > 0; }
/* Index of a class name (added when new), -1: out of memory. */
int ib_tracks_class(ib_tracks *tracks, const char *name);

/* Parsers of one format each; the interface of ib_tracks_parse. */
typedef struct ib_tracks_source {
    const char *text;
    size_t size;
    const char *name; /* for error lines */
    const ib_tracks_options *options;
    int64_t frame; /* of a file that is one frame */
    ib_diag *diag;
    ib_tracks *tracks;
} ib_tracks_source;

isobath_status ib_tracks_parse_lines(const ib_tracks_source *source);       /* mot, boxmot, kitti by tracks->format */
isobath_status ib_tracks_parse_ultralytics(const ib_tracks_source *source); /* ultralytics-txt, one file */
isobath_status ib_tracks_parse_json(const ib_tracks_source *source);        /* ultralytics-json, coco, json */
/* The format of a text by its content, NULL: none. */
const char *ib_tracks_sniff(const char *text, size_t size);

/* The text of one line cut into words at blanks, or at commas when `comma`. */
typedef struct ib_words {
    char *line; /* copy, words end in zero bytes */
    char **word;
    size_t count, capacity, line_capacity;
} ib_words;

/* 0: out of memory. A word may be empty between commas; a comma at the end of the line opens none. */
int ib_words_split(ib_words *words, const char *line, size_t size, int comma);
void ib_words_free(ib_words *words);
/* Finite and at most 1e9 in size; 0: not a number. */
int ib_word_number(const char *word, double *value);
/* A whole number (also written 12.0); 0: not one. */
int ib_word_integer(const char *word, int64_t *value);

#endif
