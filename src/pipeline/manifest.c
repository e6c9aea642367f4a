/* NAME_isobath.json: what the result is and what it came from; docs/FORMATS.md describes every key. */
#include "pipeline/run.h"

#include "sink/describe.h"
#include "sink/manifest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *input_json(const ib_run *r)
{
    const ib_setup *s = r->setup;
    const ib_media_info *info = ib_media_get_info(s->media);
    const char *base = strrchr(s->options.input, '/');
    return json_pack("{s:o, s:s, s:i, s:i, s:i, s:f, s:i, s:s, s:s}", "name",
                     ib_json_string(base && base[1] ? base + 1 : s->options.input),
                     "sha256", r->input_sha256, "width", info->width, "height", info->height, "rotation", info->rotation,
                     "fps", info->fps, "stride", info->stride, "decoder", r->decoder ? r->decoder : info->decoder, "colour", info->colour);
}

static json_t *options_json(const ib_setup *s)
{
    const isobath_run_options *o = &s->options;
    json_t *j = json_pack("{s:[i,i], s:[i,i], s:i, s:f, s:I, s:f, s:f, s:b, s:s, s:s}", "network_size", s->plan.network_width,
                     s->plan.network_height, "output_size", s->plan.output_width, s->plan.output_height, "max_res", o->max_res,
                     "target_fps", o->target_fps, "max_frames", (json_int_t)o->max_frames, "start_s", o->start_s, "end_s",
                     o->end_s, "guard", o->guard, "formats", o->formats ? o->formats : "png16,preview", "on_error",
                     o->on_error_repeat ? "repeat" : "stop");
    if (o->start_frame) ib_json_set(&j, "start_frame", json_integer(o->start_frame));
    if (o->end_frame) ib_json_set(&j, "end_frame", json_integer(o->end_frame));
    if (o->crop) ib_json_set(&j, "crop", json_string(o->crop));
    if (o->cuts) ib_json_set(&j, "cuts", json_string(s->cuts_auto ? "auto" : "list"));
    if (o->square_pixels) ib_json_set(&j, "square_pixels", json_true());
    if (o->deinterlace) ib_json_set(&j, "deinterlace", json_true());
    if (o->keep_hdr) ib_json_set(&j, "keep_hdr", json_true());
    return j;
}

static json_t *windows_json(const ib_run *r)
{
    json_t *list = json_array();
    for (int64_t k = 0; k < r->window_count; k++) {
        const ib_window_record *w = &r->windows[k];
        json_t *o = json_pack("{s:f, s:f}", "scale", (double)w->alignment.scale, "shift", (double)w->alignment.shift);
        ib_json_set(&o, "shot", json_integer(w->shot));
        if (w->alignment.guarded) ib_json_set(&o, "guard", json_string("alignment kept from the window before"));
        if (w->redone) {
            ib_json_set(&o, "redone", json_string("fp32"));
            ib_json_set(&o, "nonfinite", json_integer(w->nonfinite));
        }
        ib_json_add(&list, o);
    }
    return list;
}

static json_t *shots_json(const ib_run *r)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < r->shot_count; i++) {
        int64_t end = i + 1 < r->shot_count ? r->shot_first[i + 1] : r->frame_count;
        ib_json_add(&list, json_pack("{s:I, s:I}", "first", (json_int_t)r->shot_first[i], "frames",
                                              (json_int_t)(end - r->shot_first[i])));
    }
    return list;
}

/* Paths that the caller is told: every file or folder of a sink, then the manifest. */
static void remember_path(void *ctx, const char *path)
{
    ib_run *r = ctx;
    size_t max = sizeof r->outputs / sizeof *r->outputs - 1;
    for (size_t i = 0; i < max; i++)
        if (!r->outputs[i]) {
            r->outputs[i] = strdup(path);
            return;
        }
}

isobath_status ib_run_write_manifest(ib_run *r)
{
    const ib_setup *s = r->setup;
    json_t *times = json_array(), *outputs = json_array();
    for (int64_t i = 0; i < r->frame_count; i++) ib_json_add(&times, json_integer(r->pts_us[i]));
    for (int i = 0; i < s->format_count; i++) {
        ib_json_add(&outputs, s->formats[i]->describe(r->sinks[i]));
        s->formats[i]->outputs(&s->sink, remember_path, r);
    }
    const char *base = strrchr(s->model_path, '/');
    json_t *m = json_pack("{s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:o, s:o, s:{s:s, s:o, s:s}, s:o, s:o, s:o, s:o}", "format",
                          "isobath-manifest-1", "isobath", ISOBATH_VERSION, "kind", r->kind ? r->kind : s->plan.device, "unit",
                          s->config.metric ? "metre" : "relative disparity", "frames", (json_int_t)r->frame_count, "depth_min",
                          r->depth_min, "depth_max", r->depth_max, "input", input_json(r), "options", options_json(s), "model",
                          "name", s->config.name, "file", ib_json_string(base && !s->exec ? base + 1 : s->model_path), "sha256", r->model_sha256, "shots",
                          shots_json(r), "windows", windows_json(r), "times_us", times, "outputs", outputs);
    if (!m) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
    if (r->extra && json_object_update(m, r->extra) != 0) {
        json_decref(m);
        m = NULL;
    }
    char path[8192];
    snprintf(path, sizeof path, "%s/%s_isobath.json", s->options.output, s->name);
    isobath_status st = ib_manifest_write(path, m, r->diag);
    json_decref(m);
    if (st == ISOBATH_OK) remember_path(r, path);
    return st;
}
