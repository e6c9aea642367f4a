/* OpenEXR in memory; see exr_encode.h. ZIP's own part (bytes split in two halves, differences) is vector-friendly C,
 * its deflate is ISA-L's: the library's hook for compression takes both. */
#ifdef ISOBATH_HAVE_EXR
#include "sink/exr_encode.h"

#include "base/half.h"
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <math.h>
#include <openexr.h>
#include <stdlib.h>
#include <string.h>

struct ib_exr_encoder {
    int width, height, half, z_only;
    exr_compression_t compression;
    ib_depth_kind kind;
    float pixel_aspect;
    uint16_t *half_rows; /* (H,W), half only */
    uint8_t *file;       /* what was written so far */
    size_t size, capacity;
    int no_memory; /* for it */
    struct isal_zstream *stream;
    uint8_t *level_buf, *split;
    size_t split_capacity;
};

/* The library's file is our buffer. */
static int64_t write_bytes(exr_const_context_t context, void *user, const void *data, uint64_t size, uint64_t offset,
                           exr_stream_error_func_ptr_t error)
{
    ib_exr_encoder *e = user;
    if (offset + size > e->capacity) {
        size_t capacity = e->capacity ? e->capacity : 1 << 16;
        while (capacity < offset + size) capacity *= 2;
        uint8_t *file = realloc(e->file, capacity);
        if (!file) {
            error(context, EXR_ERR_OUT_OF_MEMORY, "out of memory");
            e->no_memory = 1; /* the library's result only says that writing failed */
            return -1;
        }
        e->file = file;
        e->capacity = capacity;
    }
    memcpy(e->file + offset, data, size);
    if (offset + size > e->size) e->size = offset + size;
    return (int64_t)size;
}

static void on_error(exr_const_context_t context, exr_result_t code, const char *message)
{
    (void)context, (void)code, (void)message; /* results say it too; the library must not print */
}

/* EXR's ZIP: even bytes, then odd ones; differences (+128); zlib. Raw when that is not smaller. */
static exr_result_t compress_zip(exr_encode_pipeline_t *pipeline)
{
    ib_exr_encoder *e = pipeline->encoding_user_data;
    size_t n = pipeline->packed_bytes, bound = n + n / 32 + 4096;
    const uint8_t *in = pipeline->packed_buffer;
    if (n > e->split_capacity) {
        free(e->split);
        e->split = malloc(n);
        e->split_capacity = e->split ? n : 0;
        if (!e->split) return EXR_ERR_OUT_OF_MEMORY;
    }
    if (pipeline->compressed_alloc_size < bound) {
        free(pipeline->compressed_buffer); /* the default allocator of the library is malloc */
        pipeline->compressed_buffer = malloc(bound);
        pipeline->compressed_alloc_size = pipeline->compressed_buffer ? bound : 0;
        if (!pipeline->compressed_buffer) return EXR_ERR_OUT_OF_MEMORY;
    }
    uint8_t *even = e->split, *odd = e->split + (n + 1) / 2;
    for (size_t i = 0; i < n / 2; i++) {
        even[i] = in[2 * i];
        odd[i] = in[2 * i + 1];
    }
    if (n & 1) even[n / 2] = in[n - 1];
    for (size_t i = n - 1; i > 0; i--) e->split[i] = (uint8_t)(e->split[i] - e->split[i - 1] + 128);
    isal_deflate_stateless_init(e->stream);
    e->stream->hist_bits = 0; /* the init leaves it as it was */
    e->stream->next_in = e->split;
    e->stream->avail_in = (uint32_t)n;
    e->stream->next_out = pipeline->compressed_buffer;
    e->stream->avail_out = (uint32_t)bound;
    e->stream->level = 3;
    e->stream->level_buf = e->level_buf;
    e->stream->level_buf_size = ISAL_DEF_LVL3_DEFAULT;
    e->stream->end_of_stream = 1;
    e->stream->gzip_flag = IGZIP_ZLIB;
    if (isal_deflate_stateless(e->stream) != COMP_OK || e->stream->avail_in != 0) return EXR_ERR_UNKNOWN;
    pipeline->compressed_bytes = e->stream->total_out;
    if (pipeline->compressed_bytes >= n) {
        memcpy(pipeline->compressed_buffer, in, n);
        pipeline->compressed_bytes = n;
    }
    return EXR_ERR_SUCCESS;
}

