/* Tracks as lines of numbers: MOTChallenge, BoxMOT, KITTI, and the label files of Ultralytics; see tracks.h. */
#include "track/tracks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct line_format {
    const char *name, *columns; /* columns: for error lines */
    int comma, first_frame;
    size_t least, most;
    int box, corners; /* first column of the box; corners: l t r b, else l t w h */
} line_format;

static const line_format formats[] = {
    {"mot", "frame,id,left,top,width,height[,conf,x,y,z]", 1, 1, 6, 10, 2, 0},
    {"boxmot", "frame id left top width height conf cls -1", 0, 1, 9, 9, 2, 0},
    {"kitti", "frame id type truncated occluded alpha left top right bottom h w l x y z ry [score]", 0, 0, 17, 18, 6,
     1},
};

/* Calls `each` for every line that is not blank, cut into words. */
static isobath_status for_lines(const ib_tracks_source *s, int comma, const void *ctx,
                                isobath_status (*each)(const ib_tracks_source *s, const ib_words *w, int number,
                                                       const void *ctx))
{
    ib_words words = {0};
    isobath_status st = ISOBATH_OK;
    int number = 0;
    for (const char *p = s->text, *end = s->text + s->size; p < end && st == ISOBATH_OK;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        number++;
        if (memchr(p, 0, (size_t)(stop - p)))
            st = ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: a zero byte; expected text", s->name, number);
        else if (!ib_words_split(&words, p, (size_t)(stop - p), comma))
            st = ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name);
        else if (words.count)
            st = each(s, &words, number, ctx);
        p = stop + 1;
    }
    ib_words_free(&words);
    return st;
}

static isobath_status set_class(const ib_tracks_source *s, const char *name, ib_detection *d)
{
    d->class_index = ib_tracks_class(s->tracks, name);
    return d->class_index < 0 ? ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name) : ISOBATH_OK;
}

static isobath_status add(const ib_tracks_source *s, const ib_detection *d)
{
    return ib_tracks_add(s->tracks, d) ? ISOBATH_OK
                                       : ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name);
}

static isobath_status parse_line(const ib_tracks_source *s, const ib_words *w, int number, const void *ctx)
{
    const line_format *f = ctx;
    int kitti = f->box == 6;
    const size_t count = w->count;
    if (count < f->least || count > f->most)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: %zu columns; %s has: %s", s->name, number, count,
                       f->name, f->columns);
    double value[18] = {0};
    for (size_t i = 0; i < count; i++)
        if (!(kitti && i == 2) && !ib_word_number(w->word[i], &value[i]))
            return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                           "%s: line %d: column %zu is \"%.40s\"; expected a number (%s has: %s)", s->name, number,
                           i + 1, w->word[i], f->name, f->columns);
    ib_detection d = {.class_index = -1, .confidence = 1};
    int first = s->options->first_frame >= 0 ? s->options->first_frame : f->first_frame;
    if (!ib_word_integer(w->word[0], &d.frame) || !ib_word_integer(w->word[1], &d.id) ||
        d.frame - first >= IB_TRACK_MAX_FRAME)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: frame and id are whole numbers", s->name, number);
    if (d.frame < first)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: frame %" PRId64 ", but the first frame is %d%s",
                       s->name, number, d.frame, first,
                       s->options->first_frame < 0 && d.frame == 0
                           ? " in this format (--first-frame 0 if this file counts from 0)"
                           : "");
    d.frame -= first;
    if (d.id < 0) d.id = -1;
    const double *b = value + f->box;
    for (int k = 0; k < 4; k++) d.box[k] = b[k];
    if (!f->corners) {
        d.box[2] += b[0];
        d.box[3] += b[1];
    }
    if (kitti) {
        if (strcmp(w->word[2], "DontCare") == 0) return ISOBATH_OK; /* a region, not a detection */
        for (const char *c = w->word[2]; *c; c++)
            if (*c < 0x21 || *c > 0x7e)
                return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: the type is not ASCII", s->name, number);
        IB_TRY(set_class(s, w->word[2], &d));
        if (count == 18) d.confidence = value[17];
    } else if (count > 6) {
        d.confidence = value[6];
    }
    if (!f->comma && !kitti) IB_TRY(set_class(s, w->word[7], &d));
    return add(s, &d);
}

isobath_status ib_tracks_parse_lines(const ib_tracks_source *s)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(s->tracks->format, formats[i].name) == 0)
            return for_lines(s, formats[i].comma, &formats[i], parse_line);
    return ib_fail(s->diag, ISOBATH_ERR_INTERNAL, "%s: no format %s", s->name, s->tracks->format);
}

/* What follows the class in a label file. */
typedef struct label_columns {
    int segment, confidence, id;
} label_columns;

static int is_whole(const char *word) { return *word && strspn(word, "0123456789") == strlen(word); }

