/* Frames as they are stored, with a hash of each; see cut.h. */
#include "media/cut.h"
#include "media/decoder.h"

#include <libavutil/imgutils.h>
#include <libavutil/mem.h>
#include <libavutil/murmur3.h>
#include <libavutil/pixdesc.h>
#include <stdlib.h>

struct ib_cut_reader {
    ib_decoder *decoder;
    ib_diag *diag;
};

static isobath_status hash_picture(const AVFrame *f, ib_diag *diag, ib_picture_hash *out)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    if (!d || (d->flags & AV_PIX_FMT_FLAG_HWACCEL))
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "pictures that are not in memory");
    struct AVMurMur3 *hash = av_murmur3_alloc();
    if (!hash) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
    av_murmur3_init(hash);
    /* the full-range twins of the YUV formats are the same samples */
    int id[4] = {d->log2_chroma_w, d->log2_chroma_h, f->width, f->height};
    av_murmur3_update(hash, (const uint8_t *)id, sizeof id);
    for (int p = 0; p < av_pix_fmt_count_planes(f->format); p++) {
        int height = p == 1 || p == 2 ? AV_CEIL_RSHIFT(f->height, d->log2_chroma_h) : f->height;
        int bytes = av_image_get_linesize(f->format, f->width, p);
        if (d->flags & AV_PIX_FMT_FLAG_PAL && p == 1) height = 1, bytes = 1024;
        for (int y = 0; y < height && bytes > 0; y++)
            av_murmur3_update(hash, f->data[p] + (ptrdiff_t)y * f->linesize[p], (size_t)bytes);
    }
    av_murmur3_final(hash, out->bytes);
    av_free(hash);
    return ISOBATH_OK;
}

isobath_status ib_cut_reader_open(const char *input, const ib_media_options *options, ib_diag *diag,
                                  ib_cut_reader **out)
{
    *out = NULL;
    ib_cut_reader *r = calloc(1, sizeof *r);
    if (!r) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", input);
    r->diag = diag;
    isobath_status st = ib_decoder_open(input, options, diag, &r->decoder);
    if (st != ISOBATH_OK)
        free(r);
    else
        *out = r;
    return st;
}

void ib_cut_reader_close(ib_cut_reader *r)
{
    if (r) ib_decoder_close(r->decoder);
    free(r);
}

isobath_status ib_cut_reader_next(ib_cut_reader *r, ib_cut_frame *out, int *got)
{
    ib_decoded d;
    IB_TRY(ib_decoder_next(r->decoder, &d, got));
    if (!*got) return ISOBATH_OK;
    *out = (ib_cut_frame){.picture = d.frame,
                          .width = d.frame->width,
                          .height = d.frame->height,
                          .pix_fmt = d.frame->format,
                          .pts_us = d.pts_us,
                          .stream_pts = d.frame->best_effort_timestamp,
                          .is_image = d.path != NULL}; /* AV_NOPTS_VALUE is INT64_MIN */
    return hash_picture(d.frame, r->diag, &out->hash);
}

double ib_cut_reader_fps(const ib_cut_reader *r) { return ib_decoder_fps(r->decoder); }
int64_t ib_cut_reader_frames_hint(const ib_cut_reader *r) { return ib_decoder_frames_hint(r->decoder); }
const int32_t *ib_cut_reader_matrix(const ib_cut_reader *r) { return ib_decoder_matrix(r->decoder); }
