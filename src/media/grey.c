/* Grey video; see grey.h. */
#include "media/grey.h"
#include "media/decoder.h"
#include "media/input.h"
#include "media/log.h"

#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIP = 60 }; /* frames that are sooner decoded than jumped over: a jump decodes a second of video */

struct ib_grey {
    ib_grey_info info;
    ib_diag *diag;
    char *path;
    ib_media_options options;
    AVDictionary *tags;
    int64_t *times, capacity; /* microseconds */
    ib_decoder *decoder;
    int64_t next; /* frame that the decoder gives next */
};

static int by_time(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

/* Counts packets; their sorted times are the frames' times. */
static isobath_status look_through(ib_grey *g, ib_input *in)
{
    AVPacket *packet = av_packet_alloc();
    char text[384];
    int64_t n = 0;
    isobath_status st = packet ? ISOBATH_OK : ISOBATH_ERR_MEMORY;
    while (st == ISOBATH_OK) {
        ib_packet_result r = ib_input_next(in, packet, text, sizeof text);
        if (r == IB_PACKET_END) break;
        if (r != IB_PACKET_OK) {
            st = ib_fail(g->diag, ISOBATH_ERR_INPUT, "%s: damaged: %s", g->path, text);
            break;
        }
        if (n == g->capacity) {
            int64_t capacity = n ? 2 * n : 1024, *times = realloc(g->times, (size_t)capacity * sizeof *times);
            if (!times) {
                st = ISOBATH_ERR_MEMORY;
                break;
            }
            g->times = times;
            g->capacity = capacity;
        }
        double seconds = packet->pts == AV_NOPTS_VALUE ? (double)n / (in->fps > 0 ? in->fps : 30)
                                                       : (double)packet->pts * av_q2d(in->time_base);
        g->times[n++] = fabs(seconds) < 9e9 ? llrint(seconds * 1e6) : 0;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    if (st == ISOBATH_ERR_MEMORY) return ib_fail(g->diag, st, "%s: out of memory", g->path);
    if (st == ISOBATH_OK && n == 0) st = ib_fail(g->diag, ISOBATH_ERR_INPUT, "%s: no frames", g->path);
    if (st != ISOBATH_OK) return st;
    qsort(g->times, (size_t)n, sizeof *g->times, by_time);
    for (int64_t i = n - 1; i >= 0; i--) g->times[i] -= g->times[0];
    g->info.frames = n;
    return ISOBATH_OK;
}

static isobath_status open_input(ib_grey *g)
{
    ib_input in;
    IB_TRY(ib_input_open(&in, g->path, &g->options, g->diag));
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(in.codec->format);
    isobath_status st = ISOBATH_OK;
    if (!in.format || !d || d->nb_components != 1 ||
        (d->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BITSTREAM)) ||
        d->comp[0].depth < 8 || d->comp[0].depth > 16)
        st = ib_fail(g->diag, ISOBATH_ERR_INPUT,
                     "%s: a video of %s pictures; depth is read from grey video of 8 to 16 bits (FFV1)", g->path,
                     d ? d->name : "unknown");
    if (st == ISOBATH_OK) {
        av_dict_copy(&g->tags, in.format->metadata, 0);
        av_dict_copy(&g->tags, in.stream->metadata, AV_DICT_DONT_OVERWRITE);
        g->info.width = in.codec->width;
        g->info.height = in.codec->height;
        g->info.bits = d->comp[0].depth;
        snprintf(g->info.codec, sizeof g->info.codec, "%s", avcodec_get_name(in.codec->codec_id));
        st = look_through(g, &in);
    }
    ib_input_close(&in);
    return st;
}

isobath_status ib_grey_open(const char *path, int threads, ib_diag *diag, ib_grey **out)
{
    *out = NULL;
    ib_log_init();
    ib_grey *g = calloc(1, sizeof *g);
    if (!g || !(g->path = strdup(path))) {
        free(g);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
    }
    g->diag = diag;
    g->options.threads = threads;
    g->options.max_pixels = (int64_t)1 << 28;
    isobath_status st = open_input(g);
    if (st != ISOBATH_OK)
        ib_grey_close(g);
    else
        *out = g;
    return st;
}

void ib_grey_close(ib_grey *g)
{
    if (!g) return;
    ib_decoder_close(g->decoder);
    av_dict_free(&g->tags);
    free(g->times);
    free(g->path);
    free(g);
}

const ib_grey_info *ib_grey_get_info(const ib_grey *g) { return &g->info; }
int64_t ib_grey_time_us(const ib_grey *g, int64_t i) { return g->times[i]; }

const char *ib_grey_tag(const ib_grey *g, const char *key)
{
    const AVDictionaryEntry *e = av_dict_get(g->tags, key, NULL, 0);
    return e ? e->value : NULL;
}

static isobath_status copy_samples(const ib_grey *g, int64_t i, const AVFrame *f, float *samples)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    if (!d || d->nb_components != 1 || d->comp[0].depth != g->info.bits || f->width != g->info.width ||
        f->height != g->info.height)
        return ib_fail(g->diag, ISOBATH_ERR_INPUT, "%s: frame %lld is of another size or format than the first",
                       g->path, (long long)i);
    int wide = g->info.bits > 8, big = (d->flags & AV_PIX_FMT_FLAG_BE) != 0;
    for (int y = 0; y < f->height; y++) {
        const uint8_t *p = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        for (int x = 0; x < f->width; x++)
            *samples++ = wide ? (float)(p[2 * x + big] | p[2 * x + !big] << 8) : (float)p[x];
    }
    return ISOBATH_OK;
}

static isobath_status reopen(ib_grey *g)
{
    ib_decoder_close(g->decoder);
    g->decoder = NULL;
    g->next = 0;
    return ib_decoder_open(g->path, &g->options, g->diag, &g->decoder);
}

isobath_status ib_grey_read(ib_grey *g, int64_t i, float *samples)
{
    ib_decoded frame;
    int got = 1, arrived = 0;
    if (!g->decoder) IB_TRY(reopen(g));
    if (i < g->next || i > g->next + SKIP) {
        if (ib_decoder_can_seek(g->decoder)) IB_TRY(ib_decoder_seek(g->decoder, i, g->times[i], -1, &frame, &arrived));
        if (!arrived)
            IB_TRY(reopen(g));
        else
            g->next = i + 1;
    }
    while (!arrived && got && g->next <= i) {
        IB_TRY(ib_decoder_next(g->decoder, &frame, &got));
        g->next += got;
    }
    if (!got)
        return ib_fail(g->diag, ISOBATH_ERR_INPUT, "%s: ends after frame %lld; its packets promise %lld", g->path,
                       (long long)g->next - 1, (long long)g->info.frames);
    return copy_samples(g, i, frame.frame, samples);
}
