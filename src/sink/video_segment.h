/* Encoded packets of a fixed number of frames in a hidden file of their own, complete or absent: where a video that was
 * interrupted goes on. A video is made of segments, each encoded alone, and joined by copying packets, whether or not it was
 * interrupted; so the bytes are the same. */
#ifndef IB_SINK_VIDEO_SEGMENT_H
#define IB_SINK_VIDEO_SEGMENT_H

#include "sink/video_av.h"

/* FOLDER/.NAME_segments for a video FOLDER/NAME; the caller frees; NULL: out of memory. */
char *ib_segment_folder(const char *video_path);

/* What the packets depend on but the frames themselves: format, encoder, libraries, number of the first frame, count. */
typedef struct ib_segment_key {
    char text[192];
} ib_segment_key;
ib_segment_key ib_segment_key_of(const ib_video_format *format, const AVCodec *codec, int64_t first, int frames);

/* Encoded frames. extradata: of the encoder. */
typedef struct ib_segment {
    AVPacket **packets; /* capacity of them, allocated; `count` are filled */
    int count, capacity;
    uint8_t *extradata; /* av_malloc'ed */
    int extradata_size;
} ib_segment;
/* ISOBATH_ERR_MEMORY. */
isobath_status ib_segment_create(int capacity, ib_diag *diag, ib_segment *segment);
void ib_segment_clear(ib_segment *segment); /* unreferences the packets and forgets extradata */
void ib_segment_destroy(ib_segment *segment);

/* Writes FOLDER/%08d.seg, synced. Errors: ISOBATH_ERR_IO. */
isobath_status ib_segment_write(const char *folder, int64_t number, const ib_segment_key *key, const ib_segment *segment, ib_diag *diag);
/* 1: the file is there, whole, and made with this key; it is read into `segment` when that is not NULL. 0: it is not;
 * -1: no memory to find out. */
int ib_segment_read(const char *folder, int64_t number, const ib_segment_key *key, ib_segment *segment);

/* All segments of a video, in order, into its container. */
typedef struct ib_segment_joining {
    const ib_video_format *format; /* its path is the result */
    const AVCodec *codec;
    const char *folder, *tmp;
    const int64_t *times_us; /* from 0, strictly increasing */
    int64_t first_time_us;   /* of the first frame in the source */
    int64_t frames;
    int segment_frames; /* of all segments but the last */
    ib_diag *diag;
} ib_segment_joining;
/* Writes TMP, syncs it and renames it. `scratch` holds a segment at a time. Errors: ISOBATH_ERR_IO. */
isobath_status ib_segments_join(const ib_segment_joining *joining, ib_segment *scratch, ib_video_result *result);

#endif
