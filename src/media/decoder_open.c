/* Opening and closing a decoder's input and codec, and what it tells of itself; see decoder.h. */
#include "media/compat.h"
#include "media/decoder_internal.h"
#include "media/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THREADS 16 /* of the decoder by default: each one holds a few pictures, and more do not help */

isobath_status ib_decoder_out_of_memory(ib_decoder *d)
{
    return ib_fail(d->diag, ISOBATH_ERR_MEMORY, "%s: out of memory while decoding", d->in.name);
}

isobath_status ib_decoder_open_codec(ib_decoder *d)
{
    const AVCodec *codec = avcodec_find_decoder(d->in.codec->codec_id);
    if (!codec)
        return ib_fail(d->diag, ISOBATH_ERR_UNSUPPORTED, "%s: this build of libavcodec cannot decode %s", d->in.name,
                       avcodec_get_name(d->in.codec->codec_id));
    d->codec = avcodec_alloc_context3(codec);
    if (!d->codec || avcodec_parameters_to_context(d->codec, d->in.codec) < 0) return ib_decoder_out_of_memory(d);
    d->turning = 0;
    d->sent_until = d->stale_until = INT64_MIN;
    d->codec->pkt_timebase = d->in.time_base;
    d->codec->thread_count = d->threads;
    if (d->hw) IB_TRY(ib_hw_attach(d->hw, d->codec, d->diag));
    d->codec->opaque = &d->complaints;
    ib_log_watch(d->codec);
    if (d->options.max_pixels > 0) d->codec->max_pixels = d->options.max_pixels;
    ib_compat_track_position(d->codec);
    int err = avcodec_open2(d->codec, codec, NULL);
    if (err == AVERROR(ENOMEM)) return ib_decoder_out_of_memory(d);
    if (err < 0)
        return ib_fail(d->diag, ISOBATH_ERR_INPUT, "%s: the %s decoder refuses the stream's parameters", d->in.name,
                       codec->name);
    return ISOBATH_OK;
}

void ib_decoder_flush(ib_decoder *d)
{
    if (d->codec) avcodec_flush_buffers(d->codec);
    d->turning = 0;
    d->sent_until = d->stale_until = INT64_MIN;
}

/* Timestamp (microseconds) of image file i. */
int64_t ib_decoder_image_ts(const ib_decoder *d, int64_t i) { return llrint((double)i * 1e6 / d->in.fps); }

/* Images before the start need not be read: each file is a frame. */
static void skip_images(ib_decoder *d)
{
    int64_t i = d->options.start_frame < d->in.images.count ? d->options.start_frame : d->in.images.count - 1;
    while (i + 1 < d->in.images.count && (double)ib_decoder_image_ts(d, i) < d->options.start_s * 1e6) i++;
    d->delivered = d->in.packets = i;
}

/* Takes the card where one is wanted and may be left again. */
static isobath_status open_hw(ib_decoder *d)
{
    if (d->options.decoder == IB_DECODER_SOFTWARE || d->hw_note[0]) return ISOBATH_OK;
    const AVCodec *codec = d->in.format ? avcodec_find_decoder(d->in.codec->codec_id) : NULL;
    if (!codec || !d->in.reopenable)
        snprintf(d->hw_note, sizeof d->hw_note, "%s",
                 codec ? "a pipe is decoded in software" : "image files are decoded in software");
    else
        d->hw = ib_hw_open(d->options.cuda_device, codec, d->hw_note, sizeof d->hw_note);
    if (d->hw || d->options.decoder == IB_DECODER_AUTO) return ISOBATH_OK;
    return ib_fail(d->diag, ISOBATH_ERR_UNSUPPORTED, "%s: --decoder cuda: %s", d->in.name, d->hw_note);
}

/* Everything that a restart renews. */
isobath_status ib_decoder_open_stream(ib_decoder *d)
{
    IB_TRY(ib_input_open(&d->in, d->name, &d->options, d->diag));
    d->trail = IB_TRAIL_SEED;
    atomic_store(&d->complaints, 0);
    /* who expects damage gets the decoder that knows where it is: what several have given out before they say so might not stand */
    if (!d->in.reopenable || (d->in.format && d->options.on_error == IB_ON_ERROR_REPEAT)) d->threads = 1;
    int jumps = d->in.format && (d->in.format->iformat->flags & AVFMT_TS_DISCONT);
    d->clock = ib_clock_init(d->in.time_base, d->in.fps, jumps);
    if (!d->hw) IB_TRY(open_hw(d));
    if (d->in.format) return ib_decoder_open_codec(d);
    skip_images(d); /* the decoder is opened with the first file */
    return ISOBATH_OK;
}

