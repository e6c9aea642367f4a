/* 16-bit grey PNG files: our own writer (IHDR, tEXt, one IDAT, IEND) and a reader on libpng. */
#ifndef IB_SINK_PNG_FILE_H
#define IB_SINK_PNG_FILE_H

#include "base/diag.h"
#include <stddef.h>
#include <stdint.h>

/* A tEXt chunk: key of 1..79 Latin-1 letters, any text. */
typedef struct ib_png_text {
    char key[80];
    char value[128];
} ib_png_text;

/* Compresses frames of one size; owns its scratch memory (about 5 bytes per pixel). One thread at a time. */
typedef struct ib_png_encoder ib_png_encoder;

/* level 0: Paeth filter, Huffman codes and zero runs (fast; the same bytes on every CPU); 1..9: Up filter and
 * libdeflate's level `level` + 3. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_png_encoder_create(int width, int height, int level, ib_diag *diag, ib_png_encoder **out);
void ib_png_encoder_destroy(ib_png_encoder *encoder);
/* Encodes q (H,W). *data stays valid until the next call. The bytes depend on q, the texts and the level only.
 * Errors: ISOBATH_ERR_INTERNAL. */
isobath_status ib_png_encode(ib_png_encoder *encoder, const uint16_t *q, const ib_png_text *texts, int text_count,
                             ib_diag *diag, const uint8_t **data, size_t *size);
/* The same of rows that are made as they are needed, from 0 on: `row` fills q (W) with big-endian samples. When it returns 0 there is no file: *data is NULL. */
isobath_status ib_png_encode_rows(ib_png_encoder *encoder, int (*row)(void *ctx, int y, uint16_t *q), void *ctx, const ib_png_text *texts,
                                  int text_count, ib_diag *diag, const uint8_t **data, size_t *size);
/* Native samples to big-endian ones, in place or not. */
void ib_png_big_endian(const uint16_t *q, int n, uint16_t *out);
/* Hands over the memory that the last file is in, for the like of an encoder of the same size (*buffer, or NULL: none yet), which the next one goes
 * into. The caller frees. ISOBATH_ERR_MEMORY: nothing has changed. */
isobath_status ib_png_encoder_swap(ib_png_encoder *encoder, ib_diag *diag, uint8_t **buffer);

/* A decoded grey picture of 8 or 16 bits (8-bit values are kept as they are, 0..255). */
typedef struct ib_png_image {
    int width, height, bits;
    uint16_t *q;        /* (H,W) */
    ib_png_text *texts; /* tEXt chunks with keys that begin with "isobath:" */
    int text_count;
} ib_png_image;

/* Decodes a PNG file in memory; `name` is for the error line. Grey, or RGB with three equal channels; alpha is ignored.
 * Checks the header's claim against the file's size before it allocates.
 * Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status ib_png_decode(const uint8_t *data, size_t size, const char *name, ib_diag *diag, ib_png_image *image);
isobath_status ib_png_read(const char *path, ib_diag *diag, ib_png_image *image);
/* Reads many files one after the other with the same memory; one thread at a time. */
typedef struct ib_png_reader ib_png_reader;
ib_png_reader *ib_png_reader_create(void); /* NULL: out of memory */
void ib_png_reader_destroy(ib_png_reader *reader);
/* As ib_png_read, but *image belongs to the reader, until the next call. */
isobath_status ib_png_reader_read(ib_png_reader *reader, const char *path, ib_diag *diag, const ib_png_image **image);
void ib_png_image_free(ib_png_image *image);
/* The value of a text, or NULL. */
const char *ib_png_image_text(const ib_png_image *image, const char *key);

#endif
