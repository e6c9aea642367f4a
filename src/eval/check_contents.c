/* Looks into depth results and videos: every frame decoded, finite, not constant, at its time. */
#include "eval/report.h"
#include "media/media.h"
#include "depthio/depth_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAD ISOBATH_CHECK_BAD

typedef struct findings { /* of one depth result: the first of each kind is named, the others counted */
    int64_t non_finite, first_non_finite, negative, first_negative, constant, first_constant;
    double min, max;
} findings;

static void note(int64_t *count, int64_t *first, int64_t i)
{
    if ((*count)++ == 0) *first = i;
}

static void look_at_frame(findings *f, const float *depth, int64_t n, int64_t i)
{
    float min = INFINITY, max = -INFINITY;
    int finite = 1;
    for (int64_t k = 0; k < n; k++) {
        if (!isfinite(depth[k])) finite = 0;
        if (depth[k] < min) min = depth[k];
        if (depth[k] > max) max = depth[k];
    }
    if (!finite)
        note(&f->non_finite, &f->first_non_finite, i);
    else if (min < 0)
        note(&f->negative, &f->first_negative, i);
    else if (min == max)
        note(&f->constant, &f->first_constant, i);
    if (min < f->min) f->min = min;
    if (max > f->max) f->max = max;
}

static void check_info(isobath_check *check, const ib_depth_reader *reader, const ib_check_expect *expect)
{
    const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
    if (expect->frames >= 0 && info->frames != expect->frames)
        ib_check_add(check, BAD, expect->relative, "%" PRId64 " frames; the manifest says %" PRId64, info->frames,
                     expect->frames);
    if (info->frames == 0) ib_check_add(check, BAD, expect->relative, "no frames");
    if (expect->metric >= 0 && info->kind_known && (info->kind == IB_DEPTH_METRIC) != expect->metric)
        ib_check_add(check, BAD, expect->relative, "says %s depth; the manifest says %s",
                     info->kind == IB_DEPTH_METRIC ? "metric" : "relative", expect->metric ? "metric" : "relative");
    int is_video = strcmp(info->format, "video") == 0; /* its times begin at 0 and are rounded to milliseconds */
    for (int64_t i = 0; info->has_times && i < info->frames; i++) {
        int64_t t = ib_depth_reader_time_us(reader, i), want = t;
        if (expect->times_us && (size_t)i < json_array_size(expect->times_us))
            want = json_integer_value(json_array_get(expect->times_us, (size_t)i)) -
                   (is_video ? json_integer_value(json_array_get(expect->times_us, 0)) : 0);
        if (llabs(t - want) > (is_video ? 1000 : 0)) {
            ib_check_add(check, BAD, expect->relative,
                         "time of frame %" PRId64 " is %" PRId64 " us; the manifest says %lld us", i, t,
                         (long long)json_integer_value(json_array_get(expect->times_us, (size_t)i)));
            break;
        }
        if (i > 0 && t < ib_depth_reader_time_us(reader, i - 1)) {
            ib_check_add(check, BAD, expect->relative, "time of frame %" PRId64 " is before the one of frame %" PRId64,
                         i, i - 1);
            break;
        }
    }
}

