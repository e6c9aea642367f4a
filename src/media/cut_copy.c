/* Copied parts of a video; see cut.h. */
#include "media/compat.h"
#include "media/cut.h"
#include "media/input.h"
#include "media/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* The next packet. Damage has been told when the frames were counted; here it ends the copy. */
static int next(ib_input *in, AVPacket *packet)
{
    char text[384];
    return ib_input_next(in, packet, text, sizeof text) == IB_PACKET_OK;
}

isobath_status ib_cut_key_frames(const char *input, const ib_media_options *options, ib_diag *diag, int64_t **pts,
                                 int64_t *count)
{
    ib_input in;
    int64_t capacity = 0, n = 0;
    int usable = 1;
    *pts = NULL;
    *count = 0;
    IB_TRY(ib_input_open(&in, input, options, diag));
    AVPacket *packet = av_packet_alloc();
    isobath_status st = packet ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", input);
    while (st == ISOBATH_OK && in.format && next(&in, packet)) {
        usable &= packet->pts != AV_NOPTS_VALUE;
        if (!(packet->flags & AV_PKT_FLAG_KEY)) continue;
        if (n == capacity) {
            capacity = n ? 2 * n : 256;
            int64_t *grown = realloc(*pts, (size_t)capacity * sizeof *grown);
            if (!grown) {
                st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", input);
                break;
            }
            *pts = grown;
        }
        (*pts)[n++] = packet->pts;
    }
    av_packet_free(&packet);
    ib_input_close(&in);
    if (st == ISOBATH_OK && usable && n) {
        qsort(*pts, (size_t)n, sizeof **pts, by_value);
        *count = n;
    }
    return st;
}

static isobath_status open_mux(const ib_input *in, const char *path, const char *container, ib_diag *diag,
                               AVFormatContext **mux)
{
    int code = avformat_alloc_output_context2(mux, NULL, container, path);
    AVStream *s = code < 0 ? NULL : avformat_new_stream(*mux, NULL);
    if (!s || avcodec_parameters_copy(s->codecpar, in->stream->codecpar) < 0 ||
        (in->matrix && !ib_compat_set_stream_matrix(s, in->matrix)))
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    s->codecpar->codec_tag = 0;
    s->time_base = in->stream->time_base;
    s->avg_frame_rate = in->stream->avg_frame_rate;
    s->sample_aspect_ratio = in->stream->sample_aspect_ratio;
    (*mux)->flags |= AVFMT_FLAG_BITEXACT;
    (*mux)->avoid_negative_ts = AVFMT_AVOID_NEG_TS_MAKE_ZERO;
    code = avio_open(&(*mux)->pb, path, AVIO_FLAG_WRITE);
    return code < 0 ? ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot create the file", path) : ISOBATH_OK;
}

/* Copies what lies in the range; *fits as in cut.h. */
static isobath_status copy(ib_input *in, int64_t first_pts, int64_t end_pts, const char *path, const char *container,
                           ib_diag *diag, int *fits)
{
    const AVOutputFormat *f = av_guess_format(container, NULL, NULL);
    *fits = f && in->format && avformat_query_codec(f, in->stream->codecpar->codec_id, FF_COMPLIANCE_NORMAL) == 1;
    if (!*fits) return ISOBATH_OK;
    AVFormatContext *mux = NULL;
    AVPacket *packet = av_packet_alloc();
    int64_t written = 0, last_dts = AV_NOPTS_VALUE;
    isobath_status st = packet ? open_mux(in, path, container, diag, &mux)
                               : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    if (st == ISOBATH_OK) *fits = avformat_write_header(mux, NULL) >= 0;
    int header = *fits && st == ISOBATH_OK;
    while (header && *fits && next(in, packet)) {
        if (packet->pts == AV_NOPTS_VALUE || packet->pts < first_pts || packet->pts >= end_pts) continue;
        *fits = packet->dts != AV_NOPTS_VALUE && (written > 0 || (packet->flags & AV_PKT_FLAG_KEY)) &&
                (last_dts == AV_NOPTS_VALUE || packet->dts > last_dts);
        if (!*fits) break;
        last_dts = packet->dts;
        written++;
        packet->stream_index = 0;
        packet->pos = -1;
        packet->pts -= first_pts;
        packet->dts -= first_pts;
        av_packet_rescale_ts(packet, in->stream->time_base, mux->streams[0]->time_base);
        int code = av_write_frame(mux, packet);
        if (mux->pb->error < 0) st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot write", path);
        if (code < 0 || st != ISOBATH_OK) *fits = 0;
    }
    if (header && av_write_trailer(mux) < 0) *fits = 0;
    if (mux && mux->pb && avio_closep(&mux->pb) < 0 && st == ISOBATH_OK)
        st = ib_fail(diag, ISOBATH_ERR_IO, "%s: cannot write", path);
    if (!written) *fits = 0;
    if (mux && (!*fits || st != ISOBATH_OK)) unlink(path);
    avformat_free_context(mux);
    av_packet_free(&packet);
    return st;
}

isobath_status ib_cut_copy(const char *input, const ib_media_options *options, int64_t first_pts, int64_t end_pts,
                           const char *path, const char *container, ib_diag *diag, int *fits)
{
    ib_input in;
    ib_log_init();
    IB_TRY(ib_input_open(&in, input, options, diag));
    isobath_status st = copy(&in, first_pts, end_pts, path, container, diag, fits);
    ib_input_close(&in);
    return st;
}
