/* Times the matrix products and the other ops of VDA-S and VDA-L at 518x518 on the CUDA backend, one line each: time,
 * arithmetic rate, bytes per second, against the given ceilings. Compares the cores with each other on the way: the
 * SIMT core in fp32 is the reference for mma and wgmma, whose inputs are exact in every type.
 *
 * usage: gpu_ops [--act f16|bf16|f32] [--only WORD] [--frames N] */
#include "backend/backend.h"
#include "base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINEAR, CONV, CONVT };
enum { RES_NONE, RES_F32, RES_ACT };

typedef struct product {
    const char *name;
    int kind;
    int n, w;        /* tokens per frame and 1; or rows and columns of the map */
    int in, out;     /* channels */
    int act;         /* linear: ib_act; conv: bit 0 relu in, bit 1 relu out; convt: k */
    int residual, stride;
} product;

static const product products[] = {
    {"S patch", LINEAR, 1369, 1, 588, 384, IB_ACT_NONE, RES_NONE, 1},
    {"S qkv", LINEAR, 1370, 1, 384, 1152, IB_ACT_NONE, RES_NONE, 1},
    {"S proj", LINEAR, 1370, 1, 384, 384, IB_ACT_NONE, RES_F32, 1},
    {"S fc1", LINEAR, 1370, 1, 384, 1536, IB_ACT_GELU, RES_NONE, 1},
    {"S fc2", LINEAR, 1370, 1, 1536, 384, IB_ACT_NONE, RES_F32, 1},
    {"S temporal qkv", LINEAR, 1369, 1, 192, 576, IB_ACT_NONE, RES_NONE, 1},
    {"S geglu 192", LINEAR, 1369, 1, 192, 768, IB_ACT_GEGLU, RES_NONE, 1},
    {"S geglu 64", LINEAR, 5476, 1, 64, 256, IB_ACT_GEGLU, RES_NONE, 1},
    {"S out_conv 64", LINEAR, 21904, 1, 64, 64, IB_ACT_NONE, RES_NONE, 1},
    {"S convt 4x4", CONVT, 37, 37, 48, 48, 4, RES_NONE, 1},
    {"S layer1_rn", CONV, 148, 148, 48, 64, 0, RES_NONE, 1},
    {"S layer2_rn", CONV, 74, 74, 96, 64, 0, RES_NONE, 1},
    {"S layer4_rn", CONV, 19, 19, 384, 64, 0, RES_NONE, 1},
    {"S resize 3", CONV, 37, 37, 384, 384, 0, RES_NONE, 2},
    {"S rcu conv1 37", CONV, 37, 37, 64, 64, 3, RES_NONE, 1},
    {"S rcu conv1 148", CONV, 148, 148, 64, 64, 3, RES_NONE, 1},
    {"S rcu conv2 148", CONV, 148, 148, 64, 64, 0, RES_ACT, 1},
    {"S taps", LINEAR, 148 * 148, 1, 64, 288, IB_ACT_NONE, RES_NONE, 1},
    {"S output_conv1", CONV, 296, 296, 64, 32, 0, RES_NONE, 1},
    {"L qkv", LINEAR, 1370, 1, 1024, 3072, IB_ACT_NONE, RES_NONE, 1},
    {"L proj", LINEAR, 1370, 1, 1024, 1024, IB_ACT_NONE, RES_F32, 1},
    {"L fc1", LINEAR, 1370, 1, 1024, 4096, IB_ACT_GELU, RES_NONE, 1},
    {"L fc2", LINEAR, 1370, 1, 4096, 1024, IB_ACT_NONE, RES_F32, 1},
    {"L geglu 1024", LINEAR, 1369, 1, 1024, 4096, IB_ACT_GEGLU, RES_NONE, 1},
    {"L rcu conv1 148", CONV, 148, 148, 256, 256, 3, RES_NONE, 1},
    {"L rcu conv2 148", CONV, 148, 148, 256, 256, 0, RES_ACT, 1},
    {"L overlap 4", LINEAR, 1369, 1, 256, 9216, IB_ACT_NONE, RES_NONE, 1},
    {"L overlap 2", LINEAR, 1369, 1, 512, 4096, IB_ACT_NONE, RES_NONE, 1},
    {"L taps", LINEAR, 148 * 148, 1, 256, 1152, IB_ACT_NONE, RES_NONE, 1},
    {"L output_conv1", CONV, 296, 296, 256, 128, 0, RES_NONE, 1},
};
enum { PRODUCTS = sizeof products / sizeof *products };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(isobath_status status, ib_diag *diag, const char *what)
{
    if (status == ISOBATH_OK) return;
    fprintf(stderr, "gpu_ops: %s: %s\n", what, diag->text);
    exit(1);
}

/* Values j/32 with |j| <= 32: exact in f16, bf16 and f32. */
static void fill(float *p, size_t count, uint32_t seed, float scale)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)((int)(seed >> 16) % 65 - 32) / 32.0f * scale;
    }
}

