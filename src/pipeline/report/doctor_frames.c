/* The frames that the doctor and the benchmark run the network on. */
#include "base/clock.h"
#include "media/media.h"
#include "pipeline/report/doctor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ib_doctor_draw(uint8_t *pixels, int width, int height, int count)
{
    uint32_t noise = 1;
    for (int t = 0; t < count; t++)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++, pixels += 3) {
                int box = ((x + 3 * t) * 8 / width + y * 6 / height) % 2; /* a moving chessboard over a ramp */
                int base = 40 + 120 * y / height + 60 * box;
                noise = noise * 1664525u + 1013904223u;
                for (int c = 0; c < 3; c++) pixels[c] = (uint8_t)(base + 8 * c - 8 * c * box + (int)(noise >> (28 - 3 * c) & 7));
            }
}

/* frames[i] for all slots, from `count` distinct pictures. */
static void share(ib_doctor *d, int count)
{
    size_t bytes = (size_t)d->frames.width * (size_t)d->frames.height * 3;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) d->frames.rgb[i] = d->pixels + (size_t)(i % count) * bytes;
}

static isobath_status allocate(ib_doctor *d, int width, int height, int count, ib_diag *diag)
{
    d->frames.width = width;
    d->frames.height = height;
    d->pixels = malloc((size_t)width * (size_t)height * 3 * (size_t)count);
    return d->pixels ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %d frames of %d x %d", count, width, height);
}

/* As many of the first 32 frames as two seconds give. The first one is left out of the rate: it starts the decoder. */
static isobath_status decode(ib_doctor *d, ib_media *media, ib_diag *diag)
{
    const ib_media_info *info = ib_media_get_info(media);
    isobath_doctor_report *r = d->report;
    IB_TRY(allocate(d, info->width, info->height, IB_PLAN_WINDOW, diag));
    size_t bytes = (size_t)info->width * (size_t)info->height * 3;
    int count = 0, got = 1;
    int64_t start = ib_now_us(), first = start, now = start;
    while (count < IB_PLAN_WINDOW && now - start < 2000000) {
        ib_media_frame frame;
        IB_TRY(ib_media_read(media, d->pixels + (size_t)count * bytes, &frame, &got));
        now = ib_now_us();
        if (!got) break;
        if (count++ == 0) first = now;
    }
    if (!count) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no frame could be decoded", d->options->input);
    if (count > 1 && now > first) r->decode_frames_per_s = (count - 1) / ((double)(now - first) * 1e-6);
    share(d, count);
    char frames[48] = "no known end";
    if (info->frames_hint >= 0) snprintf(frames, sizeof frames, "about %lld frames", (long long)info->frames_hint);
    ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "input", "%d x %d, %.3f frames/s, %s; %s; %s; decoding %.1f frames/s", info->width,
                  info->height, info->fps, frames, info->decoder, info->colour, r->decode_frames_per_s);
    return ISOBATH_OK;
}

isobath_status ib_doctor_frames(ib_doctor *d, ib_diag *diag)
{
    const isobath_doctor_options *o = d->options;
    isobath_plan *p = &d->report->plan;
    if (!o->input) {
        p->source_width = o->width > 0 ? o->width : 1280;
        p->source_height = o->height > 0 ? o->height : 720;
        p->frames_hint = -1;
        IB_TRY(allocate(d, p->source_width, p->source_height, 4, diag));
        ib_doctor_draw(d->pixels, p->source_width, p->source_height, 4);
        share(d, 4);
        return ISOBATH_OK;
    }
    if (strcmp(o->input, "-") == 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "a pipe can be read only once: name a file");
    isobath_run_options defaults;
    isobath_run_options_init(&defaults);
    ib_media_options m = {.max_res = defaults.max_res, .threads = o->threads};
    ib_media *media;
    IB_TRY(ib_media_open(o->input, &m, diag, &media));
    const ib_media_info *info = ib_media_get_info(media);
    p->source_width = info->width;
    p->source_height = info->height;
    p->fps = info->fps;
    p->frames_hint = info->frames_hint;
    memcpy(d->report->decoder, info->decoder, sizeof d->report->decoder);
    memcpy(d->report->colour, info->colour, sizeof d->report->colour);
    isobath_status st = decode(d, media, diag);
    ib_media_close(media);
    return st;
}
