/* Results as JSON, CSV, MOTChallenge and KITTI; see result.h. Numbers have fixed decimals, so that equal results are
 * equal bytes. */
#include "track/result.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What `write` writes of a result, malloc'ed; NULL when memory is out. */
static char *written(const ib_result *r, void (*write)(FILE *f, const ib_result *r))
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    write(f, r);
    int bad = ferror(f);
    if (fclose(f) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}

static const char *class_of(const ib_result *r, const ib_row *row)
{
    return row->class_index < 0 ? "" : r->tracks->class_names[row->class_index];
}

static void json_string_to(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned char)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static double speed(const ib_row *row)
{
    const double *v = row->velocity;
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

static const char *note(const ib_result *r)
{
    return r->metric ? "positions, distances and speeds are in metres"
                     : "positions, distances and speeds are in units of an unknown scale, not metres";
}

static void json_row(FILE *f, const ib_result *r, const ib_row *row)
{
    fprintf(f, "{\"frame\": %" PRId64 ", \"id\": ", row->frame);
    if (row->id < 0)
        fputs("null", f);
    else
        fprintf(f, "%" PRId64, row->id);
    fputs(", \"class\": ", f);
    if (row->class_index < 0)
        fputs("null", f);
    else
        json_string_to(f, class_of(r, row));
    fprintf(f, ", \"box\": [%.2f, %.2f, %.2f, %.2f], \"confidence\": %.4f", row->box[0], row->box[1], row->box[2],
            row->box[3], row->confidence);
    if (row->bridged) fputs(", \"bridged\": true", f);
    if (!row->has_position) {
        fprintf(f, ", \"refused\": \"%s\"}", isobath_track_reason((int)row->measure.reason));
        return;
    }
    const double *p = row->position, *v = row->velocity;
    fprintf(f, ", \"position\": [%.4f, %.4f, %.4f], \"distance\": %.4f", p[0], p[1], p[2], row->distance);
    if (row->has_speed) fprintf(f, ", \"velocity\": [%.4f, %.4f, %.4f], \"speed\": %.4f", v[0], v[1], v[2], speed(row));
    if (!row->bridged)
        fprintf(f, ", \"spread\": %.4f, \"valid_share\": %.3f, \"hidden_share\": %.3f", row->measure.spread,
                row->measure.valid_share, row->measure.hidden_share);
    fputc('}', f);
}

static void write_json(FILE *f, const ib_result *r)
{
    const isobath_track_summary *s = r->summary;
    fprintf(f, "{\"unit\": \"%s\", \"coordinates\": \"%s\", \"axes\": \"%s\",\n \"note\": \"%s\",\n", s->unit,
            s->coordinates,
            r->ground  ? "x and z on the ground of ground_from_image, y 0"
            : r->turns ? "of the reference picture: x right, y down, z forward"
            : r->world ? "of world_from_camera"
                       : "x right, y down, z forward",
            note(r));
    fprintf(f, " \"point\": \"%s\", \"video_width\": %d, \"video_height\": %d, \"fps\": ",
            r->options->foot ? "foot" : "centre", r->video_width, r->video_height);
    fprintf(f, r->fps > 0 ? "%.6g" : "null", r->fps);
    fprintf(f, ", \"depth_at\": \"%s\"", r->summary->at_feet ? "feet" : "body");
    fprintf(f, ", \"smoothed\": %s, \"scale\": %.9g, \"shift\": %.9g,\n", r->options->smooth ? "true" : "false",
            s->scale, s->shift);
    fprintf(f, " \"read\": %" PRId64 ", \"lifted\": %" PRId64 ", \"bridged\": %" PRId64 ", \"refused\": {", s->read,
            s->lifted, s->bridged);
    int any = 0;
    for (int k = 1; k < ISOBATH_TRACK_REASONS; k++)
        if (s->refused[k]) fprintf(f, "%s\"%s\": %" PRId64, any++ ? ", " : "", isobath_track_reason(k), s->refused[k]);
    fputs("},\n \"detections\": [", f);
    for (size_t i = 0; i < r->count; i++) {
        fputs(i ? ",\n" : "\n", f);
        json_row(f, r, &r->rows[i]);
    }
    fputs("\n]}\n", f);
}

static void write_csv(FILE *f, const ib_result *r)
{
    fputs("frame,id,class,confidence,x1,y1,x2,y2,x,y,z,distance,vx,vy,vz,speed,unit,coordinates,bridged,spread,valid_"
          "share,hidden_share,refused\n",
          f);
    for (size_t i = 0; i < r->count; i++) {
        const ib_row *row = &r->rows[i];
        fprintf(f, "%" PRId64 ",%" PRId64 ",\"", row->frame, row->id);
        for (const char *c = class_of(r, row); *c; c++) fprintf(f, *c == '"' ? "\"\"" : "%c", *c);
        fprintf(f, "\",%.4f,%.2f,%.2f,%.2f,%.2f,", row->confidence, row->box[0], row->box[1], row->box[2], row->box[3]);
        if (row->has_position)
            fprintf(f, "%.4f,%.4f,%.4f,%.4f,", row->position[0], row->position[1], row->position[2], row->distance);
        else
            fputs(",,,,", f);
        if (row->has_position && row->has_speed)
            fprintf(f, "%.4f,%.4f,%.4f,%.4f,", row->velocity[0], row->velocity[1], row->velocity[2], speed(row));
        else
            fputs(",,,,", f);
        fprintf(f, "%s,%s,%d,", r->summary->unit, r->summary->coordinates, row->bridged);
        if (row->has_position && !row->bridged)
            fprintf(f, "%.4f,%.3f,%.3f,\n", row->measure.spread, row->measure.valid_share, row->measure.hidden_share);
        else
            fprintf(f, ",,,%s\n", row->has_position ? "" : isobath_track_reason((int)row->measure.reason));
    }
}

static void write_mot(FILE *f, const ib_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const ib_row *row = &r->rows[i];
        fprintf(f, "%" PRId64 ",%" PRId64 ",%.2f,%.2f,%.2f,%.2f,%.4f,", row->frame + 1, row->id, row->box[0],
                row->box[1], row->box[2] - row->box[0], row->box[3] - row->box[1], row->bridged ? 0 : row->confidence);
        if (row->has_position)
            fprintf(f, "%.4f,%.4f,%.4f\n", row->position[0], row->position[1], row->position[2]);
        else
            fputs("-1,-1,-1\n", f);
    }
}