typedef struct compression_name {
    const char *name;
    exr_compression_t value;
} compression_name;

/* NULL: there is none of this name. */
static const compression_name *find_compression(const char *name)
{
    static const compression_name names[] = {{"zip", EXR_COMPRESSION_ZIP}, {"piz", EXR_COMPRESSION_PIZ}, {"pxr24", EXR_COMPRESSION_PXR24},
                                             {"none", EXR_COMPRESSION_NONE}};
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i].name, name ? name : "zip") == 0) return &names[i];
    return NULL;
}

isobath_status ib_exr_check_compression(const char *name, ib_diag *diag)
{
    if (find_compression(name)) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_USAGE, "--exr-compression %s: expected zip, piz, pxr24 or none", name);
}

isobath_status ib_exr_encoder_create(int width, int height, const char *compression, int half, int z_only, ib_depth_kind kind,
                                     double pixel_aspect, ib_diag *diag, ib_exr_encoder **out)
{
    *out = NULL;
    IB_TRY(ib_exr_check_compression(compression, diag));
    ib_exr_encoder *e = calloc(1, sizeof *e);
    if (!e) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for an EXR writer");
    e->width = width;
    e->height = height;
    e->half = half;
    e->z_only = z_only;
    e->kind = kind;
    e->compression = find_compression(compression)->value;
    e->pixel_aspect = (float)pixel_aspect;
    if (half) e->half_rows = malloc((size_t)width * (size_t)height * sizeof *e->half_rows);
    e->stream = malloc(sizeof *e->stream);
    e->level_buf = malloc(ISAL_DEF_LVL3_DEFAULT);
    if ((half && !e->half_rows) || !e->stream || !e->level_buf) {
        ib_exr_encoder_destroy(e);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for an EXR writer of %dx%d", width, height);
    }
    *out = e;
    return ISOBATH_OK;
}

void ib_exr_encoder_destroy(ib_exr_encoder *e)
{
    if (!e) return;
    free(e->half_rows);
    free(e->file);
    free(e->stream);
    free(e->level_buf);
    free(e->split);
    free(e);
}

static exr_result_t write_header(exr_context_t context, const ib_exr_encoder *e, const ib_depth_frame *frame)
{
    int part;
    int metric = e->kind == IB_DEPTH_METRIC;
    exr_result_t r = exr_add_part(context, "depth", EXR_STORAGE_SCANLINE, &part);
    if (r == EXR_ERR_SUCCESS)
        r = exr_initialize_required_attr_simple(context, part, e->width, e->height, e->compression);
    if (r == EXR_ERR_SUCCESS && e->pixel_aspect != 1) r = exr_set_pixel_aspect_ratio(context, part, e->pixel_aspect);
    for (int c = e->z_only ? 1 : 0; r == EXR_ERR_SUCCESS && c < 2; c++)
        r = exr_add_channel(context, part, c ? "Z" : "Y", e->half ? EXR_PIXEL_HALF : EXR_PIXEL_FLOAT, EXR_PERCEPTUALLY_LINEAR, 1,
                            1);
    if (r == EXR_ERR_SUCCESS) r = exr_attr_set_string(context, part, "isobath:kind", metric ? "metric" : "disparity");
    if (r == EXR_ERR_SUCCESS) r = exr_attr_set_string(context, part, "isobath:unit", metric ? "metre" : "relative");
    if (r == EXR_ERR_SUCCESS) r = exr_attr_set_double(context, part, "isobath:frame", (double)frame->index);
    if (r == EXR_ERR_SUCCESS) r = exr_attr_set_double(context, part, "isobath:time_us", (double)frame->pts_us);
    return r == EXR_ERR_SUCCESS ? exr_write_header(context) : r;
}

