/* What a checkpoint of the family is; see config.h. The list of tensors below is the network's table of contents. */
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct checker {
    const ib_checkpoint *ckpt;
    ib_diag *diag;
    const ib_checkpoint_tensor **seen; /* tensors that the lists below name; as many slots as the file has tensors */
    size_t seen_count;
    int64_t parameters;
    const char *head; /* name of the head: its tensors' prefix */
} checker;

static void shape_text(int rank, const int64_t *dim, char *buf, size_t size)
{
    int n = snprintf(buf, size, "[");
    for (int i = 0; i < rank && n >= 0 && (size_t)n < size; i++)
        n += snprintf(buf + n, size - (size_t)n, "%s%lld", i ? ", " : "", (long long)dim[i]);
    if (n >= 0 && (size_t)n < size) snprintf(buf + n, size - (size_t)n, "]");
}

/* One expected tensor; a dimension of 0 matches any size. */
static isobath_status expect(checker *c, const char *name, int rank, const int64_t *dim)
{
    const ib_checkpoint_tensor *t = ib_checkpoint_find(c->ckpt, name);
    const char *path = ib_checkpoint_path(c->ckpt);
    if (!t) return ib_fail(c->diag, ISOBATH_ERR_MODEL, "%s: tensor %s is missing", path, name);
    int ok = t->rank == rank;
    for (int i = 0; ok && i < rank; i++) ok = t->dim[i] == dim[i];
    if (!ok) {
        char have[96], want[96];
        shape_text(t->rank, t->dim, have, sizeof have);
        shape_text(rank, dim, want, sizeof want);
        return ib_fail(c->diag, ISOBATH_ERR_MODEL, "%s: tensor %s has shape %s, expected %s", path, name, have, want);
    }
    c->seen[c->seen_count++] = t;
    c->parameters += t->count;
    return ISOBATH_OK;
}

/* Shapes as literal lists: EXPECT(c, (1152, 384), "pretrained.blocks.%d.attn.qkv.weight", i). */
#define DIMS(...) (int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define EXPECT(c, dims, ...)                                                                                           \
    do {                                                                                                               \
        char name_[192];                                                                                               \
        snprintf(name_, sizeof name_, __VA_ARGS__);                                                                    \
        IB_TRY(expect_dims((c), name_, DIMS dims));                                                                    \
    } while (0)

static isobath_status expect_dims(checker *c, const char *name, const int64_t *dim, int rank)
{
    return expect(c, name, rank, dim);
}

static isobath_status expect_encoder(checker *c, const ib_vda_config *m)
{
    int64_t C = m->width;
    EXPECT(c, (1, 1, C), "pretrained.cls_token");
    EXPECT(c, (1, 1 + (int64_t)m->grid * m->grid, C), "pretrained.pos_embed");
    EXPECT(c, (C, 3, 14, 14), "pretrained.patch_embed.proj.weight");
    EXPECT(c, (C), "pretrained.patch_embed.proj.bias");
    for (int i = 0; i < m->depth; i++) {
        EXPECT(c, (C), "pretrained.blocks.%d.norm1.weight", i);
        EXPECT(c, (C), "pretrained.blocks.%d.norm1.bias", i);
        EXPECT(c, (3 * C, C), "pretrained.blocks.%d.attn.qkv.weight", i);
        EXPECT(c, (3 * C), "pretrained.blocks.%d.attn.qkv.bias", i);
        EXPECT(c, (C, C), "pretrained.blocks.%d.attn.proj.weight", i);
        EXPECT(c, (C), "pretrained.blocks.%d.attn.proj.bias", i);
        EXPECT(c, (C), "pretrained.blocks.%d.ls1.gamma", i);
        EXPECT(c, (C), "pretrained.blocks.%d.norm2.weight", i);
        EXPECT(c, (C), "pretrained.blocks.%d.norm2.bias", i);
        EXPECT(c, (m->mlp, C), "pretrained.blocks.%d.mlp.fc1.weight", i);
        EXPECT(c, (m->mlp), "pretrained.blocks.%d.mlp.fc1.bias", i);
        EXPECT(c, (C, m->mlp), "pretrained.blocks.%d.mlp.fc2.weight", i);
        EXPECT(c, (C), "pretrained.blocks.%d.mlp.fc2.bias", i);
        EXPECT(c, (C), "pretrained.blocks.%d.ls2.gamma", i);
    }
    EXPECT(c, (C), "pretrained.norm.weight");
    EXPECT(c, (C), "pretrained.norm.bias");
    return ISOBATH_OK;
}