/* Camera coordinates of the bottom centre; height and width as the box shows them; length and angles unknown. */
static void write_kitti(FILE *f, const ib_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const ib_row *row = &r->rows[i];
        char name[64];
        snprintf(name, sizeof name, "%s", row->class_index < 0 ? "Misc" : class_of(r, row));
        for (char *c = name; *c; c++)
            if (*c == ' ' || *c == '\t' || *c == '\n') *c = '_';
        fprintf(f, "%" PRId64 " %" PRId64 " %s -1 -1 -10 %.2f %.2f %.2f %.2f ", row->frame, row->id,
                *name ? name : "Misc", row->box[0], row->box[1], row->box[2], row->box[3]);
        if (row->has_position) {
            double h = (row->box[3] - row->box[1]) * row->camera[2] / row->focal_px[1],
                   w = (row->box[2] - row->box[0]) * row->camera[2] / row->focal_px[0];
            fprintf(f, "%.3f %.3f -1 %.4f %.4f %.4f -10 %.4f\n", h, w, row->camera[0],
                    row->camera[1] + (r->options->foot ? 0 : h / 2), row->camera[2],
                    row->bridged ? 0 : row->confidence);
        } else {
            fprintf(f, "-1 -1 -1 -1000 -1000 -1000 -10 %.4f\n", row->confidence);
        }
    }
}

char *ib_result_json(const ib_result *r) { return written(r, write_json); }
char *ib_result_csv(const ib_result *r) { return written(r, write_csv); }
char *ib_result_mot(const ib_result *r) { return written(r, write_mot); }
char *ib_result_kitti(const ib_result *r) { return written(r, write_kitti); }