void ib_decoder_forget_frames(ib_decoder *d)
{
    av_frame_unref(d->held);
    d->have_held = d->clean_seen = d->clean_sent = d->draining = d->ended = d->drain_errors = 0;
    d->missing_count = d->passed_over = 0;
    d->owed = (ib_owed){0};
}

void ib_decoder_close_stream(ib_decoder *d)
{
    avcodec_free_context(&d->codec);
    av_packet_unref(d->packet);
    av_frame_unref(d->last);
    ib_input_close(&d->in);
    ib_decoder_forget_frames(d);
    d->have_packet = d->have_last = d->hw_damage = 0;
    d->delivered = 0;
    d->damage[0] = d->broken[0] = '\0';
}

isobath_status ib_decoder_open(const char *input, const ib_media_options *options, ib_diag *diag, ib_decoder **out)
{
    *out = NULL;
    ib_log_init();
    ib_decoder *d = calloc(1, sizeof *d);
    if (!d) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    d->diag = diag;
    d->options = *options;
    int cpus = ib_cpu_count();
    d->threads = options->threads > 0 ? options->threads : cpus < MAX_THREADS ? cpus : MAX_THREADS;
    d->name = strdup(input);
    d->packet = av_packet_alloc();
    d->held = av_frame_alloc();
    d->last = av_frame_alloc();
    isobath_status st = ISOBATH_OK;
    if (!d->name || !d->packet || !d->held || !d->last)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    if (st == ISOBATH_OK) st = ib_decoder_open_stream(d);
    if (st != ISOBATH_OK) {
        ib_decoder_close(d);
        return st;
    }
    *out = d;
    return ISOBATH_OK;
}

void ib_decoder_close(ib_decoder *d)
{
    if (!d) return;
    if (d->packet && d->held && d->last) ib_decoder_close_stream(d);
    ib_hw_close(d->hw);
    av_packet_free(&d->packet);
    av_frame_free(&d->held);
    av_frame_free(&d->last);
    free(d->missing);
    free(d->name);
    free(d);
}

double ib_decoder_pixel_aspect(const ib_decoder *d, const AVFrame *frame)
{
    AVRational sar = frame->sample_aspect_ratio;
    if (d->in.format) sar = av_guess_sample_aspect_ratio(d->in.format, d->in.stream, (AVFrame *)frame);
    double aspect = sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1.0;
    return aspect > 0.05 && aspect < 20 ? aspect : 1.0;
}

double ib_decoder_fps(const ib_decoder *d) { return d->in.fps; }
int64_t ib_decoder_frames_hint(const ib_decoder *d) { return d->in.frames_hint; }
const int32_t *ib_decoder_matrix(const ib_decoder *d) { return d->in.matrix; }
ib_hw *ib_decoder_hw(const ib_decoder *d) { return d->hw; }

void ib_decoder_hw_note(const ib_decoder *d, char *buf, size_t size)
{
    buf[0] = '\0';
    if (!d->hw && d->hw_note[0]) snprintf(buf, size, "software (%s)", d->hw_note);
    if (d->hw && ib_hw_blind(d->hw)[0])
        snprintf(buf, size,
                 "on the card, where damage inside of pictures is concealed without a word (%s): --decoder software "
                 "finds it",
                 ib_hw_blind(d->hw));
}

const char *ib_decoder_broken(const ib_decoder *d) { return d->broken; }

const char *ib_decoder_damage(const ib_decoder *d) { return d->damage; }
int ib_decoder_silent(const ib_decoder *d, int64_t *packet, int64_t *pos)
{
    *packet = d->owed.silent.packet;
    *pos = d->owed.silent.pos;
    return d->owed.has_silent;
}

int64_t ib_decoder_passed_over(const ib_decoder *d) { return d->passed_over; }

void ib_decoder_describe(const ib_decoder *d, char *buf, size_t size)
{
    unsigned v = avcodec_version();
    const char *how = !d->hw ? "" : ib_hw_blind(d->hw)[0] ? " nvdec " IB_DAMAGE_NOT_SEEN : " nvdec";
    snprintf(buf, size, "%s%s libavcodec %u.%u.%u", d->codec ? d->codec->codec->name : "none", how, v >> 16,
             v >> 8 & 255, v & 255);
}

int ib_decoder_is_flagged(const AVFrame *f)
{
    return f->decode_error_flags != 0 || (f->flags & AV_FRAME_FLAG_CORRUPT) != 0;
}
