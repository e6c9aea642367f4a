/* Descriptions of libav's frames; see picture.h. */
#include "media/picture.h"
#include "media/compat.h"
#include "media/hw.h"

#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_yuvj(int format)
{
    return format == AV_PIX_FMT_YUVJ420P || format == AV_PIX_FMT_YUVJ422P || format == AV_PIX_FMT_YUVJ444P ||
           format == AV_PIX_FMT_YUVJ440P || format == AV_PIX_FMT_YUVJ411P;
}

ib_yuv_matrix ib_frame_matrix(const AVFrame *frame)
{
    switch (frame->colorspace) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_SMPTE240M: return IB_YUV_BT709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_FCC: return IB_YUV_BT601;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: return IB_YUV_BT2020;
    default: break;
    }
    if (frame->color_primaries == AVCOL_PRI_BT2020 || frame->color_trc == AVCOL_TRC_SMPTE2084 ||
        frame->color_trc == AVCOL_TRC_ARIB_STD_B67)
        return IB_YUV_BT2020;
    return frame->width >= 1280 || frame->height > 576 ? IB_YUV_BT709 : IB_YUV_BT601;
}

int ib_frame_full_range(const AVFrame *frame)
{
    if (is_yuvj(ib_hw_format(frame)) || frame->color_range == AVCOL_RANGE_JPEG) return 1;
    if (frame->color_range == AVCOL_RANGE_MPEG) return 0;
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(ib_hw_format(frame));
    return desc && desc->nb_components <= 2; /* grey */
}

int ib_picture_from_frame(const AVFrame *frame, ib_picture *p)
{
    int format = ib_hw_format(frame);
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    const uint64_t foreign =
        AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BAYER;
    if (!desc || (desc->flags & foreign) || strncmp(desc->name, "xyz", 3) == 0 || format == AV_PIX_FMT_UYYVYY411)
        return 0;
    int n = desc->nb_components <= 2 ? 1 : 3; /* the rest is alpha */
    int is_rgb = (desc->flags & AV_PIX_FMT_FLAG_RGB) != 0, is_float = (desc->flags & AV_PIX_FMT_FLAG_FLOAT) != 0;
    int big = (desc->flags & AV_PIX_FMT_FLAG_BE) != 0;
    const AVComponentDescriptor *c0 = &desc->comp[0];
    for (int i = 1; i < n; i++)
        if (desc->comp[i].depth != c0->depth || desc->comp[i].shift != c0->shift) return 0;
    if (is_float) {
        if (big || c0->depth != 32) return 0;
    } else if (c0->depth < 8 || c0->depth > 16 || (c0->shift && c0->shift + c0->depth != 16)) {
        return 0;
    }
    if (!is_rgb && n == 3 && (desc->log2_chroma_w > 2 || desc->log2_chroma_h > 2)) return 0;
    if (is_rgb && n == 3 && (desc->log2_chroma_w || desc->log2_chroma_h)) return 0;
    *p = (ib_picture){
        .kind = n == 1   ? (is_float ? IB_PICTURE_GRAY_FLOAT : IB_PICTURE_GRAY)
                : is_rgb ? (is_float ? IB_PICTURE_RGB_FLOAT : IB_PICTURE_RGB)
                         : IB_PICTURE_YUV,
        .width = frame->width,
        .height = frame->height,
        .bits = c0->depth,
        .shift = c0->shift,
        .big_endian = big,
        .ssx = n == 3 ? desc->log2_chroma_w : 0,
        .ssy = n == 3 ? desc->log2_chroma_h : 0,
        .interlaced = ib_compat_interlaced(frame),
        .matrix = ib_frame_matrix(frame),
        .full_range = is_rgb ? 1 : ib_frame_full_range(frame),
        .transfer = frame->color_trc == AVCOL_TRC_SMPTE2084      ? IB_TRANSFER_PQ
                    : frame->color_trc == AVCOL_TRC_ARIB_STD_B67 ? IB_TRANSFER_HLG
                                                                 : IB_TRANSFER_SDR,
    };
    for (int i = 0; i < n; i++) {
        const AVComponentDescriptor *c = &desc->comp[i];
        if (!frame->data[c->plane]) return 0;
        p->c[i] = (ib_component){frame->data[c->plane] + c->offset, frame->linesize[c->plane], c->step};
    }
    return 1;
}

void ib_picture_describe(const AVFrame *frame, char *buf, size_t size)
{
    static const char *const matrices[] = {"bt601", "bt709", "bt2020"};
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(ib_hw_format(frame));
    const char *transfer = av_color_transfer_name(frame->color_trc);
    int is_yuv = desc && !(desc->flags & AV_PIX_FMT_FLAG_RGB) && desc->nb_components > 2;
    snprintf(buf, size, "%s %s %s transfer %s", desc ? desc->name : "unknown",
             is_yuv ? matrices[ib_frame_matrix(frame)] : "-",
             (desc && desc->flags & AV_PIX_FMT_FLAG_RGB) || ib_frame_full_range(frame) ? "full" : "limited",
             transfer ? transfer : "unknown");
}

ib_orientation ib_orientation_from_matrix(const int32_t *m)
{
    ib_orientation o = {0};
    if (!m) return o;
    /* a stored point (x, y) is shown at (a x + c y, b x + d y) */
    int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    o.transpose = llabs(b) + llabs(c) > llabs(a) + llabs(d);
    o.hflip = (o.transpose ? c : a) < 0;
    o.vflip = (o.transpose ? b : d) < 0;
    return o;
}

ib_orientation ib_frame_orientation(const AVFrame *frame)
{
    const AVFrameSideData *sd = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
    if (sd && sd->size >= 9 * sizeof(int32_t)) return ib_orientation_from_matrix((const int32_t *)sd->data);
    const AVDictionaryEntry *e = av_dict_get(frame->metadata, "Orientation", NULL, 0);
    int tag = e ? atoi(e->value) : 1; /* EXIF: 1 upright ... 6 turned by 90 clockwise, 8 by 270 */
    static const ib_orientation exif[9] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1},
                                           {1, 0, 0}, {1, 1, 0}, {1, 1, 1}, {1, 0, 1}};
    return exif[tag >= 1 && tag <= 8 ? tag : 1];
}
