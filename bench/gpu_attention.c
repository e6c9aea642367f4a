/* Times attention, norms, resizing, the output head and the ops around the network on the CUDA backend at the shapes of
 * VDA-S and VDA-L (518x518), one line each: time on the simt, mma and wgmma paths, arithmetic rate and bytes per second
 * of the last, and its share of the floor that the given ceilings set. Compares the paths with each other on the way.
 *
 * usage: gpu_attention [--act f16|bf16|f32] [--only WORD] [--path simt|mma|wgmma] [--frames N] [--tflops CEILING]
 * [--gbytes CEILING] */
#include "backend/backend.h"
#include "base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum kind {
    ATTENTION,
    TEMPORAL,
    LAYERNORM,
    GROUPNORM,
    RESIZE,
    TAPS,
    HEAD,
    EMBED,
    ADD,
    COPY,
    COUNT,
    PREPROCESS,
    RENDER,
    FIT
} kind;

typedef struct bench_case {
    const char *name;
    kind op;
    int n, c; /* tokens or pixels (of a square map: its side) and channels (attention: heads) */
    int to;   /* resize, head: side of the result */
} bench_case;

static const bench_case cases[] = {
    {"S attention", ATTENTION, 1370, 6, 0},
    {"S attention 518x924", ATTENTION, 2443, 6, 0},
    {"L attention", ATTENTION, 1370, 16, 0},
    {"S temporal 0", TEMPORAL, 1369, 192, 0},
    {"S temporal 1", TEMPORAL, 361, 384, 0},
    {"S temporal 2", TEMPORAL, 1369, 64, 0},
    {"S temporal 3", TEMPORAL, 5476, 64, 0},
    {"L temporal 0", TEMPORAL, 1369, 1024, 0},
    {"L temporal 3", TEMPORAL, 5476, 256, 0},
    {"S layernorm", LAYERNORM, 1370, 384, 0},
    {"L layernorm", LAYERNORM, 1370, 1024, 0},
    {"S layernorm 64", LAYERNORM, 5476, 64, 0},
    {"S layernorm 192", LAYERNORM, 1369, 192, 0},
    {"S groupnorm 0", GROUPNORM, 1369, 192, 0},
    {"S groupnorm 3", GROUPNORM, 5476, 64, 0},
    {"L groupnorm 3", GROUPNORM, 5476, 256, 0},
    {"S resize 37", RESIZE, 37, 64, 74},
    {"S resize 148", RESIZE, 148, 64, 296},
    {"L resize 148", RESIZE, 148, 256, 296},
    {"S taps 148", TAPS, 148, 32, 296},
    {"L taps 148", TAPS, 148, 128, 296},
    {"S head", HEAD, 296, 32, 518},
    {"L head", HEAD, 296, 128, 518},
    {"S embed", EMBED, 1369, 384, 0},
    {"S add", ADD, 21904, 64, 0},
    {"S copy", COPY, 1369, 384, 0},
    {"count 518", COUNT, 518 * 518, 1, 0},
    {"preprocess 720p", PREPROCESS, 720, 3, 518},
    {"render 720p", RENDER, 518, 1, 720},
    {"fit 720p", FIT, 518, 1, 720},
};
#define PATTERN ((size_t)1000003) /* values that are drawn; a prime, so that rows differ */
enum { CASES = sizeof cases / sizeof *cases };

typedef struct buffers {
    void *x, *x2, *x3, *small, *y; /* device */
    ib_weight *head;
    size_t y_count;
    ib_dtype y_type;
} buffers;

