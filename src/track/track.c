/* A whole run of isobath_track_run: reading, measuring, scale and lifting (place.c), writing; see isobath/track.h. */
#include "base/clock.h"
#include "sink/file.h"
#include "track/track_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const reasons[ISOBATH_TRACK_REASONS] = {NULL,
                                                           "no depth for this frame",
                                                           "empty box",
                                                           "outside the picture",
                                                           "no valid depth",
                                                           "hidden by nearer boxes",
                                                           "second box of its track in this frame",
                                                           "no camera or pose for this frame",
                                                           "beyond what the scale gives a distance for"};
_Static_assert(ISOBATH_TRACK_REASONS == IB_LIFT_REASONS, "reasons");

const char *isobath_track_reason(int reason)
{
    return reason > 0 && reason < ISOBATH_TRACK_REASONS ? reasons[reason] : NULL;
}

void isobath_track_options_init(isobath_track_options *options)
{
    *options = (isobath_track_options){
        .first_frame = -1, .video_id = -1, .cx = -1, .cy = -1, .metric = -1, .smooth = 1, .bridge = 15};
}

static isobath_status check_options(const isobath_track_options *o, ib_diag *diag)
{
    if (!o->depth || !o->tracks || !o->output)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "expected DEPTH, TRACKS and an output folder (-o)");
    if ((o->scale != 0) + (o->known_count > 0) + (o->camera_height_m != 0) > 1)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--scale, --known and --camera-height exclude each other");
    if (!(o->scale >= 0) || !(o->camera_height_m >= 0) || !isfinite(o->scale) || !isfinite(o->shift))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--scale and --camera-height: expected more than 0");
    if (o->shift != 0 && o->scale == 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "--shift needs --scale");
    for (size_t i = 0; i < o->known_count; i++)
        if (!(o->known[i].metres > 0) || !isfinite(o->known[i].metres) || !isfinite(o->known[i].x) ||
            !isfinite(o->known[i].y) || o->known[i].frame < 0)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--known %zu: expected frame,x,y,metres with metres more than 0",
                           i + 1);
    if (o->depth_at < IB_DEPTH_AT_AUTO || o->depth_at > IB_DEPTH_AT_FEET)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "depth_at: expected 0 (auto), 1 (body) or 2 (feet)");
    return o->bridge < 0 || !(o->fps >= 0) || !(o->accel >= 0) || !(fabs(o->pitch_deg) < 90)
               ? ib_fail(diag, ISOBATH_ERR_USAGE,
                         "--bridge, --fps and --accel must not be negative; --pitch lies between -90 and 90")
               : ISOBATH_OK;
}

/* Sizes: of the depth, and of the video that the tracks are of. */
static isobath_status set_sizes(ib_track_run *t)
{
    const isobath_track_options *o = t->o;
    const ib_depth_reader_info *info = ib_depth_reader_get_info(t->reader);
    int said = o->video_width > 0 && o->video_height > 0, known = t->tracks.width > 0 && t->tracks.height > 0;
    t->setup = (ib_measure_setup){.width = info->width,
                                  .height = info->height,
                                  .metric = o->metric >= 0 ? o->metric : info->kind == IB_DEPTH_METRIC};
    t->setup.video_width = said ? o->video_width : known ? t->tracks.width : info->width;
    t->setup.video_height = said ? o->video_height : known ? t->tracks.height : info->height;
    if (o->metric < 0 && !info->kind_known)
        return ib_fail(t->diag, ISOBATH_ERR_USAGE,
                       "%s: does not say whether it holds metres or disparity: say --metric or --relative", o->depth);
    if (t->setup.metric && o->scale != 0)
        return ib_fail(t->diag, ISOBATH_ERR_USAGE,
                       "the depth is in metres already: --scale is for relative depth (--known and --camera-height correct "
                       "metres that are off)");
    if (t->tracks.normalised && !said && !o->camera && o->hfov_deg == 0 && o->calibration_width == 0)
        return ib_fail(
            t->diag, ISOBATH_ERR_USAGE,
            "the tracks are in shares of the picture: say its size with --video-size WxH, which --fx is in pixels of");
    ib_tracks_to_pixels(&t->tracks, t->setup.video_width, t->setup.video_height);
    double right = 0, bottom = 0;
    for (size_t i = 0; i < t->tracks.count; i++) {
        right = fmax(right, t->tracks.list[i].box[2]);
        bottom = fmax(bottom, t->tracks.list[i].box[3]);
    }
    if (!said && !known && (right > 1.25 * info->width || bottom > 1.25 * info->height))
        return ib_fail(t->diag, ISOBATH_ERR_USAGE,
                       "%s: boxes reach to %.0f,%.0f, but the depth is %dx%d: say the size of the tracks' video with "
                       "--video-size WxH",
                       o->tracks, right, bottom, info->width, info->height);
    double stretch = (double)t->setup.video_width * info->height / ((double)t->setup.video_height * info->width);
    if (stretch < 0.97 || stretch > 1.03)
        return ib_fail(t->diag, ISOBATH_ERR_USAGE, "the tracks' video is %dx%d, the depth %dx%d: not the same shape",
                       t->setup.video_width, t->setup.video_height, info->width, info->height);
    return ISOBATH_OK;
}

