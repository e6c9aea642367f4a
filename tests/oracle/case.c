/* Compares the network and the whole pipeline with the expected values of one case (tests/oracle/data):
 * every inner value of the first window, every raw window, and the final depth.
 *
 * usage: oracle_case CASE [--backend cpu|ref|cuda] [--isa I] [--act f32|bf16|f16] [--threads N]
 *                   [--median M] [--p9999 P] [--worst W] [--no-taps]
 * Bounds are relative to the range of each value. Exit 0: within bounds. */
#include "backend/backend.h"
#include "model/vda.h"
#include "pipeline/align.h"
#include "pipeline/plan.h"
#include "support/expect.h"
#include "support/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    const char *name, *backend, *isa, *act;
    int threads, taps, batch;
    double median, p9999, worst;
} options;

typedef struct tap_state {
    ib_backend *backend;
    expect_case *c;
    int64_t frames; /* of the first window that the file knows */
    struct {
        char name[32];
        expect_check *check;
    } checks[40];
    int count;
} tap_state;

/* Feeds a value of the network to its comparison, frame range by frame range; the file's order is its business. */
static void on_tap(void *ctx, const char *name, const ib_tensor *value, int64_t first)
{
    tap_state *s = ctx;
    char key[64];
    int64_t dim[8];
    snprintf(key, sizeof key, "tap.%s", name);
    if (!expect_shape(s->c, key, dim)) return;
    int i = 0;
    while (i < s->count && strcmp(s->checks[i].name, name)) i++;
    if (i == s->count) {
        snprintf(s->checks[i].name, sizeof s->checks[i].name, "%s", name);
        s->checks[i].check = expect_begin(s->c, key, 0);
        s->count++;
    }
    int64_t n = ib_tensor_count(value), frames = value->dim[0], channels = value->dim[value->rank - 1];
    size_t bytes = ib_tensor_bytes(value);
    void *raw = malloc(bytes);
    float *host = malloc((size_t)n * sizeof *host);
    s->backend->ops->download(s->backend, raw, value->data, bytes);
    ib_checkpoint_tensor t = {.dtype = value->dtype, .rank = 1, .dim = {n}, .stride = {1}, .data = raw, .count = n};
    ib_checkpoint_read_f32(&t, host);
    int64_t known = first + frames > s->frames ? s->frames - first : frames;
    if (known > 0) expect_add_frames(s->checks[i].check, first, known, n / frames / channels, channels, host);
    free(raw);
    free(host);
}

static int check_taps(tap_state *s, const options *o, const ib_vda_config *config)
{
    int bad = 0;
    for (int i = 0; i < s->count; i++) {
        expect_error e = expect_end(s->checks[i].check);
        char label[64];
        snprintf(label, sizeof label, "tap.%s", s->checks[i].name);
        bad += !expect_within(label, &e, o->median, o->p9999, o->worst);
    }
    int taps = config->temporal ? 8 : 7;
    if (s->count < taps) {
        fprintf(stderr, "only %d inner values were compared\n", s->count);
        bad++;
    }
    return bad;
}

static int die(ib_diag *diag, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, diag->text);
    return 1;
}

static isobath_status open_backend(const options *o, ib_pool *pool, ib_diag *diag, ib_backend **out)
{
    ib_dtype act = strcmp(o->act, "bf16") == 0 ? IB_BF16 : strcmp(o->act, "f16") == 0 ? IB_F16 : IB_F32;
    ib_backend_options b = {.act = act, .isa = o->isa, .pool = pool, .diag = diag};
    if (strcmp(o->backend, "ref") == 0) return ib_ref_open(&b, out);
    if (strcmp(o->backend, "cuda") == 0) return ib_cuda_open(&b, out);
    return ib_cpu_open(&b, out);
}

