/* npz: NAME_depths.npz with depths (N,H,W) float32 or float16, times_us (N) int64 and the texts kind ("disparity" or
 * "metric") and unit ("relative" or "metre"), as numpy.load reads it.
 * Frames are cut into blocks of a fixed size, each deflated alone by ISA-L and ended with a full flush, so the bytes
 * do not depend on threads or timing. The header of the array is a stored block that is patched when N is known. */
#include "base/bytes.h"
#include "base/half.h"
#include "sink/describe.h"
#include "sink/formats.h"
#include "sink/queue.h"
#include "sink/zip_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define NPY_HEADER 128

typedef struct scratch { /* of one thread */
    uint16_t *half;      /* (H,W), float16 output only */
    uint8_t *packed;
    size_t packed_capacity, packed_size;
    uint32_t crc;
    struct isal_zstream *stream;
    uint8_t *level_buf;
} scratch;

#define STATE_BYTES 12

/* The archive after a frame: where a resume goes on. */
typedef struct npz_state {
    int64_t size; /* of the file */
    uint32_t crc; /* of the frames so far */
} npz_state;

typedef struct npz_sink {
    ib_sink_config config;
    ib_diag *diag;
    ib_out_file *file;
    ib_zip_writer *zip;
    ib_frame_queue *queue;
    int threads, level; /* level: 0 store, 1..3 of ISA-L */
    size_t frame_bytes;
    scratch *scratch;
    uint32_t crc; /* of the frames written so far */
    pthread_mutex_t lock; /* of states */
    npz_state *states;    /* after each frame from `first` on */
    int64_t first, written, state_capacity;
    int64_t *times_us, count, capacity;
    char *name; /* of the file, below config.folder */
} npz_sink;

static void npz_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = ib_text("%s/%s_depths.npz", config->folder, config->name);
    if (path) add(ctx, path);
    free(path);
}

static double npz_bytes_per_frame(const ib_sink_config *config)
{
    return (config->npz_half ? 2.0 : 4.0) * config->width * config->height + 64;
}

/* The 128 bytes in front of an array (format 1.0), padded with spaces. */
static void npy_header(char out[NPY_HEADER], const char *descr, const char *shape)
{
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = NPY_HEADER - 10;
    out[9] = 0;
    int n =
        snprintf(out + 10, NPY_HEADER - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape);
    memset(out + 10 + n, ' ', (size_t)(NPY_HEADER - 10 - n));
    out[NPY_HEADER - 1] = '\n';
}

static void depths_header(const npz_sink *sink, char out[NPY_HEADER])
{
    char shape[64];
    snprintf(shape, sizeof shape, "%" PRId64 ", %d, %d", sink->count, sink->config.height, sink->config.width);
    npy_header(out, sink->config.npz_half ? "<f2" : "<f4", shape);
}

/* Deflates one block behind what s->packed holds; 0 on failure. */
static int deflate_block(npz_sink *sink, scratch *s, const uint8_t *data, size_t size)
{
    struct isal_zstream *stream = s->stream;
    isal_deflate_stateless_init(stream);
    stream->hist_bits = 0; /* the init leaves it as it was */
    stream->next_in = (uint8_t *)data;
    stream->avail_in = (uint32_t)size;
    stream->next_out = s->packed + s->packed_size;
    stream->avail_out = (uint32_t)(s->packed_capacity - s->packed_size);
    stream->level = (uint32_t)sink->level;
    stream->level_buf = s->level_buf;
    stream->level_buf_size = ISAL_DEF_LVL3_DEFAULT;
    stream->flush = FULL_FLUSH;
    stream->end_of_stream = 0;
    if (isal_deflate_stateless(stream) != COMP_OK || stream->avail_in != 0) return 0;
    s->packed_size += stream->total_out;
    return 1;
}

static isobath_status npz_work(void *ctx, ib_depth_frame *frame, int thread)
{
    npz_sink *sink = ctx;
    scratch *s = &sink->scratch[thread];
    const uint8_t *data = (const uint8_t *)frame->depth;
    if (sink->config.npz_half) {
        int64_t n = (int64_t)frame->width * frame->height;
        for (int64_t i = 0; i < n; i++) {
            s->half[i] = ib_f32_to_f16(frame->depth[i]);
            if ((s->half[i] & 0x7c00) == 0x7c00)
                return ib_fail(sink->diag, ISOBATH_ERR_INPUT,
                               "%s: frame %" PRId64 " holds %g, which float16 cannot: write float32", sink->name,
                               frame->index, (double)frame->depth[i]);
        }
        data = (const uint8_t *)s->half;
    }
    s->crc = libdeflate_crc32(0, data, sink->frame_bytes);
    s->packed_size = 0;
    for (size_t at = 0; sink->level > 0 && at < sink->frame_bytes; at += BLOCK_BYTES) {
        size_t n = sink->frame_bytes - at < BLOCK_BYTES ? sink->frame_bytes - at : BLOCK_BYTES;
        if (!deflate_block(sink, s, data + at, n))
            return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: deflate failed in frame %" PRId64, sink->name,
                           frame->index);
    }
    return ISOBATH_OK;
}