static void check(isobath_status status, ib_diag *diag, const char *what)
{
    if (status == ISOBATH_OK) return;
    fprintf(stderr, "gpu_attention: %s: %s\n", what, diag->text);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Values j/16, |j| <= 32: exact in every type. */
static void *filled(ib_backend *be, ib_dtype type, size_t count, uint32_t seed, ib_diag *diag)
{
    size_t size = ib_dtype_size(type);
    void *device, *host = malloc(count * size);
    if (!host) exit(1);
    size_t fresh = count < PATTERN ? count : PATTERN;
    for (size_t i = 0; i < fresh; i++) {
        seed = seed * 1664525u + 1013904223u;
        float v = (float)((int)(seed >> 16) % 65 - 32) / 16.0f;
        if (type == IB_U8)
            ((uint8_t *)host)[i] = (uint8_t)(seed >> 24);
        else if (type == IB_F32)
            ((float *)host)[i] = v;
        else
            ((uint16_t *)host)[i] = type == IB_F16 ? ib_f32_to_f16(v) : ib_f32_to_bf16(v);
    }
    for (size_t i = fresh; i < count; i += fresh) /* the rest repeats it */
        memcpy((char *)host + i * size, host, (count - i < fresh ? count - i : fresh) * size);
    check(be->ops->buffer_alloc(be, count * size, &device), diag, "alloc");
    check(be->ops->upload(be, device, host, count * size), diag, "upload");
    check(be->ops->sync(be), diag, "sync");
    free(host);
    return device;
}

/* Elements of the inputs and of the result. */
static void sizes(const bench_case *p, int64_t t, size_t *x, size_t *y)
{
    int64_t n = p->n, c = p->c, to = p->to, wide = to * 16 / 9;
    switch (p->op) {
    case ATTENTION: *x = (size_t)(t * n * c * 192), *y = (size_t)(t * n * c * 64); break;
    case TEMPORAL: *x = (size_t)(t * n * c * 3), *y = (size_t)(t * n * c); break;
    case RESIZE: *x = (size_t)(t * n * n * c), *y = (size_t)(t * to * to * c); break;
    case TAPS: *x = (size_t)(9 * t * n * n * c), *y = (size_t)(t * to * to * c); break;
    case HEAD: *x = (size_t)(t * n * n * c), *y = (size_t)(t * to * to); break;
    case EMBED: *x = (size_t)(t * n * c), *y = (size_t)(t * (n + 1) * c); break;
    case PREPROCESS: *x = (size_t)(t * n * (n * 16 / 9) * 3), *y = (size_t)(t * to * to * 3); break;
    case RENDER: *x = (size_t)(n * n), *y = (size_t)(to * wide); break;
    case FIT: *x = (size_t)(n * n), *y = 4; break;
    case COUNT: *x = (size_t)(t * n * c), *y = 4; break;
    default: *x = *y = (size_t)(t * n * c); break;
    }
}

static int x_is_f32(kind op)
{
    return op == LAYERNORM || op == EMBED || op == COPY || op == COUNT || op == RENDER || op == FIT;
}
static int y_is_f32(kind op)
{
    return op == HEAD || op == EMBED || op == PREPROCESS || op == RENDER || op == FIT || op == COUNT;
}

static isobath_status call(ib_backend *be, const bench_case *p, int64_t t, const buffers *b)
{
    int64_t n = p->n, c = p->c, to = p->to, wide = to * 16 / 9;
    ib_dtype act = be->act;
    ib_tensor small = ib_tensor_1d(b->small, IB_F32, c);
    switch (p->op) {
    case ATTENTION:
        return ib_attention(be, &(ib_attention_args){ib_tensor_3d(b->x, act, t, n, c * 192), p->c,
                                                     ib_tensor_3d(b->y, act, t, n, c * 64)});
    case TEMPORAL: {
        ib_tensor qkv = ib_tensor_3d(b->x, act, t, n, 3 * c);
        return ib_temporal_attention(be, &(ib_temporal_attention_args){
                                             ib_tensor_narrow(&qkv, 2, 0, c), ib_tensor_narrow(&qkv, 2, c, c),
                                             ib_tensor_narrow(&qkv, 2, 2 * c, c), 8, ib_tensor_3d(b->y, act, t, n, c)});
    }
    case LAYERNORM:
        return ib_layernorm(be, &(ib_layernorm_args){.x = ib_tensor_3d(b->x, IB_F32, t, n, c),
                                                     .weight = small,
                                                     .bias = small,
                                                     .eps = 1e-6f,
                                                     .y = ib_tensor_3d(b->y, act, t, n, c)});
    case GROUPNORM:
        return ib_groupnorm(be, &(ib_groupnorm_args){ib_tensor_3d(b->x, act, t, n, c), small, small, 32, 1e-6f,
                                                     ib_tensor_3d(b->y, act, t, n, c)});
    case RESIZE:
        return ib_resize_bilinear(
            be, &(ib_resize_bilinear_args){ib_tensor_4d(b->x, act, t, n, n, c), ib_tensor_4d(b->y, act, t, to, to, c)});
    case TAPS:
        return ib_resize_taps(be, &(ib_resize_taps_args){ib_tensor_4d(b->x, act, t, n, n, 9 * c), small,
                                                         ib_tensor_4d(b->y, act, t, to, to, c)});
    case HEAD:
        return ib_output_head(be, &(ib_output_head_args){ib_tensor_4d(b->x, act, t, n, n, c), b->head,
                                                         ib_tensor_1d(b->small, IB_F32, 33),
                                                         ib_tensor_3d(b->y, IB_F32, t, to, to)});
    case EMBED:
        return ib_embed_tokens(be, &(ib_embed_tokens_args){ib_tensor_3d(b->x, IB_F32, t, n, c), small,
                                                           ib_tensor_2d(b->x2, IB_F32, n + 1, c),
                                                           ib_tensor_3d(b->y, IB_F32, t, n + 1, c)});
    case ADD:
        return ib_add(be, &(ib_add_args){ib_tensor_3d(b->x, act, t, n, c), ib_tensor_3d(b->x2, act, t, n, c),
                                         ib_tensor_3d(b->y, act, t, n, c)});
    case COPY:
        return ib_copy(be, &(ib_copy_args){ib_tensor_3d(b->x, IB_F32, t, n, c), ib_tensor_3d(b->y, act, t, n, c)});
    case COUNT: {
        int64_t count;
        return ib_count_nonfinite(be, &(ib_count_nonfinite_args){ib_tensor_2d(b->x, IB_F32, t, n * c), &count});
    }
    case PREPROCESS:
        return ib_preprocess(be, &(ib_preprocess_args){ib_tensor_4d(b->x, IB_U8, t, n, n * 16 / 9, 3),
                                                       ib_tensor_4d(b->y, IB_F32, t, to, to, 3)});
    case RENDER:
        return ib_render(be, &(ib_render_args){.a = ib_tensor_2d(b->x, IB_F32, n, n),
                                               .b = ib_tensor_2d(b->x2, IB_F32, n, n),
                                               .a_scale = 1.1f,
                                               .a_shift = 0.1f,
                                               .b_scale = 0.9f,
                                               .b_shift = 0.2f,
                                               .weight = 3.0 / 7.0,
                                               .y = ib_tensor_2d(b->y, IB_F32, to, wide)});
    case FIT: {
        double sums[5];
        ib_tensor m = ib_tensor_2d(b->x, IB_F32, n, n), r = ib_tensor_2d(b->x2, IB_F32, n, n);
        return ib_fit_sums(be, &(ib_fit_sums_args){{m, r}, {r, m}, 1.1f, 0.1f, to, wide, sums});
    }
    }
    return ISOBATH_ERR_INTERNAL;
}

static double flops(const bench_case *p, int64_t t)
{
    double n = p->n, c = p->c, to = p->to;
    if (p->op == ATTENTION) return 4.0 * (double)t * c * n * n * 64;
    if (p->op == TEMPORAL) return 4.0 * (double)(t * t) * n * c;
    if (p->op == HEAD) return 2.0 * (double)t * to * to * 32 * (9 * c + 1);
    return 0;
}

/* Seconds a call; the result as f32 into *out (malloc'ed). */
static double run(ib_backend *be, const bench_case *p, int64_t t, int repeats, float **out, size_t *count,
                  ib_diag *diag)
{
    size_t xs, ys;
    sizes(p, t, &xs, &ys);
    ib_dtype x_type = p->op == PREPROCESS ? IB_U8 : x_is_f32(p->op) ? IB_F32 : be->act;
    ib_dtype y_type = y_is_f32(p->op) ? IB_F32 : be->act;
    buffers b = {.x = filled(be, x_type, xs, 1, diag),
                 .x2 = filled(be, x_type, xs + 4096, 2, diag),
                 .small = filled(be, IB_F32, 4096, 3, diag),
                 .y = filled(be, y_type, ys, 4, diag)};
    if (p->op == HEAD) {
        size_t ws = (size_t)(32 * p->c * 9 + 32);
        float *w = malloc(ws * sizeof *w);
        if (!w) exit(1);
        for (size_t i = 0; i < ws; i++) w[i] = (float)((int)(i * 7919 % 65) - 32) / 256.0f;
        check(be->ops->weight_create(be, &(ib_weight_desc){IB_WEIGHT_HEAD, 32, p->c, 0, w}, &b.head), diag, "weight");
        free(w);
    }
    check(call(be, p, t, &b), diag, p->name);
    check(be->ops->sync(be), diag, p->name);
    double best = 1e30;
    for (int r = 0; r < 3; r++) {
        double start = seconds();
        for (int i = 0; i < repeats; i++) check(call(be, p, t, &b), diag, p->name);
        check(be->ops->sync(be), diag, p->name);
        double s = (seconds() - start) / repeats;
        if (s < best) best = s;
    }
    void *raw = malloc(ys * ib_dtype_size(y_type));
    *out = malloc(ys * sizeof **out);
    *count = ys;
    if (!raw || !*out) exit(1);
    check(be->ops->download(be, raw, b.y, ys * ib_dtype_size(y_type)), diag, "download");
    for (size_t i = 0; i < ys; i++)
        (*out)[i] = y_type == IB_F32   ? ((float *)raw)[i]
                    : y_type == IB_F16 ? ib_f16_to_f32(((uint16_t *)raw)[i])
                                       : ib_bf16_to_f32(((uint16_t *)raw)[i]);
    free(raw);
    void *all[] = {b.x, b.x2, b.small, b.y};
    for (int i = 0; i < 4; i++) be->ops->buffer_free(be, all[i]);
    if (b.head) be->ops->weight_destroy(be, b.head);
    return best;
}

static double difference(const float *a, const float *reference, size_t count)
{
    double worst = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)reference[i]);
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
        square += (double)reference[i] * (double)reference[i];
    }
    return worst / sqrt(square / (double)count + 1e-30);
}

