/* What the video_*.c files share. Includes libav. */
#ifndef IB_SINK_VIDEO_AV_H
#define IB_SINK_VIDEO_AV_H

#include "sink/video_writer.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

/* "PATH: what: libav's text" */
isobath_status ib_av_fail(ib_diag *diag, isobath_status status, const char *path, const char *what, int code);
/* Silences libav unless the program has chosen a log level. */
void ib_av_quiet(void);

/* NULL: this build of FFmpeg has none (ib_av_no_encoder makes the error). */
const AVCodec *ib_av_find_encoder(const ib_video_format *format);
isobath_status ib_av_no_encoder(const ib_video_format *format, ib_diag *diag);
/* `group`: frames between key frames; `threads`: of the encoder where its bytes depend on them in a fixed way. */
isobath_status ib_av_open_encoder(const AVCodec *codec, const ib_video_format *format, int group, int threads,
                                  ib_diag *diag, AVCodecContext **out);
/* A writable frame of the format; NULL: out of memory. */
AVFrame *ib_av_frame(const ib_video_format *format);

/* Sound copied from another file. */
typedef struct ib_sound ib_sound;

/* A file being written: one video stream in microseconds, perhaps one of sound. */
typedef struct ib_av_mux {
    AVFormatContext *format;
    const char *path;
    ib_diag *diag;
    ib_sound *sound; /* NULL: none */
} ib_av_mux;

/* Opens TMP. first_time_us: presentation time of the first frame in the source (for the sound). longest_us: how long a frame is shown at
 * most: times are in microseconds where MP4's 31 bits can hold that (35 minutes), else coarser.
 * On failure close it with ib_av_mux_close all the same. */
isobath_status ib_av_mux_open(ib_av_mux *mux, const AVCodec *codec, const ib_video_format *format,
                              const uint8_t *extradata, int extradata_size, int64_t first_time_us, int64_t longest_us,
                              const char *tmp, ib_diag *diag, ib_video_result *result);
/* Writes one packet of video (and the sound before it); unreferences it. */
isobath_status ib_av_mux_write(ib_av_mux *mux, AVPacket *packet, int64_t time_us, int64_t duration_us);
/* Writes the sound up to end_us and the end of the file. */
isobath_status ib_av_mux_finish(ib_av_mux *mux, int64_t end_us);
void ib_av_mux_close(ib_av_mux *mux);

/* Finds the sound of `from` and adds a stream for it to `mux` (before the header is written). Returns NULL when there
 * is none, or none that the container takes; `why` says so, or names the codec. Out of
 * memory: NULL and the diag is set. */
ib_sound *ib_sound_open(const char *from, AVFormatContext *mux, int64_t first_time_us, ib_diag *diag, char *why, size_t why_size);
/* Copies packets that are shown before time_us. Returns a libav code: only write errors are errors. */
int ib_sound_copy(ib_sound *sound, AVFormatContext *mux, int64_t time_us);
void ib_sound_close(ib_sound *sound);

#endif
