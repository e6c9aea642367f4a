/* What a run is made of; see setup.h. */
#include "pipeline/setup.h"

#include "pipeline/exec/exec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void isobath_run_options_init(isobath_run_options *options)
{
    *options = (isobath_run_options){.metric = -1, .max_res = 1280, .guard = 1, .npz_level = -1};
}

void ib_setup_note(const ib_setup *s, const char *line)
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

isobath_status ib_setup_init(ib_setup *s, const isobath_run_options *options, ib_diag *diag) { return ib_setup_init_told(s, options, NULL, diag); }

isobath_status ib_setup_init_told(ib_setup *s, const isobath_run_options *options, const ib_exec_hello *told, ib_diag *diag)
{
    memset(s, 0, sizeof *s);
    s->options = *options;
    IB_TRY(copy_strings(s, diag));
    IB_TRY(ib_setup_check_options(options, diag));
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
        IB_TRY(ib_setup_read_model(s, diag));
        ib_setup_begin_hash(s);
        IB_TRY(ib_setup_choose_device(s, diag));
    }
    IB_TRY(ib_setup_open_media(s, diag));
    if (ib_setup_is_exec(s)) IB_TRY(ib_setup_open_exec(s, told, diag));
    if (options->stabilize_s != 0 && !(options->stabilize_s > 0 && options->stabilize_s < 1e6 && !s->config.temporal))
        return ib_fail(diag, ISOBATH_ERR_USAGE, s->config.temporal
                       ? "--stabilize is for models that see one frame at a time; %s is consistent by itself"
                       : "--stabilize: expected seconds above 0 (%s)", s->config.name);
    IB_TRY(ib_setup_choose_formats(s, diag));
    IB_TRY(ib_setup_set_metre_scale(s, diag));
    IB_TRY(ib_setup_choose_sizes(s, diag));
    if (!ib_setup_is_exec(s)) IB_TRY(ib_setup_settle_precision(s, diag));
    IB_TRY(ib_setup_prepare_sinks(s, diag));
    IB_TRY(ib_setup_plan_memory(s, diag));
    if (ib_setup_is_exec(s)) return ISOBATH_OK;
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