int main(int argc, char **argv)
{
    ib_dtype act = IB_F16;
    const char *only = NULL, *path = NULL;
    int frames = 32;
    double tflops = 780, gbytes = 4300;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *v = argv[i + 1];
        if (!strcmp(argv[i], "--act")) act = !strcmp(v, "f32") ? IB_F32 : !strcmp(v, "f16") ? IB_F16 : IB_BF16;
        if (!strcmp(argv[i], "--only")) only = v;
        if (!strcmp(argv[i], "--path")) path = v;
        if (!strcmp(argv[i], "--frames")) frames = atoi(v);
        if (!strcmp(argv[i], "--tflops")) tflops = atof(v);
        if (!strcmp(argv[i], "--gbytes")) gbytes = atof(v);
    }
    ib_diag diag = IB_DIAG_INIT;
    static const char *const paths[] = {"simt", "mma", "wgmma"};
    ib_backend *be[3] = {0};
    for (int i = 0; i < (act == IB_F32 ? 1 : 3); i++) {
        if (path && strcmp(path, paths[i])) continue;
        setenv("ISOBATH_CUDA_PATH", paths[i], 1);
        if (ib_cuda_open(&(ib_backend_options){.act = act, .diag = &diag}, &be[i]) != ISOBATH_OK) {
            fprintf(stderr, "gpu_attention: %s\n", diag.text);
            ib_diag_reset(&diag);
        }
    }
    if (!be[0] && !be[1] && !be[2]) return 1;
    printf("%s, %d frames; us (largest difference to simt / rms); floor at %.0f TFLOP/s, %.0f GB/s\n",
           ib_dtype_name(act), frames, tflops, gbytes);
    printf("%-20s%10s%20s%20s%10s%9s%10s%7s\n", "", "simt", "mma", "wgmma", "TFLOP/s", "GB/s", "floor us", "share");
    for (int n = 0; n < CASES; n++) {
        const bench_case *p = &cases[n];
        if (only && !strstr(p->name, only)) continue;
        int64_t t = p->op == RENDER || p->op == FIT ? 1 : frames;
        size_t xs, ys, count;
        sizes(p, t, &xs, &ys);
        while (t > 1 && p->op != TEMPORAL && xs + ys > (size_t)400 << 20) t /= 2, sizes(p, t, &xs, &ys);
        double x_bytes = (double)ib_dtype_size(p->op == PREPROCESS ? IB_U8 : x_is_f32(p->op) ? IB_F32 : act);
        double y_bytes = (double)ib_dtype_size(y_is_f32(p->op) ? IB_F32 : act);
        double bytes =
            (double)xs * x_bytes * (p->op == ADD || p->op == RENDER || p->op == FIT ? 2 : 1) + (double)ys * y_bytes;
        double floor_us = fmax(flops(p, t) / tflops * 1e-6, bytes / gbytes * 1e-3), us = 0;
        float *reference = NULL;
        printf("%-20s", p->name);
        for (int i = 0; i < 3; i++) {
            float *out;
            if (!be[i]) {
                printf(i ? "%20s" : "%10s", "");
                continue;
            }
            us = run(be[i], p, t, i ? 20 : 2, &out, &count, &diag) * 1e6;
            if (i == 0) {
                reference = out;
                printf("%10.1f", us);
                continue;
            }
            printf("%10.1f (%7.1e)", us, reference ? difference(out, reference, count) : 0.0);
            free(out);
        }
        printf("%10.1f%9.0f%10.1f%6.0f%%  x%d\n", flops(p, t) / us * 1e-6, bytes / us * 1e-3, floor_us,
               100 * floor_us / us, (int)t);
        fflush(stdout);
        free(reference);
    }
    for (int i = 0; i < 3; i++) ib_backend_close(be[i]);
    return 0;
}
