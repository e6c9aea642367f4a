/* OpenEXR from memory; see exr_decode.h. */
#include "depthio/exr_decode.h"

#include "base/half.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#ifdef ISOBATH_HAVE_EXR
#include <openexr.h>

#define MAX_SIDE 65535
#define MAX_PIXELS ((int64_t)1 << 28)
#define MAX_CHANNELS 64

typedef struct memory_file {
    const uint8_t *data;
    size_t size;
} memory_file;

/* What is being read. */
typedef struct exr_run {
    exr_context_t context;
    const char *name;
    ib_diag *diag;
    float *out;
    int width, height, x0, y0; /* of the data window */
    char channel[64];
    exr_decode_pipeline_t pipeline;
    int started;     /* the pipeline */
    int index, x, y; /* of the channel in the pipeline; of the chunk in the picture */
} exr_run;

static int64_t read_bytes(exr_const_context_t context, void *user, void *out, uint64_t size, uint64_t offset,
                          exr_stream_error_func_ptr_t error)
{
    (void)context, (void)error;
    const memory_file *file = user;
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

static void on_error(exr_const_context_t context, exr_result_t code, const char *message)
{
    (void)context, (void)code, (void)message; /* results say it too; the library must not print */
}

static isobath_status failed(const exr_run *r, const char *what, exr_result_t code)
{
    return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: %s: %s", r->name, what, exr_get_default_error_message(code));
}

/* Names that depth goes by; a sole channel is depth whatever its name. */
static isobath_status find_channel(exr_run *r)
{
    static const char *const names[] = {"Z", "depth", "Depth", "disparity", "Y", "R"};
    const exr_attr_chlist_t *list;
    exr_result_t code = exr_get_channels(r->context, 0, &list);
    if (code != EXR_ERR_SUCCESS) return failed(r, "no channels", code);
    const exr_attr_chlist_entry_t *found = list->num_channels == 1 ? list->entries : NULL;
    for (size_t k = 0; k < sizeof names / sizeof *names && !found; k++)
        for (int i = 0; i < list->num_channels && !found; i++) {
            const char *name = list->entries[i].name.str, *dot = strrchr(name, '.');
            if (strcmp(name, names[k]) == 0 || (k == 0 && dot && strcmp(dot, ".Z") == 0)) found = &list->entries[i];
        }
    if (!found || list->num_channels > MAX_CHANNELS)
        return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: none of its %d channels is Z, depth, Y or R", r->name,
                       list->num_channels);
    if (found->x_sampling != 1 || found->y_sampling != 1)
        return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: channel %.40s is subsampled", r->name, found->name.str);
    snprintf(r->channel, sizeof r->channel, "%s", found->name.str);
    return ISOBATH_OK;
}

static isobath_status read_header(exr_run *r, ib_exr_picture *picture)
{
    exr_attr_box2i_t box;
    exr_result_t code = exr_get_data_window(r->context, 0, &box);
    if (code != EXR_ERR_SUCCESS) return failed(r, "no data window", code);
    int64_t w = (int64_t)box.max.x - box.min.x + 1, h = (int64_t)box.max.y - box.min.y + 1;
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE || w * h > MAX_PIXELS)
        return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: a picture of %lldx%lld", r->name, (long long)w, (long long)h);
    r->x0 = box.min.x, r->y0 = box.min.y;
    picture->width = r->width = (int)w;
    picture->height = r->height = (int)h;
    const char *kind;
    int32_t length;
    double time;
    picture->kind[0] = 0;
    picture->time_us = -1;
    if (exr_attr_get_string(r->context, 0, "isobath:kind", &length, &kind) == EXR_ERR_SUCCESS && length > 0)
        snprintf(picture->kind, sizeof picture->kind, "%.*s", length, kind);
    if (exr_attr_get_double(r->context, 0, "isobath:time_us", &time) == EXR_ERR_SUCCESS && fabs(time) < 9e15)
        picture->time_us = (int64_t)time;
    return find_channel(r);
}

static float one_sample(const uint8_t *p, int type)
{
    uint16_t half;
    uint32_t word;
    if (type == EXR_PIXEL_HALF) {
        memcpy(&half, p, sizeof half);
        return ib_f16_to_f32(half);
    }
    memcpy(&word, p, sizeof word);
    return type == EXR_PIXEL_UINT ? (float)word : ib_f32_from_bits(word);
}

/* Takes our channel out of a decompressed chunk: line by line, the lines of all channels one after the other. The
 * library's own routines for the usual three and four channels write through the pointers of channels that nobody asked
 * for. */
static exr_result_t unpack(exr_decode_pipeline_t *pipeline)
{
    const exr_run *r = pipeline->decoding_user_data;
    const uint8_t *p = pipeline->unpacked_buffer;
    uint64_t left = pipeline->chunk.unpacked_size;
    for (int y = 0; y < pipeline->chunk.height; y++)
        for (int i = 0; i < pipeline->channel_count; i++) {
            const exr_coding_channel_info_t *c = &pipeline->channels[i];
            int line = pipeline->chunk.start_y + y;
            if (c->y_samples > 1 && line % c->y_samples) continue;
            uint64_t bytes = (uint64_t)c->width * (uint64_t)c->bytes_per_element;
            if (!p || bytes > left) return EXR_ERR_CORRUPT_CHUNK;
            float *to = r->out + (int64_t)(r->y + y) * r->width + r->x;
            for (int x = 0; i == r->index && x < c->width; x++)
                to[x] = one_sample(p + (ptrdiff_t)x * c->bytes_per_element, c->data_type);
            p += bytes;
            left -= bytes;
        }
    return EXR_ERR_SUCCESS;
}

