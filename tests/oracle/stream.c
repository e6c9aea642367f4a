/* Compares the streaming network with the expected values of a `_stream` case (tests/oracle/data): every inner value of the
 * first frame and the depth of all frames; and checks that an fp32 redo gives the frame's own bits back.
 *
 * usage: oracle_stream CASE [--backend cpu|ref|cuda] [--isa I] [--act f32|bf16|f16] [--threads N] [--piece P]
 *                     [--median M] [--p9999 P] [--worst W] [--no-taps]
 * Bounds are relative to the range of each value. Exit 0: within bounds. */
#include "backend/backend.h"
#include "model/stream.h"
#include "pipeline/align.h"
#include "support/expect.h"
#include "support/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    const char *name, *backend, *isa, *act;
    int threads, taps, piece;
    double median, p9999, worst;
} options;

typedef struct tap_state {
    ib_backend *backend;
    const expect_case *c;
    const options *o;
    int count, bad;
} tap_state;

static void on_tap(void *ctx, const char *name, const ib_tensor *value, int64_t first)
{
    tap_state *s = ctx;
    char key[64];
    int64_t dim[8], n = ib_tensor_count(value), channels = value->dim[value->rank - 1];
    snprintf(key, sizeof key, "tap.%s", name);
    if (!expect_shape(s->c, key, dim)) return;
    void *raw = malloc(ib_tensor_bytes(value));
    float *host = malloc((size_t)n * sizeof *host);
    s->backend->ops->download(s->backend, raw, value->data, ib_tensor_bytes(value));
    ib_checkpoint_tensor t = {.dtype = value->dtype, .rank = 1, .dim = {n}, .stride = {1}, .data = raw, .count = n};
    ib_checkpoint_read_f32(&t, host);
    expect_check *check = expect_begin(s->c, key, 0);
    expect_add_frames(check, first, 1, n / channels, channels, host);
    expect_error e = expect_end(check);
    s->bad += !expect_within(key, &e, s->o->median, s->o->p9999, s->o->worst);
    s->count++;
    free(raw);
    free(host);
}

static int die(ib_diag *diag, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, diag->text);
    return 1;
}

static isobath_status open_backend(const options *o, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **out)
{
    ib_backend_options b = {.act = act, .isa = o->isa, .pool = pool, .diag = diag};
    if (strcmp(o->backend, "ref") == 0) return ib_ref_open(&b, out);
    if (strcmp(o->backend, "cuda") == 0) return ib_cuda_open(&b, out);
    return ib_cpu_open(&b, out);
}

/* All frames; `again` (NULL: none) redoes some of them, as the guard would. */
static int run_case(const options *o, const expect_case *c, ib_backend *be, ib_backend *host, ib_stream *stream, ib_stream *again,
                    const ib_vda_shape *shape, ib_diag *diag)
{
    int64_t H = c->height, W = c->width, map = (int64_t)shape->height * shape->width;
    uint8_t *rgb = malloc((size_t)(H * W * 3));
    float *raw = malloc((size_t)map * sizeof *raw), *redone = malloc((size_t)map * sizeof *redone);
    float *depth = malloc((size_t)(H * W) * sizeof *depth);
    tap_state taps = {.backend = be, .c = c, .o = o};
    ib_tap tap = {on_tap, &taps};
    expect_check *check = expect_begin(c, "depth", 0);
    const ib_plan_render how = {0};
    const ib_alignment as_is = {.scale = 1};
    int bad = 0;
    for (int64_t n = 0; n < c->frames; n++) {
        int64_t nonfinite;
        ib_stream_set_tap(stream, n == 0 && o->taps ? &tap : NULL);
        synth_frames(n, 1, H, W, c->seed, rgb);
        if (ib_stream_frame(stream, rgb, (int)H, (int)W, raw, &nonfinite) != ISOBATH_OK) return die(diag, "frame");
        if (nonfinite) bad += fprintf(stderr, "frame %lld: %lld values are not finite\n", (long long)n, (long long)nonfinite) > 0;
        if (again && n % 19 == 0) { /* frames 0, 19, 38, 57: early, and with the ring once around */
            if (ib_stream_redo(stream, again, rgb, (int)H, (int)W, redone, &nonfinite) != ISOBATH_OK) return die(diag, "redo");
            if (memcmp(raw, redone, (size_t)map * sizeof *raw)) bad += fprintf(stderr, "frame %lld: the redo differs\n", (long long)n) > 0;
        }
        if (ib_align_render(host, &how, raw, &as_is, NULL, NULL, shape->height, shape->width, depth, H, W, NULL, NULL) != ISOBATH_OK)
            return die(diag, "render");
        expect_add(check, n * H * W, H * W, depth);
    }
    expect_error e = expect_end(check);
    bad += !expect_within("depth", &e, o->median, o->p9999, o->worst);
    bad += taps.bad;
    if (o->taps && taps.count < 8) bad += fprintf(stderr, "only %d inner values were compared\n", taps.count) > 0;
    free(rgb);
    free(raw);
    free(redone);
    free(depth);
    return bad;
}

