/* Opening inputs and reading their packets; see input.h. */
#include "media/input.h"
#include "base/clock.h"
#include "media/compat.h"
#include "media/device.h"
#include "media/raw.h"

#include <errno.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAP_NS 2000000 /* between looks at a camera */

static const char *av_text(int err, char *buf, size_t size)
{
    if (av_strerror(err, buf, size) < 0) snprintf(buf, size, "libav error %d", err);
    return buf;
}

/* Packets are not frames, so this is an estimate only. */
static void estimate(ib_input *in, AVFormatContext *format, AVStream *stream)
{
    AVRational rate = av_guess_frame_rate(format, stream, NULL);
    /* without times (raw H.264) the average is libav's own guess, from packets, of which field-coded video has two a frame */
    int timed = stream->start_time != AV_NOPTS_VALUE;
    if (timed && stream->avg_frame_rate.num > 0 && stream->avg_frame_rate.den > 0) rate = stream->avg_frame_rate;
    in->fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0.0;
    in->frames_hint = -1;
    if (!in->reopenable) return;
    double seconds = stream->duration > 0   ? (double)stream->duration * av_q2d(stream->time_base)
                     : format->duration > 0 ? (double)format->duration / AV_TIME_BASE
                                            : 0.0;
    double frames = stream->nb_frames > 0 ? (double)stream->nb_frames : seconds * in->fps;
    if (frames >= 0.5 && frames < 9e15) in->frames_hint = (int64_t)llrint(frames);
}

/* What a Matroska or AVI header says about the length of the file: libav takes a cut one for a short one. 0: nothing.
 */
static int64_t promised_size(const uint8_t *head, size_t n)
{
    if (n >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "AVI ", 4) == 0)
        return 8 + (int64_t)(head[4] | head[5] << 8 | head[6] << 16 | (uint32_t)head[7] << 24);
    if (n < 5 || memcmp(head, "\x1a\x45\xdf\xa3", 4) != 0) return 0;
    size_t at = 4; /* EBML: an element is its id, its size (leading zeros give the length), its bytes */
    for (int element = 0; element < 2; element++) {
        int length = at < n && head[at] ? __builtin_clz(head[at]) - 23 : 0;
        if (length == 0 || at + (size_t)length > n) return 0;
        uint64_t size = head[at] & (0xffu >> length), unknown = (UINT64_C(1) << 7 * length) - 1;
        for (int i = 1; i < length; i++) size = size << 8 | head[at + (size_t)i];
        at += (size_t)length;
        if (element == 1) return size == unknown || size > INT64_MAX / 2 ? 0 : (int64_t)(at + size);
        if (size > n || (at += size) + 4 > n || memcmp(head + at, "\x18\x53\x80\x67", 4) != 0) return 0;
        at += 4; /* behind the id of the segment */
    }
    return 0;
}