/* Decodes a chunk that covers (x,y) onwards of the picture. */
static isobath_status read_chunk(exr_run *r, const exr_chunk_info_t *chunk, int x, int y)
{
    exr_result_t code = r->started ? exr_decoding_update(r->context, 0, chunk, &r->pipeline)
                                   : exr_decoding_initialize(r->context, 0, chunk, &r->pipeline);
    if (code != EXR_ERR_SUCCESS) return failed(r, "cannot be decoded", code);
    int first = !r->started;
    r->started = 1;
    r->index = 0;
    while (r->index < r->pipeline.channel_count && strcmp(r->pipeline.channels[r->index].channel_name, r->channel) != 0)
        r->index++;
    if (r->index == r->pipeline.channel_count)
        return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: a part without its channel", r->name);
    const exr_coding_channel_info_t *z = &r->pipeline.channels[r->index];
    if (z->width < 1 || chunk->height < 1 || x < 0 || y < 0 || z->width > r->width - x || chunk->height > r->height - y)
        return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: a part of the picture lies outside of it", r->name);
    r->x = x, r->y = y;
    if (first) {
        code = exr_decoding_choose_default_routines(r->context, 0, &r->pipeline);
        if (code != EXR_ERR_SUCCESS) return failed(r, "cannot be decoded", code);
        r->pipeline.decoding_user_data = r;
    }
    r->pipeline.unpack_and_convert_fn = unpack;
    code = exr_decoding_run(r->context, 0, &r->pipeline);
    return code == EXR_ERR_SUCCESS ? ISOBATH_OK : failed(r, "damaged", code);
}

static isobath_status read_lines(exr_run *r)
{
    exr_chunk_info_t chunk;
    int32_t lines;
    exr_result_t code = exr_get_scanlines_per_chunk(r->context, 0, &lines);
    if (code != EXR_ERR_SUCCESS || lines < 1) return failed(r, "no lines", code);
    for (int64_t y = 0; y < r->height; y += lines) {
        code = exr_read_scanline_chunk_info(r->context, 0, (int)(r->y0 + y), &chunk);
        if (code != EXR_ERR_SUCCESS) return failed(r, "unfinished or damaged", code);
        IB_TRY(read_chunk(r, &chunk, 0, (int)y));
    }
    return ISOBATH_OK;
}

static isobath_status read_tiles(exr_run *r)
{
    exr_chunk_info_t chunk;
    int32_t w, h;
    exr_result_t code = exr_get_tile_sizes(r->context, 0, 0, 0, &w, &h);
    if (code != EXR_ERR_SUCCESS || w < 1 || h < 1) return failed(r, "no tiles", code);
    for (int64_t y = 0; y < r->height; y += h)
        for (int64_t x = 0; x < r->width; x += w) {
            code = exr_read_tile_chunk_info(r->context, 0, (int)(x / w), (int)(y / h), 0, 0, &chunk);
            if (code != EXR_ERR_SUCCESS) return failed(r, "unfinished or damaged", code);
            IB_TRY(read_chunk(r, &chunk, (int)x, (int)y));
        }
    return ISOBATH_OK;
}

isobath_status ib_exr_decode(const uint8_t *data, size_t size, const char *name, float *out, int width, int height,
                             ib_diag *diag, ib_exr_picture *picture)
{
    memory_file file = {data, size};
    exr_run r = {.name = name, .diag = diag, .out = out, .pipeline = EXR_DECODE_PIPELINE_INITIALIZER};
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    init.user_data = &file;
    init.read_fn = read_bytes;
    init.size_fn = file_size;
    init.error_handler_fn = on_error;
    init.max_image_width = init.max_image_height = MAX_SIDE;
    init.max_tile_width = init.max_tile_height = 4096;
    exr_storage_t storage;
    exr_result_t code = exr_start_read(&r.context, name, &init);
    if (code != EXR_ERR_SUCCESS) return failed(&r, "not an OpenEXR file that is read", code);
    isobath_status st = read_header(&r, picture);
    if (st == ISOBATH_OK && out) {
        code = exr_get_storage(r.context, 0, &storage);
        if (r.width != width || r.height != height)
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: %dx%d, but the first frame is %dx%d", name, r.width, r.height,
                         width, height);
        else if (code == EXR_ERR_SUCCESS && storage == EXR_STORAGE_SCANLINE)
            st = read_lines(&r);
        else if (code == EXR_ERR_SUCCESS && storage == EXR_STORAGE_TILED)
            st = read_tiles(&r);
        else
            st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: a deep picture; expected lines or tiles", name);
    }
    if (r.started) exr_decoding_destroy(r.context, &r.pipeline);
    exr_finish(&r.context);
    return st;
}

#else

isobath_status ib_exr_decode(const uint8_t *data, size_t size, const char *name, float *out, int width, int height,
                             ib_diag *diag, ib_exr_picture *picture)
{
    (void)data, (void)size, (void)out, (void)width, (void)height, (void)picture;
    return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "%s: this isobath was built without OpenEXR", name);
}

#endif
