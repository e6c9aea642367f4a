/* The PNG writer: rows filtered with vector code, one zlib stream (png_deflate.h; libdeflate for the small files; ISA-L
 * where the codes come out longer than the data), CRCs by libdeflate. */
#include "base/crc.h"
#include "sink/png_deflate.h"
#include "sink/png_file.h"
#include "sink/png_filter.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

/* Bytes in front of a row, so that "the pixel to the left" always exists; they stay 0. Rows begin with a line of the cache. */
#define ROW_MARGIN 64

struct ib_png_encoder {
    int width, height, level;
    size_t row_bytes; /* 2 * width */
    uint8_t *rows;    /* two rows, big-endian, each with a margin in front and slack behind */
    uint8_t *filtered;
    size_t filtered_size;
    uint8_t *out; /* the whole file */
    size_t out_capacity;
    ib_png_deflate *deflate;
    ib_png_filter filter; /* Paeth */
    struct isal_zstream *stream;
    uint8_t *level_buf;
    struct libdeflate_compressor *compressor;
};

static size_t row_stride(const ib_png_encoder *encoder)
{
    return ROW_MARGIN + ((encoder->row_bytes + IB_PNG_FILTER_SLACK + 63) & ~(size_t)63);
}

isobath_status ib_png_encoder_create(int width, int height, int level, ib_diag *diag, ib_png_encoder **out)
{
    *out = NULL;
    if (((uint64_t)width * 2 + 1) * (uint64_t)height >= UINT32_MAX)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "a PNG of %dx%d is too large", width, height);
    ib_png_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a PNG writer");
    encoder->width = width;
    encoder->height = height;
    encoder->level = level;
    encoder->filter = ib_png_filter_find(0);
    encoder->row_bytes = (size_t)width * 2;
    encoder->filtered_size = (encoder->row_bytes + 1) * (size_t)height;
    encoder->rows = aligned_alloc(64, 2 * row_stride(encoder)); /* filter_frame clears it */
    encoder->filtered = malloc(encoder->filtered_size + IB_PNG_FILTER_SLACK);
    size_t bound = encoder->filtered_size + encoder->filtered_size / 8 + 4096;
    if (level > 0) {
        encoder->compressor = libdeflate_alloc_compressor(level > 9 ? 12 : level + 3);
        if (encoder->compressor) bound = libdeflate_zlib_compress_bound(encoder->compressor, encoder->filtered_size);
    } else {
        encoder->deflate = ib_png_deflate_create(0);
        encoder->stream = malloc(sizeof *encoder->stream);
        encoder->level_buf = malloc(ISAL_DEF_LVL3_DEFAULT);
    }
    encoder->out_capacity = bound + 65536; /* room for headers and texts */
    encoder->out = malloc(encoder->out_capacity);
    if (!encoder->rows || !encoder->filtered || !encoder->out ||
        (level > 0 ? !encoder->compressor : !encoder->deflate || !encoder->stream || !encoder->level_buf)) {
        ib_png_encoder_destroy(encoder);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a PNG writer of %dx%d", width, height);
    }
    *out = encoder;
    return ISOBATH_OK;
}

void ib_png_encoder_destroy(ib_png_encoder *encoder)
{
    if (!encoder) return;
    free(encoder->rows);
    free(encoder->filtered);
    free(encoder->out);
    ib_png_deflate_destroy(encoder->deflate);
    free(encoder->stream);
    free(encoder->level_buf);
    libdeflate_free_compressor(encoder->compressor);
    free(encoder);
}

static void filter_up(const uint8_t *cur, const uint8_t *up, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(cur[i] - up[i]);
}

void ib_png_big_endian(const uint16_t *q, int n, uint16_t *out)
{
    int x = 0;
#ifdef __SSE4_1__
    const __m128i swap = _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    for (; x + 8 <= n; x += 8)
        _mm_storeu_si128((__m128i *)(out + x), _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(q + x)), swap));
#endif
    for (; x < n; x++) out[x] = __builtin_bswap16(q[x]);
}

/* Where rows come from: a whole picture, or whoever makes them. */
typedef struct row_source {
    const uint16_t *q;
    int (*row)(void *ctx, int y, uint16_t *q);
    void *ctx;
} row_source;