/* Looks at the first bytes of a regular file: is it cut short, is it an MP4 (whose index may be missing)? */
static void look_at_head(ib_input *in, const char *name, int64_t file_size, int *is_mp4)
{
    uint8_t head[512];
    FILE *f = fopen(name, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    int64_t promised = promised_size(head, n);
    in->missing_bytes = promised > file_size ? promised - file_size : 0;
    *is_mp4 = n >= 8 && memcmp(head + 4, "ftyp", 4) == 0;
}

static void expect_soon(ib_input *in) { in->deadline_us = in->stall_us ? ib_now_us() + in->stall_us : INT64_MAX; }

/* libav asks it while it waits for the network. */
static int is_late(void *in) { return ib_now_us() > ((const ib_input *)in)->deadline_us; }

/* A source that may fall silent: it is asked for what there is, and libav gives up when is_late. */
static isobath_status prepare_live(ib_input *in, const char *url, AVDictionary **dict)
{
    expect_soon(in);
    in->format = avformat_alloc_context();
    if (!in->format) return ib_fail(in->diag, ISOBATH_ERR_MEMORY, "out of memory");
    in->format->interrupt_callback = (AVIOInterruptCB){is_late, in};
    if (in->is_device && in->stall_us) in->format->flags |= AVFMT_FLAG_NONBLOCK;
    /* UDP loses packets, and a picture with a hole is an error; libav takes UDP when there is no TCP */
    if (strncmp(url, "rtsp:", 5) == 0 && av_dict_set(dict, "rtsp_flags", "prefer_tcp", 0) < 0)
        return ib_fail(in->diag, ISOBATH_ERR_MEMORY, "out of memory");
    return ISOBATH_OK;
}

static isobath_status no_answer(ib_input *in)
{
    return ib_fail(in->diag, ISOBATH_ERR_INPUT, "%s: nothing came for %g s", in->name, (double)in->stall_us * 1e-6);
}

static isobath_status open_demuxer(ib_input *in, const char *name, const ib_media_options *options)
{
    int is_pipe = strcmp(name, "-") == 0;
    struct stat sb;
    if (is_pipe && isatty(STDIN_FILENO))
        return ib_fail(in->diag, ISOBATH_ERR_INPUT, "standard input is a terminal: expected a pipe with Y4M, a container or raw video");
    int exists = !is_pipe && stat(name, &sb) == 0;
    in->reopenable = exists && S_ISREG(sb.st_mode);
    int is_mp4 = 0;
    if (exists && S_ISREG(sb.st_mode) && !options->raw_format) look_at_head(in, name, sb.st_size, &is_mp4);
    char *url = is_pipe ? strdup("pipe:0") : NULL;
    int is_device = in->is_device = exists && ib_device_is(name);
    in->is_live = is_device || (!exists && !is_pipe);
    if (exists && !is_device && asprintf(&url, "file:%s", name) < 0)
        url = NULL; /* a ':' in a name is not a protocol */
    else if (!is_pipe && (!exists || is_device))
        url = strdup(name);
    if (!url) return ib_fail(in->diag, ISOBATH_ERR_MEMORY, "out of memory");

    AVDictionary *dict = NULL;
    const AVInputFormat *demuxer = NULL;
    ib_raw raw;
    isobath_status st = ISOBATH_OK;
    char text[128];
    int err;
    if (options->raw_format) {
        if (!is_device) demuxer = av_find_input_format("rawvideo"); /* a camera is asked for that size, format and rate */
        IB_TRY_GOTO(st, (is_device ? ib_raw_parse_mode : ib_raw_parse)(options->raw_format, in->diag, &raw), done);
        IB_TRY_GOTO(st, ib_raw_options(&raw, &dict, in->diag), done);
    }
    if (is_device) IB_TRY_GOTO(st, ib_device_demuxer(name, in->diag, &demuxer), done);
    IB_TRY_GOTO(st, prepare_live(in, url, &dict), done);
    err = avformat_open_input(&in->format, url, demuxer, &dict);
    if (err == AVERROR(ENOMEM))
        st = ib_fail(in->diag, ISOBATH_ERR_MEMORY, "%s: out of memory, or damaged: its head asks for more than there is", in->name);
    else if (err == AVERROR_EXIT)
        st = no_answer(in);
    else if (err < 0 && is_device)
        st = ib_device_refused(name, options->raw_format ? &raw : NULL, err, in->diag);
    else if (err < 0 && is_pipe)
        st = ib_fail(in->diag, ISOBATH_ERR_INPUT,
                     "standard input: %s; Y4M or a container was expected, and --raw WIDTHxHEIGHT:PIXFMT:FPS describes "
                     "video without a header",
                     av_text(err, text, sizeof text));
    else if (err == AVERROR_INVALIDDATA && is_mp4)
        st =
            ib_fail(in->diag, ISOBATH_ERR_INPUT,
                    "%s: an MP4 or MOV without a usable index: cut short, or never closed by the program that wrote it",
                    in->name);
    else if (err == AVERROR_INVALIDDATA)
        st = ib_fail(in->diag, ISOBATH_ERR_INPUT, "%s: not a video or image that libav knows, or damaged at its head",
                     in->name);
    else if (err < 0) /* libav's answer to an unknown host is EIO */
        st = ib_fail(in->diag, ISOBATH_ERR_INPUT, "cannot open %s: %s", in->name,
                     err == AVERROR(EIO) && in->is_live ? "no such host, or no answer that libav understands" : av_text(err, text, sizeof text));
    if (st != ISOBATH_OK) goto done;
    if (is_device && options->raw_format && !ib_device_gives(in->format->streams[0], &raw)) {
        avformat_close_input(&in->format);
        st = ib_device_refused(name, &raw, AVERROR(EINVAL), in->diag);
        goto done;
    }

    err = avformat_find_stream_info(in->format, NULL);
    if (err == AVERROR_EXIT) {
        st = no_answer(in);
        goto done;
    }
    if (err < 0) {
        st = ib_fail(in->diag, ISOBATH_ERR_INPUT, "%s: no stream can be made out: %s", in->name,
                     av_text(err, text, sizeof text));
        goto done;
    }
    int best = av_find_best_stream(in->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (best < 0 || (in->format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC)) {
        st = ib_fail(in->diag, ISOBATH_ERR_INPUT, "%s: there is no video stream in it", in->name);
        goto done;
    }
    /* a URL is as good as a file when one can seek in it and it has an end; a live source has neither */
    if (!exists && !is_pipe && in->format->pb && (in->format->pb->seekable & AVIO_SEEKABLE_NORMAL))
        in->reopenable = in->format->duration > 0;
    in->stream = in->format->streams[best];
    for (unsigned i = 0; i < in->format->nb_streams; i++)
        if ((int)i != best) in->format->streams[i]->discard = AVDISCARD_ALL;
    in->codec = in->stream->codecpar;
    in->time_base = in->stream->time_base;
    in->matrix = ib_compat_stream_matrix(in->stream);
    estimate(in, in->format, in->stream);
done:
    av_dict_free(&dict);
    free(url);
    return st;
}

isobath_status ib_input_open(ib_input *in, const char *name, const ib_media_options *options, ib_diag *diag)
{
    *in = (ib_input){.diag = diag, .stall_us = (int64_t)(options->stall_s * 1e6), .deadline_us = INT64_MAX, .name = strcmp(name, "-") == 0 ? "standard input" : name};
    int is_list = 0;
    isobath_status st = ISOBATH_OK;
    if (strcmp(name, "-") != 0 && !options->raw_format) st = ib_image_list_find(name, diag, &in->images, &is_list);
    if (st == ISOBATH_OK && !is_list) st = open_demuxer(in, name, options);
    if (st == ISOBATH_OK && is_list) {
        in->reopenable = 1;
        in->time_base = (AVRational){1, 1000000};
        in->fps = options->image_fps > 0 ? options->image_fps : 30.0;
        in->frames_hint = in->images.count;
        in->codec = avcodec_parameters_alloc();
        if (!in->codec)
            st = ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory");
        else
            in->codec->codec_type = AVMEDIA_TYPE_VIDEO;
    }
    if (st != ISOBATH_OK) ib_input_close(in);
    return st;
}

void ib_input_close(ib_input *in)
{
    if (in->format)
        avformat_close_input(&in->format);
    else if (in->codec)
        avcodec_parameters_free(&in->codec);
    in->codec = NULL;
    in->stream = NULL;
    ib_image_list_free(&in->images);
}

/* The next image file as one packet. */
static ib_packet_result next_image(ib_input *in, AVPacket *packet, char *text, size_t text_size)
{
    if (in->packets >= in->images.count) return IB_PACKET_END;
    const char *path = in->images.paths[in->packets];
    packet->pts = packet->dts = llrint((double)in->packets * 1e6 / in->fps);
    packet->pos = -1;
    in->packets++;
    FILE *f = fopen(path, "rb");
    struct stat sb;
    if (!f || fstat(fileno(f), &sb) != 0) {
        snprintf(text, text_size, "cannot read %s: %s", path, strerror(errno));
        if (f) fclose(f);
        return IB_PACKET_DAMAGED;
    }
    ib_packet_result result = IB_PACKET_OK;
    int64_t pts = packet->pts;
    if (!S_ISREG(sb.st_mode) || sb.st_size <= 0 || sb.st_size > INT32_MAX / 2) {
        snprintf(text, text_size, "%s is %s", path,
                 !S_ISREG(sb.st_mode) ? "not a file"
                 : sb.st_size > 0     ? "too large for an image"
                                      : "empty");
        result = IB_PACKET_DAMAGED;
    } else if (av_new_packet(packet, (int)sb.st_size) < 0) {
        ib_fail(in->diag, ISOBATH_ERR_MEMORY, "out of memory for %s (%lld bytes)", path, (long long)sb.st_size);
        result = IB_PACKET_FAILED;
    } else if (fread(packet->data, 1, (size_t)sb.st_size, f) != (size_t)sb.st_size) {
        snprintf(text, text_size, "cannot read all of %s", path);
        result = IB_PACKET_DAMAGED;
    } else {
        int id = ib_image_codec(packet->data, (size_t)packet->size, path);
        if (id == AV_CODEC_ID_NONE) {
            snprintf(text, text_size, "%s is not an image of a known format", path);
            result = IB_PACKET_DAMAGED;
        } else {
            in->codec->codec_id = (enum AVCodecID)id;
        }
    }
    packet->pts = packet->dts = pts;
    packet->flags |= AV_PKT_FLAG_KEY;
    fclose(f);
    return result;
}

/* A camera's picture lies in the driver's memory, which is gone when the device is closed, and of which there is little. */
static int own_data(AVPacket *packet)
{
    AVBufferRef *own = av_buffer_alloc((size_t)packet->size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!own) return AVERROR(ENOMEM);
    memcpy(own->data, packet->data, (size_t)packet->size);
    memset(own->data + packet->size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
    av_buffer_unref(&packet->buf);
    packet->buf = own;
    packet->data = own->data;
    return 0;
}

/* libav's Y4M reader takes a frame that is cut short for the end; the bytes behind the last frame tell. */
static int is_cut(const ib_input *in)
{
    return strcmp(in->format->iformat->name, "yuv4mpegpipe") == 0 && in->packet_end >= 0 &&
           avio_tell(in->format->pb) > in->packet_end;
}

ib_packet_result ib_input_next(ib_input *in, AVPacket *packet, char *text, size_t text_size)
{
    av_packet_unref(packet);
    if (!in->format) return next_image(in, packet, text, text_size);
    expect_soon(in);
    for (int retries = 0;;) {
        int err = av_read_frame(in->format, packet);
        if (err == AVERROR(EAGAIN) && in->is_device && in->stall_us) {
            err = AVERROR_EXIT;
            if (!is_late(in)) {
                nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
                continue;
            }
        }
        if (err >= 0 && in->is_device && packet->size == 0) { /* the driver says that it is damaged */
            av_packet_unref(packet);
            continue;
        }
        if (err >= 0 && in->is_device) err = own_data(packet);
        if (err == AVERROR(EAGAIN) && ++retries < 1000) continue;
        if (err == AVERROR_EOF) {
            /* some demuxers report a failed read as the end; the I/O layer knows better */
            if (in->format->pb && in->format->pb->error < 0 && in->format->pb->error != AVERROR_EOF)
                err = in->format->pb->error;
            else if (is_cut(in) || in->missing_bytes > 0)
                err = AVERROR_INVALIDDATA;
            else
                return IB_PACKET_END;
        }
        if (err == AVERROR(ENOMEM)) {
            ib_fail(in->diag, ISOBATH_ERR_MEMORY, "%s: out of memory while reading", in->name);
            return IB_PACKET_FAILED;
        }
        if (err < 0) {
            char why[128];
            int64_t pos = in->format->pb ? avio_tell(in->format->pb) : -1;
            if (in->missing_bytes > 0) {
                snprintf(text, text_size, "the file is cut short: its last %lld bytes are missing",
                         (long long)in->missing_bytes);
                return IB_PACKET_DAMAGED;
            }
            if (err == AVERROR_EXIT) {
                snprintf(text, text_size, "nothing came for %g s", (double)in->stall_us * 1e-6);
                return IB_PACKET_DAMAGED;
            }
            if (in->is_device) {
                snprintf(text, text_size, "the camera gives no more: %s", av_text(err, why, sizeof why));
                return IB_PACKET_DAMAGED;
            }
            snprintf(text, text_size, "it cannot be read on near byte %lld, after packet %lld: %s", (long long)pos,
                     (long long)in->packets, av_text(err, why, sizeof why));
            return IB_PACKET_DAMAGED;
        }
        if (packet->stream_index == in->stream->index) break;
        av_packet_unref(packet);
    }
    in->packets++;
    in->packet_end = packet->pos >= 0 ? packet->pos + packet->size : -1;
    ib_compat_tag_packet(packet);
    return IB_PACKET_OK;
}

char *ib_input_where(const ib_input *in, const AVPacket *packet, char *buf, size_t size)
{
    if (!in->format && in->packets > 0)
        snprintf(buf, size, "%s", in->images.paths[in->packets - 1]);
    else if (packet->pos >= 0)
        snprintf(buf, size, "packet %lld at byte %lld", (long long)in->packets - 1, (long long)packet->pos);
    else
        snprintf(buf, size, "packet %lld", (long long)in->packets - 1);
    return buf;
}
