/* What the tasks of a cut run cost on one core, on the maps of a real segment: packing, chain, rendering, png16, files. Every figure has its turn in
 * each of nine rounds; medians of these, also of what it is of the compressor in the same round, so that a machine whose speed varies disturbs little.
 * usage: bench_cluster SEGMENT.raw WIDTH HEIGHT [SECONDS] [FOLDER]     (segment 0 that isobath work left, of two windows or more; the size of
 * the output; how long a figure takes in a round: 0.2; where files are written, to measure that, too)
 * docs/CLUSTER.md has the figures and what follows from them. */
#include "backend/backend.h"
#include "pipeline/align.h"
#include "pipeline/cluster/spool.h"
#include "base/hash.h"
#include "sink/file.h"
#include "sink/png_file.h"
#include "sink/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 9
#define FRAMES ((int64_t)1 << 20) /* of a long shot: its end is not measured */

typedef struct bench {
    ib_spool *spool;
    const ib_spool_head *head;
    ib_backend *host;
    ib_spool_packer *packer;
    int width, height;
    float *raw, *depth; /* a window; an output frame */
    uint8_t *packed; /* a map */
    size_t packed_size, png_size;
    ib_align_chain chain;
    ib_png_encoder *encoder;
    ib_quant quant;
    uint16_t *q;
    float max;
    ib_depth_frame frame[2];
    ib_sha256_pair hash_two;
    const char *folder; /* files go there; NULL: nowhere */
    int64_t files;      /* that are there */
    int at_once;        /* files that are hashed side by side; 0: none is written */
    double seconds;     /* of a figure in a round */
} bench;

static size_t map_pixels(const bench *b) { return (size_t)b->head->width * (size_t)b->head->height; }

static void pack(bench *b) { b->packed_size = ib_spool_pack(b->packer, b->raw, b->head->width, b->head->height, b->packed); }
static void unpack(bench *b) { ib_spool_unpack(b->packer, b->packed, b->packed_size, b->head->width, b->head->height, b->raw); }
static void read_map(bench *b) { ib_spool_read(b->spool, b->head->first, 0, b->raw); }

static void fit(bench *b)
{
    ib_alignment a;
    b->chain.next = 1; /* not the first window of a shot: that one has nothing to fit */
    ib_align_chain_window(&b->chain, b->raw, &a);
}

static void chain(bench *b)
{
    static const int slots[] = {0, 1, 12};
    for (int i = 0; i < 3; i++) ib_spool_read(b->spool, b->head->first, slots[i], b->raw + (size_t)slots[i] * map_pixels(b));
    fit(b);
}

/* A frame of the middle of a window, and one in a cross-fade. */
static void render(bench *b, int fade)
{
    ib_alignment a = {.scale = 1.1f, .shift = 0.01f};
    ib_plan_render how = {.slot = 10, .fade = fade, .weight = 0.5};
    float min;
    ib_align_render(b->host, &how, b->raw, &a, fade ? b->raw + map_pixels(b) : NULL, &a, b->head->height, b->head->width, b->depth, b->height, b->width,
                    &min, &b->max);
}
static void render_plain(bench *b) { render(b, 0); }
static void render_fade(bench *b) { render(b, 1); }

static void encode(bench *b)
{
    const uint8_t *data;
    size_t size;
    ib_png_text texts[1];
    memset(texts, 0, sizeof texts);
    if (ib_png_encode(b->encoder, b->q, texts, 0, NULL, &data, &size) == ISOBATH_OK) b->png_size = size;
}

static int quantise_row(void *ctx, int y, uint16_t *q)
{
    bench *b = ctx;
    ib_quant_apply(&b->quant, ib_quant_exponent(&b->quant, b->max), b->depth + (size_t)y * (size_t)b->width, b->width, q);
    ib_png_big_endian(q, b->width, q);
    return 1;
}

static void png(bench *b)
{
    const uint8_t *data;
    size_t size;
    if (ib_png_encode_rows(b->encoder, quantise_row, b, NULL, 0, NULL, &data, &size) == ISOBATH_OK) b->png_size = size;
}

/* As ib_png_store_pack does it with a step that fits. */
typedef struct cut_rows {
    const ib_frame_rows *rows;
    float factor;
} cut_rows;

static int cut_row(void *ctx, int y, uint16_t *q)
{
    cut_rows *c = ctx;
    (void)y;
    return c->rows->next_cut(c->rows->ctx, c->factor, q);
}

static isobath_status pack_frame(ib_sink *sink, ib_depth_frame *f, const ib_frame_rows *rows, int thread)
{
    bench *b = (bench *)(void *)sink;
    cut_rows c = {rows, ldexpf(1, -ib_quant_exponent(&b->quant, b->max))};
    const uint8_t *data;
    (void)thread;
    IB_TRY(rows->begin(rows->ctx));
    IB_TRY(ib_png_encode_rows(b->encoder, cut_row, &c, NULL, 0, NULL, &data, &f->packed.bytes));
    if (!data) {
        fprintf(stderr, "a depth above the step\n");
        exit(1);
    }
    rows->range(rows->ctx, &f->min, &f->max);
    return ib_png_encoder_swap(b->encoder, NULL, &f->packed.data);
}

