/* How large things are in a run: network, output, queues, memory in advance; see setup.h. */
#include "pipeline/setup.h"

#include "pipeline/fleet/sabotage.h"
#include "pipeline/guided.h"
#include "pipeline/plan.h"
#include "pipeline/render.h"
#include "pipeline/shots.h"
#include <stdio.h>
#include <string.h>

isobath_status ib_setup_choose_sizes(ib_setup *s, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    isobath_plan *p = &s->plan;
    int size = o->input_size ? o->input_size : s->config.input_size;
    if (ib_setup_is_exec(s)) size = 14; /* the program has said its size */
    if (size < 14 || size > 4096)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--input-size %d: expected 14 to 4096", size);
    if (!ib_setup_is_exec(s))
        ib_plan_network_size(p->source_width, p->source_height, size, s->config.temporal, &p->network_width, &p->network_height);
    if (p->network_width > 14 * 1024 || p->network_height > 14 * 1024)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "network size %d x %d is too large: expected sides up to 14336",
                       p->network_width, p->network_height);
    s->shape.width = p->network_width;
    s->shape.height = p->network_height;
    p->output_width = p->source_width;
    p->output_height = p->source_height;
    s->guided = o->upsample && strcmp(o->upsample, "guided") == 0;
    if (o->upsample && !s->guided && strcmp(o->upsample, "bilinear") != 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--upsample %s: expected bilinear or guided", o->upsample);
    if (s->guided && o->output_size && strcmp(o->output_size, "model") == 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--upsample guided has nothing to do with --output-size model");
    if (!o->output_size || strcmp(o->output_size, "source") == 0) return ISOBATH_OK;
    if (strcmp(o->output_size, "model") == 0) {
        p->output_width = p->network_width;
        p->output_height = p->network_height;
    } else {
        int w, h, end = 0;
        if (sscanf(o->output_size, "%dx%d%n", &w, &h, &end) != 2 || o->output_size[end] || w < 1 || h < 1 || w > 32768 || h > 32768)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--output-size %s: expected source, model or WIDTHxHEIGHT", o->output_size);
        p->output_width = w;
        p->output_height = h;
    }
    return ISOBATH_OK;
}

/* What a CUDA process takes of a card beside the network: context, code, workspaces, staged frames; 590 MiB measured on sm_90
 * (docs/SPEED.md). */
#define CUDA_PROCESS_BYTES ((size_t)672 << 20)

static isobath_status limit_memory(ib_setup *s, ib_diag *diag)
{
    size_t wanted = s->options.device_memory, own = s->device >= 0 ? CUDA_PROCESS_BYTES : 0;
    if (!wanted) return ISOBATH_OK;
    if (s->media_options.decoder == IB_DECODER_CUDA) /* its surfaces, and the frames of the windows in work */
        own += ((size_t)64 << 20) + (size_t)s->plan.source_width * (size_t)s->plan.source_height * 3 / 2 * 160;
    if (wanted <= own)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--device-memory: CUDA alone takes about %zu MiB of a card, before the network",
                       own >> 20);
    s->budget.limit = wanted - own;
    s->shape.budget = &s->budget;
    return ISOBATH_OK;
}

#define MANY_THREADS 8

isobath_status ib_setup_plan_memory(ib_setup *s, ib_diag *diag)
{
    if (!ib_setup_is_exec(s)) {
        ib_setup_batches(&s->config, s->device >= 0, s->act, &s->shape);
        IB_TRY(limit_memory(s, diag));
        IB_TRY(ib_vda_plan(&s->config, &s->shape, s->act, diag, &s->memory));
    }
    isobath_plan *p = &s->plan;
    size_t map = (size_t)p->network_width * (size_t)p->network_height * sizeof(float);
    size_t rgb = (size_t)p->source_width * (size_t)p->source_height * 3;
    size_t out = (size_t)p->output_width * (size_t)p->output_height * sizeof(float);
    /* A GPU eats a window in the time of a few frames. A processor reads a window's new frames at once, too, and with many threads it would
     * wait for all that are not decoded by then; with few it computes for so long that the wait is nothing. */
    size_t ahead = s->device == IB_DEVICE_CPU && s->threads >= MANY_THREADS ? IB_PLAN_STEP : 4;
    s->source_queue_bytes = s->device >= 0 ? (size_t)48 << 20 : (size_t)16 << 20;
    if (s->source_queue_bytes < ahead * rgb) s->source_queue_bytes = ahead * rgb;
    /* The sinks' queue takes a window's frames at once, so that the next window is rendered while they are written. */
    size_t queue = !ib_sabotage_is_card(s->device) ? (size_t)16 << 20 : 32 * out < (size_t)256 << 20 ? 32 * out : (size_t)256 << 20;
    s->sink.queue_bytes = (int64_t)(4 * out > queue ? 4 * out : queue);
    s->render_threads = s->device == IB_DEVICE_CPU ? 0 : s->threads; /* a processor's cores have the network to compute */
    s->render_windows = ib_renderer_windows(s->render_threads, s->devices.count, IB_PLAN_WINDOW * map);
    s->render_ahead = ib_renderer_ahead(s->render_threads, out);
    /* A short video fills fewer buffers than a long one. */
    size_t n = p->frames_hint > 0 ? (size_t)p->frames_hint : SIZE_MAX / 2, held = (size_t)ib_renderer_held(s->render_threads, s->render_windows);
    size_t windows = s->fleet ? 0 : (size_t)s->shape.depth_slots + 1 + held; /* computed, queued, in the render stage */
    /* Source frames: the queue, two windows' references, the cut detector's and the decoder's; where sinks want them, those of more windows. */
    size_t sources = s->fleet ? 0 : s->source_queue_bytes / rgb + 32 + 22 + 12 + IB_CUT_LOOKAHEAD + 3, queued = (size_t)s->sink.queue_bytes / out + 1;
    if (!s->fleet && ib_setup_wants_rgb(s)) sources += (held - 1) * IB_PLAN_STEP;
    sources = (sources < n ? sources : n) + (size_t)s->threads;
    queued += (size_t)s->render_ahead - 1;
    queued = (queued < n ? queued : n) + (size_t)s->format_count * (size_t)s->threads; /* sinks share the frames that they hold */
    /* Raw windows, a tail of 8 maps where no window is kept for it and the chain's 2; libraries and code. */
    size_t host = (windows * 32 + (s->render_threads ? 0 : 8) + 2) * map + sources * rgb + queued * out + ((size_t)90 << 20);
    if (s->guided)
        host += (size_t)(s->render_threads ? s->render_threads : 1) * ib_guided_bytes(p->network_height, p->network_width, p->source_height, p->source_width);
    p->host_bytes = host + (s->device == IB_DEVICE_CPU && !s->fleet ? s->memory.total : 0);
    p->device_bytes = s->device < 0 ? 0 : s->memory.total + rgb;
    p->flops_per_frame = s->memory.encode_flops + s->memory.depth_flops * 32 / 22;
    s->decodes = s->fleet && ib_setup_may_decode_apart(s);
    if (s->fleet) ib_setup_plan_fleet(s); /* frames and raw windows are in shared memory then */
    return ISOBATH_OK;
}