static isobath_status note_state(npz_sink *sink)
{
    isobath_status st = ISOBATH_OK;
    pthread_mutex_lock(&sink->lock);
    if (sink->written == sink->state_capacity) {
        int64_t capacity = sink->state_capacity ? 2 * sink->state_capacity : 1024;
        npz_state *states = realloc(sink->states, (size_t)capacity * sizeof *states);
        if (states) {
            sink->states = states;
            sink->state_capacity = capacity;
        } else
            st = ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    }
    if (st == ISOBATH_OK) sink->states[sink->written++] = (npz_state){ib_out_file_size(sink->file), sink->crc};
    pthread_mutex_unlock(&sink->lock);
    return st;
}

static isobath_status npz_commit(void *ctx, ib_depth_frame *frame, int thread)
{
    npz_sink *sink = ctx;
    scratch *s = &sink->scratch[thread];
    const void *plain = sink->config.npz_half ? (const void *)s->half : (const void *)frame->depth;
    sink->crc = (uint32_t)crc32_combine(sink->crc, s->crc, (z_off_t)sink->frame_bytes);
    if (sink->level > 0)
        IB_TRY(ib_zip_write(sink->zip, s->packed, s->packed_size));
    else
        IB_TRY(ib_zip_write(sink->zip, plain, sink->frame_bytes));
    return sink->config.resumable ? note_state(sink) : ISOBATH_OK;
}

static void npz_close(ib_sink *base)
{
    npz_sink *sink = (npz_sink *)base;
    if (!sink) return;
    ib_frame_queue_destroy(sink->queue);
    ib_zip_writer_destroy(sink->zip);
    ib_out_file_abort(sink->file);
    for (int i = 0; sink->scratch && i < sink->threads; i++) {
        free(sink->scratch[i].half);
        free(sink->scratch[i].packed);
        free(sink->scratch[i].stream);
        free(sink->scratch[i].level_buf);
    }
    pthread_mutex_destroy(&sink->lock);
    free(sink->states);
    free(sink->scratch);
    free(sink->times_us);
    free(sink->name);
    free(sink);
}

