/* Test clips through libavcodec and libavformat; see clips.h. */
#include "support/clips.h"

#include <ftw.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libx265"; } /* the encoder's own, not ours */
#endif

#define OR(value, fallback) ((value) ? (value) : (fallback))

int clip_have_encoder(const char *name) { return avcodec_find_encoder_by_name(name) != NULL; }

uint8_t clip_rgb(int frame, int x, int y, int component)
{
    uint32_t h = (uint32_t)(x * 7 + y * 13 + frame * 31 + component * 101);
    return (uint8_t)((h * 2654435761u) >> 24);
}

uint8_t clip_yuv(int frame, int x, int y, int plane)
{
    if (plane == 0) return (uint8_t)(16 + (x * 3 + y * 2 + frame * 5) % 220);
    return (uint8_t)(64 + (x * (plane + 1) + y * 3 + frame * 2) % 128);
}

int64_t clip_time_us(const clip *c, int frame)
{
    if (!c->variable) return av_rescale(frame, 1000000, OR(c->fps, 25));
    int64_t ms = 0;
    for (int i = 1; i <= frame; i++) ms += 20 + 10 * (i % 4);
    return ms * 1000;
}

/* One sample of any depth into its place. */
static void put_sample(uint8_t *data[4], const int linesize[4], const AVPixFmtDescriptor *desc, int comp, int x, int y,
                       unsigned v)
{
    const AVComponentDescriptor *c = &desc->comp[comp];
    uint8_t *p = data[c->plane] + (ptrdiff_t)y * linesize[c->plane] + (ptrdiff_t)x * c->step + c->offset;
    v <<= c->shift;
    if (desc->flags & AV_PIX_FMT_FLAG_FLOAT) {
        float f = (float)v / 255.0f;
        memcpy(p, &f, 4);
    } else if (c->depth + c->shift <= 8) {
        *p = (uint8_t)v;
    } else if (desc->flags & AV_PIX_FMT_FLAG_BE) {
        p[0] = (uint8_t)(v >> 8);
        p[1] = (uint8_t)v;
    } else {
        p[0] = (uint8_t)v;
        p[1] = (uint8_t)(v >> 8);
    }
}

static void fill_default(const clip *c, int frame, uint8_t *data[4], const int linesize[4])
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(av_get_pix_fmt(OR(c->pix_fmt, "yuv420p")));
    int width = OR(c->width, 64), height = OR(c->height, 48), rgb = (desc->flags & AV_PIX_FMT_FLAG_RGB) != 0;
    for (int i = 0; i < desc->nb_components; i++) {
        int alpha = (desc->flags & AV_PIX_FMT_FLAG_ALPHA) && i == desc->nb_components - 1, depth = desc->comp[i].depth;
        int is_chroma = !rgb && !alpha && i > 0 && desc->nb_components > 2;
        int w = is_chroma ? AV_CEIL_RSHIFT(width, desc->log2_chroma_w) : width;
        int h = is_chroma ? AV_CEIL_RSHIFT(height, desc->log2_chroma_h) : height;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                unsigned v = alpha ? 200 : rgb ? clip_rgb(frame, x, y, i) : clip_yuv(frame, x, y, is_chroma ? i : 0);
                if (depth > 8 && depth <= 16) v = rgb ? v * ((1u << depth) - 1) / 255 : v << (depth - 8);
                put_sample(data, linesize, desc, i, x, y, v);
            }
        }
    }
}

static AVFrame *make_frame(const clip *c, int frame)
{
    AVFrame *f = av_frame_alloc();
    if (!f) return NULL;
    f->format = av_get_pix_fmt(OR(c->pix_fmt, "yuv420p"));
    f->width = OR(c->width, 64);
    f->height = OR(c->height, 48);
    if (av_frame_get_buffer(f, 0) < 0) {
        av_frame_free(&f);
        return NULL;
    }
    if (c->fill)
        c->fill(c, frame, f->data, f->linesize);
    else
        fill_default(c, frame, f->data, f->linesize);
    f->colorspace = OR(c->matrix, AVCOL_SPC_UNSPECIFIED);
    f->color_range = c->range;
    f->color_trc = OR(c->transfer, AVCOL_TRC_UNSPECIFIED);
    f->color_primaries = OR(c->primaries, AVCOL_PRI_UNSPECIFIED);
    if (c->interlaced) {
#ifdef AV_FRAME_FLAG_INTERLACED
        f->flags |= AV_FRAME_FLAG_INTERLACED | AV_FRAME_FLAG_TOP_FIELD_FIRST;
#else
        f->interlaced_frame = f->top_field_first = 1;
#endif
    }
    return f;
}