/* The map of a frame, zeros where the spool has none (weight 0). */
static void load(bench *b, int64_t window, int slot, float *map)
{
    if (ib_spool_slots(window, FRAMES, 1, 0, 0) >> slot & 1) ib_spool_read(b->spool, window, slot, map);
    else memset(map, 0, map_pixels(b) * sizeof *map);
}

static void hash_frames(bench *b, int count)
{
    char hex[2][65];
    const ib_packed_frame *p[2] = {&b->frame[0].packed, &b->frame[1].packed};
    if (count == 2) ib_sha256_two(b->hash_two, (const void *const[2]){p[0]->data, p[1]->data}, (const size_t[2]){p[0]->bytes, p[1]->bytes}, NULL, (char *const[2]){hex[0], hex[1]});
    else ib_sha256_memory(p[0]->data, p[0]->bytes, NULL, hex[0]);
}

static void write_frame(bench *b, int i)
{
    char path[4096];
    ib_diag diag = IB_DIAG_INIT;
    snprintf(path, sizeof path, "%s/bench_%ld_%05lld.png", b->folder, (long)getpid(), (long long)b->files++);
    if (ib_write_file(path, b->frame[i].packed.data, b->frame[i].packed.bytes, 0, &diag) != ISOBATH_OK) {
        fprintf(stderr, "%s\n", diag.text);
        exit(1);
    }
    ib_diag_destroy(&diag);
}

static void hash_one(bench *b) { hash_frames(b, 1); }
static void hash_two(bench *b) { hash_frames(b, 2); }
static void write_one(bench *b) { write_frame(b, 0); }

static void remove_frames(bench *b)
{
    char path[4096];
    while (b->files) {
        snprintf(path, sizeof path, "%s/bench_%ld_%05lld.png", b->folder, (long)getpid(), (long long)--b->files);
        unlink(path);
    }
}

/* All that merge --render does for the frames of a window; `from_spool` 0: all that run does. */
static void frames(bench *b, int from_spool)
{
    static const ib_sink_format format = {.pack = pack_frame};
    ib_alignment a = {.scale = 1.1f, .shift = 0.01f};
    int64_t first, end;
    ib_plan_final_frames(1, FRAMES, &first, &end);
    for (int64_t i = first; i < end; i++) {
        ib_plan_render how = ib_plan_frame(i, FRAMES);
        float *fade = how.fade ? b->raw + map_pixels(b) : NULL;
        if (from_spool) load(b, how.window, how.slot, b->raw);
        if (from_spool && fade) load(b, how.window - 1, how.fade_slot, fade);
        int place = b->at_once == 2 ? (int)(i % 2) : 0;
        ib_align_pack(b->host, &how, b->raw, &a, fade, &a, b->head->height, b->head->width, &format, (ib_sink *)(void *)b, 0, &b->frame[place]);
        if (!b->at_once || (b->at_once == 2 && place == 0 && i + 1 < end)) continue;
        hash_frames(b, place + 1); /* then the files: as ib_png_store_write_two does it */
        for (int k = 0; k <= place; k++) write_frame(b, k);
    }
}
static void frames_of_run(bench *b) { frames(b, 0); }
static void frames_of_task(bench *b) { frames(b, 1); }

/* CPU time of this process: what others do on the machine does not count. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct figure {
    const char *what;
    void (*work)(bench *);
    double bytes;   /* of a call; 0: not told */
    int frames;     /* of a call; 0: calls are told */
    int of_bare;    /* 1: told with what it is of the compressor */
    int at_once;    /* files */
    double per_s[ROUNDS], share[ROUNDS];
} figure;

/* Calls a second on one core. */
static double measure(bench *b, const figure *f)
{
    int64_t count = 0;
    b->at_once = f->at_once;
    double start = cpu_s(), now;
    do f->work(b);
    while (++count, (now = cpu_s()) - start < b->seconds);
    remove_frames(b);
    return (double)count / (now - start);
}

