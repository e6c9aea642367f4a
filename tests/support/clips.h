/* Clips for tests, made at test time through libavcodec's own encoders: small, of known content and known times. */
#ifndef TESTS_SUPPORT_CLIPS_H
#define TESTS_SUPPORT_CLIPS_H

#include <stddef.h>
#include <stdint.h>

/* What to make. Zero means the default in brackets. */
typedef struct clip {
    const char *encoder; /* "mpeg4" [default], "ffv1", "libx264", "libx265", "mjpeg", "rawvideo", "mpeg2video" ... */
    const char *options; /* the encoder's own, "key=value:key=value" */
    const char *format;  /* muxer [by the file's extension] */
    const char *mux_options;                /* the muxer's own */
    const char *pix_fmt;                    /* [yuv420p] */
    int width, height;                      /* [64x48] */
    int frames;                             /* [0]: an empty clip has no packets */
    int fps;                                /* [25] */
    int variable;                           /* times in ms: frame i follows the one before after 20 + 10*(i % 4) ms */
    int b_frames, gop;                      /* [0, 12] */
    int rotation;                           /* display matrix: degrees clockwise, 0, 90, 180, 270 */
    int interlaced;                         /* top field first, field-coded where the encoder does that */
    int sar_num, sar_den;                   /* pixel aspect ratio [0/1: unknown] */
    int matrix, range, transfer, primaries; /* AVCOL_ values [0 = unspecified here: AVCOL_*_UNSPECIFIED] */
    /* Fills a picture; planes as libav lays out pix_fmt, depth-true samples. NULL: clip_fill_default. */
    void (*fill)(const struct clip *clip, int frame, uint8_t *const data[4], const int linesize[4]);
} clip;

/* 1 when libavcodec has this encoder (libx264 and libx265 may be missing). */
int clip_have_encoder(const char *name);

/* Writes the clip; prints why and returns -1 when it cannot. */
int clip_write(const char *path, const clip *c);

/* Time of frame i in microseconds from frame 0. */
int64_t clip_time_us(const clip *c, int frame);

/* The content of gbrp, rgb24 and rgb48 clips: component 0..2 = R, G, B of the 8-bit picture. */
uint8_t clip_rgb(int frame, int x, int y, int component);
/* The content of YUV clips before scaling to the depth: smooth, moving, 8-bit limited range. plane 0..2. */
uint8_t clip_yuv(int frame, int x, int y, int plane);

/* Writes one picture as an image file with the encoder of the extension (png, jpg, tif, exr, bmp, ppm). c->pix_fmt,
 * width, height and fill are used; `frame` goes to fill. */
int clip_write_image(const char *path, const clip *c, int frame);

/* ---- files --------------------------------------------------------------------------------------------------------
 */

/* Makes a folder of its own under the working directory; dir holds at least 64 bytes. */
int clip_make_dir(char *dir, size_t size);
/* Removes it with everything in it. */
void clip_remove_dir(const char *dir);
/* Reads a whole file; *size in bytes; NULL on failure; free() it. */
uint8_t *clip_read_file(const char *path, size_t *size);
int clip_write_file(const char *path, const void *data, size_t size);

#endif