static AVCodecContext *open_encoder(const clip *c, const AVCodec *codec, AVRational time_base, int global_header)
{
    AVCodecContext *e = avcodec_alloc_context3(codec);
    if (!e) return NULL;
    e->width = OR(c->width, 64);
    e->height = OR(c->height, 48);
    e->pix_fmt = av_get_pix_fmt(OR(c->pix_fmt, "yuv420p"));
    e->time_base = time_base;
    if (!c->variable) e->framerate = (AVRational){OR(c->fps, 25), 1};
    e->max_b_frames = c->b_frames;
    e->gop_size = OR(c->gop, 12);
    e->bit_rate = 4000000;
    e->thread_count = 1;
    e->colorspace = OR(c->matrix, AVCOL_SPC_UNSPECIFIED);
    e->color_range = c->range;
    e->color_trc = OR(c->transfer, AVCOL_TRC_UNSPECIFIED);
    e->color_primaries = OR(c->primaries, AVCOL_PRI_UNSPECIFIED);
    e->strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL;
    if (c->sar_den) e->sample_aspect_ratio = (AVRational){c->sar_num, c->sar_den};
    if (c->interlaced) e->flags |= AV_CODEC_FLAG_INTERLACED_DCT | AV_CODEC_FLAG_INTERLACED_ME;
    if (global_header) e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary *dict = NULL;
    if (c->options) av_dict_parse_string(&dict, c->options, "=", ":", 0);
    int err = avcodec_open2(e, codec, &dict);
    if (err >= 0 && av_dict_count(dict)) {
        fprintf(stderr, "clip: %s has no such option: %s\n", codec->name, c->options);
        err = -1;
    }
    av_dict_free(&dict);
    if (err < 0) avcodec_free_context(&e);
    return e;
}

/* What libavformat calls the matrix of a picture to be turned by `degrees` clockwise. */
static void set_matrix(int32_t m[9], int degrees)
{
    const int32_t one = 1 << 16;
    memset(m, 0, 9 * sizeof *m);
    m[8] = 1 << 30;
    if (degrees == 180)
        m[0] = m[4] = -one;
    else if (degrees == 90)
        m[1] = one, m[3] = -one;
    else if (degrees == 270)
        m[1] = -one, m[3] = one;
    else
        m[0] = m[4] = one;
}

static int add_rotation(AVStream *s, int degrees)
{
    if (!degrees) return 0;
    int32_t matrix[9];
    set_matrix(matrix, degrees);
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    AVPacketSideData *sd = av_packet_side_data_new(&s->codecpar->coded_side_data, &s->codecpar->nb_coded_side_data,
                                                   AV_PKT_DATA_DISPLAYMATRIX, sizeof matrix, 0);
    uint8_t *data = sd ? sd->data : NULL;
#else
    uint8_t *data = av_stream_new_side_data(s, AV_PKT_DATA_DISPLAYMATRIX, sizeof matrix);
#endif
    if (!data) return -1;
    memcpy(data, matrix, sizeof matrix);
    return 0;
}

/* Packets that are ready into the file. */
static int write_ready(AVFormatContext *format, AVStream *s, AVCodecContext *e, AVPacket *packet)
{
    int err;
    while ((err = avcodec_receive_packet(e, packet)) >= 0) {
        if (packet->duration <= 0)
            packet->duration = e->time_base.den == 1000 ? 20 : 1; /* else edit lists drop the last */
        av_packet_rescale_ts(packet, e->time_base, s->time_base);
        packet->stream_index = s->index;
        if ((err = av_interleaved_write_frame(format, packet)) < 0) return err;
    }
    return err == AVERROR(EAGAIN) || err == AVERROR_EOF ? 0 : err;
}

