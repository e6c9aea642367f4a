/* What a run writes: formats and what every sink is told; see setup.h. */
#include "pipeline/setup.h"

#include <stdio.h>
#include <string.h>

isobath_status ib_setup_choose_formats(ib_setup *s, ib_diag *diag)
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

int ib_setup_wants_rgb(const ib_setup *s)
{
    int wants = s->guided;
    for (int i = 0; i < s->format_count; i++)
        wants |= s->formats[i]->wants_rgb || (s->options.side_by_side && strcmp(s->formats[i]->name, "preview") == 0);
    return wants;
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

isobath_status ib_setup_prepare_sinks(ib_setup *s, ib_diag *diag)
{
    fill_sink_config(s);
    if (strchr(s->name, '/') || !*s->name) return ib_fail(diag, ISOBATH_ERR_USAGE, "--name %s: expected a name, not a path", s->name);
    if (s->options.start_number < 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "--start-number %d: expected 0 or more", s->options.start_number);
    for (int i = 0; i < s->format_count; i++)
        if (s->formats[i]->check) IB_TRY(s->formats[i]->check(&s->sink, diag));
    return ISOBATH_OK;
}
