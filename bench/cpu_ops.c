/* Speed of the cpu backend, op by op, on the shapes of a small model at 518x518 (37x37 patches):
 *
 *   cpu_ops [--isa sse4|avx2|avx512|amx] [--bf16] [--threads N | --cpu-time] [--frames T] [--match TEXT]
 *
 * --cpu-time runs one thread and counts its processor time, for a machine that others use at the same time.
 * Each line: the op, how often a new frame runs it ("per frame" counts the parts of the head that every window repeats
 * as 32/22), its best time per frame, GFLOP/s, and the share of the multiply-add peak that is measured first on the
 * same threads. The sum at the end is the network's time per output frame as far as these ops make it up. */
#include "backend/backend.h"
#include "base/half.h"
#include "cpu_peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    ib_backend *b;
    ib_pool *pool;
    const char *match;
    int64_t frames;
    double peak, total_ms, total_gflop;
} bench;

static void die(const char *text)
{
    fprintf(stderr, "cpu_ops: %s\n", text);
    exit(1);
}

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(clock_used, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the cases
 * --------------------------------------------------------------------------------------------------------- */

/* Buffers and the weight of the case at hand. */
enum { MAX_HELD = 16 };
static void *held[MAX_HELD];
static int held_count;
static ib_weight *held_weight;

static void release(const bench *s)
{
    while (held_count) free(held[--held_count]);
    if (held_weight) s->b->ops->weight_destroy(s->b, held_weight);
    held_weight = NULL;
}

static ib_tensor make(ib_dtype type, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    int64_t n = d0 * d1 * d2 * (d3 ? d3 : 1);
    void *p = aligned_alloc(64, ((size_t)n * 4 + 127) & ~(size_t)63);
    if (!p || held_count == MAX_HELD) die("out of memory");
    held[held_count++] = p;
    for (int64_t i = 0; i < n; i++) {
        float v = (float)((i * 2654435761u >> 7) & 1023) / 512.0f - 1.0f;
        if (type == IB_F32)
            ((float *)p)[i] = v;
        else
            ((uint16_t *)p)[i] = ib_f32_to_bf16(v);
    }
    return d3 ? ib_tensor_4d(p, type, d0, d1, d2, d3) : ib_tensor_3d(p, type, d0, d1, d2);
}

static ib_tensor vector(int64_t n)
{
    ib_tensor t = make(IB_F32, 1, 1, n, 0);
    return ib_tensor_1d(t.data, IB_F32, n);
}

static ib_weight *weight(const bench *s, ib_weight_kind kind, int64_t out, int64_t in, int k)
{
    ib_tensor t = make(IB_F32, 18, out, in + 1, 0);
    ib_weight *w = NULL;
    ib_weight_desc d = {kind, out, in, k, t.data};
    if (s->b->ops->weight_create(s->b, &d, &w) != ISOBATH_OK) die(s->b->diag->text);
    held_weight = w;
    return w;
}

/* Runs a call until it is timed well, then frees what `make` allocated. `times`: how often a frame needs it; gflop: of
 * one call. */
#define TIME(name, times, gflop, ...)                                           \
    do {                                                                        \
        double best = 1e9, spent = 0;                                           \
        int wanted = !s->match || strstr(name, s->match);                       \
        for (int i_ = 0; wanted && i_ < 100 && (i_ < 3 || spent < 0.4); i_++) { \
            double t_ = now();                                                  \
            if ((__VA_ARGS__) != ISOBATH_OK) die(s->b->diag->text);             \
            t_ = now() - t_;                                                    \
            spent += t_;                                                        \
            if (t_ < best) best = t_;                                           \
        }                                                                       \
        if (wanted) report(s, name, times, gflop, best);                        \
        release(s);                                                             \
    } while (0)

static void report(bench *s, const char *name, double times, double gflop, double seconds)
{
    double ms = 1e3 * seconds * times / (double)s->frames;
    printf("%-28s %6.2f %9.3f ms %8.1f GFLOP/s %5.1f%%\n", name, times, ms, gflop / seconds,
           100 * gflop / seconds / s->peak);
    s->total_ms += ms;
    s->total_gflop += gflop * times / (double)s->frames;
}

static void linear_case(bench *s, const char *name, double times, int64_t rows, int64_t k, int64_t m, ib_act act,
                        int f32)
{
    int64_t t = s->frames;
    int geglu = act == IB_ACT_GEGLU;
    ib_linear_args a = {.x = make(s->b->act, t, rows, k, 0),
                        .w = weight(s, geglu ? IB_WEIGHT_GEGLU : IB_WEIGHT_LINEAR, m, k, 0),
                        .bias = vector(geglu ? 2 * m : m),
                        .act = act,
                        .y = make(f32 ? IB_F32 : s->b->act, t, rows, m, 0)};
    if (f32) a.residual = a.y;
    TIME(name, times, 2e-9 * (double)(t * rows * k * m) * (geglu ? 2 : 1), ib_linear(s->b, &a));
}

static void conv_case(bench *s, const char *name, double times, int64_t h, int64_t ci, int64_t co, int stride,
                      int residual)
{
    int64_t t = s->frames, ho = (h - 1) / stride + 1;
    ib_conv3x3_args a = {.x = make(s->b->act, t, h, h, ci),
                         .w = weight(s, IB_WEIGHT_CONV3X3, co, ci, 0),
                         .bias = vector(co),
                         .stride = stride,
                         .relu_in = 1,
                         .y = make(s->b->act, t, ho, ho, co)};
    if (residual) a.residual = a.y;
    TIME(name, times, 2e-9 * (double)(t * ho * ho * ci * co) * 9, ib_conv3x3(s->b, &a));
}

static void layernorm_case(bench *s, const char *name, double times, int64_t rows, int64_t c)
{
    ib_layernorm_args a = {.x = make(IB_F32, s->frames, rows, c, 0),
                           .weight = vector(c),
                           .bias = vector(c),
                           .eps = 1e-6f,
                           .y = make(s->b->act, s->frames, rows, c, 0)};
    TIME(name, times, 0, ib_layernorm(s->b, &a));
}

static void encoder(bench *s)
{
    int64_t t = s->frames, n = 1370, c = 384;
    layernorm_case(s, "layernorm", 25, n, c);
    linear_case(s, "linear qkv", 12, n, c, 3 * c, IB_ACT_NONE, 0);
    ib_attention_args a = {make(s->b->act, t, n, 3 * c, 0), 6, make(s->b->act, t, n, c, 0)};
    TIME("self attention", 12, 4e-9 * (double)(t * n * n * c), ib_attention(s->b, &a));
    linear_case(s, "linear proj", 12, n, c, c, IB_ACT_NONE, 1);
    linear_case(s, "linear fc1 gelu", 12, n, c, 4 * c, IB_ACT_GELU, 0);
    linear_case(s, "linear fc2", 12, n, 4 * c, c, IB_ACT_NONE, 1);
}

static void head(bench *s)
{
    const double window = 32.0 / 22.0;
    ib_dtype type = s->b->act;
    int64_t t = s->frames;
    linear_case(s, "linear project 48", 1, 1369, 384, 48, IB_ACT_NONE, 0);
    linear_case(s, "linear project 384", 1, 1369, 384, 384, IB_ACT_NONE, 0);
    ib_conv_transpose_args ct = {make(type, t, 37, 37, 48), weight(s, IB_WEIGHT_CONVT, 48, 48, 4), vector(48),
                                 make(type, t, 148, 148, 48)};
    TIME("conv_transpose 4x4", 1, 2e-9 * (double)(t * 148 * 148 * 48 * 48), ib_conv_transpose(s->b, &ct));
    conv_case(s, "conv 48-64 148", 1, 148, 48, 64, 1, 0);
    conv_case(s, "conv 96-64 74", 1, 74, 96, 64, 1, 0);
    conv_case(s, "conv 384-384 37 /2", 1, 37, 384, 384, 2, 0);
    conv_case(s, "conv rcu 148", 2 + 2 * window, 148, 64, 64, 1, 1);
    conv_case(s, "conv rcu 74", 2 + 2 * window, 74, 64, 64, 1, 1);
    conv_case(s, "conv rcu 37", 6 * window, 37, 64, 64, 1, 1);
    conv_case(s, "conv output1 296", window, 296, 64, 32, 1, 0);
    ib_output_head_args h = {make(type, t, 296, 296, 32), weight(s, IB_WEIGHT_HEAD, 32, 32, 0), vector(33),
                             make(IB_F32, t, 518, 518, 0)};
    TIME("output_head", window, 2e-9 * (double)(t * 518 * 518 * 32) * 9 * 32, ib_output_head(s->b, &h));
    linear_case(s, "linear 64 148", window, 148 * 148, 64, 64, IB_ACT_NONE, 0);
    ib_resize_bilinear_args r = {make(type, t, 148, 148, 64), make(type, t, 296, 296, 64)};
    TIME("resize 148-296", window, 0, ib_resize_bilinear(s->b, &r));
    int64_t p = 148 * 148;
    ib_add_args add = {make(type, t, p, 64, 0), make(type, t, p, 64, 0), make(type, t, p, 64, 0)};
    TIME("add 148", window, 0, ib_add(s->b, &add));
}

static const char *named(char *buf, const char *op, int64_t c, int64_t p)
{
    snprintf(buf, 64, "%s %lld x%lld", op, (long long)c, (long long)p);
    return buf;
}

static void temporal(bench *s)
{
    static const int64_t shape[4][2] = {{1369, 192}, {361, 384}, {1369, 64}, {5476, 64}}; /* pixels, channels */
    const double window = 32.0 / 22.0;
    int64_t keep = s->frames, t = s->frames = 32;
    char name[64];
    for (int i = 0; i < 4; i++) {
        int64_t p = shape[i][0], c = shape[i][1];
        ib_tensor q = make(s->b->act, t, p, 3 * c, 0), k = ib_tensor_narrow(&q, 2, c, c);
        ib_tensor v = ib_tensor_narrow(&q, 2, 2 * c, c);
        q = ib_tensor_narrow(&q, 2, 0, c);
        ib_temporal_attention_args a = {q, k, v, 8, make(s->b->act, t, p, c, 0)};
        TIME(named(name, "temporal_attention", c, p), 2 * window, 4e-9 * (double)(p * 32 * 32 * c),
             ib_temporal_attention(s->b, &a));
        linear_case(s, named(name, "linear tqkv", c, p), 2 * window, p, c, 3 * c, IB_ACT_NONE, 0);
        linear_case(s, named(name, "linear tproj", c, p), 4 * window, p, c, c, IB_ACT_NONE, 1);
        linear_case(s, named(name, "linear geglu", c, p), window, p, c, 4 * c, IB_ACT_GEGLU, 0);
        linear_case(s, named(name, "linear tdown", c, p), window, p, 4 * c, c, IB_ACT_NONE, 1);
        layernorm_case(s, named(name, "layernorm", c, p), 3 * window, p, c);
        ib_groupnorm_args g = {make(s->b->act, t, p, c, 0), vector(c), vector(c), 32, 1e-6f,
                               make(s->b->act, t, p, c, 0)};
        TIME(named(name, "groupnorm", c, p), window, 0, ib_groupnorm(s->b, &g));
    }
    s->frames = keep;
}

/* Not part of the network's sum: per frame at 1280x720. */
static void frames(bench *s)
{
    int64_t keep = s->frames;
    s->frames = 1;
    ib_tensor u8 = make(IB_F32, 1, 720, 960, 0), in = make(IB_F32, 1, 518, 924, 3);
    ib_tensor a = make(IB_F32, 1, 518, 924, 0), y = make(IB_F32, 1, 720, 1280, 0);
    u8 = ib_tensor_4d(u8.data, IB_U8, 1, 720, 1280, 3);
    a = ib_tensor_2d(a.data, IB_F32, 518, 924);
    y = ib_tensor_2d(y.data, IB_F32, 720, 1280);
    float lo, hi;
    double sums[5];
    ib_preprocess_args pre = {u8, in};
    ib_render_args one = {.a = a, .a_scale = 1.1f, .y = y, .min_out = &lo, .max_out = &hi}, two = one;
    ib_fit_sums_args fit = {.p = {a, a}, .r = {a, a}, .height = 720, .width = 1280, .sums = sums};
    two.b = a;
    two.weight = 0.25;
    int kept = held_count;
    held_count = 0; /* these four share their buffers */
    TIME("preprocess 720p", 1, 0, ib_preprocess(s->b, &pre));
    TIME("render 720p", 1, 0, ib_render(s->b, &one));
    TIME("render 720p cross-fade", 1, 0, ib_render(s->b, &two));
    TIME("fit_sums 720p", 1, 0, ib_fit_sums(s->b, &fit));
    held_count = kept;
    release(s);
    s->frames = keep;
}

int main(int argc, char **argv)
{
    ib_diag diag = IB_DIAG_INIT;
    bench s = {.frames = 4};
    ib_backend_options o = {.act = IB_F32, .diag = &diag};
    int threads = ib_cpu_count();
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--bf16") == 0)
            o.act = IB_BF16;
        else if (strcmp(argv[i], "--cpu-time") == 0)
            clock_used = CLOCK_PROCESS_CPUTIME_ID, threads = 1;
        else if (strcmp(argv[i], "--isa") == 0)
            o.isa = value, i++;
        else if (strcmp(argv[i], "--threads") == 0)
            threads = atoi(value), i++;
        else if (strcmp(argv[i], "--frames") == 0)
            s.frames = atoi(value), i++;
        else if (strcmp(argv[i], "--match") == 0)
            s.match = value, i++;
        else
            return fprintf(stderr, "cpu_ops: unknown option %s\n", argv[i]), 2;
    }
    if (ib_pool_create(threads, &diag, &s.pool) != ISOBATH_OK) return fprintf(stderr, "cpu_ops: %s\n", diag.text), 1;
    o.pool = s.pool;
    if (ib_cpu_open(&o, &s.b) != ISOBATH_OK) return fprintf(stderr, "cpu_ops: %s\n", diag.text), 1;
    s.peak = bench_cpu_peak(s.b, clock_used);
    printf("%s, %d threads, %lld frames a call; measured peak %.0f GFLOP/s\n", s.b->kind, threads, (long long)s.frames,
           s.peak);
    encoder(&s);
    head(&s);
    temporal(&s);
    printf("%-28s %6s %9.3f ms %8.1f GFLOP/s %5.1f%%\n", "network, per output frame", "", s.total_ms,
           1e3 * s.total_gflop / s.total_ms, 1e5 * s.total_gflop / s.total_ms / s.peak);
    frames(&s);
    ib_backend_close(s.b);
    ib_pool_destroy(s.pool);
    return 0;
}
