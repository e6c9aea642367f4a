/* Field-coded H.264 for tests, bit by bit: no encoder at hand codes fields as pictures of their own (x264 codes interlaced
 * pictures as MBAFF frames). Every macroblock is I_PCM, so that the pixels are exactly clip_yuv's. */
#ifndef TESTS_SUPPORT_PAFF_H
#define TESTS_SUPPORT_PAFF_H

typedef struct paff {
    int width, height;      /* multiples of 16; a height that is no multiple of 32 is cropped, and so must be one of 4 */
    int frames, gop;        /* an IDR picture every `gop` frames, at most 60 */
    int frame_every;        /* every n-th frame is coded as one frame picture, 0: all as fields; such frames are not interlaced */
    int bottom_first;       /* the bottom field comes first */
    int fields_as_packets;  /* each field is a packet with a time of its own, as in broadcasts; else the two of a frame share one */
    int lone_field;         /* this frame lacks its second field; 0: none (frame 0 cannot) */
} paff;

/* Writes a file of the format that its name asks for (.h264, .ts, .mkv, .mp4), 25 frames/s; -1 and why on stderr when it cannot. */
int paff_write(const char *path, const paff *p);
/* Is frame i coded as fields? */
int paff_is_fields(const paff *p, int frame);

#endif