static exr_result_t write_pixels(exr_context_t context, ib_exr_encoder *e, const float *depth)
{
    exr_encode_pipeline_t pipeline = EXR_ENCODE_PIPELINE_INITIALIZER;
    int32_t lines;
    exr_result_t r = exr_get_scanlines_per_chunk(context, 0, &lines);
    for (int y = 0; r == EXR_ERR_SUCCESS && y < e->height; y += lines) {
        exr_chunk_info_t chunk;
        r = exr_write_scanline_chunk_info(context, 0, y, &chunk);
        if (r == EXR_ERR_SUCCESS)
            r = y ? exr_encoding_update(context, 0, &chunk, &pipeline)
                  : exr_encoding_initialize(context, 0, &chunk, &pipeline);
        if (r != EXR_ERR_SUCCESS) break;
        size_t at = (size_t)y * (size_t)e->width, bytes = e->half ? 2 : 4;
        for (int i = 0; i < pipeline.channel_count; i++) {
            exr_coding_channel_info_t *c = &pipeline.channels[i];
            c->encode_from_ptr = e->half ? (const uint8_t *)(e->half_rows + at) : (const uint8_t *)(depth + at);
            c->user_pixel_stride = (int32_t)bytes;
            c->user_line_stride = (int32_t)(bytes * (size_t)e->width);
            c->user_bytes_per_element = (int16_t)bytes;
            c->user_data_type = e->half ? EXR_PIXEL_HALF : EXR_PIXEL_FLOAT;
        }
        if (y == 0) {
            r = exr_encoding_choose_default_routines(context, 0, &pipeline);
            if (e->compression == EXR_COMPRESSION_ZIP) {
                pipeline.encoding_user_data = e;
                pipeline.compress_fn = compress_zip;
            }
        }
        if (r == EXR_ERR_SUCCESS) r = exr_encoding_run(context, 0, &pipeline);
    }
    exr_encoding_destroy(context, &pipeline);
    return r;
}

isobath_status ib_exr_encode(ib_exr_encoder *e, const ib_depth_frame *frame, ib_diag *diag, const uint8_t **data,
                             size_t *size)
{
    int64_t n = (int64_t)e->width * e->height;
    for (int64_t i = 0; e->half && i < n; i++) {
        e->half_rows[i] = ib_f32_to_f16(frame->depth[i]);
        if ((e->half_rows[i] & 0x7c00) == 0x7c00)
            return ib_fail(diag, ISOBATH_ERR_INPUT,
                           "frame %" PRId64 " holds %g, which 16-bit floats cannot: write 32-bit ones", frame->index,
                           (double)frame->depth[i]);
    }
    exr_context_t context = NULL;
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    init.user_data = e;
    init.write_fn = write_bytes;
    init.error_handler_fn = on_error;
    e->size = 0;
    e->no_memory = 0;
    exr_result_t r = exr_start_write(&context, "depth.exr", EXR_WRITE_FILE_DIRECTLY, &init);
    if (r == EXR_ERR_SUCCESS) r = write_header(context, e, frame);
    if (r == EXR_ERR_SUCCESS) r = write_pixels(context, e, frame->depth);
    exr_result_t end = exr_finish(&context);
    if (r == EXR_ERR_SUCCESS) r = end;
    if (r == EXR_ERR_OUT_OF_MEMORY || e->no_memory)
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for EXR frame %" PRId64, frame->index);
    if (r != EXR_ERR_SUCCESS)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "EXR frame %" PRId64 ": %s", frame->index,
                       exr_get_default_error_message(r));
    *data = e->file;
    *size = e->size;
    return ISOBATH_OK;
}
#else
typedef int ib_exr_encode_is_not_built; /* a translation unit must not be empty */
#endif
