/* The PNG reader: grey depth pictures, ours (png_fast.h) or foreign (libpng). */
#include "sink/file.h"
#include "sink/png_fast.h"
#include "sink/png_file.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 31)
#define MAX_TEXTS 32

typedef struct source {
    const uint8_t *data;
    size_t size, position;
    char message[160];
} source;

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    source *src = png_get_io_ptr(png);
    if (n > src->size - src->position) png_error(png, "the file ends too early");
    memcpy(out, src->data + src->position, n);
    src->position += n;
}

static void on_error(png_structp png, png_const_charp message)
{
    source *src = png_get_error_ptr(png);
    snprintf(src->message, sizeof src->message, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void keep_texts(png_structp png, png_infop info, ib_png_image *image)
{
    png_textp texts = NULL;
    int n = png_get_text(png, info, &texts, NULL);
    if (n <= 0) return;
    image->texts = calloc(MAX_TEXTS, sizeof *image->texts);
    for (int i = 0; i < n && image->texts && image->text_count < MAX_TEXTS; i++) {
        if (strncmp(texts[i].key, "isobath:", 8) != 0 || !texts[i].text) continue;
        ib_png_text *t = &image->texts[image->text_count];
        if (strlen(texts[i].text) >= sizeof t->value || strlen(texts[i].key) >= sizeof t->key) continue;
        strcpy(t->key, texts[i].key);
        strcpy(t->value, texts[i].text);
        image->text_count++;
    }
}

/* One row of `channels` samples of 8 or 16 bits to grey; 0 when the channels differ. */
static int row_to_grey(const uint8_t *row, int width, int bits, int channels, uint16_t *out)
{
    for (int x = 0; x < width; x++) {
        uint16_t v[3];
        for (int c = 0; c < channels; c++) {
            size_t i = (size_t)x * (size_t)channels + (size_t)c;
            v[c] = bits == 16 ? (uint16_t)(row[2 * i] << 8 | row[2 * i + 1]) : row[i];
        }
        if (channels == 3 && (v[0] != v[1] || v[0] != v[2])) return 0;
        out[x] = v[0];
    }
    return 1;
}

/* Everything that libpng may longjmp out of. Memory hangs on `image` and *rows, so that the caller frees it. */
static isobath_status decode_body(png_structp png, png_infop info, source *src, const char *name, ib_diag *diag,
                                  ib_png_image *image, uint8_t **rows)
{
    png_set_read_fn(png, src, read_bytes);
    png_set_user_limits(png, 65500, 65500);
    png_set_chunk_cache_max(png, 256);
    png_set_chunk_malloc_max(png, 1 << 20);
    png_read_info(png, info);
    png_uint_32 width, height;
    int bits, colour, interlace;
    png_get_IHDR(png, info, &width, &height, &bits, &colour, &interlace, NULL, NULL);
    /* deflate cannot shrink below 1/1032: a larger claim is a lie that would cost memory */
    if ((uint64_t)width * height * (unsigned)bits / 8 / 1040 > src->size)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: PNG header claims %ux%u at %d bits, too much for %zu bytes", name,
                       width, height, bits, src->size);
    if (bits < 8) png_set_packing(png);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (colour & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    image->width = (int)width;
    image->height = (int)height;
    image->bits = png_get_bit_depth(png, info);
    int channels = png_get_channels(png, info);
    size_t row_bytes = png_get_rowbytes(png, info);
    if ((image->bits != 8 && image->bits != 16) || (channels != 1 && channels != 3))
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: PNG with %d channels of %d bits; expected grey of 8 or 16", name,
                       channels, image->bits);
    /* interlaced pictures are assembled whole; the others row by row */
    int whole = passes > 1;
    *rows = malloc(whole ? row_bytes * height : row_bytes);
    image->q = malloc((size_t)width * height * sizeof *image->q);
    if (!*rows || !image->q)
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for %ux%u pixels", name, width, height);
    for (int pass = 0; whole && pass < passes; pass++)
        for (png_uint_32 y = 0; y < height; y++) png_read_row(png, *rows + y * row_bytes, NULL);
    for (png_uint_32 y = 0; y < height; y++) {
        const uint8_t *row = whole ? *rows + y * row_bytes : *rows;
        if (!whole) png_read_row(png, *rows, NULL);
        if (!row_to_grey(row, image->width, image->bits, channels, image->q + (size_t)y * width))
            return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: a coloured PNG; depth is read from grey ones", name);
    }
    png_read_end(png, info);
    keep_texts(png, info, image);
    return ISOBATH_OK;
}

/* Only this frame is longjmped into; what must survive the jump lives in the caller's. */
static isobath_status decode_guarded(png_structp png, png_infop info, source *src, const char *name, ib_diag *diag,
                                     ib_png_image *image, uint8_t **rows)
{
    if (setjmp(png_jmpbuf(png))) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged PNG: %s", name, src->message);
    return decode_body(png, info, src, name, diag, image, rows);
}

/* Chunks must lie inside the file up to IEND: libpng would allocate and clear what a length claims before it reads. */
static int chunks_fit(const uint8_t *data, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        uint64_t length =
            (uint32_t)data[at] << 24 | (uint32_t)data[at + 1] << 16 | (uint32_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - at - 12) return 0;
        if (memcmp(data + at + 4, "IEND", 4) == 0) return 1;
        at += (size_t)length + 12;
    }
    return 0;
}

