/* isobath track: 2-D tracks and depth to 3-D positions. */
#include "cli.h"

#include <isobath/track.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN = 256 };

typedef struct track_flags {
    isobath_track_options o;
    isobath_track_known known[KNOWN];
    int metric, relative, quiet;
} track_flags;

static int set_known(void *target, const char *arg)
{
    track_flags *f = target;
    isobath_track_known *k = &f->known[f->o.known_count];
    long long frame;
    int end = 0;
    if (f->o.known_count == KNOWN || sscanf(arg, "%lld,%lf,%lf,%lf%n", &frame, &k->x, &k->y, &k->metres, &end) != 4 ||
        arg[end])
        return -1;
    k->frame = frame;
    f->o.known_count++;
    return 0;
}

static int parse_size(const char *arg, int *width, int *height)
{
    int end = 0;
    return sscanf(arg, "%dx%d%n", width, height, &end) == 2 && !arg[end] && *width > 0 && *height > 0 &&
                   *width < 65536 && *height < 65536
               ? 0
               : -1;
}

static int set_video_size(void *target, const char *arg)
{
    track_flags *f = target;
    return parse_size(arg, &f->o.video_width, &f->o.video_height);
}

static int set_camera_size(void *target, const char *arg)
{
    track_flags *f = target;
    return parse_size(arg, &f->o.calibration_width, &f->o.calibration_height);
}

static int set_point(void *target, const char *arg)
{
    track_flags *f = target;
    f->o.foot = strcmp(arg, "foot") == 0;
    return f->o.foot || strcmp(arg, "centre") == 0 || strcmp(arg, "center") == 0 ? 0 : -1;
}

static int set_depth_at(void *target, const char *arg)
{
    static const char *const names[] = {"auto", "body", "feet"};
    track_flags *f = target;
    for (int i = 0; i < 3; i++)
        if (strcmp(arg, names[i]) == 0) {
            f->o.depth_at = i;
            return 0;
        }
    return -1;
}

static void print_summary(const track_flags *f, const isobath_track_summary *s)
{
    printf("read      %lld detections of %lld tracks (%s)\n", (long long)s->read, (long long)s->tracks,
           s->tracks_format);
    printf("lifted    %lld, and %lld bridged, in %s coordinates, in %s\n", (long long)s->lifted, (long long)s->bridged,
           s->coordinates,
           strcmp(s->unit, "metre") == 0 ? "metres"
                                         : "units of an unknown scale (see --scale, --known, --camera-height)");
    for (int k = 1; k < ISOBATH_TRACK_REASONS; k++)
        if (s->refused[k]) printf("refused   %lld: %s\n", (long long)s->refused[k], isobath_track_reason(k));
    if (s->at_feet)
        printf("depth     of the ground at the feet: on the bodies disparity is %.2f of it (--depth-at body otherwise)\n", s->lean);
    if (s->fitted_points) {
        printf("scale     1/metres = %.6g * disparity + %.6g, from %lld of %lld distances, median error %.2f%%\n",
               s->scale, s->shift, (long long)s->fitted_inliers, (long long)s->fitted_points,
               100 * s->fit_median_error);
        for (size_t i = 0; i < f->o.known_count; i++)
            printf("known     frame %lld at %g,%g: %.3f m, fit %+.3f m%s\n", (long long)f->known[i].frame,
                   f->known[i].x, f->known[i].y, f->known[i].metres, f->known[i].residual,
                   f->known[i].inlier ? "" : " (left out)");
    }
    printf("time      %.2f s, and %.2f s for reading depth\n", s->lift_s, s->depth_s);
}