static isobath_status expect_motion(checker *c, int i, int64_t C)
{
#define T "head.motion_modules.%d.temporal_transformer."
#define B T "transformer_blocks.0."
    EXPECT(c, (C), T "norm.weight", i);
    EXPECT(c, (C), T "norm.bias", i);
    EXPECT(c, (C, C), T "proj_in.weight", i);
    EXPECT(c, (C), T "proj_in.bias", i);
    for (int a = 0; a < 2; a++) {
        EXPECT(c, (C, C), B "attention_blocks.%d.to_q.weight", i, a);
        EXPECT(c, (C, C), B "attention_blocks.%d.to_k.weight", i, a);
        EXPECT(c, (C, C), B "attention_blocks.%d.to_v.weight", i, a);
        EXPECT(c, (C, C), B "attention_blocks.%d.to_out.0.weight", i, a);
        EXPECT(c, (C), B "attention_blocks.%d.to_out.0.bias", i, a);
        EXPECT(c, (1, IB_WINDOW, C), B "attention_blocks.%d.pos_encoder.pe", i, a);
        EXPECT(c, (C), B "norms.%d.weight", i, a);
        EXPECT(c, (C), B "norms.%d.bias", i, a);
    }
    EXPECT(c, (8 * C, C), B "ff.net.0.proj.weight", i);
    EXPECT(c, (8 * C), B "ff.net.0.proj.bias", i);
    EXPECT(c, (C, 4 * C), B "ff.net.2.weight", i);
    EXPECT(c, (C), B "ff.net.2.bias", i);
    EXPECT(c, (C), B "ff_norm.weight", i);
    EXPECT(c, (C), B "ff_norm.bias", i);
    EXPECT(c, (C, C), T "proj_out.weight", i);
    EXPECT(c, (C), T "proj_out.bias", i);
#undef T
#undef B
    return ISOBATH_OK;
}

static isobath_status expect_head(checker *c, const ib_vda_config *m)
{
    int64_t F = m->features;
    const int *oc = m->out_channels;
    for (int i = 0; i < 4; i++) {
        EXPECT(c, (oc[i], m->width, 1, 1), "%s.projects.%d.weight", c->head, i);
        EXPECT(c, (oc[i]), "%s.projects.%d.bias", c->head, i);
        EXPECT(c, (F, oc[i], 3, 3), "%s.scratch.layer%d_rn.weight", c->head, i + 1);
        for (int u = 1; u <= 2; u++)
            for (int v = 1; v <= 2; v++) {
                EXPECT(c, (F, F, 3, 3), "%s.scratch.refinenet%d.resConfUnit%d.conv%d.weight", c->head, i + 1, u, v);
                EXPECT(c, (F), "%s.scratch.refinenet%d.resConfUnit%d.conv%d.bias", c->head, i + 1, u, v);
            }
        EXPECT(c, (F, F, 1, 1), "%s.scratch.refinenet%d.out_conv.weight", c->head, i + 1);
        EXPECT(c, (F), "%s.scratch.refinenet%d.out_conv.bias", c->head, i + 1);
    }
    EXPECT(c, (oc[0], oc[0], 4, 4), "%s.resize_layers.0.weight", c->head);
    EXPECT(c, (oc[0]), "%s.resize_layers.0.bias", c->head);
    EXPECT(c, (oc[1], oc[1], 2, 2), "%s.resize_layers.1.weight", c->head);
    EXPECT(c, (oc[1]), "%s.resize_layers.1.bias", c->head);
    EXPECT(c, (oc[3], oc[3], 3, 3), "%s.resize_layers.3.weight", c->head);
    EXPECT(c, (oc[3]), "%s.resize_layers.3.bias", c->head);
    EXPECT(c, (F / 2, F, 3, 3), "%s.scratch.output_conv1.weight", c->head);
    EXPECT(c, (F / 2), "%s.scratch.output_conv1.bias", c->head);
    EXPECT(c, (32, F / 2, 3, 3), "%s.scratch.output_conv2.0.weight", c->head);
    EXPECT(c, (32), "%s.scratch.output_conv2.0.bias", c->head);
    EXPECT(c, (1, 32, 1, 1), "%s.scratch.output_conv2.2.weight", c->head);
    EXPECT(c, (1), "%s.scratch.output_conv2.2.bias", c->head);
    if (!m->temporal) return ISOBATH_OK;
    IB_TRY(expect_motion(c, 0, oc[2]));
    IB_TRY(expect_motion(c, 1, oc[3]));
    IB_TRY(expect_motion(c, 2, F));
    return expect_motion(c, 3, F);
}