static void *upload_as(ib_backend *be, ib_dtype dtype, const float *src, size_t count, ib_diag *diag)
{
    void *device;
    size_t size = ib_dtype_size(dtype);
    check(be->ops->buffer_alloc(be, count * size, &device), diag, "alloc");
    if (dtype == IB_F32) {
        check(be->ops->upload(be, device, src, count * 4), diag, "upload");
        return device;
    }
    uint16_t *half = malloc(count * 2);
    for (size_t i = 0; half && i < count; i++) half[i] = dtype == IB_F16 ? ib_f32_to_f16(src[i]) : ib_f32_to_bf16(src[i]);
    check(be->ops->upload(be, device, half, count * 2), diag, "upload");
    check(be->ops->sync(be), diag, "sync");
    free(half);
    return device;
}

typedef struct outcome {
    double us;
    float *y; /* as f32 */
    size_t count;
} outcome;

static isobath_status call(ib_backend *be, const product *p, int frames, const ib_weight *w, void *x, void *bias,
                           void *residual, void *y, ib_dtype y_type)
{
    int64_t k = p->kind == LINEAR && p->in == IB_PATCH_K ? IB_PATCH_KPAD : p->in;
    if (p->kind == LINEAR) {
        ib_linear_args a = {ib_tensor_3d(x, be->act, frames, p->n, k), w, {0}, (ib_act)p->act, {0},
                            ib_tensor_3d(y, y_type, frames, p->n, p->out)};
        a.bias = ib_tensor_1d(bias, IB_F32, p->act == IB_ACT_GEGLU ? 2 * p->out : p->out);
        if (residual) a.residual = ib_tensor_3d(residual, y_type, frames, p->n, p->out);
        return ib_linear(be, &a);
    }
    ib_tensor map = ib_tensor_4d(x, be->act, frames, p->n, p->w, p->in), b = ib_tensor_1d(bias, IB_F32, p->out);
    if (p->kind == CONVT)
        return ib_conv_transpose(be, &(ib_conv_transpose_args){
                                         map, w, b, ib_tensor_4d(y, y_type, frames, p->act * p->n, p->act * p->w, p->out)});
    int64_t h = (p->n - 1) / p->stride + 1, wo = (p->w - 1) / p->stride + 1;
    ib_conv3x3_args a = {.x = map, .w = w, .bias = b, .stride = p->stride, .relu_in = p->act & 1,
                         .relu_out = p->act >> 1 & 1, .y = ib_tensor_4d(y, y_type, frames, h, wo, p->out)};
    if (residual) a.residual = ib_tensor_4d(residual, y_type, frames, h, wo, p->out);
    return ib_conv3x3(be, &a);
}

static outcome run(ib_backend *be, const product *p, int frames, int repeats, ib_diag *diag)
{
    int64_t pixels = (int64_t)p->n * p->w, k = p->kind == LINEAR && p->in == IB_PATCH_K ? IB_PATCH_KPAD : p->in;
    int64_t taps = p->kind == CONV ? 9 : p->kind == CONVT ? p->act * p->act : 1;
    int64_t out_pixels = p->kind == CONVT ? pixels * taps
                         : p->kind == CONV ? (int64_t)((p->n - 1) / p->stride + 1) * ((p->w - 1) / p->stride + 1)
                                           : pixels;
    int geglu = p->kind == LINEAR && p->act == IB_ACT_GEGLU;
    size_t xs = (size_t)(frames * pixels * k), ws = (size_t)(p->in * p->out * taps * (geglu ? 2 : 1));
    size_t ys = (size_t)(frames * out_pixels * p->out);
    ib_dtype y_type = p->residual == RES_F32 ? IB_F32 : be->act;
    float *host = malloc((xs > ys ? xs : ys) * 4 + ws * 4 + (size_t)p->out * 8);
    outcome o = {0, malloc(ys * 4), ys};
    if (!host || !o.y) exit(1);
    fill(host, ws, 7, 0.25f);
    ib_weight_desc desc = {p->kind == CONV ? IB_WEIGHT_CONV3X3 : p->kind == CONVT ? IB_WEIGHT_CONVT
                           : geglu ? IB_WEIGHT_GEGLU : IB_WEIGHT_LINEAR, p->out, p->in, p->kind == CONVT ? p->act : 0, host};
    ib_weight *w;
    check(be->ops->weight_create(be, &desc, &w), diag, "weight");
    fill(host, (size_t)p->out * 2, 3, 1);
    void *bias = upload_as(be, IB_F32, host, (size_t)p->out * 2, diag);
    fill(host, xs, 11, 1);
    if (k != p->in)
        for (int64_t i = 0; i < frames * pixels; i++)
            for (int64_t c = p->in; c < k; c++) host[i * k + c] = 0;
    void *x = upload_as(be, be->act, host, xs, diag);
    fill(host, ys, 13, 1);
    void *residual = p->residual ? upload_as(be, y_type, host, ys, diag) : NULL;
    void *y = upload_as(be, y_type, host, ys, diag);

    check(call(be, p, frames, w, x, bias, residual, y, y_type), diag, p->name);
    check(be->ops->sync(be), diag, p->name);
    double best = 1e30;
    for (int r = 0; r < 3 && repeats > 1; r++) {
        double t = seconds();
        for (int i = 0; i < repeats; i++) check(call(be, p, frames, w, x, bias, residual, y, y_type), diag, p->name);
        check(be->ops->sync(be), diag, p->name);
        t = (seconds() - t) / repeats;
        if (t < best) best = t;
    }
    o.us = best * 1e6;
    uint16_t *half = malloc(ys * 2);
    if (y_type == IB_F32) {
        check(be->ops->download(be, o.y, y, ys * 4), diag, "download");
    } else {
        check(be->ops->download(be, half, y, ys * 2), diag, "download");
        for (size_t i = 0; i < ys; i++) o.y[i] = y_type == IB_F16 ? ib_f16_to_f32(half[i]) : ib_bf16_to_f32(half[i]);
    }
    free(half);
    void *buffers[] = {x, bias, residual, y};
    for (int i = 0; i < 4; i++) be->ops->buffer_free(be, buffers[i]);
    be->ops->weight_destroy(be, w);
    free(host);
    return o;
}