isobath_status ib_png_decode(const uint8_t *data, size_t size, const char *name, ib_diag *diag, ib_png_image *image)
{
    memset(image, 0, sizeof *image);
    if (size < 8 || png_sig_cmp(data, 0, 8) != 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a PNG file", name);
    if (!chunks_fit(data, size)) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged PNG: it ends too early", name);
    if (ib_png_decode_fast(data, size, image)) return ISOBATH_OK;
    source src = {data, size, 0, ""};
    uint8_t *rows = NULL;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &src, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    isobath_status st;
    if (!info)
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
    else
        st = decode_guarded(png, info, &src, name, diag, image, &rows);
    png_destroy_read_struct(&png, &info, NULL);
    free(rows);
    if (st != ISOBATH_OK) ib_png_image_free(image);
    return st;
}

isobath_status ib_png_read(const char *path, ib_diag *diag, ib_png_image *image)
{
    uint8_t *data;
    size_t size;
    memset(image, 0, sizeof *image);
    IB_TRY(ib_read_file(path, MAX_FILE, diag, &data, &size));
    isobath_status st = ib_png_decode(data, size, path, diag, image);
    free(data);
    return st;
}

struct ib_png_reader {
    uint8_t *file;
    size_t capacity;
    ib_png_work work;
    ib_png_image image; /* of `work`, or its own when `other` */
    int other;
};

ib_png_reader *ib_png_reader_create(void) { return calloc(1, sizeof(ib_png_reader)); }

static void forget_image(ib_png_reader *r)
{
    if (r->other) ib_png_image_free(&r->image);
    r->other = 0;
}

void ib_png_reader_destroy(ib_png_reader *r)
{
    if (!r) return;
    forget_image(r);
    ib_png_work_free(&r->work);
    free(r->file);
    free(r);
}

isobath_status ib_png_reader_read(ib_png_reader *r, const char *path, ib_diag *diag, const ib_png_image **image)
{
    size_t size;
    forget_image(r);
    IB_TRY(ib_read_file_again(path, MAX_FILE, diag, &r->file, &r->capacity, &size));
    if (!ib_png_decode_fast_again(&r->work, r->file, size, &r->image)) {
        IB_TRY(ib_png_decode(r->file, size, path, diag, &r->image));
        r->other = 1;
    }
    *image = &r->image;
    return ISOBATH_OK;
}

void ib_png_image_free(ib_png_image *image)
{
    free(image->q);
    free(image->texts);
    memset(image, 0, sizeof *image);
}

const char *ib_png_image_text(const ib_png_image *image, const char *key)
{
    for (int i = 0; i < image->text_count; i++)
        if (strcmp(image->texts[i].key, key) == 0) return image->texts[i].value;
    return NULL;
}
