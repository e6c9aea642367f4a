/* The bitstream writer; see paff.h. Names of syntax elements are those of ITU-T H.264, 7.3. */
#include "support/paff.h"

#include "support/clips.h"

#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAL_SLICE = 1, NAL_IDR = 5, NAL_SPS = 7, NAL_PPS = 8, NAL_AUD = 9 };
enum { FRAME, TOP, BOTTOM };

typedef struct bits {
    uint8_t *data; /* of one NAL unit, without emulation prevention */
    size_t size, room;
    int filled; /* bits of the last byte that are used, 0: all */
} bits;

typedef struct stream {
    uint8_t *data; /* Annex B */
    size_t size, room;
} stream;

static void put_byte(uint8_t **data, size_t *size, size_t *room, uint8_t value)
{
    if (*size == *room) {
        *room = *room ? 2 * *room : 4096;
        *data = realloc(*data, *room);
        if (!*data) abort();
    }
    (*data)[(*size)++] = value;
}

static void u(bits *b, int count, uint32_t value)
{
    for (int i = count - 1; i >= 0; i--) {
        if (b->filled == 0) put_byte(&b->data, &b->size, &b->room, 0);
        b->data[b->size - 1] |= (uint8_t)((value >> i & 1) << (7 - b->filled));
        b->filled = (b->filled + 1) % 8;
    }
}

/* Exp-Golomb. */
static void ue(bits *b, uint32_t value)
{
    int length = 0;
    while ((value + 1) >> (length + 1)) length++;
    u(b, length, 0);
    u(b, length + 1, value + 1);
}

/* Trailing bits, start code, bytes that keep start codes out. */
static void finish(bits *b, int ref_idc, int type, stream *out)
{
    u(b, 1, 1);
    b->filled = 0;
    static const uint8_t start[] = {0, 0, 0, 1};
    for (int i = 0; i < 4; i++) put_byte(&out->data, &out->size, &out->room, start[i]);
    put_byte(&out->data, &out->size, &out->room, (uint8_t)(ref_idc << 5 | type));
    int zeros = 0;
    for (size_t i = 0; i < b->size; i++) {
        if (zeros >= 2 && b->data[i] <= 3) {
            put_byte(&out->data, &out->size, &out->room, 3);
            zeros = 0;
        }
        put_byte(&out->data, &out->size, &out->room, b->data[i]);
        zeros = b->data[i] ? 0 : zeros + 1;
    }
    b->size = 0;
}

static void put_parameter_sets(const paff *p, bits *b, stream *out)
{
    int pairs = (p->height + 31) / 32, cropped = pairs * 32 - p->height;
    u(b, 8, 77); /* profile_idc: Main */
    u(b, 8, 0);
    u(b, 8, 30);                                 /* level_idc */
    ue(b, 0);                                    /* seq_parameter_set_id */
    ue(b, 0);                                    /* log2_max_frame_num_minus4 */
    ue(b, 0);                                    /* pic_order_cnt_type */
    ue(b, 4);                                    /* log2_max_pic_order_cnt_lsb_minus4 */
    ue(b, 1);                                    /* max_num_ref_frames */
    u(b, 1, 0);                                  /* gaps_in_frame_num_value_allowed_flag */
    ue(b, (uint32_t)p->width / 16 - 1);          /* pic_width_in_mbs_minus1 */
    ue(b, (uint32_t)pairs - 1);                  /* pic_height_in_map_units_minus1 */
    u(b, 3, 1);                                  /* not frame_mbs_only, not mb_adaptive_frame_field, direct_8x8_inference */
    u(b, 1, cropped > 0);                        /* frame_cropping_flag; units of four rows */
    if (cropped) ue(b, 0), ue(b, 0), ue(b, 0), ue(b, (uint32_t)cropped / 4);
    u(b, 1, 1);                                  /* vui_parameters_present_flag */
    u(b, 4, 0);                                  /* no aspect ratio, overscan, video signal, chroma position */
    u(b, 1, 1);                                  /* timing_info_present_flag */
    u(b, 32, 1), u(b, 32, 50), u(b, 1, 1);       /* fields a second, fixed */
    u(b, 3, 0);                                  /* no HRD, no pic_struct */
    u(b, 1, 1), u(b, 1, 0);                      /* bitstream_restriction_flag, motion_vectors_over_pic_boundaries_flag */
    ue(b, 0), ue(b, 0), ue(b, 0), ue(b, 0);      /* of sizes and vectors */
    ue(b, 0), ue(b, 1);                          /* max_num_reorder_frames, max_dec_frame_buffering */
    finish(b, 3, NAL_SPS, out);
    ue(b, 0), ue(b, 0);                          /* ids */
    u(b, 2, 0);                                  /* CAVLC, no bottom_field_pic_order_in_frame */
    ue(b, 0), ue(b, 0), ue(b, 0);                /* slice groups, references */
    u(b, 3, 0);                                  /* no weighted prediction */
    ue(b, 0), ue(b, 0), ue(b, 0);                /* quantisers */
    u(b, 3, 4);                                  /* deblocking_filter_control_present_flag only */
    finish(b, 3, NAL_PPS, out);
}

