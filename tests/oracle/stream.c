/* Compares the streaming network with the expected values of a `_stream` case (tests/oracle/data): every inner value of the
 * first frame and the depth of all frames; and checks that an fp32 redo gives the frame's own bits back.
 *
 * usage: oracle_stream CASE [--piece P] and the options of oracle.h. Exit 0: within bounds. */
#include "model/stream.h"
#include "oracle.h"
#include "pipeline/align.h"
#include "support/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tap_state {
    const oracle *o;
    int count, bad;
} tap_state;

static void on_tap(void *ctx, const char *name, const ib_tensor *value, int64_t first)
{
    tap_state *s = ctx;
    char key[64];
    int64_t dim[8], channels = value->dim[value->rank - 1];
    snprintf(key, sizeof key, "tap.%s", name);
    if (!expect_shape(&s->o->c, key, dim)) return;
    float *host = oracle_read(s->o, value);
    expect_check *check = expect_begin(&s->o->c, key, 0);
    expect_add_frames(check, first, 1, ib_tensor_count(value) / channels, channels, host);
    s->bad += oracle_judge(s->o, key, check);
    s->count++;
    free(host);
}

/* All frames; `again` (NULL: none) redoes some of them, as the guard would. */
static int run_case(oracle *o, ib_stream *stream, ib_stream *again)
{
    int64_t H = o->c.height, W = o->c.width, map = (int64_t)o->height * o->width;
    uint8_t *rgb = malloc((size_t)(H * W * 3));
    float *raw = malloc((size_t)map * sizeof *raw), *redone = malloc((size_t)map * sizeof *redone);
    float *depth = malloc((size_t)(H * W) * sizeof *depth);
    tap_state taps = {.o = o};
    ib_tap tap = {on_tap, &taps};
    expect_check *check = expect_begin(&o->c, "depth", 0);
    const ib_plan_render how = {0};
    const ib_alignment as_is = {.scale = 1};
    int bad = 0;
    for (int64_t n = 0; n < o->c.frames; n++) {
        int64_t nonfinite;
        ib_stream_set_tap(stream, n == 0 && o->taps ? &tap : NULL);
        synth_frames(n, 1, H, W, o->c.seed, rgb);
        if (ib_stream_frame(stream, rgb, (int)H, (int)W, raw, &nonfinite) != ISOBATH_OK) return oracle_die(o, "frame");
        if (nonfinite) bad += fprintf(stderr, "frame %lld: %lld values are not finite\n", (long long)n, (long long)nonfinite) > 0;
        if (again && n % 19 == 0) { /* frames 0, 19, 38, 57: early, and with the ring once around */
            if (ib_stream_redo(stream, again, rgb, (int)H, (int)W, redone, &nonfinite) != ISOBATH_OK) return oracle_die(o, "redo");
            if (memcmp(raw, redone, (size_t)map * sizeof *raw)) bad += fprintf(stderr, "frame %lld: the redo differs\n", (long long)n) > 0;
        }
        if (ib_align_render(o->host, &how, raw, &as_is, NULL, NULL, o->height, o->width, depth, H, W, NULL, NULL) != ISOBATH_OK)
            return oracle_die(o, "render");
        expect_add(check, n * H * W, H * W, depth);
    }
    bad += oracle_judge(o, "depth", check) + taps.bad;
    if (o->taps && taps.count < 8) bad += fprintf(stderr, "only %d inner values were compared\n", taps.count) > 0;
    free(rgb);
    free(raw);
    free(redone);
    free(depth);
    return bad;
}

int main(int argc, char **argv)
{
    oracle o;
    int piece = 700, status = oracle_open(&o, argc, argv, "piece", &piece);
    if (status >= 0) return status;
    ib_vda_shape shape = {.width = o.width, .height = o.height, .temporal_piece = piece};
    ib_stream *stream = NULL, *again = NULL;
    isobath_status st = ib_stream_create(o.be, o.ckpt, &o.config, &shape, &o.diag, &stream);
    if (st == ISOBATH_OK && o.be->act == IB_F32 && strcmp(o.c.kind, "tiny") == 0)
        st = ib_stream_create(o.be, o.ckpt, &o.config, &shape, &o.diag, &again);
    int bad = st == ISOBATH_OK ? run_case(&o, stream, again) : oracle_die(&o, o.name);
    ib_stream_destroy(stream);
    ib_stream_destroy(again);
    return oracle_close(&o, bad);
}
