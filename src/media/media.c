/* The media object: decoded frames, chosen by time and stride, turned into upright RGB of the wanted size. */
#include "media/media.h"
#include "base/hash.h"
#include "media/convert.h"
#include "media/decoder.h"
#include "media/hw.h"
#include "media/media_picture.h"
#include "media/team.h"

#include <libavutil/imgutils.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEAM_FREE_BYTES ((size_t)6 << 30) /* less room on the card is the network's: a session takes a quarter of a GiB */

struct ib_media {
    ib_diag *diag;
    char *name;
    ib_media_options options;
    ib_media_info info;
    ib_decoder *decoder;
    ib_decoded first; /* decoded at open, not yet read */
    int have_first;
    int64_t start_us, end_us; /* end_us < 0: none */
    int64_t in_range;         /* frames seen between start and end */
    int64_t kept;
    int done;
    ib_convert *convert;
    ib_hw_host host; /* frames from a card pass through it on their way to RGB */
    ib_team *team;   /* several decoders do what `decoder` would; NULL: it does */
    int team_tried, kept_already; /* the frame at hand is the team's: it may be kept as it is */
    int64_t team_frames;          /* that it handed out */
    uint64_t team_trail;          /* hash of their times (FNV-1a by words) */
};

/* The picture size is settled by the first frame. */
static isobath_status check_size(ib_media *m, const ib_decoded *d)
{
    const AVFrame *frame = d->frame;
    if (frame->width != m->info.coded_width || frame->height != m->info.coded_height) {
        if (d->path)
            return ib_fail(m->diag, ISOBATH_ERR_INPUT, "%s is %dx%d but the sequence began with %dx%d", d->path,
                           frame->width, frame->height, m->info.coded_width, m->info.coded_height);
        return ib_fail(m->diag, ISOBATH_ERR_INPUT,
                       "%s: the picture size changes from %dx%d to %dx%d at %.3f s; cut it there first", m->name,
                       m->info.coded_width, m->info.coded_height, frame->width, frame->height, (double)d->pts_us / 1e6);
    }
    return ISOBATH_OK;
}

/* The frame in host memory, until the next call. */
static isobath_status to_host(ib_media *m, const AVFrame **frame)
{
    return ib_hw_on_card(*frame) ? ib_hw_download(&m->host, *frame, m->diag, frame) : ISOBATH_OK;
}

/* Sizes, texts and estimates, from the first frame. */
static isobath_status prepare(ib_media *m)
{
    const AVFrame *frame = m->first.frame;
    IB_TRY(to_host(m, &frame));
    ib_media_info *info = &m->info;
    const int32_t *matrix = ib_decoder_matrix(m->decoder);
    IB_TRY(ib_convert_create(frame, matrix ? ib_orientation_from_matrix(matrix) : ib_frame_orientation(frame),
                             ib_decoder_pixel_aspect(m->decoder, frame), &m->options, m->name, m->diag, info,
                             &m->convert));
    ib_decoder_describe(m->decoder, info->decoder, sizeof info->decoder);
    ib_decoder_hw_note(m->decoder, info->decoder_note, sizeof info->decoder_note);
    info->passed_over = ib_decoder_passed_over(m->decoder);

    const ib_media_options *o = &m->options;
    double fps = ib_decoder_fps(m->decoder);
    info->stride = 1;
    if (o->target_fps > 0 && fps > 0) info->stride = (int)fmin(fmax(rint(fps / o->target_fps), 1.0), 1e9);
    info->fps = fps / info->stride;
    double hint = (double)ib_decoder_frames_hint(m->decoder);
    info->frames_hint = -1;
    if (hint >= 0) {
        if (fps > 0 && o->end_s > 0) hint = fmin(hint, ceil(o->end_s * fps));
        if (o->end_frame > 0) hint = fmin(hint, (double)o->end_frame);
        if (o->start_frame > 0) hint = fmax(hint - (double)o->start_frame, 0);
        if (fps > 0 && o->start_s > 0) hint = fmax(hint - ceil(o->start_s * fps), 0);
        info->frames_hint = (int64_t)ceil(hint / info->stride);
        if (o->max_frames > 0 && info->frames_hint > o->max_frames) info->frames_hint = o->max_frames;
    }
    return ISOBATH_OK;
}