/* All windows of the case, as run.c drives them but on one thread. */
static int run_case(const options *o, expect_case *c, ib_backend *be, ib_backend *host, ib_vda *vda, const ib_vda_config *config,
                    const ib_vda_shape *shape, ib_diag *diag)
{
    int64_t n = c->frames, H = c->height, W = c->width, map = (int64_t)shape->height * shape->width;
    uint8_t *rgb = malloc((size_t)(H * W * 3) * IB_PLAN_WINDOW);
    float *raw = malloc((size_t)(map * IB_PLAN_WINDOW) * sizeof *raw), *tail = malloc((size_t)(8 * map) * sizeof *tail);
    float *depth = malloc((size_t)(H * W) * sizeof *depth);
    ib_alignment al, tail_al = {0};
    ib_align_chain chain;
    int bad = 0;
    if (ib_align_chain_init(&chain, host, config->metric, 0, H, W, shape->height, shape->width, diag) != ISOBATH_OK) return 1;
    tap_state taps = {.backend = be, .c = c, .frames = config->temporal ? IB_PLAN_WINDOW : n};
    expect_check *raw_check = expect_begin(c, "raw_windows", 0), *depth_check = expect_begin(c, "depth", 0);
    for (int64_t k = 0; k < ib_plan_windows(n); k++) {
        int64_t frames[IB_PLAN_WINDOW], first, end, nonfinite;
        ib_plan_window_frames(k, n, frames);
        int slot = k ? IB_PLAN_OVERLAP : 0;
        if (k && ib_vda_advance(vda) != ISOBATH_OK) return die(diag, "advance");
        ib_tap tap = {on_tap, &taps};
        ib_vda_set_tap(vda, k == 0 && o->taps ? &tap : NULL);
        for (; slot < IB_PLAN_WINDOW;) { /* batches of frames that are there, copies of the last one after them */
            int count = 0;
            const uint8_t *ptr[IB_PLAN_WINDOW];
            /* taps want every slot encoded, so the repeated frames are encoded too in the first window */
            while (slot + count < IB_PLAN_WINDOW && count < shape->encode_batch &&
                   (k == 0 || IB_PLAN_STEP * k + slot + count < n)) {
                ptr[count] = rgb + (size_t)(H * W * 3) * (size_t)count;
                synth_frames(frames[slot + count], 1, H, W, c->seed, (uint8_t *)ptr[count]);
                count++;
            }
            isobath_status st = count ? ib_vda_encode_rgb(vda, ptr, (int)H, (int)W, count, slot) : ib_vda_copy_slot(vda, slot - 1, slot);
            if (st != ISOBATH_OK) return die(diag, "encode");
            slot += count ? count : 1;
        }
        if (ib_vda_depth(vda, raw, &nonfinite) != ISOBATH_OK) return die(diag, "depth");
        if (nonfinite) fprintf(stderr, "window %lld: %lld values are not finite\n", (long long)k, (long long)nonfinite);
        if (config->temporal) {
            expect_add(raw_check, k * IB_PLAN_WINDOW * map, IB_PLAN_WINDOW * map, raw);
            if (ib_align_chain_window(&chain, raw, &al) != ISOBATH_OK) return die(diag, "align");
            ib_plan_final_frames(k, n, &first, &end);
        } else { /* every frame by itself: no overlap, nothing to align */
            ib_plan_new_frames(k, n, &first, &end);
            expect_add(raw_check, first * map, (end - first) * map, raw + (first - IB_PLAN_STEP * k) * map);
            al = (ib_alignment){.scale = 1};
        }
        for (int64_t i = first; i < end; i++) {
            ib_plan_render how = config->temporal ? ib_plan_frame(i, n) : (ib_plan_render){.window = k, .slot = (int)(i - IB_PLAN_STEP * k)};
            if (ib_align_render(host, &how, raw + how.slot * map, &al, how.fade ? tail + (how.fade_slot - 24) * map : NULL, &tail_al,
                                shape->height, shape->width, depth, H, W, NULL, NULL) != ISOBATH_OK)
                return die(diag, "render");
            expect_add(depth_check, i * H * W, H * W, depth);
        }
        memcpy(tail, raw + 24 * map, (size_t)(8 * map) * sizeof *tail);
        tail_al = al;
    }
    if (o->taps) bad += check_taps(&taps, o, config);
    expect_error e = expect_end(raw_check);
    bad += !expect_within("raw_windows", &e, o->median, o->p9999, o->worst);
    e = expect_end(depth_check);
    bad += !expect_within("depth", &e, o->median, o->p9999, o->worst);
    ib_align_chain_free(&chain);
    free(rgb);
    free(raw);
    free(tail);
    free(depth);
    return bad;
}