/* Tensors that published files hold and the network never reads. */
static int is_unused(const char *name) { return strcmp(name, "pretrained.mask_token") == 0; }

static int dim_of(const ib_checkpoint *ckpt, const char *name, int axis, int rank)
{
    const ib_checkpoint_tensor *t = ib_checkpoint_find(ckpt, name);
    if (!t || t->rank != rank || t->dim[axis] < 1 || t->dim[axis] > (1 << 20)) return 0;
    return (int)t->dim[axis];
}

const char *ib_vda_head_name(const ib_vda_config *m) { return m->temporal ? "head" : "depth_head"; }

static isobath_status read_sizes(const ib_checkpoint *ckpt, ib_diag *diag, ib_vda_config *m)
{
    const char *path = ib_checkpoint_path(ckpt);
    char name[96];
    m->width = dim_of(ckpt, "pretrained.patch_embed.proj.weight", 0, 4);
    m->temporal = ib_checkpoint_find(ckpt, "head.projects.0.weight") != NULL;
    if (!m->width || (!m->temporal && !ib_checkpoint_find(ckpt, "depth_head.projects.0.weight")))
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: not a checkpoint of Video Depth Anything or Depth Anything V2 (expected tensors "
                       "pretrained.patch_embed.proj.weight and head.projects.0.weight or depth_head.projects.0.weight)", path);
    const char *head = ib_vda_head_name(m);
    if (m->width % 64)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: encoder width %d is not a multiple of the head size 64", path, m->width);
    while (m->depth < 4096) {
        snprintf(name, sizeof name, "pretrained.blocks.%d.norm1.weight", m->depth);
        if (!ib_checkpoint_find(ckpt, name)) break;
        m->depth++;
    }
    if (m->depth < 4)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: %d encoder blocks, expected at least 4", path, m->depth);
    m->heads = m->width / 64;
    m->mlp = dim_of(ckpt, "pretrained.blocks.0.mlp.fc1.weight", 0, 2);
    int rows = dim_of(ckpt, "pretrained.pos_embed", 1, 3) - 1;
    while ((int64_t)m->grid * m->grid < rows) m->grid++;
    if (rows < 1 || m->grid * m->grid != rows)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: pretrained.pos_embed has %d rows, expected 1 + a square", path, rows + 1);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.projects.%d.weight", head, i);
        m->out_channels[i] = dim_of(ckpt, name, 0, 4);
        /* The last block of each quarter; the published vitl taps block 4 instead of 5. */
        m->taps[i] = (i + 1) * m->depth / 4 - 1;
    }
    if (m->depth == 24) m->taps[0] = 4;
    snprintf(name, sizeof name, "%s.scratch.layer1_rn.weight", head);
    m->features = dim_of(ckpt, name, 0, 4);
    if (m->features < 2 || m->features % 2)
        return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: %d features in the head, expected an even number", path, m->features);
    if (m->temporal && (m->features % 32 || m->out_channels[2] % 32 || m->out_channels[3] % 32))
        return ib_fail(diag, ISOBATH_ERR_MODEL,
                       "%s: temporal modules need channels that are multiples of 32, found %d, %d and %d", path,
                       m->out_channels[2], m->out_channels[3], m->features);
    return ISOBATH_OK;
}