static isobath_status check_options(const char *input, const ib_media_options *o, ib_diag *diag)
{
    if (!input || !*input) return ib_fail(diag, ISOBATH_ERR_USAGE, "no input was named");
    if (o->max_res < 0 || o->max_frames < 0 || o->threads < 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "max-res, max-frames and threads cannot be negative");
    if (!(o->target_fps >= 0 && o->target_fps < 1e9 && o->image_fps >= 0 && o->image_fps <= 1e6))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "frame rates must be positive numbers");
    if (!(o->start_s >= 0 && o->start_s < 1e9 && o->end_s < 1e9))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "start and end must be times in seconds from the first frame");
    if (o->start_frame < 0 || o->end_frame < 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "start and end frame are numbers from 0 on, not %lld and %lld",
                       (long long)o->start_frame, (long long)o->end_frame);
    if (o->end_frame > 0 && o->end_frame <= o->start_frame)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "the end frame (%lld) must be later than the start frame (%lld)",
                       (long long)o->end_frame, (long long)o->start_frame);
    if (o->end_s > 0 && o->end_s <= o->start_s)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "end (%g s) must be later than start (%g s)", o->end_s, o->start_s);
    return ISOBATH_OK;
}

isobath_status ib_media_open(const char *input, const ib_media_options *options, ib_diag *diag, ib_media **out)
{
    static const ib_media_options defaults;
    if (!options) options = &defaults;
    *out = NULL;
    IB_TRY(check_options(input, options, diag));
    ib_media *m = calloc(1, sizeof *m);
    if (!m) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s", input);
    m->diag = diag;
    m->options = *options;
    m->start_us = llrint(options->start_s * 1e6);
    m->end_us = options->end_s > 0 ? llrint(options->end_s * 1e6) : -1;
    m->name = strdup(strcmp(input, "-") == 0 ? "standard input" : input);
    isobath_status st = ISOBATH_OK;
    if (!m->name) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s", input);
    if (st == ISOBATH_OK && options->crop == IB_CROP_AUTO) {
        st = ib_media_detect_crop(input, options, diag, &m->options.crop_rect);
        m->options.crop = IB_CROP_RECT;
    }
    if (st == ISOBATH_OK) st = ib_decoder_open(input, options, diag, &m->decoder);
    if (st == ISOBATH_OK) st = ib_decoder_next(m->decoder, &m->first, &m->have_first);
    if (st == ISOBATH_OK && !m->have_first) {
        const char *damage = ib_decoder_damage(m->decoder);
        st =
            ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no frame could be decoded%s%s", m->name, *damage ? ": " : "", damage);
    }
    if (st == ISOBATH_OK) st = prepare(m);
    if (st == ISOBATH_OK && !options->sequential && (options->start_s > 0 || options->start_frame > 0)) {
        int moved;
        st = ib_decoder_skip(m->decoder, &moved);
        if (st == ISOBATH_OK && moved) st = ib_decoder_next(m->decoder, &m->first, &m->have_first);
    }
    if (st != ISOBATH_OK) {
        ib_media_close(m);
        return st;
    }
    *out = m;
    return ISOBATH_OK;
}

void ib_media_close(ib_media *m)
{
    if (!m) return;
    ib_team_close(m->team);
    ib_decoder_close(m->decoder);
    ib_convert_destroy(m->convert);
    av_frame_free(&m->host);
    free(m->name);
    free(m);
}

void ib_media_hang_up(ib_media *m)
{
    ib_team_close(m->team);
    ib_decoder_close(m->decoder);
    m->team = NULL;
    m->decoder = NULL;
    m->have_first = 0;
    m->done = 1;
}

int ib_media_silent(const ib_media *m, int64_t *packet, int64_t *pos) { return m->decoder && ib_decoder_silent(m->decoder, packet, pos); }
const char *ib_media_broken(const ib_media *m) { return m->decoder ? ib_decoder_broken(m->decoder) : ""; }

const ib_media_info *ib_media_get_info(const ib_media *m) { return &m->info; }

static uint64_t add_to_trail(uint64_t trail, const ib_decoded *d) { return (trail ^ (uint64_t)d->pts_us) * 0x100000001b3u; }