void ib_check_depth(isobath_check *check, const char *path, const ib_check_expect *expect)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_depth_reader *reader;
    if (ib_depth_reader_open(path, &diag, &reader) != ISOBATH_OK) {
        ib_check_add(check, BAD, expect->relative, "%s", diag.text);
        ib_diag_destroy(&diag);
        return;
    }
    const ib_depth_reader_info *info = ib_depth_reader_get_info(reader);
    int bad = check->bad;
    check_info(check, reader, expect);
    int64_t n = (int64_t)info->width * info->height;
    findings f = {.min = INFINITY, .max = -INFINITY};
    float *depth = malloc((size_t)n * sizeof *depth);
    if (!depth) check->out_of_memory = 1;
    for (int64_t i = 0; depth && !check->options.quick && i < info->frames; i++) {
        if (ib_depth_reader_read(reader, i, depth) != ISOBATH_OK) {
            ib_check_add(check, BAD, expect->relative, "%s", diag.text);
            break;
        }
        look_at_frame(&f, depth, n, i);
    }
    free(depth);
    if (f.non_finite)
        ib_check_add(check, BAD, expect->relative, "%" PRId64 " frames hold NaN or infinity, the first is %" PRId64,
                     f.non_finite, f.first_non_finite);
    if (f.negative)
        ib_check_add(check, BAD, expect->relative, "%" PRId64 " frames hold negative depth, the first is %" PRId64,
                     f.negative, f.first_negative);
    if (f.constant)
        ib_check_add(check, BAD, expect->relative, "%" PRId64 " frames hold one value only, the first is %" PRId64,
                     f.constant, f.first_constant);
    if (check->bad == bad && check->options.quick)
        ib_check_add(check, ISOBATH_CHECK_GOOD, expect->relative, "%" PRId64 " frames of %dx%d", info->frames,
                     info->width, info->height);
    else if (check->bad == bad)
        ib_check_add(check, ISOBATH_CHECK_GOOD, expect->relative,
                     "%" PRId64 " frames of %dx%d, %s, one scale, from %g to %g", info->frames, info->width,
                     info->height,
                     !info->kind_known               ? "unit not stated"
                     : info->kind == IB_DEPTH_METRIC ? "metres"
                                                     : "relative disparity",
                     f.min, f.max);
    ib_depth_reader_close(reader);
    ib_diag_destroy(&diag);
}

/* Reads to the end; the times of the file begin at 0. */
static void count_frames(isobath_check *check, ib_media *media, const ib_check_expect *expect, ib_diag *diag)
{
    const ib_media_info *info = ib_media_get_info(media);
    uint8_t *rgb = malloc((size_t)info->width * (size_t)info->height * 3);
    int64_t n = 0, late = -1;
    int got = rgb != NULL, bad = check->bad;
    if (!rgb) check->out_of_memory = 1;
    while (got) {
        ib_media_frame frame;
        if (ib_media_read(media, rgb, &frame, &got) != ISOBATH_OK) {
            ib_check_add(check, BAD, expect->relative, "%s", diag->text);
            break;
        }
        if (!got) break;
        if (expect->times_us && late < 0 && n < (int64_t)json_array_size(expect->times_us)) {
            int64_t want = json_integer_value(json_array_get(expect->times_us, (size_t)n)) -
                           json_integer_value(json_array_get(expect->times_us, 0));
            if (llabs(frame.pts_us - want) > 1000) late = n; /* containers round to a millisecond at worst */
        }
        n++;
    }
    free(rgb);
    if (expect->frames >= 0 && n != expect->frames)
        ib_check_add(check, BAD, expect->relative, "%" PRId64 " frames; the manifest says %" PRId64, n, expect->frames);
    if (late >= 0)
        ib_check_add(check, BAD, expect->relative, "frame %" PRId64 " is not shown at the manifest's time", late);
    if (check->bad == bad)
        ib_check_add(check, ISOBATH_CHECK_GOOD, expect->relative, "%" PRId64 " frames of %dx%d", n, info->width,
                     info->height);
}

void ib_check_video(isobath_check *check, const char *path, const ib_check_expect *expect)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_media *media;
    ib_media_options options = {.threads = check->options.threads};
    if (ib_media_open(path, &options, &diag, &media) != ISOBATH_OK)
        ib_check_add(check, BAD, expect->relative, "%s", diag.text);
    else if (check->options.quick)
        ib_check_add(check, ISOBATH_CHECK_GOOD, expect->relative, "opens");
    else
        count_frames(check, media, expect, &diag);
    ib_media_close(media);
    ib_diag_destroy(&diag);
}
