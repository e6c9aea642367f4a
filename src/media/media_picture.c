/* Pictures by reference after they were read: their planes or RGB, and looking at those that lie on a card. */
#include "media/media_picture.h"

#include "media/hw.h"

#include <stdlib.h>

void ib_media_picture_free(ib_media_picture *p)
{
    if (!p) return;
    av_frame_free(&p->frame);
    free(p);
}

const ib_yuv_planes *ib_media_picture_planes(const ib_media_picture *p) { return p->frame ? &p->planes : NULL; }
uint8_t *ib_media_picture_rgb(ib_media_picture *p) { return p->frame ? NULL : p->rgb; }

struct ib_media_viewer {
    ib_hw_host host;
};

isobath_status ib_media_look(ib_media_viewer **viewer, const ib_media_picture *p, ib_diag *diag, ib_yuv_planes *planes)
{
    *planes = p->planes;
    if (!planes->on_device) return ISOBATH_OK;
    if (!*viewer) *viewer = calloc(1, sizeof **viewer);
    if (!*viewer) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a picture");
    const AVFrame *host;
    IB_TRY(ib_hw_download(&(*viewer)->host, p->frame, diag, &host));
    for (int i = 0; i < planes->planes; i++) {
        planes->plane[i] = host->data[i];
        planes->stride[i] = host->linesize[i];
    }
    planes->on_device = 0;
    return ISOBATH_OK;
}

void ib_media_viewer_free(ib_media_viewer *viewer)
{
    if (!viewer) return;
    av_frame_free(&viewer->host);
    free(viewer);
}