/* Behind the first frame: several decoders from here on, where that is possible and pays. */
static isobath_status start_team(ib_media *m)
{
    const ib_media_options *o = &m->options;
    ib_hw *hw = ib_decoder_hw(m->decoder);
    ib_decoded first;
    m->team_tried = 1;
    if (o->sessions < 2 || !hw || o->start_s > 0 || o->start_frame > 0 || ib_hw_free_bytes(hw) < TEAM_FREE_BYTES) return ISOBATH_OK;
    if (!ib_decoder_can_seek(m->decoder)) return ISOBATH_OK;
    IB_TRY(ib_team_open(m->name, o, o->sessions, m->diag, &m->team));
    m->team_frames = 1;
    m->team_trail = add_to_trail(0, &m->first);
    if (!m->team || (ib_team_next(m->team, &first) == IB_TEAM_FRAME && first.pts_us == m->first.pts_us)) return ISOBATH_OK;
    ib_team_close(m->team);
    m->team = NULL;
    return ISOBATH_OK;
}

/* The one decoder, which has decoded the first frame, goes to where the team ended. */
static isobath_status end_team(ib_media *m)
{
    uint64_t trail = add_to_trail(0, &m->first);
    ib_decoded d;
    int got = 1;
    ib_team_close(m->team);
    m->team = NULL;
    for (int64_t i = 1; got && i < m->team_frames; i++) {
        IB_TRY(ib_decoder_next(m->decoder, &d, &got));
        if (got) trail = add_to_trail(trail, &d);
    }
    if (got && trail == m->team_trail) return ISOBATH_OK;
    return ib_fail(m->diag, ISOBATH_ERR_INPUT, "%s: damaged before frame %lld, where several decoders see other frames than one does: "
                   "decode it with --decoder software", m->name, (long long)m->team_frames);
}

static isobath_status next_decoded(ib_media *m, ib_decoded *d, int *got)
{
    if (!m->team_tried) IB_TRY(start_team(m));
    m->kept_already = 0;
    if (m->team) {
        ib_team_result r = ib_team_next(m->team, d);
        *got = m->kept_already = r == IB_TEAM_FRAME;
        if (*got) {
            m->team_frames++;
            m->team_trail = add_to_trail(m->team_trail, d);
        }
        if (r != IB_TEAM_FAILED) return ISOBATH_OK;
        IB_TRY(end_team(m));
    }
    return ib_decoder_next(m->decoder, d, got);
}

/* The next kept frame, still in the decoder's hands; *got = 0 at the end. */
static isobath_status next_kept(ib_media *m, ib_decoded *d, ib_media_frame *frame, int *got)
{
    *got = 0;
    while (!m->done) {
        *d = m->first;
        int have = m->have_first;
        m->have_first = 0;
        if (!have) IB_TRY(next_decoded(m, d, &have));
        int64_t end_frame = m->options.end_frame;
        if (!have || (m->end_us >= 0 && d->pts_us >= m->end_us) || (end_frame > 0 && d->index >= end_frame)) {
            m->done = 1;
            break;
        }
        if (d->pts_us < m->start_us || d->index < m->options.start_frame || m->in_range++ % m->info.stride != 0) continue;
        IB_TRY(check_size(m, d));
        *frame = (ib_media_frame){m->kept++, d->pts_us, d->repeated, d->why};
        *got = 1;
        if (m->options.max_frames > 0 && m->kept >= m->options.max_frames) m->done = 1;
        break;
    }
    return ISOBATH_OK;
}

isobath_status ib_media_read(ib_media *m, uint8_t *rgb, ib_media_frame *frame, int *got)
{
    ib_decoded d;
    ib_media_frame next;
    IB_TRY(next_kept(m, &d, &next, got));
    if (!*got) return ISOBATH_OK;
    *got = 0;
    if (rgb) IB_TRY(to_host(m, &d.frame));
    if (rgb) IB_TRY(ib_convert_run(m->convert, d.frame, rgb));
    *frame = next;
    *got = 1;
    return ISOBATH_OK;
}

/* Again from the start, with nothing read. */
static isobath_status reopen(ib_media *m)
{
    ib_team_close(m->team);
    m->team = NULL;
    m->team_tried = 1;
    ib_decoder_close(m->decoder);
    m->decoder = NULL;
    m->have_first = m->done = 0;
    m->kept = m->in_range = 0;
    return ib_decoder_open(m->name, &m->options, m->diag, &m->decoder);
}

int ib_media_can_jump(const ib_media *m)
{
    int numbered = m->start_us <= 0 || (m->options.start_frame <= 0 && m->options.end_frame <= 0); /* frames have numbers that it can name */
    return numbered && ib_decoder_can_seek(m->decoder);
}