int main(int argc, char **argv)
{
    options o = {.backend = "cpu", .act = "f32", .threads = ib_cpu_count(), .taps = 1, .batch = 4, .median = 1e-4, .p9999 = 1e-4,
                 .worst = 1e-4};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (argv[i][0] != '-') o.name = argv[i];
        else if (strcmp(argv[i], "--no-taps") == 0) o.taps = 0;
        else if (i++, strcmp(argv[i - 1], "--backend") == 0) o.backend = next;
        else if (strcmp(argv[i - 1], "--isa") == 0) o.isa = next;
        else if (strcmp(argv[i - 1], "--act") == 0) o.act = next;
        else if (strcmp(argv[i - 1], "--threads") == 0) o.threads = atoi(next);
        else if (strcmp(argv[i - 1], "--batch") == 0) o.batch = atoi(next);
        else if (strcmp(argv[i - 1], "--median") == 0) o.median = atof(next);
        else if (strcmp(argv[i - 1], "--p9999") == 0) o.p9999 = atof(next);
        else if (strcmp(argv[i - 1], "--worst") == 0) o.worst = atof(next);
        else return fprintf(stderr, "unknown option %s\n", argv[i - 1]), 2;
    }
    expect_case c;
    ib_diag diag = IB_DIAG_INIT;
    ib_pool *pool = NULL;
    ib_backend *be = NULL, *host = NULL;
    ib_checkpoint *ckpt = NULL;
    ib_vda_config config;
    ib_vda *vda = NULL;
    char path[64] = "/tmp/isobath-oracle-XXXXXX";
    if (!o.name || expect_open(o.name, &c) != 0) return fprintf(stderr, "no such case\n"), 2;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || synth_checkpoint_write(c.kind, c.seed, path) != 0) return fprintf(stderr, "%s: cannot write\n", path), 2;
    isobath_status st = ib_checkpoint_open(path, &diag, &ckpt);
    unlink(path);
    if (st == ISOBATH_OK) st = ib_vda_config_read(ckpt, c.metric, &diag, &config);
    if (st == ISOBATH_OK) config.max_depth = (float)c.max_depth;
    ib_vda_shape shape = {.encode_batch = o.batch, .depth_batch = 2, .temporal_piece = 700, .depth_slots = 1};
    ib_plan_network_size((int)c.width, (int)c.height, (int)c.input_size, config.temporal, &shape.width, &shape.height);
    if (st == ISOBATH_OK) st = ib_pool_create(o.threads, &diag, &pool);
    if (st == ISOBATH_OK) st = open_backend(&o, pool, &diag, &be);
    int skipped = st == ISOBATH_ERR_UNSUPPORTED;
    ib_backend_options h = {.act = IB_F32, .pool = pool, .diag = &diag};
    if (st == ISOBATH_OK) st = strcmp(o.backend, "ref") == 0 ? ib_ref_open(&h, &host) : ib_cpu_open(&h, &host);
    if (st == ISOBATH_OK) st = ib_vda_create(be, ckpt, &config, &shape, &diag, &vda);
    if (skipped) printf("SKIPPED: %s\n", diag.text);
    else printf("%s on %s: network %d x %d\n", o.name, be ? be->kind : o.backend, shape.width, shape.height);
    int bad = skipped ? 0 : st == ISOBATH_OK ? run_case(&o, &c, be, host, vda, &config, &shape, &diag) : die(&diag, o.name);
    ib_vda_destroy(vda);
    ib_backend_close(be);
    ib_backend_close(host);
    ib_pool_destroy(pool);
    ib_checkpoint_close(ckpt);
    expect_close(&c);
    if (skipped) return 77;
    printf("%s\n", bad ? "FALLS SHORT" : "ok");
    return bad ? 1 : 0;
}