static int scratch_create(const npz_sink *sink, scratch *s)
{
    size_t blocks = (sink->frame_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    if (sink->config.npz_half && !(s->half = malloc(sink->frame_bytes))) return 0;
    if (sink->level == 0) return 1;
    s->packed_capacity = sink->frame_bytes + sink->frame_bytes / 32 + blocks * 1024 + 4096;
    s->packed = malloc(s->packed_capacity);
    s->stream = malloc(sizeof *s->stream);
    s->level_buf = malloc(ISAL_DEF_LVL3_DEFAULT);
    return s->packed && s->stream && s->level_buf;
}

/* The member begins with the array's header, as one stored block when the rest is deflated. */
static isobath_status begin_depths(npz_sink *sink)
{
    static const uint8_t stored[5] = {0, NPY_HEADER, 0, (uint8_t)~NPY_HEADER, 0xff};
    char header[NPY_HEADER];
    depths_header(sink, header);
    IB_TRY(ib_zip_begin(sink->zip, "depths.npy", sink->level > 0, 64));
    if (sink->level > 0) IB_TRY(ib_zip_write(sink->zip, stored, sizeof stored));
    return ib_zip_write(sink->zip, header, NPY_HEADER);
}

static char *part_path(const ib_sink_config *config) { return ib_text("%s/.%s_depths.npz.part", config->folder, config->name); }

static void npz_parts(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    char *path = part_path(config);
    if (path) add(ctx, path);
    free(path);
}

/* Cuts the file behind the frames that a resume may keep. */
static isobath_status restore(npz_sink *sink, const ib_sink_resume *resume)
{
    if (!resume || !resume->count) return ib_out_file_resize(sink->file, ib_out_file_size(sink->file));
    if (!resume->frames)
        return ib_fail(sink->diag, ISOBATH_ERR_UNSUPPORTED, "%s: one file cannot be written in parts", sink->name);
    uint64_t size;
    const uint8_t *p = ib_get64(resume->state + (resume->count - 1) * STATE_BYTES, &size);
    ib_get32(p, &sink->crc);
    sink->first = resume->count;
    for (int64_t i = 0; i < resume->count; i++)
        IB_TRY(ib_times_append(&sink->times_us, &sink->count, &sink->capacity, resume->frames[i].pts_us, sink->diag));
    return ib_out_file_resize(sink->file, (int64_t)size);
}

static isobath_status open_file(npz_sink *sink)
{
    const ib_sink_config *config = &sink->config;
    char *path = ib_text("%s/%s_depths.npz", config->folder, config->name), *part = part_path(config);
    isobath_status st = path && part ? ISOBATH_OK : ib_fail(sink->diag, ISOBATH_ERR_MEMORY, "%s: out of memory", sink->name);
    if (st == ISOBATH_OK && !config->resumable) {
        st = ib_out_file_open(path, sink->diag, &sink->file);
    } else if (st == ISOBATH_OK) {
        /* stopped between the rename and the manifest: the result is complete, and its frames are where they were */
        if (config->resume && access(part, F_OK) != 0 && rename(path, part) != 0 && errno != ENOENT)
            st = ib_fail(sink->diag, ISOBATH_ERR_IO, "%s: cannot rename: %s", path, strerror(errno));
        if (st == ISOBATH_OK) st = ib_out_file_open_part(path, part, 1, sink->diag, &sink->file);
    }
    free(path);
    free(part);
    return st;
}

static isobath_status npz_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    *out = NULL;
    npz_sink *sink = calloc(1, sizeof *sink);
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the npz sink");
    sink->config = *config;
    sink->diag = diag;
    sink->level = config->npz_level < 0 ? 1 : config->npz_level > 3 ? 3 : config->npz_level;
    sink->frame_bytes = (size_t)config->width * (size_t)config->height * (config->npz_half ? 2 : 4);
    sink->threads = ib_sink_threads(config);
    sink->name = ib_text("%s_depths.npz", config->name);
    sink->scratch = calloc((size_t)sink->threads, sizeof *sink->scratch);
    pthread_mutex_init(&sink->lock, NULL);
    int ok = sink->name && sink->scratch;
    for (int i = 0; ok && i < sink->threads; i++) ok = scratch_create(sink, &sink->scratch[i]);
    isobath_status st = ok ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the npz sink");
    static const ib_frame_queue_ops ops = {npz_work, npz_commit};
    if (st == ISOBATH_OK) st = open_file(sink);
    if (st == ISOBATH_OK) st = ib_zip_writer_create(sink->file, diag, &sink->zip);
    if (st == ISOBATH_OK) st = begin_depths(sink);
    if (st == ISOBATH_OK) st = restore(sink, config->resume);
    if (st == ISOBATH_OK)
        st = ib_frame_queue_create(sink->threads, config->queue_bytes, &ops, sink, diag, &sink->queue);
    if (st != ISOBATH_OK)
        npz_close((ib_sink *)sink);
    else
        *out = (ib_sink *)sink;
    return st;
}

static isobath_status npz_push(ib_sink *base, ib_depth_frame *frame)
{
    npz_sink *sink = (npz_sink *)base;
    if (frame->index != sink->count || frame->width != sink->config.width || frame->height != sink->config.height)
        return ib_fail(sink->diag, ISOBATH_ERR_INTERNAL, "%s: frame %" PRId64 " of %dx%d came, expected %" PRId64,
                       sink->name, frame->index, frame->width, frame->height, sink->count);
    IB_TRY(ib_times_append(&sink->times_us, &sink->count, &sink->capacity, frame->pts_us, sink->diag));
    return ib_frame_queue_push(sink->queue, frame);
}

static isobath_status npz_flush(ib_sink *base, int64_t *frames)
{
    npz_sink *sink = (npz_sink *)base;
    int64_t done = sink->first + ib_frame_queue_done(sink->queue);
    if (done < *frames) *frames = done;
    return ib_out_file_sync(sink->file);
}

static int npz_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return STATE_BYTES;
}

static void npz_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    npz_sink *sink = (npz_sink *)base;
    pthread_mutex_lock(&sink->lock);
    for (int64_t i = first - sink->first; i < end - sink->first; i++)
        state = ib_put32(ib_put64(state, (uint64_t)sink->states[i].size), sink->states[i].crc);
    pthread_mutex_unlock(&sink->lock);
}