static void name_it(const ib_checkpoint *ckpt, int metric, ib_vda_config *m)
{
    const char *name = ib_checkpoint_metadata(ckpt, "isobath.name"), *kind = ib_checkpoint_metadata(ckpt, "isobath.kind");
    const char *size = ib_checkpoint_metadata(ckpt, "isobath.input_size"), *path = ib_checkpoint_path(ckpt);
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *prefix = m->temporal ? "" : "v2-";
    if (name && *name) snprintf(m->name, sizeof m->name, "%s", name);
    else if (m->width == 384 && m->depth == 12) snprintf(m->name, sizeof m->name, "%svits", prefix);
    else if (m->width == 768 && m->depth == 12) snprintf(m->name, sizeof m->name, "%svitb", prefix);
    else if (m->width == 1024 && m->depth == 24) snprintf(m->name, sizeof m->name, "%svitl", prefix);
    else snprintf(m->name, sizeof m->name, "%swidth%d-depth%d", prefix, m->width, m->depth);
    int s = size ? atoi(size) : 0;
    m->input_size = s >= 14 && s <= 4096 ? s : 518;
    m->noncommercial = !name && (m->width == 768 || m->width == 1024);
    m->metric = metric >= 0 ? metric : kind ? strcmp(kind, "metric") == 0 : strstr(base, "metric_") != NULL;
    const char *fov = ib_checkpoint_metadata(ckpt, "isobath.canonical_fov_deg");
    m->metre_fov_deg = m->metric && fov ? strtof(fov, NULL) : 0;
    if (!(m->metre_fov_deg > 0 && m->metre_fov_deg < 180)) m->metre_fov_deg = 0;
    m->metre_scale = 1;
    if (m->temporal || !m->metric) return;
    const char *most = ib_checkpoint_metadata(ckpt, "isobath.max_depth");
    m->max_depth = most ? strtof(most, NULL) : strstr(base, "hypersim") ? 20 : strstr(base, "vkitti") ? 80 : 0;
    if (!(m->max_depth > 0 && m->max_depth < 1e6f)) m->max_depth = 0;
}

/* The first tensor of the file that no list above names, NULL when there is none. */
static const ib_checkpoint_tensor *find_unknown(const checker *c)
{
    for (size_t i = 0; i < ib_checkpoint_count(c->ckpt); i++) {
        const ib_checkpoint_tensor *t = ib_checkpoint_at(c->ckpt, i);
        int known = is_unused(t->name);
        for (size_t j = 0; !known && j < c->seen_count; j++) known = c->seen[j] == t;
        if (!known) return t;
    }
    return NULL;
}

isobath_status ib_vda_config_read(const ib_checkpoint *ckpt, int metric, ib_diag *diag, ib_vda_config *out)
{
    memset(out, 0, sizeof *out);
    IB_TRY(read_sizes(ckpt, diag, out));
    checker c = {.ckpt = ckpt, .diag = diag, .head = ib_vda_head_name(out)};
    c.seen = calloc(ib_checkpoint_count(ckpt) + 1, sizeof *c.seen);
    if (!c.seen) return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for the tensor list", ib_checkpoint_path(ckpt));
    isobath_status st = expect_encoder(&c, out);
    if (st == ISOBATH_OK) st = expect_head(&c, out);
    out->parameters = c.parameters;
    const ib_checkpoint_tensor *unknown = st == ISOBATH_OK ? find_unknown(&c) : NULL;
    if (unknown)
        st = ib_fail(diag, ISOBATH_ERR_MODEL, "%s: unknown tensor %s (not part of the network)", ib_checkpoint_path(ckpt),
                     unknown->name);
    free(c.seen);
    if (st != ISOBATH_OK) return st;
    name_it(ckpt, metric, out);
    return ISOBATH_OK;
}
