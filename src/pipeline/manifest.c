/* NAME_isobath.json: what the result is and what it came from; docs/FORMATS.md describes every key. */
#include "pipeline/run.h"

#include "pipeline/identity.h"
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
                     "fps", info->fps, "stride", info->stride, "decoder", r->decoder ? r->decoder : r->setup->decoder, "colour", r->setup->colour);
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
    for (int64_t i = 0; i < r->window_count;) {
        int64_t first = r->windows[i++].shot_first;
        while (i < r->window_count && r->windows[i].k != 0) i++;
        int64_t end = i < r->window_count ? r->windows[i].shot_first : r->frame_count;
        ib_json_add(&list, json_pack("{s:I, s:I}", "first", (json_int_t)first, "frames", (json_int_t)(end - first)));
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

void ib_run_list_outputs(ib_run *r)
{
    const ib_setup *s = r->setup;
    char path[8192];
    for (int i = 0; i < s->format_count; i++) s->formats[i]->outputs(&s->sink, remember_path, r);
    snprintf(path, sizeof path, "%s/%s_isobath.json", s->options.output, s->name);
    remember_path(r, path);
}

isobath_status ib_run_write_manifest(ib_run *r)
{
    const ib_setup *s = r->setup;
    json_t *times = json_array(), *outputs = json_array();
    double depth_min = r->frame_count ? (double)r->frames[0].min : 0, depth_max = 0;
    for (int64_t i = 0; i < r->frame_count; i++) {
        ib_json_add(&times, json_integer(r->frames[i].pts_us));
        if (r->frames[i].min < depth_min) depth_min = r->frames[i].min;
        if (r->frames[i].max > depth_max) depth_max = r->frames[i].max;
    }
    for (int i = 0; i < s->format_count; i++) ib_json_add(&outputs, json_incref(r->described[i]));
    const char *base = strrchr(s->model_path, '/');
    json_t *m = json_pack("{s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:o, s:o, s:{s:s, s:o, s:s}, s:o, s:o, s:o, s:o}", "format",
                          "isobath-manifest-1", "isobath", ISOBATH_VERSION, "kind", r->kind ? r->kind : ib_setup_kind(s), "unit",
                          s->config.metric ? "metre" : "relative disparity", "frames", (json_int_t)r->frame_count, "depth_min",
                          depth_min, "depth_max", depth_max, "input", input_json(r), "options", ib_options_json(s), "model",
                          "name", s->config.name, "file", ib_json_string(base && !ib_setup_is_exec(s) ? base + 1 : s->model_path), "sha256", r->model_sha256, "shots",
                          shots_json(r), "windows", windows_json(r), "times_us", times, "outputs", outputs);
    if (!m) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
    if (r->repeats.count) ib_json_set(&m, "repeated", ib_repeats_json(&r->repeats));
    if (!m) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the manifest");
    if (r->extra && json_object_update(m, r->extra) != 0) {
        json_decref(m);
        m = NULL;
    }
    char path[8192];
    snprintf(path, sizeof path, "%s/%s_isobath.json", s->options.output, s->name);
    isobath_status st = ib_manifest_write(path, m, r->diag);
    json_decref(m);
    if (st == ISOBATH_OK) ib_run_list_outputs(r);
    return st;
}
