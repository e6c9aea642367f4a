/* What a stream is made of, decided before its first frame; see stream_setup.h. */
#include "pipeline/stream/stream_setup.h"

#include "model/stream.h"
#include "pipeline/guided.h"
#include "pipeline/plan.h"
#include "pipeline/stream/lag.h"

#include <string.h>
#include <sys/stat.h>

#define STALL_S 10 /* of silence: a connection whose other end is gone says nothing at all */

int ib_stream_is_file(const char *input)
{
    struct stat sb;
    return stat(input, &sb) != 0 ? !strstr(input, "://") && strcmp(input, "-") != 0 : S_ISREG(sb.st_mode) || S_ISDIR(sb.st_mode);
}

/* What ib_setup_init planned for windows, for one frame at a time, or for a window every `lag` frames. */
static isobath_status plan_memory(ib_setup *s, int lag, ib_diag *diag)
{
    isobath_plan *p = &s->plan;
    if (lag) {
        ib_setup_batches(&s->config, s->device >= 0, s->act, &s->shape);
        s->shape.encode_batch = s->shape.depth_slots = 1;
        IB_TRY(ib_vda_plan(&s->config, &s->shape, s->act, diag, &s->memory));
    } else {
        IB_TRY(ib_stream_plan(&s->config, &s->shape, s->act, diag, &s->memory));
    }
    size_t map = (size_t)p->network_width * (size_t)p->network_height * sizeof(float);
    size_t rgb = (size_t)p->source_width * (size_t)p->source_height * 3;
    size_t out = (size_t)p->output_width * (size_t)p->output_height * sizeof(float);
    size_t queued = (size_t)s->sink.queue_bytes / out + 1 + (size_t)s->format_count * (size_t)s->threads;
    /* Source frames: read, waiting, in work, and the decoder's; libraries and code. */
    size_t lagging = lag ? 2 * IB_PLAN_WINDOW * map + IB_PLAN_WINDOW * rgb : 0; /* raw and aligned maps, source frames */
    size_t host = map + lagging + (3 + (size_t)s->threads) * rgb + (s->format_count ? queued : 1) * out + 2 * out + ((size_t)90 << 20);
    if (s->guided) host += ib_guided_bytes(p->network_height, p->network_width, p->source_height, p->source_width);
    p->host_bytes = host + (s->device == IB_DEVICE_CPU ? s->memory.total : 0);
    p->device_bytes = s->device < 0 ? 0 : s->memory.total + rgb;
    p->flops_per_frame = s->memory.encode_flops + s->memory.depth_flops * (lag ? (double)IB_PLAN_WINDOW / lag : 1);
    return ISOBATH_OK;
}

isobath_status ib_stream_setup(isobath_stream_options *options, ib_setup *setup, ib_diag *diag)
{
    isobath_run_options o = options->run;
    if (!o.output && !options->pipe) return ib_fail(diag, ISOBATH_ERR_USAGE, "no output named: a folder (-o OUT), a pipe, or both");
    if (!o.output) {
        o.output = ".";
        o.formats = NULL;
    }
    if (options->reconnect_s > 0 && !(o.stall_s > 0)) o.stall_s = STALL_S;
    o.cuts = NULL;
    o.segment_windows = 0;
    if (!o.devices || strcmp(o.devices, "auto") == 0) o.devices = ib_cuda_device_count() > 0 ? "cuda:0" : "cpu";
    if (strchr(o.devices, ',')) return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: a stream runs on one device", o.devices);
    if (options->lag < 0 || options->lag > IB_LAG_MAX)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--lag %d: expected 0 to %d frames", options->lag, IB_LAG_MAX);
    if (o.model && strncmp(o.model, "exec:", 5) == 0)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "--model %s: a program as the model is for isobath run", o.model);
    IB_TRY(ib_setup_init(setup, &o, diag));
    if (options->lag && !setup->config.temporal)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--lag %d: %s sees one frame at a time, so later frames cannot help it", options->lag,
                       setup->config.name);
    if (!options->run.output) {
        setup->format_count = 0;
        setup->plan.disk_bytes = 0;
    }
    if (!ib_stream_is_file(setup->options.input)) setup->sink.source_path = NULL;
    options->run = setup->options; /* whose strings live on */
    return plan_memory(setup, options->lag, diag);
}
