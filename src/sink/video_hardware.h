/* A video by an encoder that is fast alone, such as a card's: one session from beginning to end, fed by many threads that draw ahead. */
#ifndef IB_SINK_VIDEO_HARDWARE_H
#define IB_SINK_VIDEO_HARDWARE_H

#include "base/pool.h"
#include "sink/video_segment.h"

/* Encodes the segments that are missing behind the leading ones in `folder` with job->format.hardware; *codec is that encoder. Anything but
 * ISOBATH_OK, ISOBATH_ERR_INTERRUPTED, ISOBATH_ERR_IO and what job->draw returned means that this machine cannot: another encoder can
 * begin anew. `segment` is scratch memory of job->group packets. */
isobath_status ib_video_encode_hardware(const ib_video_job *job, const char *folder, ib_pool *pool, ib_segment *segment, ib_diag *diag,
                                        const AVCodec **codec);

#endif
