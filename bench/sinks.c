/* Speed and size of the sinks on real depth: png16 and exr on one thread, in processor time; npz on two, by the clock. OpenEXRCore's
 * own ZIP stands beside ours; the preview's finishing pass on two; OpenCV and NumPy do in bench/peers.py, which reads what --keep leaves.
 *
 * usage: bench_sinks DEPTH [--frames N] [--keep FOLDER]
 *   DEPTH: any result that isobath reads, best one of 1280x720 from a real model. Medians of three. */
#include "depthio/depth_reader.h"
#include "sink/exr_encode.h"
#include "sink/png_file.h"
#include "sink/quant.h"

#include <openexr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 3 };

typedef struct video {
    ib_depth_frame **frames;
    int count, width, height;
} video;

typedef struct timing {
    double cpu_s, wall_s;
    double bytes;
} timing;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *text)
{
    fprintf(stderr, "bench_sinks: %s\n", text);
    exit(1);
}

static video load(const char *path, int most)
{
    ib_diag diag = IB_DIAG_INIT;
    ib_depth_reader *r;
    if (ib_depth_reader_open(path, &diag, &r) != ISOBATH_OK) die(diag.text);
    const ib_depth_reader_info *info = ib_depth_reader_get_info(r);
    video v = {.width = info->width, .height = info->height, .count = info->frames < most ? (int)info->frames : most};
    v.frames = calloc((size_t)v.count, sizeof *v.frames);
    for (int i = 0; i < v.count; i++) {
        if (!v.frames || ib_depth_frame_create(v.width, v.height, 0, 0, 0, &diag, &v.frames[i]) != ISOBATH_OK) die("out of memory");
        ib_depth_frame *f = v.frames[i];
        if (ib_depth_reader_read(r, i, f->depth) != ISOBATH_OK) die(diag.text);
        f->index = i;
        f->pts_us = i * 40000;
        f->min = f->max = f->depth[0];
        for (int k = 0; k < v.width * v.height; k++) {
            if (f->depth[k] < f->min) f->min = f->depth[k];
            if (f->depth[k] > f->max) f->max = f->depth[k];
        }
    }
    ib_depth_reader_close(r);
    return v;
}

static double size_of(const char *path)
{
    struct stat sb;
    return stat(path, &sb) == 0 && S_ISREG(sb.st_mode) ? (double)sb.st_size : 0;
}

static timing run_sink(const video *v, const char *format, int threads, const char *folder)
{
    const ib_sink_format *f = ib_sink_format_find(format);
    ib_sink_config c = {.folder = folder, .name = "bench", .width = v->width, .height = v->height, .frames_hint = v->count, .fps = 25,
                        .npz_level = -1, .threads = threads};
    ib_diag diag = IB_DIAG_INIT;
    ib_sink *sink;
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    if (!f || f->open(&c, &diag, &sink) != ISOBATH_OK) die(f ? diag.text : "this build lacks a format");
    for (int i = 0; i < v->count; i++)
        if (f->push(sink, v->frames[i]) != ISOBATH_OK) die(diag.text);
    if (f->finish(sink) != ISOBATH_OK) die(diag.text);
    timing t = {now(CLOCK_PROCESS_CPUTIME_ID) - cpu, now(CLOCK_MONOTONIC) - wall, 0};
    json_t *j = f->describe(sink);
    t.bytes = json_number_value(json_object_get(j, "bytes"));
    json_decref(j);
    f->close(sink);
    return t;
}

/* What comes behind the last frame, once png16 has them all: drawing and encoding the video. */
static timing preview_alone(const video *v, int threads, const char *folder)
{
    const ib_sink_format *formats[2] = {ib_sink_format_find("png16"), ib_sink_format_find("preview")};
    ib_sink_config c = {.folder = folder, .name = "bench", .width = v->width, .height = v->height, .frames_hint = v->count, .fps = 25,
                        .threads = threads, .png16_present = 1};
    ib_diag diag = IB_DIAG_INIT;
    ib_sink *sinks[2];
    for (int k = 0; k < 2; k++)
        if (formats[k]->open(&c, &diag, &sinks[k]) != ISOBATH_OK) die(diag.text);
    for (int i = 0; i < v->count; i++)
        for (int k = 0; k < 2; k++)
            if (formats[k]->push(sinks[k], v->frames[i]) != ISOBATH_OK) die(diag.text);
    if (formats[0]->finish(sinks[0]) != ISOBATH_OK) die(diag.text);
    timing t = {.cpu_s = -now(CLOCK_PROCESS_CPUTIME_ID), .wall_s = -now(CLOCK_MONOTONIC)};
    if (formats[1]->finish(sinks[1]) != ISOBATH_OK) die(diag.text);
    t.cpu_s += now(CLOCK_PROCESS_CPUTIME_ID);
    t.wall_s += now(CLOCK_MONOTONIC);
    json_t *j = formats[1]->describe(sinks[1]);
    t.bytes = json_number_value(json_object_get(j, "bytes"));
    json_decref(j);
    for (int k = 0; k < 2; k++) formats[k]->close(sinks[k]);
    return t;
}

