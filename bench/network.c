/* Speed of the network alone: windows of new frames through ib_vda, upload, preprocessing, finite check and download inside.
 * Output frames/s are distinct frames over wall time; weights are synthetic.
 *
 * usage: bench_network [--backend cpu|cuda] [--model tiny|vits|vitb|vitl] [--source WxH] [--input-size N]
 *          [--act f32|f16|bf16] [--windows N] [--repeat N] [--encode-batch N] [--depth-batch N] [--piece P] [--threads N]
 *          [--isa PATH] [--ops yes|cpu-time]
 * Prints one line: median of the repeats, spread, memory of weights, features and activations, processor time of all threads.
 * --ops (cpu): then where the last repeat's time went, by op and shape per output frame, and the share of the measured peak;
 * cpu-time: of one thread's processor time, for a machine that others use at the same time. */
#include "backend/backend.h"
#include "base/clock.h"
#include "cpu_peak.h"
#include "model/vda.h"
#include "op_profile.h"
#include "pipeline/plan.h"
#include "pipeline/setup.h"
#include "op/transfer.h"
#include "support/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct options {
    const char *backend, *model, *act, *isa;
    int width, height, input_size, windows, repeat, threads, ops;
    ib_vda_shape shape;
} options;

static int die(const char *what, ib_diag *diag)
{
    fprintf(stderr, "bench_network: %s: %s\n", what, diag->text);
    return 1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* `windows` windows of 22 new frames each (the carried ones are kept), as a worker computes them. */
static isobath_status run_windows(const options *o, ib_vda *vda, ib_backend *be, const uint8_t *const *rgb, float *const *depth,
                                  int64_t *nonfinite)
{
    int slots = o->shape.depth_slots;
    for (int k = 0; k < o->windows; k++) {
        int64_t bad = 0;
        const uint8_t *frames[IB_PLAN_STEP];
        for (int i = 0; i < IB_PLAN_STEP; i++) frames[i] = rgb[(k * IB_PLAN_STEP + i) % 64];
        IB_TRY(ib_vda_advance(vda));
        IB_TRY(ib_vda_encode_rgb(vda, frames, o->height, o->width, IB_PLAN_STEP, IB_PLAN_OVERLAP));
        IB_TRY(ib_vda_depth_begin(vda, k % slots, depth[k % slots]));
        if (slots > 1 && k == 0) continue; /* as the worker: one window in flight behind the one that runs */
        IB_TRY(ib_vda_depth_end(vda, slots > 1 ? (k - 1) % slots : 0, &bad));
        *nonfinite += bad;
    }
    if (slots > 1) {
        int64_t bad = 0;
        IB_TRY(ib_vda_depth_end(vda, (o->windows - 1) % slots, &bad));
        *nonfinite += bad;
    }
    return be->ops->sync(be);
}

static int measure(const options *o, ib_vda *vda, ib_backend *be, const ib_vda_memory *m, const char *name, ib_diag *diag)
{
    size_t frame = (size_t)o->width * (size_t)o->height * 3;
    uint8_t *pixels = malloc(64 * frame);
    const uint8_t *rgb[64];
    float *depth[2] = {NULL, NULL};
    for (int i = 0; i < o->shape.depth_slots; i++) {
        void *p = NULL;
        size_t bytes = (size_t)IB_PLAN_WINDOW * (size_t)o->shape.width * (size_t)o->shape.height * sizeof **depth;
        if (ib_host_alloc(be, bytes, &p) != ISOBATH_OK) return die("results", diag);
        depth[i] = p;
    }
    if (!pixels) return die("out of memory", diag);
    for (int i = 0; i < 64; i++) rgb[i] = pixels + (size_t)i * frame;
    synth_frames(0, 64, o->height, o->width, 1, pixels);
    int64_t nonfinite = 0;
    options warm = *o;
    warm.windows = 2;
    if (ib_vda_encode_rgb(vda, rgb, o->height, o->width, IB_PLAN_WINDOW, 0) != ISOBATH_OK ||
        run_windows(&warm, vda, be, rgb, depth, &nonfinite) != ISOBATH_OK)
        return die("warm-up", diag);
    double fps[16], seconds = 0, host[16];
    for (int r = 0; r < o->repeat; r++) {
        int64_t start = ib_now_us();
        double spent = (double)clock();
        double from = o->ops ? bench_profile_now() : 0;
        if (o->ops) bench_profile_reset();
        if (run_windows(o, vda, be, rgb, depth, &nonfinite) != ISOBATH_OK) return die("run", diag);
        seconds = (double)(ib_now_us() - start) * 1e-6;
        fps[r] = o->windows * IB_PLAN_STEP / seconds;
        host[r] = ((double)clock() - spent) / CLOCKS_PER_SEC * 1e3 / o->windows;
        if (o->ops) seconds = bench_profile_now() - from;
    }
    qsort(fps, (size_t)o->repeat, sizeof *fps, by_value);
    qsort(host, (size_t)o->repeat, sizeof *host, by_value);
    double median = fps[o->repeat / 2], gflop = (m->encode_flops + m->depth_flops * 32 / 22) * 1e-9;
    char size[16];
    snprintf(size, sizeof size, "%dx%d", o->shape.width, o->shape.height);
    printf("%-5s %-9s %-24s %8.1f output frames/s (%.1f .. %.1f)  %6.1f TFLOP/s  weights %.0f features %.0f activations %.0f MiB"
           "  nonfinite %lld  processor %.1f ms a window\n", name, size, be->kind, median, fps[0], fps[o->repeat - 1], median * gflop * 1e-3,
           (double)m->weights / 1048576, (double)m->features / 1048576, (double)m->activations / 1048576, (long long)nonfinite, host[o->repeat / 2]);
    if (o->ops) bench_profile_print(seconds, o->windows * IB_PLAN_STEP, bench_cpu_peak(be, o->ops == 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC));
    free(pixels);
    for (int i = 0; i < 2; i++) ib_host_free(be, depth[i]);
    return 0;
}

int main(int argc, char **argv)
{
    options o = {.backend = "cpu", .model = "vits", .act = "f32", .width = 518, .height = 518, .input_size = 518, .windows = 40,
                 .repeat = 5, .threads = ib_cpu_count(), .shape = {.encode_batch = 0}};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *a = argv[i], *v = argv[i + 1];
        if (strcmp(a, "--backend") == 0) o.backend = v;
        else if (strcmp(a, "--model") == 0) o.model = v;
        else if (strcmp(a, "--act") == 0) o.act = v;
        else if (strcmp(a, "--source") == 0) sscanf(v, "%dx%d", &o.width, &o.height);
        else if (strcmp(a, "--input-size") == 0) o.input_size = atoi(v);
        else if (strcmp(a, "--windows") == 0) o.windows = atoi(v);
        else if (strcmp(a, "--repeat") == 0) o.repeat = atoi(v) < 16 ? atoi(v) : 16;
        else if (strcmp(a, "--threads") == 0) o.threads = atoi(v);
        else if (strcmp(a, "--isa") == 0) o.isa = v;
        else if (strcmp(a, "--ops") == 0) o.ops = strcmp(v, "cpu-time") == 0 ? 2 : strcmp(v, "yes") == 0;
        else if (strcmp(a, "--encode-batch") == 0) o.shape.encode_batch = atoi(v);
        else if (strcmp(a, "--depth-batch") == 0) o.shape.depth_batch = atoi(v);
        else if (strcmp(a, "--piece") == 0) o.shape.temporal_piece = atoi(v);
        else return fprintf(stderr, "bench_network: unknown option %s\n", a), 2;
    }
    int cuda = strcmp(o.backend, "cuda") == 0;
    if (cuda) o.ops = 0;
    if (o.ops == 2) o.threads = 1;
    ib_plan_network_size(o.width, o.height, o.input_size, 1, &o.shape.width, &o.shape.height);
    ib_diag diag = IB_DIAG_INIT;
    char path[] = "/tmp/isobath-bench-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || synth_checkpoint_write(o.model, 1, path) != 0) return die("checkpoint", &diag);
    ib_checkpoint *ckpt = NULL;
    ib_vda_config config;
    ib_pool *pool = NULL;
    ib_backend *be = NULL;
    ib_vda *vda = NULL;
    ib_vda_memory memory;
    ib_dtype act = strcmp(o.act, "f16") == 0 ? IB_F16 : strcmp(o.act, "bf16") == 0 ? IB_BF16 : IB_F32;
    isobath_status st = ib_checkpoint_open(path, &diag, &ckpt);
    unlink(path);
    if (st == ISOBATH_OK) st = ib_vda_config_read(ckpt, 0, &diag, &config);
    if (st == ISOBATH_OK) { /* what is not asked for is as in `isobath run` */
        ib_vda_shape run = o.shape;
        ib_setup_batches(&config, cuda, act, &run);
        o.shape.depth_slots = run.depth_slots;
        o.shape.taps_first = run.taps_first;
        if (!o.shape.encode_batch) o.shape.encode_batch = run.encode_batch;
        if (!o.shape.depth_batch) o.shape.depth_batch = run.depth_batch;
        if (!o.shape.temporal_piece) o.shape.temporal_piece = run.temporal_piece;
    }
    if (st == ISOBATH_OK) st = ib_pool_create(o.threads, &diag, &pool);
    ib_backend_options b = {.act = act, .isa = o.isa, .pool = pool, .diag = &diag};
    if (st == ISOBATH_OK) st = cuda ? ib_cuda_open(&b, &be) : ib_cpu_open(&b, &be);
    if (st == ISOBATH_OK && o.ops && !cuda) st = bench_profile_attach(be, o.ops == 2 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC);
    if (st == ISOBATH_OK) st = ib_vda_plan(&config, &o.shape, act, &diag, &memory);
    if (st == ISOBATH_OK) st = ib_vda_create(be, ckpt, &config, &o.shape, &diag, &vda);
    int bad = st == ISOBATH_OK ? measure(&o, vda, be, &memory, o.model, &diag) : die("set-up", &diag);
    ib_vda_destroy(vda);
    ib_backend_close(be);
    ib_pool_destroy(pool);
    ib_checkpoint_close(ckpt);
    return bad;
}