static isobath_status label_layout(const ib_tracks_source *s, const ib_words *w, int number, label_columns *c)
{
    const char *said = s->options->columns;
    *c = (label_columns){0};
    if (said) {
        c->segment = strncmp(said, "seg", 3) == 0;
        const char *rest = said + 3;
        c->confidence = strncmp(rest, ",conf", 5) == 0;
        if (c->confidence) rest += 5;
        c->id = strcmp(rest, ",id") == 0;
        return ISOBATH_OK;
    }
    const char *last = w->word[w->count - 1];
    if (w->count == 5) return ISOBATH_OK;
    if (w->count == 6)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                       "%s: line %d: the sixth column may be a confidence or an id: say --columns box,conf or "
                       "--columns box,id",
                       s->name, number);
    int id = is_whole(last) && atof(last) > 1;
    if (w->count == 7 && is_whole(last)) {
        c->confidence = c->id = 1;
    } else if (w->count > 7 && id) {
        c->segment = c->id = 1;
        c->confidence = w->count % 2 == 1;
    } else {
        return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                       "%s: line %d: %zu columns: say what they are with --columns seg, seg,conf, seg,id or "
                       "seg,conf,id (or box...)",
                       s->name, number, w->count);
    }
    return ISOBATH_OK;
}

static isobath_status parse_label(const ib_tracks_source *s, const ib_words *w, int number, const void *ctx)
{
    (void)ctx;
    label_columns c;
    IB_TRY(label_layout(s, w, number, &c));
    size_t extra = 1 + (size_t)c.confidence + (size_t)c.id, coords = w->count > extra ? w->count - extra : 0;
    if (c.segment ? coords < 6 || coords % 2 : coords != 4)
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: %zu columns; expected class, %s%s%s", s->name, number,
                       w->count, c.segment ? "x and y of at least 3 points" : "x y width height",
                       c.confidence ? ", confidence" : "", c.id ? ", id" : "");
    ib_detection d = {.frame = s->frame, .id = -1, .confidence = 1, .class_index = -1, .polygon = s->tracks->xy_count};
    double v[4] = {0};
    int64_t class_number;
    if (!ib_word_integer(w->word[0], &class_number))
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: \"%.40s\" is not a class number", s->name, number,
                       w->word[0]);
    for (size_t i = 0; i < coords; i++) {
        double x;
        if (!ib_word_number(w->word[1 + i], &x) || x < -0.5 || x > 1.5)
            return ib_fail(s->diag, ISOBATH_ERR_INPUT,
                           "%s: line %d: column %zu is \"%.40s\"; expected a share of the picture from 0 to 1", s->name,
                           number, i + 2, w->word[1 + i]);
        if (!c.segment) {
            v[i] = x;
            continue;
        }
        size_t axis = i % 2;
        if (i < 2 || x < d.box[axis]) d.box[axis] = x;
        if (i < 2 || x > d.box[2 + axis]) d.box[2 + axis] = x;
        if (axis) {
            if (!ib_tracks_add_point(s->tracks, v[0], x))
                return ib_fail(s->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", s->name);
            d.points++;
        }
        v[axis] = x;
    }
    if (!c.segment)
        for (int k = 0; k < 2; k++) {
            d.box[k] = v[k] - v[2 + k] / 2;
            d.box[2 + k] = v[k] + v[2 + k] / 2;
        }
    if (c.confidence && (!ib_word_number(w->word[1 + coords], &d.confidence) || d.confidence < 0 || d.confidence > 1))
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: \"%.40s\" is not a confidence from 0 to 1", s->name,
                       number, w->word[1 + coords]);
    if (c.id && !ib_word_integer(w->word[w->count - 1], &d.id))
        return ib_fail(s->diag, ISOBATH_ERR_INPUT, "%s: line %d: \"%.40s\" is not an id", s->name, number,
                       w->word[w->count - 1]);
    if (d.id < 0) d.id = -1;
    IB_TRY(set_class(s, w->word[0], &d));
    return add(s, &d);
}

isobath_status ib_tracks_parse_ultralytics(const ib_tracks_source *s)
{
    s->tracks->normalised = 1;
    return for_lines(s, 0, NULL, parse_label);
}

const char *ib_tracks_sniff(const char *text, size_t size)
{
    const char *end = text + size;
    while (text < end && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')) text++;
    if (text == end) return NULL;
    if (*text == '[') return "ultralytics-json";
    if (*text == '{') { /* the first of the words that only one of them has */
        size_t n = (size_t)(end - text);
        if (memmem(text, n, "\"annotations\"", 13)) return "coco";
        return memmem(text, n, "\"frames\"", 8) ? "json" : NULL;
    }
    const char *stop = memchr(text, '\n', (size_t)(end - text));
    size_t n = (size_t)((stop ? stop : end) - text);
    const char *format = NULL;
    ib_words w = {0};
    double v;
    if (memchr(text, ',', n)) {
        if (ib_words_split(&w, text, n, 1) && w.count >= 6 && ib_word_number(w.word[0], &v)) format = "mot";
    } else if (ib_words_split(&w, text, n, 0)) {
        if ((w.count == 17 || w.count == 18) && !ib_word_number(w.word[2], &v))
            format = "kitti";
        else if (w.count == 9 && ib_word_number(w.word[8], &v) && v == -1)
            format = "boxmot";
    }
    ib_words_free(&w);
    return format;
}