int clip_write(const char *path, const clip *c)
{
    av_log_set_level(AV_LOG_FATAL); /* x264 is talkative, and damage is made on purpose */
    const AVCodec *codec = avcodec_find_encoder_by_name(OR(c->encoder, "mpeg4"));
    AVFormatContext *format = NULL;
    AVCodecContext *e = NULL;
    AVPacket *packet = av_packet_alloc();
    AVDictionary *dict = NULL;
    AVRational tb = c->variable ? (AVRational){1, 1000} : (AVRational){1, OR(c->fps, 25)};
    int err =
        codec && packet ? avformat_alloc_output_context2(&format, NULL, c->format, path) : AVERROR_ENCODER_NOT_FOUND;
    if (err < 0) goto done;
    e = open_encoder(c, codec, tb, (format->oformat->flags & AVFMT_GLOBALHEADER) != 0);
    AVStream *s = avformat_new_stream(format, NULL);
    err = e && s ? avcodec_parameters_from_context(s->codecpar, e) : AVERROR(EINVAL);
    if (err < 0) goto done;
    s->time_base = e->time_base;
    s->sample_aspect_ratio = e->sample_aspect_ratio;
    if (!c->variable) s->avg_frame_rate = e->framerate;
    if ((err = add_rotation(s, c->rotation)) < 0) goto done;
    if (c->mux_options) av_dict_parse_string(&dict, c->mux_options, "=", ":", 0);
    if ((err = avio_open(&format->pb, path, AVIO_FLAG_WRITE)) < 0) goto done;
    if ((err = avformat_write_header(format, &dict)) < 0) goto done;
    for (int i = 0; i < c->frames; i++) {
        AVFrame *f = make_frame(c, i);
        if (!f)
            err = AVERROR(ENOMEM);
        else {
            f->pts = c->variable ? clip_time_us(c, i) / 1000 : i;
            err = avcodec_send_frame(e, f);
            av_frame_free(&f);
        }
        if (err >= 0) err = write_ready(format, s, e, packet);
        if (err < 0) goto done;
    }
    err = avcodec_send_frame(e, NULL);
    if (err >= 0) err = write_ready(format, s, e, packet);
    if (err >= 0) err = av_write_trailer(format);
done:
    if (err < 0) fprintf(stderr, "clip: cannot make %s (%s): %s\n", path, OR(c->encoder, "mpeg4"), av_err2str(err));
    av_dict_free(&dict);
    av_packet_free(&packet);
    avcodec_free_context(&e);
    if (format) avio_closep(&format->pb);
    avformat_free_context(format);
    return err < 0 ? -1 : 0;
}

int clip_write_image(const char *path, const clip *c, int frame)
{
    const char *dot = strrchr(path, '.'), *names[] = {"jpg", "mjpeg", "tif", "tiff", NULL};
    const char *name = dot ? dot + 1 : "png";
    for (int i = 0; names[i]; i += 2)
        if (strcmp(name, names[i]) == 0) name = names[i + 1];
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    AVCodecContext *e = codec ? open_encoder(c, codec, (AVRational){1, 25}, 0) : NULL;
    AVFrame *f = make_frame(c, frame);
    AVPacket *packet = av_packet_alloc();
    int err = -1;
    if (e && f && packet && avcodec_send_frame(e, f) >= 0 && avcodec_send_frame(e, NULL) >= 0 &&
        avcodec_receive_packet(e, packet) >= 0)
        err = clip_write_file(path, packet->data, (size_t)packet->size);
    if (err) fprintf(stderr, "clip: cannot make %s\n", path);
    av_packet_free(&packet);
    av_frame_free(&f);
    avcodec_free_context(&e);
    return err;
}

int clip_make_dir(char *dir, size_t size)
{
    snprintf(dir, size, "clips_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
    (void)sb, (void)type, (void)ftw;
    return remove(path);
}

void clip_remove_dir(const char *dir) { nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

uint8_t *clip_read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)n + 1);
    *size = data ? fread(data, 1, (size_t)n, f) : 0;
    fclose(f);
    return data;
}

int clip_write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f) return -1;
    size_t n = fwrite(data, 1, size, f);
    return fclose(f) == 0 && n == size ? 0 : -1;
}