static isobath_status npz_drain(ib_sink *base) { return ib_frame_queue_drain(((npz_sink *)base)->queue); }

static isobath_status write_times(npz_sink *sink)
{
    char header[NPY_HEADER], shape[32];
    snprintf(shape, sizeof shape, "%" PRId64 ",", sink->count);
    npy_header(header, "<i8", shape);
    size_t bytes = (size_t)sink->count * sizeof *sink->times_us;
    uint32_t crc = libdeflate_crc32(0, header, NPY_HEADER);
    if (bytes) crc = libdeflate_crc32(crc, sink->times_us, bytes);
    IB_TRY(ib_zip_begin(sink->zip, "times_us.npy", 0, 64));
    IB_TRY(ib_zip_write(sink->zip, header, NPY_HEADER));
    if (bytes) IB_TRY(ib_zip_write(sink->zip, sink->times_us, bytes));
    return ib_zip_end(sink->zip, crc, NPY_HEADER + (int64_t)bytes);
}

/* A scalar text, as numpy.array("text") is stored: four bytes a letter. */
static isobath_status write_text(npz_sink *sink, const char *member, const char *text)
{
    char header[NPY_HEADER], descr[8];
    uint8_t letters[64] = {0};
    size_t n = strlen(text);
    for (size_t i = 0; i < n && i < 16; i++) letters[4 * i] = (uint8_t)text[i];
    snprintf(descr, sizeof descr, "<U%d", (int)n);
    npy_header(header, descr, "");
    uint32_t crc = libdeflate_crc32(libdeflate_crc32(0, header, NPY_HEADER), letters, 4 * n);
    IB_TRY(ib_zip_begin(sink->zip, member, 0, 64));
    IB_TRY(ib_zip_write(sink->zip, header, NPY_HEADER));
    IB_TRY(ib_zip_write(sink->zip, letters, 4 * n));
    return ib_zip_end(sink->zip, crc, NPY_HEADER + (int64_t)(4 * n));
}

static isobath_status npz_finish(ib_sink *base)
{
    npz_sink *sink = (npz_sink *)base;
    char header[NPY_HEADER];
    IB_TRY(ib_frame_queue_drain(sink->queue));
    depths_header(sink, header);
    int64_t data_bytes = (int64_t)sink->frame_bytes * sink->count;
    IB_TRY(
        ib_out_file_patch(sink->file, ib_zip_data_offset(sink->zip) + (sink->level > 0 ? 5 : 0), header, NPY_HEADER));
    if (sink->level > 0) IB_TRY(ib_zip_write(sink->zip, "\x03\x00", 2)); /* an empty last block ends the stream */
    uint32_t crc = (uint32_t)crc32_combine(libdeflate_crc32(0, header, NPY_HEADER), sink->crc, (z_off_t)data_bytes);
    IB_TRY(ib_zip_end(sink->zip, crc, NPY_HEADER + data_bytes));
    IB_TRY(write_times(sink));
    int metric = sink->config.kind == IB_DEPTH_METRIC;
    IB_TRY(write_text(sink, "kind.npy", metric ? "metric" : "disparity"));
    IB_TRY(write_text(sink, "unit.npy", metric ? "metre" : "relative"));
    IB_TRY(ib_zip_finish(sink->zip));
    ib_out_file *file = sink->file;
    sink->file = NULL;
    return ib_out_file_commit(file, 1);
}

static json_t *npz_describe(ib_sink *base)
{
    npz_sink *sink = (npz_sink *)base;
    json_t *object = ib_describe_file("npz", &sink->config, sink->name, sink->diag);
    ib_describe_kind(&object, sink->config.kind);
    ib_json_set(&object, "frames", json_integer(sink->count));
    ib_json_set(&object, "dtype", json_string(sink->config.npz_half ? "float16" : "float32"));
    return object;
}

const ib_sink_format ib_sink_npz = {
    .name = "npz",
    .summary = "one NumPy archive: depths (N,H,W) and times_us (N)",
    .first_pass_order = 0,
    .outputs = npz_outputs,
    .bytes_per_frame = npz_bytes_per_frame,
    .open = npz_open,
    .push = npz_push,
    .flush = npz_flush,
    .state_bytes = npz_state_bytes,
    .save = npz_save,
    .granularity = 1,
    .drain = npz_drain,
    .parts = npz_parts,
    .finish = npz_finish,
    .describe = npz_describe,
    .close = npz_close,
};
