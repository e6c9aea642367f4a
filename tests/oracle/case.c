/* Compares the network and the whole pipeline with the expected values of one case (tests/oracle/data):
 * every inner value of the first window, every raw window, and the final depth.
 *
 * usage: oracle_case CASE [--batch N] and the options of oracle.h. Exit 0: within bounds. */
#include "oracle.h"
#include "pipeline/align.h"
#include "pipeline/plan.h"
#include "support/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One inner value. Of those that are made frame by frame the last frame is kept: a slot that is a copy of it has its values. */
typedef struct tap_check {
    char name[32];
    expect_check *check;
    float *last; /* (positions, channels) of the frame before `end` */
    int64_t end, positions, channels;
} tap_check;

typedef struct tap_state {
    const oracle *o;
    int64_t frames; /* of the first window that the file knows */
    tap_check checks[40];
    int count;
} tap_state;

static void add_frames(tap_state *s, tap_check *t, int64_t first, int64_t frames, const float *values)
{
    int64_t known = first + frames > s->frames ? s->frames - first : frames;
    if (known > 0) expect_add_frames(t->check, first, known, t->positions, t->channels, values);
}

/* Feeds a value of the network to its comparison, frame range by frame range; the file's order is its business. */
static void on_tap(void *ctx, const char *name, const ib_tensor *value, int64_t first)
{
    tap_state *s = ctx;
    char key[64];
    int64_t dim[8], frames = value->dim[0], n = ib_tensor_count(value);
    snprintf(key, sizeof key, "tap.%s", name);
    if (!expect_shape(&s->o->c, key, dim)) return;
    int i = 0;
    while (i < s->count && strcmp(s->checks[i].name, name)) i++;
    tap_check *t = &s->checks[i];
    if (i == s->count) {
        snprintf(t->name, sizeof t->name, "%s", name);
        t->check = expect_begin(&s->o->c, key, 0);
        s->count++;
    }
    t->channels = value->dim[value->rank - 1];
    t->positions = n / frames / t->channels;
    t->end = first + frames;
    float *host = oracle_read(s->o, value);
    add_frames(s, t, first, frames, host);
    memmove(host, host + (n - n / frames), (size_t)(n / frames) * sizeof *host);
    free(t->last);
    t->last = host;
}

/* The slot is a copy of the one before it: so are all values that were made of it. */
static void on_copy(tap_state *s, int64_t slot)
{
    for (int i = 0; i < s->count; i++)
        if (s->checks[i].end == slot) {
            add_frames(s, &s->checks[i], slot, 1, s->checks[i].last);
            s->checks[i].end++;
        }
}

static int check_taps(tap_state *s)
{
    int bad = 0;
    for (int i = 0; i < s->count; i++) {
        char label[64];
        snprintf(label, sizeof label, "tap.%s", s->checks[i].name);
        bad += oracle_judge(s->o, label, s->checks[i].check);
        free(s->checks[i].last);
    }
    int taps = s->o->config.temporal ? 8 : 7;
    if (s->count < taps) {
        fprintf(stderr, "only %d inner values were compared\n", s->count);
        bad++;
    }
    return bad;
}

/* All windows of the case, as run.c drives them but on one thread. */
static int run_case(oracle *o, ib_vda *vda, const ib_vda_shape *shape)
{
    const expect_case *c = &o->c;
    const ib_vda_config *config = &o->config;
    ib_backend *host = o->host;
    int64_t n = c->frames, H = c->height, W = c->width, map = (int64_t)shape->height * shape->width;
    uint8_t *rgb = malloc((size_t)(H * W * 3) * IB_PLAN_WINDOW);
    float *raw = malloc((size_t)(map * IB_PLAN_WINDOW) * sizeof *raw), *tail = malloc((size_t)(8 * map) * sizeof *tail);
    float *depth = malloc((size_t)(H * W) * sizeof *depth);
    ib_alignment al, tail_al = {0};
    ib_align_chain chain;
    int bad = 0;
    if (ib_align_chain_init(&chain, host, config->metric, 0, H, W, shape->height, shape->width, &o->diag) != ISOBATH_OK) return 1;
    tap_state taps = {.o = o, .frames = config->temporal ? IB_PLAN_WINDOW : n};
    expect_check *raw_check = expect_begin(c, "raw_windows", 0), *depth_check = expect_begin(c, "depth", 0);
    for (int64_t k = 0; k < ib_plan_windows(n); k++) {
        int64_t frames[IB_PLAN_WINDOW], first, end, nonfinite;
        ib_plan_window_frames(k, n, frames);
        int slot = k ? IB_PLAN_OVERLAP : 0;
        if (k && ib_vda_advance(vda) != ISOBATH_OK) return oracle_die(o, "advance");
        ib_tap tap = {on_tap, &taps};
        ib_vda_set_tap(vda, k == 0 && o->taps ? &tap : NULL);
        for (; slot < IB_PLAN_WINDOW;) { /* batches of frames that are there, copies of the last one after them */
            int count = 0;
            const uint8_t *ptr[IB_PLAN_WINDOW];
            while (slot + count < IB_PLAN_WINDOW && count < shape->encode_batch && IB_PLAN_STEP * k + slot + count < n) {
                ptr[count] = rgb + (size_t)(H * W * 3) * (size_t)count;
                synth_frames(frames[slot + count], 1, H, W, c->seed, (uint8_t *)ptr[count]);
                count++;
            }
            isobath_status st = count ? ib_vda_encode_rgb(vda, ptr, (int)H, (int)W, count, slot) : ib_vda_copy_slot(vda, slot - 1, slot);
            if (st != ISOBATH_OK) return oracle_die(o, "encode");
            if (k == 0 && !count) on_copy(&taps, slot);
            slot += count ? count : 1;
        }
        if (ib_vda_depth(vda, raw, &nonfinite) != ISOBATH_OK) return oracle_die(o, "depth");
        if (nonfinite) fprintf(stderr, "window %lld: %lld values are not finite\n", (long long)k, (long long)nonfinite);
        if (config->temporal) {
            expect_add(raw_check, k * IB_PLAN_WINDOW * map, IB_PLAN_WINDOW * map, raw);
            if (ib_align_chain_window(&chain, raw, &al) != ISOBATH_OK) return oracle_die(o, "align");
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
                return oracle_die(o, "render");
            expect_add(depth_check, i * H * W, H * W, depth);
        }
        memcpy(tail, raw + 24 * map, (size_t)(8 * map) * sizeof *tail);
        tail_al = al;
    }
    if (o->taps) bad += check_taps(&taps);
    bad += oracle_judge(o, "raw_windows", raw_check);
    bad += oracle_judge(o, "depth", depth_check);
    ib_align_chain_free(&chain);
    free(rgb);
    free(raw);
    free(tail);
    free(depth);
    return bad;
}

int main(int argc, char **argv)
{
    oracle o;
    int batch = 4, status = oracle_open(&o, argc, argv, "batch", &batch);
    if (status >= 0) return status;
    ib_vda_shape shape = {.width = o.width, .height = o.height, .encode_batch = batch, .depth_batch = 2, .temporal_piece = 700, .depth_slots = 1};
    ib_vda *vda = NULL;
    isobath_status st = ib_vda_create(o.be, o.ckpt, &o.config, &shape, &o.diag, &vda);
    int bad = st == ISOBATH_OK ? run_case(&o, vda, &shape) : oracle_die(&o, o.name);
    ib_vda_destroy(vda);
    return oracle_close(&o, bad);
}
