/* What a run reads: the input, its decoder, its pictures; see setup.h. */
#include "pipeline/setup.h"

#include <stdio.h>
#include <string.h>

static isobath_status parse_crop(const char *text, ib_media_options *m, ib_diag *diag)
{
    ib_rect r;
    int end = 0;
    m->crop = IB_CROP_AUTO;
    if (strcmp(text, "auto") == 0) return ISOBATH_OK;
    if (sscanf(text, "%dx%d+%d+%d%n", &r.width, &r.height, &r.x, &r.y, &end) != 4 || text[end] || r.width < 1 || r.height < 1 ||
        r.x < 0 || r.y < 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--crop %s: expected auto or WIDTHxHEIGHT+X+Y", text);
    m->crop = IB_CROP_RECT;
    m->crop_rect = r;
    return ISOBATH_OK;
}

/* On the card of the network, unless it is said otherwise; networks elsewhere, worker processes and runs that are short of
 * the card's memory take frames from the processor. */
static isobath_status choose_decoder(const ib_setup *s, ib_media_options *m, ib_diag *diag)
{
    const char *d = s->options.decoder ? s->options.decoder : "auto";
    int on_card = !ib_setup_is_exec(s) && !s->fleet && s->device >= 0;
    m->cuda_device = on_card ? s->device : 0;
    m->sessions = on_card ? s->options.decoder_sessions : 0;
    if (s->options.decoder_sessions < 0 || s->options.decoder_sessions > 8)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoder-sessions %d: expected 1 to 8", s->options.decoder_sessions);
    if (strcmp(d, "software") == 0) m->decoder = IB_DECODER_SOFTWARE;
    else if (strcmp(d, "auto") == 0) m->decoder = on_card && !s->options.device_memory ? IB_DECODER_AUTO : IB_DECODER_SOFTWARE;
    else if (strcmp(d, "cuda") == 0) m->decoder = IB_DECODER_CUDA;
    else return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoder %s: expected auto, software or cuda", d);
    return ISOBATH_OK;
}

isobath_status ib_setup_open_media(ib_setup *s, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    ib_media_options m = {.max_res = o->max_res, .target_fps = o->target_fps, .max_frames = o->max_frames,
                          .start_s = o->start_s, .end_s = o->end_s, .raw_format = o->raw_format,
                          .on_error = o->on_error_repeat ? IB_ON_ERROR_REPEAT : IB_ON_ERROR_STOP, .threads = s->threads};
    m.stall_s = o->stall_s;
    m.start_frame = o->start_frame;
    m.end_frame = o->end_frame;
    m.square_pixels = o->square_pixels;
    m.deinterlace = o->deinterlace;
    m.keep_hdr = o->keep_hdr;
    IB_TRY(choose_decoder(s, &m, diag));
    if (s->fleet) { /* several devices can take more RGB than one thread makes */
        IB_TRY(ib_pool_create(s->threads < 4 ? s->threads : 4, diag, &s->media_pool));
        m.pool = s->media_pool;
    }
    if (o->crop) IB_TRY(parse_crop(o->crop, &m, diag));
    IB_TRY(ib_media_open(o->input, &m, diag, &s->media));
    const ib_media_info *info = ib_media_get_info(s->media);
    s->media_options = m;
    if (m.crop != IB_CROP_OFF) { /* opened again, the same part */
        s->media_options.crop = IB_CROP_RECT;
        s->media_options.crop_rect = info->crop;
    }
    if (info->passed_over) {
        char line[160];
        snprintf(line, sizeof line, "input: %lld damaged packets or pictures before the first whole one are passed over; that one is frame 0",
                 (long long)info->passed_over);
        ib_setup_note(s, line);
    }
    if (info->decoder_note[0]) {
        char line[sizeof info->decoder_note + 16];
        snprintf(line, sizeof line, "decoder: %s", info->decoder_note);
        ib_setup_note(s, line);
    }
    snprintf(s->decoder, sizeof s->decoder, "%s", info->decoder);
    snprintf(s->colour, sizeof s->colour, "%s", info->colour);
    s->plan.source_width = info->width;
    s->plan.source_height = info->height;
    s->plan.fps = info->fps;
    s->pixel_aspect = s->media_options.square_pixels ? 1 : info->rotation % 180 ? 1 / info->pixel_aspect : info->pixel_aspect;
    s->plan.frames_hint = info->frames_hint;
    return ISOBATH_OK;
}