/* One picture: a frame or a field of it, a single slice of I_PCM macroblocks. */
static void put_picture(const paff *p, int frame, int what, int idr, bits *b, stream *out)
{
    int since_idr = frame % p->gop, step = what == FRAME ? 1 : 2, first_row = what == BOTTOM;
    u(b, 3, 7); /* primary_pic_type: anything */
    finish(b, 0, NAL_AUD, out);
    if (idr) put_parameter_sets(p, b, out);
    ue(b, 0);                                   /* first_mb_in_slice */
    ue(b, 7);                                   /* slice_type: all are I */
    ue(b, 0);                                   /* pic_parameter_set_id */
    u(b, 4, (uint32_t)since_idr);               /* frame_num */
    u(b, 1, what != FRAME);                     /* field_pic_flag */
    if (what != FRAME) u(b, 1, what == BOTTOM); /* bottom_field_flag */
    if (idr) ue(b, (uint32_t)(frame / p->gop) % 2); /* idr_pic_id */
    u(b, 8, (uint32_t)(2 * since_idr + (what != FRAME && (what == BOTTOM) != p->bottom_first))); /* pic_order_cnt_lsb */
    u(b, idr ? 2 : 1, 0);                       /* dec_ref_pic_marking: a sliding window */
    ue(b, 0);                                   /* slice_qp_delta */
    ue(b, 1);                                   /* disable_deblocking_filter_idc */
    int rows = (p->height + 31) / 32 * 32 / step;
    for (int my = 0; my < rows; my += 16)
        for (int mx = 0; mx < p->width; mx += 16) {
            ue(b, 25); /* mb_type: I_PCM */
            b->filled = 0;
            for (int plane = 0; plane < 3; plane++)
                for (int y = 0, side = plane ? 8 : 16; y < side; y++)
                    for (int x = 0; x < side; x++) {
                        int sx = mx * side / 16 + x, sy = (my * side / 16 + y) * step + first_row;
                        u(b, 8, clip_yuv(frame, sx, sy, plane));
                    }
        }
    finish(b, 1, idr ? NAL_IDR : NAL_SLICE, out);
}

static int write_packet(AVFormatContext *format, AVPacket *packet, stream *s, int fields, int count, int key)
{
    int err = av_new_packet(packet, (int)s->size);
    if (err < 0) return err;
    memcpy(packet->data, s->data, s->size);
    s->size = 0;
    packet->pts = packet->dts = fields;
    packet->duration = count;
    packet->flags = key ? AV_PKT_FLAG_KEY : 0;
    av_packet_rescale_ts(packet, (AVRational){1, 50}, format->streams[0]->time_base);
    return av_interleaved_write_frame(format, packet);
}

int paff_is_fields(const paff *p, int frame) { return !p->frame_every || frame % p->frame_every != p->frame_every - 1; }

static int write_pictures(const paff *p, AVFormatContext *format, AVPacket *packet, bits *b, stream *s)
{
    int err = 0;
    for (int i = 0; i < p->frames && err >= 0; i++) {
        int idr = i % p->gop == 0, fields = paff_is_fields(p, i);
        put_picture(p, i, !fields ? FRAME : p->bottom_first ? BOTTOM : TOP, idr, b, s);
        if (fields && p->fields_as_packets) err = write_packet(format, packet, s, 2 * i, 1, idr);
        int second = fields && !(p->lone_field && i == p->lone_field);
        if (second) put_picture(p, i, p->bottom_first ? TOP : BOTTOM, 0, b, s);
        if (err >= 0 && s->size) err = write_packet(format, packet, s, 2 * i + (fields && p->fields_as_packets), fields && p->fields_as_packets ? 1 : 2, idr && !(fields && p->fields_as_packets));
    }
    return err;
}

int paff_write(const char *path, const paff *p)
{
    av_log_set_level(AV_LOG_FATAL);
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    bits b = {0};
    stream s = {0};
    int err = packet ? avformat_alloc_output_context2(&format, NULL, NULL, path) : AVERROR(ENOMEM);
    AVStream *video = err >= 0 ? avformat_new_stream(format, NULL) : NULL;
    if (video) {
        AVCodecParameters *c = video->codecpar;
        c->codec_type = AVMEDIA_TYPE_VIDEO;
        c->codec_id = AV_CODEC_ID_H264;
        c->width = p->width;
        c->height = p->height;
        c->format = AV_PIX_FMT_YUV420P;
        c->profile = 77;
        c->level = 30;
        put_parameter_sets(p, &b, &s);
        c->extradata = av_mallocz(s.size + AV_INPUT_BUFFER_PADDING_SIZE);
        if (c->extradata) memcpy(c->extradata, s.data, s.size), c->extradata_size = (int)s.size;
        s.size = 0;
        video->time_base = (AVRational){1, 50};
        video->avg_frame_rate = (AVRational){25, 1};
        err = avio_open(&format->pb, path, AVIO_FLAG_WRITE);
        if (err >= 0) err = avformat_write_header(format, NULL);
        if (err >= 0) err = write_pictures(p, format, packet, &b, &s);
        if (err >= 0) err = av_write_trailer(format);
        avio_closep(&format->pb);
    }
    if (err < 0) fprintf(stderr, "paff: %s: %s\n", path, av_err2str(err));
    avformat_free_context(format);
    av_packet_free(&packet);
    free(b.data);
    free(s.data);
    return err < 0 ? -1 : 0;
}