static void must(exr_result_t r)
{
    if (r != EXR_ERR_SUCCESS) die(exr_get_default_error_message(r));
}

/* One frame by OpenEXRCore, with its own ZIP. */
static double write_peer_exr(const video *v, const float *depth, const char *path)
{
    exr_context_t file = NULL;
    exr_context_initializer_t init = EXR_DEFAULT_CONTEXT_INITIALIZER;
    int part, lines;
    must(exr_start_write(&file, path, EXR_WRITE_FILE_DIRECTLY, &init));
    must(exr_add_part(file, "Z", EXR_STORAGE_SCANLINE, &part));
    must(exr_initialize_required_attr_simple(file, part, v->width, v->height, EXR_COMPRESSION_ZIP));
    must(exr_add_channel(file, part, "Y", EXR_PIXEL_FLOAT, EXR_PERCEPTUALLY_LINEAR, 1, 1));
    must(exr_add_channel(file, part, "Z", EXR_PIXEL_FLOAT, EXR_PERCEPTUALLY_LINEAR, 1, 1));
    must(exr_write_header(file));
    must(exr_get_scanlines_per_chunk(file, part, &lines));
    exr_encode_pipeline_t pipeline = EXR_ENCODE_PIPELINE_INITIALIZER;
    for (int y = 0; y < v->height; y += lines) {
        exr_chunk_info_t chunk;
        must(exr_write_scanline_chunk_info(file, part, y, &chunk));
        must(y ? exr_encoding_update(file, part, &chunk, &pipeline) : exr_encoding_initialize(file, part, &chunk, &pipeline));
        for (int i = 0; i < 2; i++) {
            exr_coding_channel_info_t *z = &pipeline.channels[i];
            z->encode_from_ptr = (const uint8_t *)(depth + (size_t)y * (size_t)v->width);
            z->user_pixel_stride = 4;
            z->user_line_stride = 4 * v->width;
            z->user_bytes_per_element = 4;
            z->user_data_type = EXR_PIXEL_FLOAT;
        }
        if (y == 0) must(exr_encoding_choose_default_routines(file, part, &pipeline));
        must(exr_encoding_run(file, part, &pipeline));
    }
    must(exr_encoding_destroy(file, &pipeline));
    must(exr_finish(&file));
    return size_of(path);
}

/* The encoders alone: no queue, no digest, no rename. */
static timing exr_alone(const video *v, int peer, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/one.exr", folder);
    ib_diag diag = IB_DIAG_INIT;
    ib_exr_encoder *e;
    if (ib_exr_encoder_create(v->width, v->height, "zip", 0, 0, IB_DEPTH_DISPARITY, 1, &diag, &e) != ISOBATH_OK) die(diag.text);
    timing t = {.cpu_s = -now(CLOCK_PROCESS_CPUTIME_ID), .wall_s = -now(CLOCK_MONOTONIC)};
    for (int i = 0; i < v->count; i++) {
        const uint8_t *data;
        size_t size = 0;
        if (peer) t.bytes += write_peer_exr(v, v->frames[i]->depth, path);
        else {
            if (ib_exr_encode(e, v->frames[i], &diag, &data, &size) != ISOBATH_OK) die(diag.text);
            FILE *f = fopen(path, "wb");
            if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) die("cannot write");
            t.bytes += (double)size;
        }
    }
    t.cpu_s += now(CLOCK_PROCESS_CPUTIME_ID);
    t.wall_s += now(CLOCK_MONOTONIC);
    ib_exr_encoder_destroy(e);
    unlink(path);
    return t;
}