int main(int argc, char **argv)
{
    options o = {.backend = "cpu", .act = "f32", .threads = ib_cpu_count(), .taps = 1, .piece = 700, .median = 1e-4,
                 .p9999 = 1e-4, .worst = 1e-4};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (argv[i][0] != '-') o.name = argv[i];
        else if (strcmp(argv[i], "--no-taps") == 0) o.taps = 0;
        else if (i++, strcmp(argv[i - 1], "--backend") == 0) o.backend = next;
        else if (strcmp(argv[i - 1], "--isa") == 0) o.isa = next;
        else if (strcmp(argv[i - 1], "--act") == 0) o.act = next;
        else if (strcmp(argv[i - 1], "--threads") == 0) o.threads = atoi(next);
        else if (strcmp(argv[i - 1], "--piece") == 0) o.piece = atoi(next);
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
    ib_stream *stream = NULL, *again = NULL;
    char path[64] = "/tmp/isobath-oracle-XXXXXX";
    if (!o.name || expect_open(o.name, &c) != 0) return fprintf(stderr, "no such case\n"), 2;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || synth_checkpoint_write(c.kind, c.seed, path) != 0) return fprintf(stderr, "%s: cannot write\n", path), 2;
    isobath_status st = ib_checkpoint_open(path, &diag, &ckpt);
    unlink(path);
    if (st == ISOBATH_OK) st = ib_vda_config_read(ckpt, c.metric, &diag, &config);
    ib_vda_shape shape = {.temporal_piece = o.piece};
    ib_plan_network_size((int)c.width, (int)c.height, (int)c.input_size, config.temporal, &shape.width, &shape.height);
    ib_dtype act = strcmp(o.act, "bf16") == 0 ? IB_BF16 : strcmp(o.act, "f16") == 0 ? IB_F16 : IB_F32;
    if (st == ISOBATH_OK) st = ib_pool_create(o.threads, &diag, &pool);
    if (st == ISOBATH_OK) st = open_backend(&o, act, pool, &diag, &be);
    int skipped = st == ISOBATH_ERR_UNSUPPORTED;
    ib_backend_options h = {.act = IB_F32, .pool = pool, .diag = &diag};
    if (st == ISOBATH_OK) st = strcmp(o.backend, "ref") == 0 ? ib_ref_open(&h, &host) : ib_cpu_open(&h, &host);
    if (st == ISOBATH_OK) st = ib_stream_create(be, ckpt, &config, &shape, &diag, &stream);
    if (st == ISOBATH_OK && act == IB_F32 && strcmp(c.kind, "tiny") == 0) st = ib_stream_create(be, ckpt, &config, &shape, &diag, &again);
    if (skipped) printf("SKIPPED: %s\n", diag.text);
    else printf("%s on %s: network %d x %d\n", o.name, be ? be->kind : o.backend, shape.width, shape.height);
    int bad = skipped ? 0 : st == ISOBATH_OK ? run_case(&o, &c, be, host, stream, again, &shape, &diag) : die(&diag, o.name);
    ib_stream_destroy(stream);
    ib_stream_destroy(again);
    ib_backend_close(be);
    ib_backend_close(host);
    ib_pool_destroy(pool);
    ib_checkpoint_close(ckpt);
    expect_close(&c);
    if (skipped) return 77;
    printf("%s\n", bad ? "FALLS SHORT" : "ok");
    return bad ? 1 : 0;
}