/* A camera that turns: its homographies become poses. */
static isobath_status use_homographies(ib_track_run *t)
{
    const ib_homographies *h = &t->homographies;
    if (h->count && h->ground && !t->o->foot)
        return ib_fail(t->diag, ISOBATH_ERR_USAGE,
                       "%s: ground_from_image says where things stand: it needs --point foot", t->o->poses);
    if (!h->count || h->ground) return ISOBATH_OK;
    for (int64_t i = 0; i < h->count; i++) {
        const ib_homography *one = &h->of[i];
        double r[9];
        ib_lens lens;
        if (!ib_lenses_of(&t->lenses, one->frame, &lens)) continue;
        if (!ib_homography_rotation(one->matrix, &lens, r))
            return ib_fail(
                t->diag, ISOBATH_ERR_INPUT,
                "%s: frame %" PRId64
                ": reference_from_image is not that of a camera that only turns (with this focal length): a camera "
                "that moves needs world_from_camera",
                t->o->poses, one->frame);
        ib_camera c = {.frame = one->frame, .fx = lens.fx, .fy = lens.fy, .cx = lens.cx, .cy = lens.cy};
        for (int k = 0; k < 9; k++) c.world_from_camera[k / 3 * 4 + k % 3] = r[k];
        c.world_from_camera[15] = 1;
        if (!ib_camera_add(&t->poses, &c)) return ib_fail(t->diag, ISOBATH_ERR_MEMORY, "out of memory");
    }
    return ISOBATH_OK;
}

static isobath_status open_all(ib_track_run *t)
{
    const isobath_track_options *o = t->o;
    IB_TRY(check_options(o, t->diag));
    ib_tracks_options to = {
        .format = o->tracks_format, .columns = o->columns, .first_frame = o->first_frame, .video_id = o->video_id};
    IB_TRY(ib_tracks_read(o->tracks, &to, t->diag, &t->tracks));
    IB_TRY(ib_depth_reader_open_as(o->depth, o->input_scale, t->diag, &t->reader));
    IB_TRY(set_sizes(t));
    ib_lens_options lo = {.fx = o->fx,
                          .fy = o->fy,
                          .cx = o->cx,
                          .cy = o->cy,
                          .has_cx = o->cx >= 0,
                          .has_cy = o->cy >= 0,
                          .hfov_deg = o->hfov_deg,
                          .width = o->calibration_width,
                          .height = o->calibration_height,
                          .path = o->camera};
    if (o->poses) {
        uint8_t *data;
        size_t size;
        IB_TRY(ib_read_file(o->poses, (size_t)1 << 30, t->diag, &data, &size));
        int are = ib_homographies_are((const char *)data, size);
        isobath_status st = are ? ib_homographies_parse((const char *)data, size, o->poses, t->diag, &t->homographies)
                                : ib_camera_parse((const char *)data, size, o->poses, 1, t->diag, &t->poses);
        free(data);
        IB_TRY(st);
        if (!are && !lo.path && lo.fx == 0 && lo.fy == 0 && lo.hfov_deg == 0)
            lo.path = o->poses; /* it holds intrinsics, too */
    }
    IB_TRY(ib_lenses_open(&lo, t->setup.video_width, t->setup.video_height, t->diag, &t->lenses));
    IB_TRY(use_homographies(t));
    t->summary->frames = ib_depth_reader_get_info(t->reader)->frames;
    t->summary->read = (int64_t)t->tracks.count;
    snprintf(t->summary->tracks_format, sizeof t->summary->tracks_format, "%s", t->tracks.format);
    return ISOBATH_OK;
}

