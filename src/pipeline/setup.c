/* What a run is made of; see setup.h. */
#include "pipeline/setup.h"

#include "pipeline/exec/exec.h"
#include "pipeline/guided.h"
#include "pipeline/plan.h"
#include "pipeline/shots.h"
#include "weights/models.h"
#include <isobath/models.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void isobath_run_options_init(isobath_run_options *options)
{
    *options = (isobath_run_options){.metric = -1, .max_res = 1280, .guard = 1, .npz_level = -1};
}

static void note(const ib_setup *s, const char *line)
{
    if (s->options.note) s->options.note(s->options.note_ctx, line);
}

/* Replaces every string of the options by a copy that the setup owns. */
static isobath_status copy_strings(ib_setup *s, ib_diag *diag)
{
    isobath_run_options *o = &s->options;
    const char **fields[] = {&o->input, &o->output, &o->name, &o->model, &o->precision, &o->devices, &o->cpu_isa,
                             &o->formats, &o->output_size, &o->upsample, &o->camera, &o->cuts, &o->crop, &o->decoder, &o->decoders,
                             &o->raw_format, &o->colormap, &o->exr_compression, &o->program, &o->preview_encoder};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!*fields[i]) continue;
        char *copy = strdup(*fields[i]);
        if (!copy) {
            for (size_t j = i; j < sizeof fields / sizeof *fields; j++) *fields[j] = NULL;
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the options");
        }
        s->strings[s->string_count++] = copy;
        *fields[i] = copy;
    }
    return ISOBATH_OK;
}

void ib_setup_name(const char *input, char *name, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", strcmp(input, "-") == 0 ? "stdin" : input);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') path[--n] = 0;
    char *slash = strrchr(path, '/');
    if (slash && slash != path && (strpbrk(slash, "%*?"))) { /* frames/%05d.png is called frames */
        *slash = 0;
        slash = strrchr(path, '/');
    }
    char *base = slash ? slash + 1 : path;
    char *dot = strrchr(base, '.');
    if (dot && dot != base) *dot = 0;
    for (char *c = base; *c; c++)
        if (strchr("%*?:\\", *c)) *c = '_';
    snprintf(name, size, "%.200s", *base && strcmp(base, "..") ? base : "video");
}