/* 0: a row could not be made. */
static int filter_frame(ib_png_encoder *encoder, const row_source *source)
{
    size_t stride = row_stride(encoder);
    uint8_t *up = encoder->rows + ROW_MARGIN, *cur = up + stride;
    memset(encoder->rows, 0, 2 * stride);
    uint8_t *out = encoder->filtered;
    if (encoder->deflate) ib_png_deflate_begin(encoder->deflate, out, encoder->filtered_size);
    for (int y = 0; y < encoder->height; y++) {
        uint16_t *samples = (uint16_t *)(void *)cur;
        if (!source->row) ib_png_big_endian(source->q + (size_t)y * (size_t)encoder->width, encoder->width, samples);
        else if (!source->row(source->ctx, y, samples)) return 0;
        *out++ = encoder->level > 0 ? 2 : 4;
        if (encoder->level > 0)
            filter_up(cur, up, encoder->row_bytes, out);
        else
            encoder->filter(cur, up, encoder->row_bytes, out);
        out += encoder->row_bytes;
        if (encoder->deflate) ib_png_deflate_count(encoder->deflate, (size_t)(out - encoder->filtered));
        uint8_t *t = up;
        up = cur;
        cur = t;
    }
    return 1;
}

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* Completes the chunk whose `length` data bytes already stand at p + 8; returns its end. */
static uint8_t *finish_chunk(uint8_t *p, const char *type, size_t length)
{
    put_be32(p, (uint32_t)length);
    memcpy(p + 4, type, 4);
    put_be32(p + 8 + length, ib_crc32(0, p + 4, length + 4));
    return p + 12 + length;
}

/* The zlib stream of the filtered rows; returns its size, 0 on failure. */
static size_t compress_rows(ib_png_encoder *encoder, uint8_t *out, size_t capacity)
{
    if (encoder->level > 0)
        return libdeflate_zlib_compress(encoder->compressor, encoder->filtered, encoder->filtered_size, out, capacity);
    size_t n = ib_png_deflate_write(encoder->deflate, out, capacity);
    if (n > 0) return n;
    struct isal_zstream *stream = encoder->stream;
    isal_deflate_stateless_init(stream);
    stream->hist_bits = 0; /* the init leaves it as it was */
    stream->next_in = encoder->filtered;
    stream->avail_in = (uint32_t)encoder->filtered_size;
    stream->next_out = out;
    stream->avail_out = (uint32_t)capacity;
    stream->level = 3;
    stream->level_buf = encoder->level_buf;
    stream->level_buf_size = ISAL_DEF_LVL3_DEFAULT;
    stream->end_of_stream = 1;
    stream->flush = NO_FLUSH;
    stream->gzip_flag = IGZIP_ZLIB;
    if (isal_deflate_stateless(stream) != COMP_OK || stream->avail_in != 0) return 0;
    return stream->total_out;
}

static isobath_status encode(ib_png_encoder *encoder, const row_source *source, const ib_png_text *texts, int text_count, ib_diag *diag,
                             const uint8_t **data, size_t *size)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t *p = encoder->out;
    memcpy(p, signature, 8);
    p += 8;
    put_be32(p + 8, (uint32_t)encoder->width);
    put_be32(p + 12, (uint32_t)encoder->height);
    memcpy(p + 16, "\x10\0\0\0", 5); /* 16 bits, grey, deflate, adaptive filters, not interlaced */
    p = finish_chunk(p, "IHDR", 13);
    for (int i = 0; i < text_count; i++) {
        size_t key = strlen(texts[i].key), value = strlen(texts[i].value);
        memcpy(p + 8, texts[i].key, key + 1);
        memcpy(p + 8 + key + 1, texts[i].value, value);
        p = finish_chunk(p, "tEXt", key + 1 + value);
    }
    *data = NULL;
    *size = 0;
    if (!filter_frame(encoder, source)) return ISOBATH_OK;
    size_t room = encoder->out_capacity - (size_t)(p - encoder->out) - 32;
    size_t n = compress_rows(encoder, p + 8, room);
    if (n == 0)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "deflate of a %dx%d frame failed", encoder->width, encoder->height);
    p = finish_chunk(p, "IDAT", n);
    p = finish_chunk(p, "IEND", 0);
    *data = encoder->out;
    *size = (size_t)(p - encoder->out);
    return ISOBATH_OK;
}

isobath_status ib_png_encode(ib_png_encoder *encoder, const uint16_t *q, const ib_png_text *texts, int text_count,
                             ib_diag *diag, const uint8_t **data, size_t *size)
{
    return encode(encoder, &(row_source){.q = q}, texts, text_count, diag, data, size);
}

isobath_status ib_png_encoder_swap(ib_png_encoder *encoder, ib_diag *diag, uint8_t **buffer)
{
    uint8_t *next = *buffer ? *buffer : malloc(encoder->out_capacity);
    if (!next) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a PNG file of %dx%d", encoder->width, encoder->height);
    *buffer = encoder->out;
    encoder->out = next;
    return ISOBATH_OK;
}

isobath_status ib_png_encode_rows(ib_png_encoder *encoder, int (*row)(void *ctx, int y, uint16_t *q), void *ctx, const ib_png_text *texts,
                                  int text_count, ib_diag *diag, const uint8_t **data, size_t *size)
{
    return encode(encoder, &(row_source){.row = row, .ctx = ctx}, texts, text_count, diag, data, size);
}