/* One pass over the depth: every detection, and the points of --known. */
static isobath_status measure_all(ib_track_run *t)
{
    int64_t frames = t->summary->frames, next_known;
    float *depth = malloc(sizeof *depth * (size_t)t->setup.width * (size_t)t->setup.height);
    t->measures = calloc(t->tracks.count, sizeof *t->measures);
    isobath_status st = depth && t->measures ? ISOBATH_OK : ib_fail(t->diag, ISOBATH_ERR_MEMORY, "out of memory");
    for (size_t k = 0; k < t->o->known_count && st == ISOBATH_OK; k++)
        if (t->o->known[k].frame >= frames)
            st = ib_fail(t->diag, ISOBATH_ERR_USAGE, "--known: there is no frame %" PRId64 ", the depth has %" PRId64,
                         t->o->known[k].frame, frames);
    for (size_t i = 0; st == ISOBATH_OK;) {
        next_known = frames;
        int64_t frame = i < t->tracks.count && t->tracks.list[i].frame < frames ? t->tracks.list[i].frame : frames;
        for (size_t k = 0; k < t->o->known_count; k++)
            if (t->o->known[k].disparity < 0 && t->o->known[k].frame < next_known) next_known = t->o->known[k].frame;
        if (next_known < frame) frame = next_known;
        if (frame == frames) break;
        int64_t start = ib_now_us();
        st = ib_depth_reader_read(t->reader, frame, depth);
        t->summary->depth_s += (double)(ib_now_us() - start) * 1e-6;
        if (st != ISOBATH_OK) break;
        size_t n = 0;
        while (i + n < t->tracks.count && t->tracks.list[i + n].frame == frame) n++;
        ib_measure_frame(&t->setup, depth, &t->tracks, i, n, t->measures + i);
        i += n;
        for (size_t k = 0; k < t->o->known_count; k++) {
            isobath_track_known *p = &t->o->known[k];
            if (p->frame != frame) continue;
            p->disparity = ib_measure_point(&t->setup, depth, p->x + 0.5, p->y + 0.5);
            if (!(p->disparity > 0)) {
                st = ib_fail(t->diag, ISOBATH_ERR_INPUT, "--known: no depth at %g,%g in frame %" PRId64, p->x, p->y,
                             p->frame);
                break;
            }
        }
    }
    free(depth);
    for (size_t i = 0; st == ISOBATH_OK && i < t->tracks.count; i++)
        if (t->tracks.list[i].frame >= frames) t->measures[i].reason = IB_LIFT_NO_DEPTH;
    return st;
}

/* On the body or at the feet. */
static isobath_status choose_depth(ib_track_run *t)
{
    ib_feet feet;
    if (!ib_measure_feet(&t->tracks, (ib_depth_at)t->o->depth_at, t->measures, &feet))
        return ib_fail(t->diag, ISOBATH_ERR_MEMORY, "out of memory");
    t->summary->at_feet = feet.used;
    t->summary->lean = feet.lean;
    return ISOBATH_OK;
}

isobath_status isobath_track_run(const isobath_track_options *options, isobath_track_summary *summary, char *error,
                                 size_t error_size)
{
    ib_diag diag;
    ib_diag_init(&diag);
    memset(summary, 0, sizeof *summary);
    ib_track_run t = {.o = options, .summary = summary, .diag = &diag};
    int want[IB_TRACK_OUTPUTS];
    int64_t start = ib_now_us();
    for (size_t i = 0; i < options->known_count; i++) options->known[i].disparity = -1; /* not measured yet */
    isobath_status st = ib_outputs_parse(options, &diag, want);
    if (st == ISOBATH_OK) st = open_all(&t);
    if (st == ISOBATH_OK) st = ib_outputs_same(t.tracks.format, &diag, want);
    if (st == ISOBATH_OK) st = measure_all(&t);
    if (st == ISOBATH_OK) st = choose_depth(&t);
    if (st == ISOBATH_OK) st = ib_track_set_scale(&t);
    if (st == ISOBATH_OK) st = ib_track_lift(&t);
    if (st == ISOBATH_OK) st = ib_outputs_write(&t.result, want, &diag);
    summary->lift_s = (double)(ib_now_us() - start) * 1e-6 - summary->depth_s;
    if (st != ISOBATH_OK && error && error_size) snprintf(error, error_size, "%s", diag.text);
    free(t.result.rows);
    free(t.measures);
    ib_camera_free(&t.poses);
    ib_homographies_free(&t.homographies);
    ib_lenses_free(&t.lenses);
    ib_depth_reader_close(t.reader);
    ib_tracks_free(&t.tracks);
    ib_diag_destroy(&diag);
    return st;
}