/* The encoder alone, its files written as OpenCV's imwrite writes them; quantising is not in it. */
static timing png_alone(const video *v, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/one.png", folder);
    ib_diag diag = IB_DIAG_INIT;
    ib_sink_config c = {.width = v->width, .height = v->height};
    ib_png_encoder *e;
    ib_quant quant;
    uint16_t *q = malloc((size_t)v->width * (size_t)v->height * sizeof *q);
    timing t = {0};
    float max = 0;
    for (int i = 0; i < v->count; i++) max = v->frames[i]->max > max ? v->frames[i]->max : max;
    if (!q || ib_quant_init(&c, &diag, &quant) != ISOBATH_OK || ib_png_encoder_create(v->width, v->height, 0, &diag, &e) != ISOBATH_OK)
        die(diag.text);
    int exponent = ib_quant_exponent(&quant, max);
    for (int i = 0; i < v->count; i++) {
        const uint8_t *data;
        size_t size;
        ib_quant_apply(&quant, exponent, v->frames[i]->depth, (int64_t)v->width * v->height, q);
        double start = now(CLOCK_PROCESS_CPUTIME_ID);
        if (ib_png_encode(e, q, NULL, 0, &diag, &data, &size) != ISOBATH_OK) die(diag.text);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) die("cannot write");
        t.cpu_s += now(CLOCK_PROCESS_CPUTIME_ID) - start;
        t.bytes += (double)size;
    }
    ib_png_encoder_destroy(e);
    free(q);
    unlink(path);
    return t;
}

static int by_cpu(const void *a, const void *b)
{
    const timing *x = a, *y = b;
    return (x->cpu_s > y->cpu_s) - (x->cpu_s < y->cpu_s);
}

static timing report(const char *name, int threads, const video *v, timing t[ROUNDS])
{
    qsort(t, ROUNDS, sizeof *t, by_cpu);
    timing m = t[ROUNDS / 2];
    double raw = (double)v->count * v->width * v->height * (strncmp(name, "png16", 5) == 0 ? 2 : 4);
    printf("{\"name\": \"%s\", \"threads\": %d, \"frames\": %d, \"width\": %d, \"height\": %d, \"cpu_s\": %.4f, \"wall_s\": %.4f, \"bytes\": %.0f, "
           "\"ratio\": %.4f, \"mb_per_cpu_s\": %.1f}\n", name, threads, v->count, v->width, v->height, m.cpu_s, m.wall_s, m.bytes, m.bytes / raw,
           raw / m.cpu_s * 1e-6);
    return m;
}

int main(int argc, char **argv)
{
    int most = 24;
    const char *keep = NULL;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--frames") == 0) most = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--keep") == 0) keep = argv[i + 1];
        else die("unknown option");
    }
    if (argc < 2 || most < 1) die("usage: bench_sinks DEPTH [--frames N] [--keep FOLDER]");
    char scratch[] = "/tmp/isobath-bench-XXXXXX";
    if (!keep && !(keep = mkdtemp(scratch))) die("no folder");
    mkdir(keep, 0777);
    video v = load(argv[1], most);
    timing t[ROUNDS];
    static const struct {
        const char *name;
        int threads;
    } sinks[] = {{"png16", 1}, {"npz", 2}, {"exr", 1}, {"ffv1", 1}};
    for (size_t s = 0; s < sizeof sinks / sizeof *sinks; s++) {
        for (int r = 0; r < ROUNDS; r++) t[r] = run_sink(&v, sinks[s].name, sinks[s].threads, keep);
        report(sinks[s].name, sinks[s].threads, &v, t);
    }
    for (int r = 0; r < ROUNDS; r++) t[r] = preview_alone(&v, 2, keep);
    report("preview, behind the last frame", 2, &v, t);
    for (int r = 0; r < ROUNDS; r++) t[r] = png_alone(&v, keep);
    report("png16, encoder alone", 1, &v, t);
    timing both[2];
    for (int peer = 0; peer < 2; peer++) {
        for (int r = 0; r < ROUNDS; r++) t[r] = exr_alone(&v, peer, keep);
        both[peer] = report(peer ? "exr zip, OpenEXRCore's own" : "exr zip, encoder alone", 1, &v, t);
    }
    printf("exr zip: %.1f times OpenEXRCore's own at %.2f times its size\n", both[1].cpu_s / both[0].cpu_s, both[0].bytes / both[1].bytes);
    for (int i = 0; i < v.count; i++) ib_depth_frame_unref(v.frames[i]);
    free(v.frames);
    return 0;
}