/* `bare`: the compressor. */
static void measure_all(bench *b, figure *list, int count, const figure *bare)
{
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < count; i++) list[i].per_s[r] = measure(b, &list[i]);
        for (int i = 0; i < count; i++) list[i].share[r] = list[i].per_s[r] * list[i].frames / bare->per_s[r];
    }
    for (int i = 0; i < count; i++) {
        figure *f = &list[i];
        qsort(f->per_s, ROUNDS, sizeof *f->per_s, by_value);
        qsort(f->share, ROUNDS, sizeof *f->share, by_value);
        double median = f->per_s[ROUNDS / 2];
        printf("%-44s %9.1f %s", f->what, median * (f->frames ? f->frames : 1), f->frames ? "frames/s" : "/s");
        if (f->of_bare) printf(", %.3f of the compressor", f->share[ROUNDS / 2]);
        if (f->bytes > 0) printf("  %7.0f MB/s", median * f->bytes * 1e-6);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    ib_diag diag = IB_DIAG_INIT;
    bench b = {.width = argc > 2 ? atoi(argv[2]) : 1280, .height = argc > 3 ? atoi(argv[3]) : 720, .seconds = argc > 4 ? atof(argv[4]) : 0.2};
    ib_backend_options host = {.act = IB_F32, .diag = &diag};
    ib_sink_config config = {.kind = IB_DEPTH_DISPARITY};
    if (argc < 2 || b.width < 1 || b.height < 1 || ib_spool_open(argv[1], &diag, &b.spool) != ISOBATH_OK || ib_cpu_open(&host, &b.host) != ISOBATH_OK ||
        ib_quant_init(&config, &diag, &b.quant) != ISOBATH_OK || ib_png_encoder_create(b.width, b.height, 0, &diag, &b.encoder) != ISOBATH_OK) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: bench_cluster SEGMENT.raw WIDTH HEIGHT [SECONDS] [FOLDER]" : diag.text);
        return 1;
    }
    b.head = ib_spool_get_head(b.spool);
    if (b.head->first != 0 || b.head->count < 2) {
        fprintf(stderr, "%s: not segment 0, or of one window\n", argv[1]);
        return 1;
    }
    b.frame[0] = b.frame[1] = (ib_depth_frame){.width = b.width, .height = b.height};
    b.hash_two = ib_sha256_pair_find();
    size_t pixels = map_pixels(&b);
    double bytes = (double)pixels * 4;
    b.raw = calloc(32 * pixels, sizeof *b.raw);
    b.depth = calloc((size_t)b.width * (size_t)b.height, sizeof *b.depth);
    b.q = calloc((size_t)b.width * (size_t)b.height, sizeof *b.q);
    b.packed = malloc(ib_spool_bound(b.head->width, b.head->height));
    b.packer = ib_spool_packer_create(0);
    if (!b.raw || !b.depth || !b.q || !b.packed || !b.packer ||
        ib_align_chain_init(&b.chain, b.host, 0, 1, b.height, b.width, b.head->height, b.head->width, &diag) != ISOBATH_OK)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("maps of %d x %d, output %d x %d, %s\n", b.head->width, b.head->height, b.width, b.height, b.host->kind);
    read_map(&b);
    memcpy(b.chain.first, b.raw, bytes);
    memcpy(b.chain.last12, b.raw, bytes);
    ib_spool_read(b.spool, b.head->first, 3, b.raw + pixels);
    render_plain(&b);
    render_plain(&b); /* the first one knows no largest depth */
    ib_quant_apply(&b.quant, ib_quant_exponent(&b.quant, b.max), b.depth, (int64_t)b.width * b.height, b.q);
    double picture = 2.0 * b.width * b.height;
    figure list[] = {
        {"the compressor alone", encode, picture, .frames = 1},
        {"pack a map", pack, bytes},
        {"unpack a map", unpack, bytes},
        {"read, check and unpack a map", read_map, bytes},
        {"fit of a window (chain)", fit, .frames = IB_PLAN_STEP},
        {"fit with reading (chain task)", chain, .frames = IB_PLAN_STEP},
        {"render a frame", render_plain},
        {"render a cross-faded frame", render_fade},
        {"quantise and write png16 (memory)", png, picture},
        {"rendering as in run", frames_of_run, .frames = IB_PLAN_STEP, .of_bare = 1},
        {"the same from the spool, as a task", frames_of_task, .frames = IB_PLAN_STEP, .of_bare = 1},
        {"SHA-256 of a file", hash_one},
        {"SHA-256 of two files", hash_two},
        {"write a file", write_one},
        {"as in run, files written and hashed", frames_of_run, .frames = IB_PLAN_STEP, .of_bare = 1, .at_once = 2},
        {"as in run, hashed one by one", frames_of_run, .frames = IB_PLAN_STEP, .of_bare = 1, .at_once = 1},
        {"as a task, files written and hashed", frames_of_task, .frames = IB_PLAN_STEP, .of_bare = 1, .at_once = 2},
        {"as a task, hashed one by one", frames_of_task, .frames = IB_PLAN_STEP, .of_bare = 1, .at_once = 1}};
    int all = (int)(sizeof list / sizeof *list), without_files = 11;
    b.at_once = 2;
    b.folder = argc > 5 ? argv[5] : NULL;
    if (b.folder) frames_of_run(&b); /* two packed frames */
    remove_frames(&b);
    measure_all(&b, list, b.folder ? all : without_files, list);
    printf("%-44s %9.3f of the floats\n%-44s %9zu bytes\n", "a packed map", (double)b.packed_size / bytes, "a png16 file", b.png_size);
    ib_align_chain_free(&b.chain);
    ib_png_encoder_destroy(b.encoder);
    ib_spool_packer_destroy(b.packer);
    ib_backend_close(b.host);
    ib_spool_close(b.spool);
    free(b.raw);
    free(b.depth);
    free(b.q);
    free(b.packed);
    for (int i = 0; i < 2; i++) free(b.frame[i].packed.data);
    return 0;
}
