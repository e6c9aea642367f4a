/* Synthetic checkpoints and frames; see synth.h. Element i of a tensor is centre + (2u - 1) * amplitude with
 * u = (splitmix64(key + (i+1) * golden) >> 40) / 2^24 and key = fnv1a64(name) xor seed. */
#include "support/synth.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const synth_config configs[] = {
    {"tiny", 128, 4, 9, 32, {16, 32, 32, 64}, 32},
    {"vits", 384, 12, 37, 64, {48, 96, 192, 384}, 32},
    {"vitb", 768, 12, 37, 128, {96, 192, 384, 768}, 32},
    {"vitl", 1024, 24, 37, 256, {256, 512, 1024, 1024}, 32},
    {"v2-tiny", 128, 4, 9, 32, {16, 32, 32, 64}, 0},
    {"v2-vits", 384, 12, 37, 64, {48, 96, 192, 384}, 0},
    {"v2-vitb", 768, 12, 37, 128, {96, 192, 384, 768}, 0},
    {"v2-vitl", 1024, 24, 37, 256, {256, 512, 1024, 1024}, 0},
};

const synth_config *synth_config_find(const char *kind)
{
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        if (strcmp(configs[i].kind, kind) == 0) return &configs[i];
    return NULL;
}

/* ---- names and shapes ---- */

typedef struct list {
    synth_tensor *items; /* NULL while only counting */
    size_t count;
} list;

