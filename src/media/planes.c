/* libav's frames as planes; see planes.h. */
#include "media/planes.h"
#include "media/hw.h"

#include <libavutil/pixdesc.h>

int ib_planes_from_frame(const AVFrame *frame, int keep_hdr, ib_yuv_planes *out)
{
    ib_picture p;
    if (!ib_picture_from_frame(frame, &p) || p.kind != IB_PICTURE_YUV || p.big_endian) return 0;
    if (p.transfer != IB_TRANSFER_SDR && !keep_hdr) return 0;
    *out = (ib_yuv_planes){.width = p.width,
                           .height = p.height,
                           .bits = p.bits,
                           .shift = p.shift,
                           .ssx = p.ssx,
                           .ssy = p.ssy,
                           .interlaced = p.interlaced,
                           .on_device = ib_hw_on_card(frame),
                           .k = ib_yuv_coefficients_for(p.matrix, p.full_range, p.bits)};
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(ib_hw_format(frame));
    for (int i = 0; i < 3; i++) {
        const AVComponentDescriptor *c = &desc->comp[i];
        out->c[i].plane = c->plane;
        out->c[i].offset = c->offset;
        out->c[i].step = c->step;
        if (c->plane < 0 || c->plane > 2 || frame->linesize[c->plane] <= 0) return 0;
        if (c->plane >= out->planes) out->planes = c->plane + 1;
        out->plane[c->plane] = frame->data[c->plane];
        out->stride[c->plane] = frame->linesize[c->plane];
        out->rows[c->plane] = i ? (p.height + (1 << p.ssy) - 1) >> p.ssy : p.height;
    }
    for (int i = 0; i < out->planes; i++)
        if (!out->plane[i]) return 0;
    return 1;
}