int cmd_track(int argc, char **argv)
{
    track_flags f = {0};
    isobath_track_options *o = &f.o;
    isobath_track_options_init(o);
    o->known = f.known;
    static const cli_command command = {
        .name = "track",
        .usage = "track DEPTH TRACKS -o FOLDER [CAMERA] [SCALE]",
        .summary = "2-D tracks to 3-D positions",
        .description = "DEPTH is a result of isobath or a foreign one (PNG, EXR, npz, npy, a folder of them, or grey "
                       "video). TRACKS is a file or folder of Ultralytics\n"
                       "(text or JSON), MOTChallenge, BoxMOT, KITTI, COCO-video / TAO or plain JSON, known by its "
                       "content. The depth of a box is the\n"
                       "median disparity of its mask, or of its central half without what nearer boxes cover. Relative "
                       "depth gives positions in units\n"
                       "of an unknown scale, and every output says so, unless the scale is given. docs/TRACKS.md has "
                       "the formats and formulas.",
        .examples =
            "  isobath track out/clip_depths_png16 tracks.txt -o out --hfov 70 --video-size 1920x1080\n"
            "  isobath track truth.npz tracks.txt --metric -o out --poses camera.jsonl --format json,mot,svg\n"};
    const cli_option options[] = {
        {CLI_HEADING, .help = "Output"},
        {CLI_STRING, "--output", 'o', "FOLDER", "where the results go; created when missing", &o->output},
        {CLI_STRING, "--format", 'f', "LIST",
         "of json, csv, mot, kitti, svg, png, overlay, and same: the format of TRACKS again\n(default json,csv,svg)",
         &o->formats},
        {CLI_STRING, "--video", 0, "FILE", "the tracks' video: also writes it with boxes, ids and distances (overlay)",
         &o->video},
        {CLI_STRING, "--name", 0, "NAME", "of the result files (default: the tracks' name)", &o->name},
        {CLI_FLAG, "--overwrite", 0, NULL, "replace existing results", &o->overwrite},
        {CLI_FLAG, "--quiet", 'q', NULL, "no summary", &f.quiet},
        {CLI_HEADING, .help = "Tracks"},
        {CLI_STRING, "--tracks-format", 0, "NAME", "ultralytics-txt, ultralytics-json, mot, boxmot, kitti, coco, json",
         &o->tracks_format},
        {CLI_STRING, "--columns", 0, "LIST", "of Ultralytics text: box or seg, then ,conf and ,id where they are there",
         &o->columns},
        {CLI_INT, "--first-frame", 0, "N", "number of the first frame in TRACKS (default: as the format has it)",
         &o->first_frame},
        {CLI_INT64, "--video-id", 0, "N", "which video of a COCO file", &o->video_id},
        {CLI_CALL, "--video-size", 0, "WxH", "of the video that the tracks are of (default: as they say, else DEPTH's)",
         &f, set_video_size},
        {CLI_HEADING, .help = "Camera"},
        {CLI_DOUBLE, "--fx", 0, "PIXELS", "focal length, in pixels of the tracks' video", &o->fx},
        {CLI_DOUBLE, "--fy", 0, "PIXELS", "(default: --fx)", &o->fy},
        {CLI_DOUBLE, "--cx", 0, "PIXELS", "principal point; 0 is the centre of the first pixel (default: the middle)",
         &o->cx},
        {CLI_DOUBLE, "--cy", 0, "PIXELS", "(default: the middle)", &o->cy},
        {CLI_DOUBLE, "--hfov", 0, "DEGREES", "horizontal field of view instead", &o->hfov_deg},
        {CLI_STRING, "--camera", 0, "FILE", "JSON, JSON lines by frame, or OpenCV YAML with distortion", &o->camera},
        {CLI_CALL, "--camera-size", 0, "WxH",
         "pictures that the camera was measured on (default: as FILE says, else --video-size)", &f, set_camera_size},
        {CLI_STRING, "--poses", 0, "FILE",
         "JSON lines with world_from_camera: positions in the world's axes; or with "
         "homographies\n(reference_from_image, ground_from_image)",
         &o->poses},
        {CLI_HEADING, .help = "Scale"},
        {CLI_FLAG, "--metric", 0, NULL, "DEPTH holds metres (default: as its files say)", &f.metric},
        {CLI_FLAG, "--relative", 0, NULL, "DEPTH holds disparity", &f.relative},
        {CLI_STRING, "--input-scale", 0, "SCALE",
         "samples of foreign depth: mm, cm, m, 1/N (metres = sample / N), unit (0..1), raw, S or\nS,OFFSET",
         &o->input_scale},
        {CLI_DOUBLE, "--scale", 0, "S", "1/metres = S * disparity + --shift", &o->scale},
        {CLI_DOUBLE, "--shift", 0, "T", "(default 0)", &o->shift},
        {CLI_CALL, "--known", 0, "FRAME,X,Y,METRES",
         "a known distance along the optical axis; again for each; fits scale and shift,\nor corrects metres", &f, set_known},
        {CLI_DOUBLE, "--camera-height", 0, "METRES",
         "above a flat ground that the boxes stand on; the same", &o->camera_height_m},
        {CLI_DOUBLE, "--pitch", 0, "DEGREES", "of the camera, downwards, for --camera-height (default 0)",
         &o->pitch_deg},
        {CLI_HEADING, .help = "Lifting"},
        {CLI_CALL, "--point", 0, "centre|foot", "of the box, whose position is given (default centre)", &f, set_point},
        {CLI_CALL, "--depth-at", 0, "auto|body|feet",
         "where a box's depth is taken (default auto: on the body; at its feet where depth is so blurred that\nbodies merge with "
         "what is behind them)", &f, set_depth_at},
        {CLI_UNFLAG, "--no-smooth", 0, NULL, "no Kalman smoothing along tracks", &o->smooth},
        {CLI_INT, "--bridge", 0, "N", "fill gaps of up to N frames, marked (default 15; 0: none)", &o->bridge},
        {CLI_DOUBLE, "--fps", 0, "F", "for speeds (default: the times of DEPTH, else no speeds)", &o->fps},
        {CLI_DOUBLE, "--accel", 0, "A", "how strongly things accelerate (default 1 m/s2); less is smoother", &o->accel},
        {CLI_END}};
    int rest, code = cli_parse(&command, options, argc, argv, &rest);
    if (code >= 0) return code;
    if (rest != 2 || !o->output)
        return cli_fail("track", ISOBATH_ERR_USAGE, "DEPTH, TRACKS and -o FOLDER expected (see isobath track --help)");
    if (f.metric && f.relative)
        return cli_fail("track", ISOBATH_ERR_USAGE, "--metric and --relative exclude each other");
    o->depth = argv[1];
    o->tracks = argv[2];
    o->metric = f.metric ? 1 : f.relative ? 0 : -1;
    isobath_track_summary summary;
    char error[1024];
    isobath_status st = isobath_track_run(o, &summary, error, sizeof error);
    if (st != ISOBATH_OK) return cli_fail("track", st, error);
    if (!f.quiet) print_summary(&f, &summary);
    return 0;
}