static ib_backend *open_path(const char *path, ib_dtype act, ib_diag *diag)
{
    ib_backend *be = NULL;
    if (path) setenv("ISOBATH_CUDA_PATH", path, 1);
    isobath_status status = ib_cuda_open(&(ib_backend_options){.act = act, .diag = diag}, &be);
    if (path) unsetenv("ISOBATH_CUDA_PATH");
    if (status != ISOBATH_OK) {
        fprintf(stderr, "gpu_ops: %s\n", diag->text);
        ib_diag_reset(diag);
        return NULL;
    }
    return be;
}

/* Largest difference over the root mean square of the reference; NaN gives infinity. */
static double difference(const outcome *a, const outcome *reference)
{
    double worst = 0, square = 0;
    for (size_t i = 0; i < a->count; i++) {
        double d = fabs((double)a->y[i] - (double)reference->y[i]);
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
        square += (double)reference->y[i] * (double)reference->y[i];
    }
    return worst / sqrt(square / (double)a->count + 1e-30);
}

int main(int argc, char **argv)
{
    ib_dtype act = IB_F16;
    const char *only = NULL;
    int most_frames = 8;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--act")) act = !strcmp(argv[i + 1], "f32") ? IB_F32 : !strcmp(argv[i + 1], "f16") ? IB_F16 : IB_BF16;
        if (!strcmp(argv[i], "--only")) only = argv[i + 1];
        if (!strcmp(argv[i], "--frames")) most_frames = atoi(argv[i + 1]);
    }
    ib_diag diag = IB_DIAG_INIT;
    static const char *const paths[] = {"simt", "mma", "wgmma"};
    ib_backend *reference = open_path("simt", IB_F32, &diag), *be[3] = {0};
    if (!reference) return 1;
    for (int i = 0; i < 3; i++)
        if (act != IB_F32 || i != 1) be[i] = open_path(paths[i], act, &diag);
    printf("%s, up to %d frames; us, TFLOP/s (largest difference to fp32 / rms)\n%-18s", ib_dtype_name(act), most_frames, "");
    for (int i = 0; i < 3; i++) printf("%28s", paths[i]);
    printf("   same bits mma, wgmma\n");
    for (int n = 0; n < PRODUCTS; n++) {
        const product *p = &products[n];
        if (only && !strstr(p->name, only)) continue;
        int frames = most_frames;
        while (frames > 1 && (double)frames * p->n * p->w * (p->in > p->out ? p->in : p->out) > 48e6) frames /= 2;
        double taps = p->kind == CONV ? 9.0 / (p->stride * p->stride) : p->kind == CONVT ? p->act * p->act : 1;
        double flops = 2.0 * frames * p->n * p->w * p->in * p->out * taps * (p->kind == LINEAR && p->act == IB_ACT_GEGLU ? 2 : 1);
        outcome expected = act == IB_F32 ? (outcome){0} : run(reference, p, frames, 1, &diag), o[3] = {{0}};
        printf("%-18s", p->name);
        for (int i = 0; i < 3; i++) {
            if (!be[i]) continue;
            int repeats = i == 0 ? 2 : 20;
            o[i] = run(be[i], p, frames, repeats, &diag);
            printf("%10.1f %7.1f (%7.1e)", o[i].us, flops / o[i].us * 1e-6, difference(&o[i], expected.y ? &expected : &o[0]));
            fflush(stdout);
        }
        if (o[1].y && o[2].y) printf("   %s", memcmp(o[1].y, o[2].y, o[1].count * 4) ? "differ" : "same");
        printf("\n");
        free(expected.y);
        for (int i = 0; i < 3; i++) free(o[i].y);
    }
    return 0;
}
