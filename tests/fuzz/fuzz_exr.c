/* Our EXR writer on any values and sizes: what OpenEXR's own decoder reads is what went in. */
#ifdef ISOBATH_HAVE_EXR
#include "sink/exr_encode.h"

#include <openexr.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct memory_file {
    const uint8_t *data;
    size_t size;
} memory_file;

static int64_t read_bytes(exr_const_context_t context, void *user, void *out, uint64_t size, uint64_t offset,
                          exr_stream_error_func_ptr_t error)
{
    (void)context, (void)error;
    memory_file *file = user;
    if (offset > file->size) return -1;
    if (size > file->size - offset) size = file->size - offset;
    memcpy(out, file->data + offset, size);
    return (int64_t)size;
}

static int64_t file_size(exr_const_context_t context, void *user)
{
    (void)context;
    return (int64_t)((memory_file *)user)->size;
}

static void must(int ok)
{
    if (!ok) abort();
}

static void compare(memory_file *file, const ib_depth_frame *frame, int channels)
{
    ptrdiff_t pixels = (ptrdiff_t)frame->width * frame->height;
    exr_context_t context = NULL;
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    init.user_data = file;
    init.read_fn = read_bytes;
    init.size_fn = file_size;
    must(exr_start_read(&context, "memory", &init) == EXR_ERR_SUCCESS);
    float *out = malloc((size_t)channels * (size_t)pixels * sizeof *out);
    exr_decode_pipeline_t pipeline = EXR_DECODE_PIPELINE_INITIALIZER;
    int32_t lines;
    must(out && exr_get_scanlines_per_chunk(context, 0, &lines) == EXR_ERR_SUCCESS);
    for (int y = 0; y < frame->height; y += lines) {
        exr_chunk_info_t chunk;
        must(exr_read_scanline_chunk_info(context, 0, y, &chunk) == EXR_ERR_SUCCESS);
        must((y ? exr_decoding_update(context, 0, &chunk, &pipeline)
                : exr_decoding_initialize(context, 0, &chunk, &pipeline)) == EXR_ERR_SUCCESS);
        must(pipeline.channel_count == channels);
        for (int i = 0; i < channels; i++) {
            exr_coding_channel_info_t *c = &pipeline.channels[i];
            c->decode_to_ptr = (uint8_t *)(out + (ptrdiff_t)i * pixels + (ptrdiff_t)y * frame->width);
            c->user_pixel_stride = 4;
            c->user_line_stride = 4 * frame->width;
            c->user_bytes_per_element = 4;
            c->user_data_type = EXR_PIXEL_FLOAT;
        }
        if (y == 0) must(exr_decoding_choose_default_routines(context, 0, &pipeline) == EXR_ERR_SUCCESS);
        must(exr_decoding_run(context, 0, &pipeline) == EXR_ERR_SUCCESS);
    }
    for (int i = 0; i < channels; i++) must(memcmp(out + i * pixels, frame->depth, (size_t)pixels * sizeof *out) == 0);
    exr_decoding_destroy(context, &pipeline);
    exr_finish(&context);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) return 0;
    int width = 1 + data[0], height = 1 + data[1] % 64;
    static const char *const names[] = {"zip", "none"};
    const char *compression = names[data[2] % 2];
    int half = data[3] & 1, z_only = data[3] >> 1 & 1;
    data += 4;
    size -= 4;
    ib_depth_frame *frame;
    if (ib_depth_frame_create(width, height, 0, 0, 0, NULL, &frame) != ISOBATH_OK) return 0;
    size_t bytes = (size_t)width * (size_t)height * 4;
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)frame->depth)[i] = size ? data[i % size] : 0;
    ib_exr_encoder *encoder;
    const uint8_t *file;
    size_t file_bytes;
    must(ib_exr_encoder_create(width, height, compression, half, z_only, IB_DEPTH_METRIC, 1, NULL, &encoder) == ISOBATH_OK);
    isobath_status st = ib_exr_encode(encoder, frame, NULL, &file, &file_bytes);
    must(half || st == ISOBATH_OK);
    if (st == ISOBATH_OK && !half) compare(&(memory_file){file, file_bytes}, frame, z_only ? 1 : 2);
    ib_exr_encoder_destroy(encoder);
    ib_depth_frame_unref(frame);
    return 0;
}
#else
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size;
    return 0;
}
#endif