/* key_us < 0: not known. */
static isobath_status seek(ib_media *m, int64_t index, int64_t pts_us, int64_t key_us, int *arrived)
{
    ib_decoded d;
    IB_TRY(ib_decoder_seek(m->decoder, m->options.start_frame + index * m->info.stride, pts_us, key_us, &d, arrived));
    if (!*arrived) return ISOBATH_OK;
    m->first = d;
    m->have_first = 1;
    m->kept = index;
    m->in_range = index * m->info.stride;
    return ISOBATH_OK;
}

/* Before a jump, which is for one decoder. 1: the team has overtaken it. */
static int end_of_team(ib_media *m)
{
    int behind = m->team != NULL;
    ib_team_close(m->team);
    m->team = NULL;
    m->team_tried = 1;
    return behind;
}

isobath_status ib_media_jump(ib_media *m, int64_t index, int64_t pts_us)
{
    ib_media_frame frame;
    ib_decoded d;
    int got = 1, arrived = 0;
    int behind = end_of_team(m);
    if (index > m->kept && ib_media_can_jump(m)) {
        IB_TRY(seek(m, index, pts_us, -1, &arrived));
        behind = !arrived;
    }
    if (behind) IB_TRY(reopen(m));
    while (got && m->kept < index) IB_TRY(next_kept(m, &d, &frame, &got));
    return ISOBATH_OK;
}

isobath_status ib_media_jump_from(ib_media *m, int64_t index, int64_t pts_us, int64_t key_us, int *arrived)
{
    *arrived = 0;
    if (end_of_team(m)) IB_TRY(reopen(m));
    return index > m->kept && ib_media_can_jump(m) ? seek(m, index, pts_us, key_us, arrived) : ISOBATH_OK;
}

int ib_media_first_planes(const ib_media *m, ib_yuv_planes *planes)
{
    return ib_convert_is_plain(m->convert) && m->have_first &&
           ib_planes_from_frame(m->first.frame, m->options.keep_hdr, planes);
}

int ib_media_has_planes(const ib_media *m)
{
    ib_yuv_planes planes;
    return ib_media_first_planes(m, &planes);
}

static isobath_status make_picture(ib_media *m, const AVFrame *frame, ib_media_picture **out)
{
    ib_yuv_planes planes;
    int native = ib_planes_from_frame(frame, m->options.keep_hdr, &planes);
    if (!native) IB_TRY(to_host(m, &frame));
    ib_media_picture *p = malloc(sizeof *p + (native ? 0 : (size_t)m->info.width * (size_t)m->info.height * 3));
    if (!p) return ib_fail(m->diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a picture", m->name);
    p->frame = NULL;
    isobath_status st = ISOBATH_OK;
    if (!native) st = ib_convert_run(m->convert, frame, p->rgb);
    else if (ib_hw_on_card(frame) && !m->kept_already) st = ib_hw_keep(ib_decoder_hw(m->decoder), frame, m->diag, &p->frame);
    else p->frame = av_frame_clone(frame);
    if (p->frame) ib_planes_from_frame(p->frame, m->options.keep_hdr, &p->planes);
    if (st == ISOBATH_OK && native && !p->frame) st = ib_fail(m->diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a picture", m->name);
    if (st == ISOBATH_OK) *out = p;
    else ib_media_picture_free(p);
    return st;
}

isobath_status ib_media_read_picture(ib_media *m, ib_media_picture **picture, ib_media_frame *frame, int *got)
{
    ib_decoded d;
    ib_media_frame next;
    *picture = NULL;
    IB_TRY(next_kept(m, &d, &next, got));
    if (!*got) return ISOBATH_OK;
    *got = 0;
    IB_TRY(make_picture(m, d.frame, picture));
    *frame = next;
    *got = 1;
    return ISOBATH_OK;
}

void ib_media_first_hash(const ib_media *m, char out[65])
{
    const AVFrame *f = m->first.frame;
    int size = m->have_first ? av_image_get_buffer_size(f->format, f->width, f->height, 1) : -1;
    uint8_t *buf = size > 0 ? malloc((size_t)size) : NULL;
    out[0] = '\0';
    if (buf && av_image_copy_to_buffer(buf, size, (const uint8_t *const *)f->data, f->linesize, f->format, f->width, f->height, 1) >= 0)
        ib_sha256_memory(buf, (size_t)size, NULL, out);
    free(buf);
}
