/* Depth on a pipe; see depth_pipe.h. */
#include "pipeline/stream/depth_pipe.h"

#include "pipeline/stream/view.h"
#include "sink/quant.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ib_depth_pipe {
    isobath_stream_pipe form;
    int fd;
    const ib_sink_config *config;
    ib_diag *diag;
    ib_quant quant;
    int exponent;
    int64_t frames;
    float *clamped;
    uint16_t *q;
    ib_view *view;
};

static isobath_status write_all(ib_depth_pipe *p, const void *data, size_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        ssize_t n = write(p->fd, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return ib_fail(p->diag, ISOBATH_ERR_IO, "the pipe's reader is gone after %lld frames: %s", (long long)p->frames,
                           n < 0 ? strerror(errno) : "nothing written");
        at += n;
        bytes -= (size_t)n;
    }
    return ISOBATH_OK;
}

isobath_status ib_depth_pipe_open(isobath_stream_pipe form, int fd, const ib_sink_config *config, ib_diag *diag,
                                  ib_depth_pipe **out)
{
    *out = NULL;
    ib_quant quant;
    IB_TRY(ib_quant_init(config, diag, &quant));
    ib_depth_pipe *p = calloc(1, sizeof *p);
    size_t n = (size_t)config->width * (size_t)config->height;
    int quantised = form == ISOBATH_STREAM_PIPE_U16 || form == ISOBATH_STREAM_PIPE_Y4M;
    if (p && quantised) {
        p->clamped = malloc(n * sizeof *p->clamped);
        p->q = malloc(n * sizeof *p->q);
    }
    if (!p || (quantised && (!p->clamped || !p->q))) {
        ib_depth_pipe_close(p);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the pipe");
    }
    p->form = form;
    p->fd = fd;
    p->config = config;
    p->diag = diag;
    p->quant = quant;
    isobath_status st = form == ISOBATH_STREAM_PIPE_VIEW ? ib_view_create(config, diag, &p->view) : ISOBATH_OK;
    if (st == ISOBATH_OK) *out = p;
    else ib_depth_pipe_close(p);
    return st;
}

static int64_t y4m_rate(const ib_sink_config *c) { return llround((c->fps > 0 ? c->fps : 30) * 1000); }

static isobath_status push_view(ib_depth_pipe *p, const ib_depth_frame *f)
{
    char line[128];
    size_t bytes;
    const uint8_t *picture = ib_view_draw(p->view, f, &bytes);
    int n = snprintf(line, sizeof line, "YUV4MPEG2 W%d H%d F%lld:1000 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n", ib_view_width(p->view),
                     ib_view_height(p->view), (long long)y4m_rate(p->config));
    if (p->frames == 0) IB_TRY(write_all(p, line, (size_t)n));
    IB_TRY(write_all(p, "FRAME\n", 6));
    IB_TRY(write_all(p, picture, bytes));
    p->frames++;
    return ISOBATH_OK;
}

/* Decides the step from the first frame, and says it where the reader can find it. */
static isobath_status begin(ib_depth_pipe *p, const ib_depth_frame *f)
{
    const ib_sink_config *c = p->config;
    char line[320], step[48] = "";
    float largest = f->max > 0 ? f->max * 4 : 64; /* a first frame of nothing tells nothing */
    p->exponent = p->quant.fixed || c->kind == IB_DEPTH_METRIC ? 0 : ib_quant_exponent(&p->quant, largest);
    if (c->note) {
        snprintf(line, sizeof line, "pipe: %s = (q + %.17g) * %.17g%s", c->kind == IB_DEPTH_METRIC ? "metres" : "relative disparity",
                 ib_quant_offset(&p->quant), ib_quant_scale(&p->quant, p->exponent),
                 ib_quant_has_invalid(&p->quant) ? ", q = 0: no depth" : "");
        c->note(c->note_ctx, line);
    }
    if (p->form != ISOBATH_STREAM_PIPE_Y4M) return ISOBATH_OK;
    int64_t rate = y4m_rate(c);
    /* Readers refuse headers much longer than 80 bytes, so only the step is told, and only the usual one. */
    if (!p->quant.fixed) snprintf(step, sizeof step, c->kind == IB_DEPTH_METRIC ? " XSTEP=0.001" : " XSTEP=2^%d", p->exponent);
    int n = snprintf(line, sizeof line, "YUV4MPEG2 W%d H%d F%lld:1000 Ip A1:1 Cmono16%s\n", c->width, c->height, (long long)rate, step);
    return write_all(p, line, (size_t)n);
}

isobath_status ib_depth_pipe_push(ib_depth_pipe *p, const ib_depth_frame *f)
{
    int64_t n = (int64_t)f->width * f->height;
    if (p->view) return push_view(p, f);
    if (p->form == ISOBATH_STREAM_PIPE_F32) {
        IB_TRY(write_all(p, f->depth, (size_t)n * sizeof *f->depth));
        p->frames++;
        return ISOBATH_OK;
    }
    if (p->frames == 0) IB_TRY(begin(p, f));
    float top = (float)(65535.0 * ib_quant_scale(&p->quant, p->exponent));
    const float *depth = f->depth;
    if (!p->quant.fixed && f->max > top) {
        for (int64_t i = 0; i < n; i++) p->clamped[i] = f->depth[i] > top ? top : f->depth[i];
        depth = p->clamped;
    }
    if (ib_quant_apply(&p->quant, p->exponent, depth, n, p->q) < 0)
        return ib_fail(p->diag, ISOBATH_ERR_INTERNAL, "pipe: frame %lld cannot be written in 16 bits", (long long)p->frames);
    if (p->form == ISOBATH_STREAM_PIPE_Y4M) IB_TRY(write_all(p, "FRAME\n", 6));
    IB_TRY(write_all(p, p->q, (size_t)n * sizeof *p->q));
    p->frames++;
    return ISOBATH_OK;
}

void ib_depth_pipe_close(ib_depth_pipe *p)
{
    if (!p) return;
    free(p->clamped);
    free(p->q);
    ib_view_destroy(p->view);
    free(p);
}
