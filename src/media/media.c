/* The media object: decoded frames, chosen by time and stride, turned into upright RGB of the wanted size. */
#include "media/media.h"
#include "base/hash.h"
#include "media/decoder.h"
#include "media/images.h"
#include "media/picture.h"

#include <libavutil/log.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    ib_orientation orientation;
    ib_colour *colour;
    struct SwsContext *sws; /* exotic formats only */
    AVFrame *sws_frame;
    ib_resize *resize;
    uint8_t *full, *reduced; /* coded size; reduced but not yet turned; NULL where not needed */
};

static isobath_status fail_memory(ib_media *m)
{
    return ib_fail(m->diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a %dx%d picture", m->name, m->info.coded_width,
                   m->info.coded_height);
}

/* RGB24 through libswscale, for layouts that ib_picture cannot describe. */
static isobath_status exotic(ib_media *m, const AVFrame *frame, ib_picture *pic)
{
    m->sws = sws_getCachedContext(m->sws, frame->width, frame->height, frame->format, frame->width, frame->height,
                                  AV_PIX_FMT_RGB24, SWS_POINT | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    if (!m->sws)
        return ib_fail(m->diag, ISOBATH_ERR_UNSUPPORTED, "%s: libswscale has no conversion from %s to RGB", m->name,
                       m->info.colour);
    if (!m->sws_frame) {
        m->sws_frame = av_frame_alloc();
        if (!m->sws_frame) return fail_memory(m);
        m->sws_frame->format = AV_PIX_FMT_RGB24;
        m->sws_frame->width = frame->width;
        m->sws_frame->height = frame->height;
        if (av_frame_get_buffer(m->sws_frame, 0) < 0) return fail_memory(m);
    }
    const int *table = sws_getCoefficients(ib_frame_matrix(frame) == IB_YUV_BT601   ? SWS_CS_ITU601
                                           : ib_frame_matrix(frame) == IB_YUV_BT709 ? SWS_CS_ITU709
                                                                                    : SWS_CS_BT2020);
    sws_setColorspaceDetails(m->sws, table, ib_frame_full_range(frame), table, 1, 0, 1 << 16, 1 << 16);
    if (sws_scale(m->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, m->sws_frame->data,
                  m->sws_frame->linesize) != frame->height)
        return ib_fail(m->diag, ISOBATH_ERR_INPUT, "%s: libswscale could not convert a frame (%s)", m->name, m->info.colour);
    ib_picture_from_frame(m->sws_frame, pic);
    return ISOBATH_OK;
}

static isobath_status convert(ib_media *m, const ib_decoded *d, uint8_t *rgb)
{
    const AVFrame *frame = d->frame;
    if (frame->width != m->info.coded_width || frame->height != m->info.coded_height) {
        if (d->path)
            return ib_fail(m->diag, ISOBATH_ERR_INPUT, "%s is %dx%d but the sequence began with %dx%d", d->path, frame->width,
                           frame->height, m->info.coded_width, m->info.coded_height);
        return ib_fail(m->diag, ISOBATH_ERR_INPUT,
                       "%s: the picture size changes from %dx%d to %dx%d at %.3f s; cut it there first", m->name,
                       m->info.coded_width, m->info.coded_height, frame->width, frame->height, (double)d->pts_us / 1e6);
    }
    ib_picture pic;
    if (!ib_picture_from_frame(frame, &pic)) IB_TRY(exotic(m, frame, &pic));
    if (!m->colour || !ib_colour_fits(m->colour, &pic)) {
        ib_colour_destroy(m->colour);
        IB_TRY(ib_colour_create(&pic, m->options.pool, m->diag, &m->colour));
    }
    ib_colour_run(m->colour, &pic, m->full ? m->full : rgb, (ptrdiff_t)pic.width * 3);
    int turn = !ib_orientation_is_identity(m->orientation);
    int width = turn && m->orientation.transpose ? m->info.height : m->info.width; /* reduced, not yet turned */
    int height = turn && m->orientation.transpose ? m->info.width : m->info.height;
    if (m->resize) ib_resize_run(m->resize, m->full, (ptrdiff_t)pic.width * 3, turn ? m->reduced : rgb);
    if (turn) ib_orient(m->orientation, m->resize ? m->reduced : m->full, width, height, rgb, m->options.pool);
    return ISOBATH_OK;
}

/* Sizes, buffers and texts, from the first frame. */
static isobath_status prepare(ib_media *m)
{
    const AVFrame *frame = m->first.frame;
    ib_media_info *info = &m->info;
    info->coded_width = frame->width;
    info->coded_height = frame->height;
    const int32_t *matrix = ib_decoder_matrix(m->decoder);
    m->orientation = matrix ? ib_orientation_from_matrix(matrix) : ib_frame_orientation(frame);
    info->rotation = ib_orientation_degrees(m->orientation);
    int width, height; /* reduced, as stored */
    ib_media_reduced_size(frame->width, frame->height, m->options.max_res, &width, &height);
    info->width = m->orientation.transpose ? height : width;
    info->height = m->orientation.transpose ? width : height;
    ib_picture_describe(frame, info->colour, sizeof info->colour);
    ib_decoder_describe(m->decoder, info->decoder, sizeof info->decoder);

    int turn = !ib_orientation_is_identity(m->orientation), reduce = width != frame->width || height != frame->height;
    if (turn || reduce) {
        m->full = malloc((size_t)frame->width * (size_t)frame->height * 3);
        if (!m->full) return fail_memory(m);
    }
    if (turn && reduce) {
        m->reduced = malloc((size_t)width * (size_t)height * 3);
        if (!m->reduced) return fail_memory(m);
    }
    if (reduce)
        IB_TRY(ib_resize_create(frame->width, frame->height, width, height, m->options.pool, m->diag, &m->resize));

    const ib_media_options *o = &m->options;
    double fps = ib_decoder_fps(m->decoder);
    info->stride = 1;
    if (o->target_fps > 0 && fps > 0) info->stride = (int)fmin(fmax(rint(fps / o->target_fps), 1.0), 1e9);
    info->fps = fps / info->stride;
    double hint = (double)ib_decoder_frames_hint(m->decoder);
    info->frames_hint = -1;
    if (hint >= 0) {
        if (fps > 0 && o->end_s > 0) hint = fmin(hint, ceil(o->end_s * fps));
        if (fps > 0 && o->start_s > 0) hint = fmax(hint - ceil(o->start_s * fps), 0);
        info->frames_hint = (int64_t)ceil(hint / info->stride);
        if (o->max_frames > 0 && info->frames_hint > o->max_frames) info->frames_hint = o->max_frames;
    }
    return ISOBATH_OK;
}

/* libav prints to stderr by default. A program that has chosen a level of its own keeps it. */
static void quiet_libav(void)
{
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
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
    quiet_libav();
    ib_media *m = calloc(1, sizeof *m);
    if (!m) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s", input);
    m->diag = diag;
    m->options = *options;
    m->start_us = llrint(options->start_s * 1e6);
    m->end_us = options->end_s > 0 ? llrint(options->end_s * 1e6) : -1;
    m->name = strdup(strcmp(input, "-") == 0 ? "standard input" : input);
    isobath_status st = ISOBATH_OK;
    if (!m->name) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for %s", input);
    if (st == ISOBATH_OK) st = ib_decoder_open(input, options, diag, &m->decoder);
    if (st == ISOBATH_OK) st = ib_decoder_next(m->decoder, &m->first, &m->have_first);
    if (st == ISOBATH_OK && !m->have_first) {
        const char *damage = ib_decoder_damage(m->decoder);
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no frame could be decoded%s%s", m->name, *damage ? ": " : "", damage);
    }
    if (st == ISOBATH_OK) st = prepare(m);
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
    ib_decoder_close(m->decoder);
    ib_colour_destroy(m->colour);
    ib_resize_destroy(m->resize);
    sws_freeContext(m->sws);
    av_frame_free(&m->sws_frame);
    free(m->full);
    free(m->reduced);
    free(m->name);
    free(m);
}

const ib_media_info *ib_media_get_info(const ib_media *m) { return &m->info; }

isobath_status ib_media_read(ib_media *m, uint8_t *rgb, ib_media_frame *frame, int *got)
{
    *got = 0;
    while (!m->done) {
        ib_decoded d = m->first;
        int have = m->have_first;
        m->have_first = 0;
        if (!have) IB_TRY(ib_decoder_next(m->decoder, &d, &have));
        if (!have || (m->end_us >= 0 && d.pts_us >= m->end_us)) {
            m->done = 1;
            break;
        }
        if (d.pts_us < m->start_us || m->in_range++ % m->info.stride != 0) continue;
        IB_TRY(convert(m, &d, rgb));
        *frame = (ib_media_frame){m->kept++, d.pts_us, d.repeated};
        *got = 1;
        if (m->options.max_frames > 0 && m->kept >= m->options.max_frames) m->done = 1;
        break;
    }
    return ISOBATH_OK;
}

isobath_status ib_media_hash(const char *input, ib_diag *diag, char out[65])
{
    out[0] = '\0';
    ib_image_list list;
    int is_list = 0;
    struct stat sb;
    if (strcmp(input, "-") == 0) return ISOBATH_OK;
    IB_TRY(ib_image_list_find(input, diag, &list, &is_list));
    if (!is_list) {
        if (stat(input, &sb) != 0 || !S_ISREG(sb.st_mode)) return ISOBATH_OK; /* a URL or a pipe */
        return ib_sha256_file(input, diag, out);
    }
    isobath_status st = ISOBATH_OK;
    ib_sha256 *hash = ib_sha256_create();
    size_t size = 1 << 16;
    uint8_t *buf = malloc(size);
    if (!hash || !buf) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the hash of %s", input);
    for (int64_t i = 0; st == ISOBATH_OK && i < list.count; i++) {
        FILE *f = fopen(list.paths[i], "rb");
        size_t n;
        while (f && (n = fread(buf, 1, size, f)) > 0) ib_sha256_update(hash, buf, n);
        if (!f || ferror(f)) st = ib_fail(diag, ISOBATH_ERR_IO, "cannot read %s", list.paths[i]);
        if (f) fclose(f);
    }
    free(buf);
    ib_sha256_finish(hash, out);
    if (st != ISOBATH_OK) out[0] = '\0';
    ib_image_list_free(&list);
    return st;
}