static isobath_status parse_crop(const char *text, ib_media_options *m, ib_diag *diag)
{
    ib_rect r;
    int end = 0;
    m->crop = IB_CROP_AUTO;
    if (strcmp(text, "auto") == 0) return ISOBATH_OK;
    if (sscanf(text, "%dx%d+%d+%d%n", &r.width, &r.height, &r.x, &r.y, &end) != 4 || text[end] || r.width < 1 || r.height < 1 ||
        r.x < 0 || r.y < 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--crop %s: expected auto or WIDTHxHEIGHT+X+Y", text);
    m->crop = IB_CROP_RECT;
    m->crop_rect = r;
    return ISOBATH_OK;
}

/* On the card of the network, unless it is said otherwise; networks elsewhere, worker processes and runs that are short of
 * the card's memory take frames from the processor. */
static isobath_status choose_decoder(const ib_setup *s, ib_media_options *m, ib_diag *diag)
{
    const char *d = s->options.decoder ? s->options.decoder : "auto";
    int on_card = !ib_setup_is_exec(s) && !s->fleet && s->device >= 0;
    m->cuda_device = on_card ? s->device : 0;
    m->sessions = on_card ? s->options.decoder_sessions : 0;
    if (s->options.decoder_sessions < 0 || s->options.decoder_sessions > 8)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoder-sessions %d: expected 1 to 8", s->options.decoder_sessions);
    if (strcmp(d, "software") == 0) m->decoder = IB_DECODER_SOFTWARE;
    else if (strcmp(d, "auto") == 0) m->decoder = on_card && !s->options.device_memory ? IB_DECODER_AUTO : IB_DECODER_SOFTWARE;
    else if (strcmp(d, "cuda") == 0) m->decoder = IB_DECODER_CUDA;
    else return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoder %s: expected auto, software or cuda", d);
    return ISOBATH_OK;
}

static isobath_status open_media(ib_setup *s, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    ib_media_options m = {.max_res = o->max_res, .target_fps = o->target_fps, .max_frames = o->max_frames,
                          .start_s = o->start_s, .end_s = o->end_s, .raw_format = o->raw_format,
                          .on_error = o->on_error_repeat ? IB_ON_ERROR_REPEAT : IB_ON_ERROR_STOP, .threads = s->threads};
    m.stall_s = o->stall_s;
    m.start_frame = o->start_frame;
    m.end_frame = o->end_frame;
    m.square_pixels = o->square_pixels;
    m.deinterlace = o->deinterlace;
    m.keep_hdr = o->keep_hdr;
    IB_TRY(choose_decoder(s, &m, diag));
    if (s->fleet) { /* several devices can take more RGB than one thread makes */
        IB_TRY(ib_pool_create(s->threads < 4 ? s->threads : 4, diag, &s->media_pool));
        m.pool = s->media_pool;
    }
    if (o->crop) IB_TRY(parse_crop(o->crop, &m, diag));
    IB_TRY(ib_media_open(o->input, &m, diag, &s->media));
    const ib_media_info *info = ib_media_get_info(s->media);
    s->media_options = m;
    if (m.crop != IB_CROP_OFF) { /* opened again, the same part */
        s->media_options.crop = IB_CROP_RECT;
        s->media_options.crop_rect = info->crop;
    }
    if (info->decoder_note[0]) {
        char line[sizeof info->decoder_note + 16];
        snprintf(line, sizeof line, "decoder: %s", info->decoder_note);
        note(s, line);
    }
    snprintf(s->decoder, sizeof s->decoder, "%s", info->decoder);
    snprintf(s->colour, sizeof s->colour, "%s", info->colour);
    s->plan.source_width = info->width;
    s->plan.source_height = info->height;
    s->plan.fps = info->fps;
    s->pixel_aspect = s->media_options.square_pixels ? 1 : info->rotation % 180 ? 1 / info->pixel_aspect : info->pixel_aspect;
    s->plan.frames_hint = info->frames_hint;
    return ISOBATH_OK;
}

/* Metres of a model that was trained for one camera: what a longer lens shows as large is further away. */
static isobath_status set_metre_scale(ib_setup *s, ib_diag *diag)
{
    double hfov = s->options.hfov_deg, half = acos(-1) / 360;
    if (hfov == 0) return ISOBATH_OK;
    if (!(hfov > 0 && hfov < 170)) return ib_fail(diag, ISOBATH_ERR_USAGE, "--hfov %g: expected degrees, 1 to 169", hfov);
    if (s->config.metre_fov_deg == 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--hfov: %s gives %s", s->config.name,
                       s->config.metric ? "metres for any camera" : "no metres (see --metric)");
    double across = tan(hfov * half); /* half the picture's width at a distance of 1 */
    if (s->plan.source_height > s->plan.source_width) across *= (double)s->plan.source_height / s->plan.source_width;
    s->config.metre_scale = (float)(tan(s->config.metre_fov_deg * half) / across);
    return ISOBATH_OK;
}

static isobath_status read_model(ib_setup *s, ib_diag *diag)
{
    IB_TRY(ib_models_resolve(s->options.model, s->options.metric == 1, diag, s->model_path, sizeof s->model_path));
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    struct stat sb;
    if (stat(s->model_path, &sb) == 0) s->model_bytes = (int64_t)sb.st_size;
    isobath_status st = ib_vda_config_read(ckpt, s->options.metric, diag, &s->config);
    ib_checkpoint_close(ckpt);
    IB_TRY(st);
    if (!s->config.temporal && s->config.metric) {
        if (s->options.max_depth != 0) s->config.max_depth = (float)s->options.max_depth;
        if (!(s->config.max_depth > 0))
            return ib_fail(diag, ISOBATH_ERR_USAGE,
                           "%s: a metric Depth Anything V2 whose largest depth is not in its name: expected --max-depth 20 "
                           "(indoor) or 80 (outdoor)", s->model_path);
    }
    snprintf(s->plan.model, sizeof s->plan.model, "%s", s->config.name);
    s->plan.metric = s->config.metric;
    if (s->config.noncommercial)
        note(s, "licence: the published weights of this size are CC-BY-NC-4.0: non-commercial use only");
    return ISOBATH_OK;
}

static isobath_status choose_sizes(ib_setup *s, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    isobath_plan *p = &s->plan;
    int size = o->input_size ? o->input_size : s->config.input_size;
    if (s->exec) size = 14; /* the program has said its size */
    if (size < 14 || size > 4096)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--input-size %d: expected 14 to 4096", size);
    if (!s->exec)
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

static isobath_status choose_device(ib_setup *s, ib_diag *diag)
{
    const char *d = s->options.devices, *decoders = s->options.decoders;
    if (decoders && strcmp(decoders, "auto") && strcmp(decoders, "one") && strcmp(decoders, "each"))
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--decoders %s: expected auto, one or each", decoders);
    int ask = !d || strcmp(d, "auto") == 0 || strstr(d, "cuda"), cpus = 0;
    IB_TRY(ib_devices_parse(d, ask ? ib_cuda_device_count() : 0, diag, &s->devices));
    for (int i = 0; i < s->devices.count; i++) cpus += s->devices.device[i] < 0;
    s->device = s->devices.device[0];
    s->fleet = s->devices.count > 1 || s->options.segment_windows > 0;
    s->plan.device_count = s->devices.count;
    const char *p = s->options.precision ? s->options.precision : "auto";
    if (strcmp(p, "fp32") == 0) s->act = IB_F32;
    else if (strcmp(p, "fp16") == 0) s->act = IB_F16;
    else if (strcmp(p, "bf16") == 0) s->act = IB_BF16;
    else if (strcmp(p, "auto") == 0) s->act = cpus ? IB_F32 : IB_F16; /* one for all devices */
    else return ib_fail(diag, ISOBATH_ERR_USAGE, "--precision %s: expected auto, fp32, fp16 or bf16", p);
    if (s->act == IB_F16 && cpus)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--precision fp16 needs a GPU; on the CPU use fp32 or bf16");
    snprintf(s->plan.precision, sizeof s->plan.precision, "%s", s->act == IB_F32 ? "fp32" : s->act == IB_F16 ? "fp16" : "bf16");
    return ISOBATH_OK;
}

int ib_setup_wants_rgb(const ib_setup *s)
{
    int wants = s->guided;
    for (int i = 0; i < s->format_count; i++)
        wants |= s->formats[i]->wants_rgb || (s->options.side_by_side && strcmp(s->formats[i]->name, "preview") == 0);
    return wants;
}

isobath_status ib_setup_open_backend(const ib_setup *s, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **out)
{
    ib_backend_options b = {.act = act, .device = s->device, .isa = s->options.cpu_isa, .pool = pool, .diag = diag};
    return s->device >= 0 ? ib_cuda_open(&b, out) : s->device == IB_DEVICE_NULL ? ib_null_open(&b, out) : ib_cpu_open(&b, out);
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

static isobath_status plan_memory(ib_setup *s, ib_diag *diag)
{
    if (!s->exec) {
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
    size_t queue = s->device < 0 ? (size_t)16 << 20 : 32 * out < (size_t)256 << 20 ? 32 * out : (size_t)256 << 20;
    s->sink.queue_bytes = (int64_t)(4 * out > queue ? 4 * out : queue);
    /* A short video fills fewer buffers than a long one. */
    size_t n = p->frames_hint > 0 ? (size_t)p->frames_hint : SIZE_MAX / 2, windows = s->fleet ? 0 : (size_t)s->shape.depth_slots + 2;
    /* Source frames: the queue, two windows' references, the cut detector's and the decoder's. */
    size_t sources = s->fleet ? 0 : s->source_queue_bytes / rgb + 32 + 22 + 12 + IB_CUT_LOOKAHEAD + 3, queued = (size_t)s->sink.queue_bytes / out + 1;
    sources = (sources < n ? sources : n) + (size_t)s->threads;
    s->render_batch = s->device == IB_DEVICE_CPU ? 1 : s->threads < IB_PLAN_STEP ? s->threads : IB_PLAN_STEP;
    queued = (queued < n ? queued : n) + (size_t)s->render_batch - 1 + (size_t)s->format_count * (size_t)s->threads; /* sinks share the frames that they hold */
    /* Raw windows in flight (computed, queued, rendered), a tail of 8 maps and the chain's 2; libraries and code. */
    size_t host = (windows * 32 + 8 + 2) * map + sources * rgb + queued * out + ((size_t)90 << 20);
    if (s->guided) host += (size_t)s->threads * ib_guided_bytes(p->network_height, p->network_width, p->source_height, p->source_width);
    p->host_bytes = host + (s->device == IB_DEVICE_CPU && !s->fleet ? s->memory.total : 0);
    p->device_bytes = s->device < 0 ? 0 : s->memory.total + rgb;
    p->flops_per_frame = s->memory.encode_flops + s->memory.depth_flops * 32 / 22;
    s->decodes = s->fleet && ib_setup_may_decode_apart(s);
    if (s->fleet) ib_setup_plan_fleet(s); /* frames and raw windows are in shared memory then */
    return ISOBATH_OK;
}

static isobath_status choose_formats(ib_setup *s, ib_diag *diag)
{
    const char *list = s->options.formats ? s->options.formats : "png16,preview";
    char text[512];
    snprintf(text, sizeof text, "%s", list);
    char *save = NULL;
    for (char *f = strtok_r(text, ",", &save); f; f = strtok_r(NULL, ",", &save)) {
        const ib_sink_format *format = ib_sink_format_find(f);
        if (!format) {
            char known[256] = "";
            for (int i = 0; ib_sink_formats[i]; i++) {
                size_t n = strlen(known);
                snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", ib_sink_formats[i]->name);
            }
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--format %s: unknown format, expected one of %s", f, known);
        }
        if (format->metric_only && !s->config.metric)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--format %s needs metres: use a metric model (this one gives relative disparity)", f);
        int seen = 0;
        for (int i = 0; i < s->format_count; i++) seen |= s->formats[i] == format;
        if (seen) continue;
        if (s->format_count == IB_MAX_SINKS) return ib_fail(diag, ISOBATH_ERR_USAGE, "--format: more than %d formats", IB_MAX_SINKS);
        int at = s->format_count++;
        for (; at > 0 && s->formats[at - 1]->first_pass_order > format->first_pass_order; at--) s->formats[at] = s->formats[at - 1];
        s->formats[at] = format;
    }
    if (!s->format_count) return ib_fail(diag, ISOBATH_ERR_USAGE, "--format %s: no format named", list);
    return ISOBATH_OK;
}

/* --precision auto on cards: the first one is asked whether its fast type is sound for this network at this size; the answer is
 * kept in the user's cache folder. */
static isobath_status settle_precision(ib_setup *s, ib_diag *diag)
{
    const char *p = s->options.precision;
    if ((p && strcmp(p, "auto") != 0) || s->device < 0 || s->act != IB_F16) return ISOBATH_OK;
    char key[1024], folder[4096];
    ib_backend *probe;
    ib_checkpoint *ckpt;
    ib_precision_verdict v = {0};
    IB_TRY(ib_setup_open_backend(s, s->act, NULL, diag, &probe));
    snprintf(s->plan.device, sizeof s->plan.device, "%s", probe->kind);
    ib_backend_close(probe);
    IB_TRY(ib_setup_hash_model(s, diag, s->model_sha256));
    ib_precision_key(s->plan.device, s->device, s->model_sha256, s->shape.width, s->shape.height, key, sizeof key);
    int have_folder = isobath_models_cache(folder, sizeof folder) == ISOBATH_OK;
    if (!have_folder || !ib_precision_recall(folder, key, &v)) {
        note(s, "precision: testing fp16 on this card, once per model and size");
        IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
        int size = s->options.input_size ? s->options.input_size : s->config.input_size;
        isobath_status st = ib_precision_test(ckpt, &s->config, s->device, s->act, NULL, s->plan.source_width, s->plan.source_height,
                                              size, diag, &v);
        ib_checkpoint_close(ckpt);
        IB_TRY(st);
        if (have_folder && ib_make_folders(folder, NULL) == ISOBATH_OK) ib_precision_keep(folder, key, &v);
    }
    s->precision = v;
    if (v.sound) return ISOBATH_OK;
    s->act = IB_F32;
    snprintf(s->plan.precision, sizeof s->plan.precision, "fp32");
    note(s, "precision: fp16 is not sound here for this model; the run is fp32 (--precision bf16 is faster, with less accuracy)");
    return ISOBATH_OK;
}

static void fill_sink_config(ib_setup *s)
{
    const isobath_run_options *o = &s->options;
    const isobath_plan *p = &s->plan;
    s->sink = (ib_sink_config){
        .folder = o->output, .name = s->name, .width = p->output_width, .height = p->output_height,
        .rgb_width = p->source_width, .rgb_height = p->source_height, .rgb_aspect = s->pixel_aspect, .fps = p->fps, .frames_hint = p->frames_hint,
        .kind = p->metric ? IB_DEPTH_METRIC : IB_DEPTH_DISPARITY, .start_number = o->start_number,
        .range_min = o->range_min, .range_max = o->range_max, .png_level = o->png_max ? 9 : 0, .npz_half = o->npz_half,
        .npz_level = o->npz_level, .grayscale = o->grayscale, .colormap = o->colormap,
        .preview_side_by_side = o->side_by_side, .exr_compression = o->exr_compression, .exr_half = o->exr_half,
        .exr_z_only = o->exr_z_only,
        .focal_px = o->focal_px, .focal_y_px = o->focal_y_px, .camera = o->camera, .ply_stride = o->ply_stride, .source_path = o->input, .threads = s->threads,
        .note = o->note, .note_ctx = o->note_ctx};
    if (s->device >= 0 && !o->preview_encoder && !o->device_memory) {
        s->sink.preview_hardware = "h264_nvenc";
        s->sink.preview_card = s->device;
    }
    for (int i = 0; i < s->format_count; i++) {
        if (strcmp(s->formats[i]->name, "png16") == 0) s->sink.png16_present = 1;
        s->plan.disk_bytes += p->frames_hint > 0 ? s->formats[i]->bytes_per_frame(&s->sink) * (double)p->frames_hint : 0;
    }
}

/* What is wrong with the outputs' options is told before anything is removed or written. */
static isobath_status check_outputs(const ib_setup *s, ib_diag *diag)
{
    if (strchr(s->name, '/') || !*s->name) return ib_fail(diag, ISOBATH_ERR_USAGE, "--name %s: expected a name, not a path", s->name);
    if (s->options.start_number < 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "--start-number %d: expected 0 or more", s->options.start_number);
    for (int i = 0; i < s->format_count; i++)
        if (s->formats[i]->check) IB_TRY(s->formats[i]->check(&s->sink, diag));
    return ISOBATH_OK;
}

isobath_status ib_setup_init(ib_setup *s, const isobath_run_options *options, ib_diag *diag)
{
    memset(s, 0, sizeof *s);
    s->options = *options;
    IB_TRY(copy_strings(s, diag));
    if (!options->input || !*options->input) return ib_fail(diag, ISOBATH_ERR_USAGE, "no input named");
    if (!options->output || !*options->output) return ib_fail(diag, ISOBATH_ERR_USAGE, "no output folder named (-o OUT)");
    if (s->options.cuts && strcmp(s->options.cuts, "off") == 0) s->options.cuts = NULL;
    const char *encoder = s->options.preview_encoder;
    if (encoder && strcmp(encoder, "auto") == 0) s->options.preview_encoder = NULL;
    else if (encoder && strcmp(encoder, "software") != 0)
        return ib_fail(diag, ISOBATH_ERR_USAGE, "--preview-encoder %s: expected auto or software", encoder);
    s->cuts_auto = s->options.cuts && strcmp(s->options.cuts, "auto") == 0;
    s->threads = options->threads > 0 ? options->threads : ib_cpu_count();
    if (options->name) snprintf(s->name, sizeof s->name, "%s", options->name);
    else ib_setup_name(options->input, s->name, sizeof s->name);
    if (!ib_setup_is_exec(s)) {
        IB_TRY(read_model(s, diag));
        ib_setup_begin_hash(s);
        IB_TRY(choose_device(s, diag));
    }
    IB_TRY(open_media(s, diag));
    if (ib_setup_is_exec(s)) IB_TRY(ib_setup_open_exec(s, diag));
    if (options->stabilize_s != 0 && !(options->stabilize_s > 0 && options->stabilize_s < 1e6 && !s->config.temporal))
        return ib_fail(diag, ISOBATH_ERR_USAGE, s->config.temporal
                       ? "--stabilize is for models that see one frame at a time; %s is consistent by itself"
                       : "--stabilize: expected seconds above 0 (%s)", s->config.name);
    IB_TRY(choose_formats(s, diag));
    IB_TRY(set_metre_scale(s, diag));
    IB_TRY(choose_sizes(s, diag));
    if (!s->exec) IB_TRY(settle_precision(s, diag));
    fill_sink_config(s);
    IB_TRY(check_outputs(s, diag));
    IB_TRY(plan_memory(s, diag));
    if (s->exec) return ISOBATH_OK;
    if (s->fleet) {
        IB_TRY(ib_setup_open_children(s, s->plan.device, diag));
        s->plan.host_bytes += s->fleet_bytes;
        return ISOBATH_OK;
    }
    ib_backend *probe; /* what cannot run is told before anything is written */
    IB_TRY(ib_setup_open_backend(s, s->act, NULL, diag, &probe));
    snprintf(s->plan.device, sizeof s->plan.device, "%s", probe->kind);
    ib_backend_close(probe);
    return ISOBATH_OK;
}

void ib_setup_free(ib_setup *s)
{
    ib_exec_close(s->exec);
    s->exec = NULL;
    for (int i = 0; i < IB_MAX_DEVICES; i++) {
        ib_child_close(s->child[i]);
        s->child[i] = NULL;
    }
    ib_setup_end_hash(s);
    ib_media_close(s->media);
    s->media = NULL;
    ib_pool_destroy(s->media_pool);
    s->media_pool = NULL;
    for (int i = 0; i < s->string_count; i++) free(s->strings[i]);
    s->string_count = 0;
}

/* One attempt at a shape; on failure nothing is left open. */
static isobath_status try_network(const ib_setup *s, const ib_checkpoint *ckpt, ib_dtype act, const ib_vda_shape *shape,
                                  ib_pool *pool, ib_diag *diag, ib_backend **backend, ib_vda **vda)
{
    isobath_status st = ib_setup_open_backend(s, act, pool, diag, backend);
    if (st == ISOBATH_OK) st = ib_vda_create(*backend, ckpt, &s->config, shape, diag, vda);
    if (st == ISOBATH_OK) return st;
    ib_backend_close(*backend);
    *backend = NULL;
    return st;
}

isobath_status ib_setup_open_network(ib_setup *s, ib_dtype act, ib_pool *pool, ib_diag *diag, ib_backend **backend,
                                     ib_vda **vda, char sha256[65])
{
    *backend = NULL;
    *vda = NULL;
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    ib_vda_shape shape = s->shape;
    ib_diag attempt = IB_DIAG_INIT;
    isobath_status st;
    int shrunk = 0;
    while ((st = try_network(s, ckpt, act, &shape, pool, &attempt, backend, vda)) == ISOBATH_ERR_MEMORY && ib_vda_shape_shrink(&shape)) {
        shrunk = 1;
        ib_diag_reset(&attempt);
    }
    if (st == ISOBATH_OK) {
        (*backend)->diag = diag;
        ib_vda_set_diag(*vda, diag);
    } else {
        ib_fail(diag, st, "%s", attempt.text);
    }
    ib_diag_destroy(&attempt);
    if (st == ISOBATH_OK && shrunk && act == s->act) {
        s->shape = shape;
        st = ib_vda_plan(&s->config, &s->shape, act, diag, &s->memory);
        note(s, "memory is short: smaller batches, the same result");
    }
    if (st == ISOBATH_OK && sha256) st = ib_setup_hash_model(s, diag, sha256);
    ib_checkpoint_close(ckpt);
    return st;
}

isobath_status ib_setup_reload_network(const ib_setup *s, ib_vda *vda, ib_diag *diag)
{
    ib_checkpoint *ckpt;
    IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
    isobath_status st = ib_vda_reload(vda, ckpt);
    ib_checkpoint_close(ckpt);
    return st;
}