static void add(list *l, int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

static void add(list *l, int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3, const char *format, ...)
{
    if (l->items) {
        synth_tensor *t = &l->items[l->count];
        va_list ap;
        va_start(ap, format);
        vsnprintf(t->name, sizeof t->name, format, ap);
        va_end(ap);
        const int64_t dim[4] = {d0, d1, d2, d3};
        t->rank = rank;
        t->count = 1;
        for (int i = 0; i < rank; i++) {
            t->dim[i] = dim[i];
            t->count *= dim[i];
        }
    }
    l->count++;
}

static void add_conv(list *l, const char *name, int64_t out, int64_t in, int64_t k, int bias)
{
    add(l, 4, out, in, k, k, "%s.weight", name);
    if (bias) add(l, 1, out, 0, 0, 0, "%s.bias", name);
}

static void add_linear(list *l, const char *name, int64_t out, int64_t in, int bias)
{
    add(l, 2, out, in, 0, 0, "%s.weight", name);
    if (bias) add(l, 1, out, 0, 0, 0, "%s.bias", name);
}

static void add_norm(list *l, const char *name, int64_t channels)
{
    add(l, 1, channels, 0, 0, 0, "%s.weight", name);
    add(l, 1, channels, 0, 0, 0, "%s.bias", name);
}

static void add_encoder(list *l, const synth_config *c)
{
    int64_t w = c->width;
    char p[SYNTH_MAX_NAME];
    add(l, 3, 1, 1, w, 0, "pretrained.cls_token");
    add(l, 3, 1, (int64_t)c->grid * c->grid + 1, w, 0, "pretrained.pos_embed");
    add(l, 2, 1, w, 0, 0, "pretrained.mask_token");
    add_conv(l, "pretrained.patch_embed.proj", w, 3, 14, 1);
    for (int i = 0; i < c->depth; i++) {
#define BLOCK(leaf) (snprintf(p, sizeof p, "pretrained.blocks.%d." leaf, i), p)
        add_norm(l, BLOCK("norm1"), w);
        add_linear(l, BLOCK("attn.qkv"), 3 * w, w, 1);
        add_linear(l, BLOCK("attn.proj"), w, w, 1);
        add(l, 1, w, 0, 0, 0, "%s", BLOCK("ls1.gamma"));
        add_norm(l, BLOCK("norm2"), w);
        add_linear(l, BLOCK("mlp.fc1"), 4 * w, w, 1);
        add_linear(l, BLOCK("mlp.fc2"), w, 4 * w, 1);
        add(l, 1, w, 0, 0, 0, "%s", BLOCK("ls2.gamma"));
#undef BLOCK
    }
    add_norm(l, "pretrained.norm", w);
}

static void add_motion(list *l, const synth_config *c, int module, int64_t ch)
{
    char p[SYNTH_MAX_NAME];
#define NAME(...) (snprintf(p, sizeof p, "head.motion_modules.%d.temporal_transformer." __VA_ARGS__), p)
    add_norm(l, NAME("norm", module), ch);
    add_linear(l, NAME("proj_in", module), ch, ch, 1);
    for (int a = 0; a < 2; a++) {
#define ATTN "transformer_blocks.0.attention_blocks.%d."
        add_linear(l, NAME(ATTN "to_q", module, a), ch, ch, 0);
        add_linear(l, NAME(ATTN "to_k", module, a), ch, ch, 0);
        add_linear(l, NAME(ATTN "to_v", module, a), ch, ch, 0);
        add_linear(l, NAME(ATTN "to_out.0", module, a), ch, ch, 1);
        add(l, 3, 1, c->temporal_length, ch, 0, "%s", NAME(ATTN "pos_encoder.pe", module, a));
#undef ATTN
    }
    add_norm(l, NAME("transformer_blocks.0.norms.0", module), ch);
    add_norm(l, NAME("transformer_blocks.0.norms.1", module), ch);
    add_linear(l, NAME("transformer_blocks.0.ff.net.0.proj", module), 8 * ch, ch, 1);
    add_linear(l, NAME("transformer_blocks.0.ff.net.2", module), ch, 4 * ch, 1);
    add_norm(l, NAME("transformer_blocks.0.ff_norm", module), ch);
    add_linear(l, NAME("proj_out", module), ch, ch, 1);
#undef NAME
}

static void add_head(list *l, const synth_config *c)
{
    const int *oc = c->out_channels;
    int64_t f = c->features;
    const char *head = c->temporal_length ? "head" : "depth_head";
    char p[SYNTH_MAX_NAME];
#define PART(name) (snprintf(p, sizeof p, "%s." name, head), p)
    for (int i = 0; i < 4; i++) {
        snprintf(p, sizeof p, "%s.projects.%d", head, i);
        add_conv(l, p, oc[i], c->width, 1, 1);
    }
    add_conv(l, PART("resize_layers.0"), oc[0], oc[0], 4, 1); /* transposed: in, out; both are oc[0] */
    add_conv(l, PART("resize_layers.1"), oc[1], oc[1], 2, 1);
    add_conv(l, PART("resize_layers.3"), oc[3], oc[3], 3, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(p, sizeof p, "%s.scratch.layer%d_rn", head, i + 1);
        add_conv(l, p, f, oc[i], 3, 0);
    }
    for (int i = 1; i <= 4; i++) {
        snprintf(p, sizeof p, "%s.scratch.refinenet%d.out_conv", head, i);
        add_conv(l, p, f, f, 1, 1);
        for (int unit = 1; unit <= 2; unit++) {
            for (int conv = 1; conv <= 2; conv++) {
                snprintf(p, sizeof p, "%s.scratch.refinenet%d.resConfUnit%d.conv%d", head, i, unit, conv);
                add_conv(l, p, f, f, 3, 1);
            }
        }
    }
    add_conv(l, PART("scratch.output_conv1"), f / 2, f, 3, 1);
    add_conv(l, PART("scratch.output_conv2.0"), 32, f / 2, 3, 1);
    add_conv(l, PART("scratch.output_conv2.2"), 1, 32, 1, 1);
#undef PART
    if (!c->temporal_length) return;
    add_motion(l, c, 0, oc[2]);
    add_motion(l, c, 1, oc[3]);
    add_motion(l, c, 2, f);
    add_motion(l, c, 3, f);
}

size_t synth_tensors(const synth_config *config, synth_tensor **out)
{
    list l = {NULL, 0};
    add_encoder(&l, config);
    add_head(&l, config);
    l.items = calloc(l.count, sizeof *l.items);
    *out = l.items;
    if (!l.items) return 0;
    l.count = 0;
    add_encoder(&l, config);
    add_head(&l, config);
    return l.count;
}

/* ---- values ---- */

static uint64_t fnv1a64(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/* Fraction i of the sequence `key`, in [0, 1). */
static inline float uniform(uint64_t key, uint64_t i)
{
    uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z = z ^ (z >> 31);
    return (float)(z >> 40) / 16777216.0f;
}

static int ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

/* Centre and amplitude by name and shape: activations stay near unit scale. `norms.0.weight` is no "norm" by this rule
 * (the component before the leaf is the index), so its fan_in is 1 and its amplitude sqrt(3). */
static void amplitude(const synth_tensor *t, double *centre, double *amp)
{
    const char *dot = strrchr(t->name, '.');
    const char *leaf = dot ? dot + 1 : t->name, *part = dot ? dot : t->name;
    while (part > t->name && part[-1] != '.') part--;
    char before[SYNTH_MAX_NAME];
    snprintf(before, sizeof before, "%.*s", dot ? (int)(dot - part) : 0, part);
    *centre = 0.0;
    *amp = 0.1;
    if (strcmp(leaf, "gamma") == 0) {
        *centre = 0.5;
    } else if (strcmp(leaf, "cls_token") == 0 || strcmp(leaf, "pos_embed") == 0 || strcmp(leaf, "mask_token") == 0) {
        *amp = 0.5;
    } else if (strstr(before, "norm")) {
        if (strcmp(leaf, "weight") == 0) {
            *centre = 1.0;
            *amp = 0.2;
        }
    } else if (ends_with(t->name, "output_conv2.2.bias")) {
        *centre = 2.0; /* keeps the final ReLU open */
        *amp = 0.0;
    } else if (strcmp(leaf, "bias") != 0) {
        int64_t fan_in = 1;
        if (strstr(t->name, "resize_layers.0") || strstr(t->name, "resize_layers.1"))
            fan_in = t->dim[0];
        else
            for (int i = 1; i < t->rank; i++) fan_in *= t->dim[i];
        *amp = sqrt(3.0 / (double)fan_in);
    }
}

/* pe[0, t, 2i] = sin(t w), pe[0, t, 2i+1] = cos(t w), w = exp(2i * (-ln 10000 / C)), in double, then rounded. */
static void fill_positions(const synth_tensor *t, int64_t first, int64_t count, float *dst)
{
    int64_t channels = t->dim[2];
    double rate = -log(10000.0) / (double)channels;
    for (int64_t k = first; k < first + count; k++) {
        int64_t c = k % channels;
        double angle = (double)(k / channels) * exp((double)(c & ~(int64_t)1) * rate);
        *dst++ = (float)(c & 1 ? cos(angle) : sin(angle));
    }
}

void synth_fill(const synth_tensor *tensor, uint64_t seed, int64_t first, int64_t count, float *dst)
{
    if (ends_with(tensor->name, "pos_encoder.pe")) {
        fill_positions(tensor, first, count, dst);
        return;
    }
    double centre, amp;
    amplitude(tensor, &centre, &amp);
    uint64_t key = fnv1a64(tensor->name) ^ seed;
    float c = (float)centre, a = (float)amp;
    for (int64_t i = 0; i < count; i++) dst[i] = c + (uniform(key, (uint64_t)(first + i)) * 2.0f - 1.0f) * a;
}

void synth_values(const char *name, int rank, const int64_t *dim, uint64_t seed, float *dst)
{
    synth_tensor t = {.rank = rank, .count = 1};
    snprintf(t.name, sizeof t.name, "%s", name);
    for (int i = 0; i < rank; i++) {
        t.dim[i] = dim[i];
        t.count *= dim[i];
    }
    synth_fill(&t, seed, 0, t.count, dst);
}

/* ---- the file ---- */

static char *make_header(const synth_tensor *tensors, size_t n, const char *metadata, size_t *size)
{
    size_t cap = n * (SYNTH_MAX_NAME + 160) + (metadata ? strlen(metadata) : 0) + 64, len = 0;
    char *h = malloc(cap);
    if (!h) return NULL;
    len += (size_t)snprintf(h + len, cap - len, "{");
    if (metadata) len += (size_t)snprintf(h + len, cap - len, "\"__metadata__\": %s, ", metadata);
    int64_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const synth_tensor *t = &tensors[i];
        len +=
            (size_t)snprintf(h + len, cap - len, "%s\"%s\": {\"dtype\": \"F32\", \"shape\": [", i ? ", " : "", t->name);
        for (int d = 0; d < t->rank; d++)
            len += (size_t)snprintf(h + len, cap - len, "%s%" PRId64, d ? ", " : "", t->dim[d]);
        len += (size_t)snprintf(h + len, cap - len, "], \"data_offsets\": [%" PRId64 ", %" PRId64 "]}", offset,
                                offset + 4 * t->count);
        offset += 4 * t->count;
    }
    len += (size_t)snprintf(h + len, cap - len, "}");
    while (len % 8) h[len++] = ' ';
    *size = len;
    return h;
}

static int write_values(FILE *f, const synth_tensor *t, uint64_t seed)
{
    float buf[16384];
    for (int64_t i = 0; i < t->count;) {
        int64_t n = t->count - i < 16384 ? t->count - i : 16384;
        synth_fill(t, seed, i, n, buf);
        if (fwrite(buf, 4, (size_t)n, f) != (size_t)n) return -1;
        i += n;
    }
    return 0;
}

int synth_checkpoint_write_config(const synth_config *config, uint64_t seed, const char *metadata, const char *path)
{
    synth_tensor *tensors = NULL;
    size_t n = synth_tensors(config, &tensors), size = 0;
    char *header = n ? make_header(tensors, n, metadata, &size) : NULL;
    FILE *f = header ? fopen(path, "wb") : NULL;
    int bad = !f;
    if (f) {
        uint64_t length = size; /* little-endian machines only, as all of isobath */
        bad = fwrite(&length, 8, 1, f) != 1 || fwrite(header, 1, size, f) != size;
        for (size_t i = 0; !bad && i < n; i++) bad = write_values(f, &tensors[i], seed) != 0;
        if (fclose(f) != 0) bad = 1;
    }
    if (bad) fprintf(stderr, "synth: cannot write %s: %s\n", path, strerror(errno));
    free(header);
    free(tensors);
    return bad ? -1 : 0;
}

int synth_checkpoint_write(const char *kind, uint64_t seed, const char *path)
{
    const synth_config *config = synth_config_find(kind);
    if (!config) {
        fprintf(stderr, "synth: unknown kind '%s' (tiny, vits, vitb, vitl)\n", kind);
        return -1;
    }
    return synth_checkpoint_write_config(config, seed, NULL, path);
}

/* ---- frames ---- */

/* Triangle wave of period 2p, 0..255; the modulo is the floor's, v may be negative. */
static inline int64_t triangle(int64_t v, int64_t p)
{
    int64_t m = v % (2 * p);
    if (m < 0) m += 2 * p;
    return (m > p ? m - p : p - m) * 255 / p;
}

void synth_frames(int64_t first, int64_t count, int64_t height, int64_t width, uint64_t seed, uint8_t *dst)
{
    uint64_t key = fnv1a64("frames") ^ seed, i = (uint64_t)(first * height * width * 3);
    for (int64_t t = first; t < first + count; t++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++)
                for (int64_t c = 0; c < 3; c++, i++) {
                    int64_t a = triangle(x * 3 + t * 7 + c * 40, 257);
                    int64_t b = triangle(y * 5 - t * 3 + c * 90, 311);
                    int64_t d = triangle(x * 2 + y * 3 + t * 5, 401);
                    int64_t noise = (int64_t)(uniform(key, i) * 32.0f);
                    int64_t v = (a * 3 + b * 3 + d * 2) / 8 + noise - 16;
                    *dst++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
                }
}
