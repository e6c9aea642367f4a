/* Set-up of a run whose depth comes from a user's program; see exec.h. */
#include "pipeline/exec/exec.h"
#include "pipeline/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME 96 /* of a card in CUDA_VISIBLE_DEVICES: a number, or up to some 80 letters of an identifier */

int ib_setup_is_exec(const ib_setup *s)
{
    return s->options.model && strncmp(s->options.model, IB_EXEC_PREFIX, strlen(IB_EXEC_PREFIX)) == 0;
}

/* What CUDA_VISIBLE_DEVICES is to be for the card that is `gpu` here, where this process may be shown some cards only (by Slurm). */
static const char *name_card(int gpu, char name[NAME])
{
    const char *shown = getenv("CUDA_VISIBLE_DEVICES");
    snprintf(name, NAME, "%d", gpu);
    for (int i = 0; shown && *shown && i <= gpu; i++) {
        size_t n = strcspn(shown, ",");
        if (i == gpu && n < NAME) snprintf(name, NAME, "%.*s", (int)n, shown);
        shown += n + (shown[n] == ',');
    }
    return name;
}

/* One process per device of --devices; `names` holds what GPUs are called. */
static isobath_status list_devices(const ib_setup *s, ib_exec_options *o, char names[IB_MAX_DEVICES][NAME], ib_diag *diag)
{
    const char *list = s->options.devices ? s->options.devices : "auto";
    if (strcmp(list, "auto") == 0) {
        int gpus = ib_cuda_device_count();
        o->processes = gpus < 1 ? 1 : gpus > IB_MAX_DEVICES ? IB_MAX_DEVICES : gpus;
        for (int i = 0; i < gpus && i < IB_MAX_DEVICES; i++) o->visible[i] = name_card(i, names[i]);
        return ISOBATH_OK;
    }
    char text[256];
    snprintf(text, sizeof text, "%s", list);
    char *save = NULL;
    for (char *d = strtok_r(text, ",", &save); d; d = strtok_r(NULL, ",", &save)) {
        int gpu = 0, end = 0;
        if (o->processes == IB_MAX_DEVICES)
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: more than %d devices", list, IB_MAX_DEVICES);
        if (strncmp(d, "cuda", 4) == 0 && (!d[4] || (sscanf(d, "cuda:%d%n", &gpu, &end) == 1 && !d[end] && gpu >= 0))) {
            o->visible[o->processes] = name_card(gpu, names[o->processes]);
        } else if (strcmp(d, "cpu") != 0) {
            return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: expected auto, or cpu and cuda:N with commas between", list);
        }
        o->processes++;
    }
    if (!o->processes) return ib_fail(diag, ISOBATH_ERR_USAGE, "--devices %s: no device named", list);
    return ISOBATH_OK;
}

/* One process per device. */
static isobath_status start(ib_setup *s, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    isobath_plan *p = &s->plan;
    char names[IB_MAX_DEVICES][NAME];
    ib_exec_options e = {.command = o->model + strlen(IB_EXEC_PREFIX), .width = p->source_width, .height = p->source_height,
                         .fps = p->fps, .frame_timeout_s = o->exec_timeout_s, .note = o->note, .note_ctx = o->note_ctx};
    IB_TRY(list_devices(s, &e, names, diag));
    snprintf(p->device, sizeof p->device, "%d process%s of a depth program", e.processes, e.processes == 1 ? "" : "es");
    return ib_exec_open(&e, diag, &s->exec);
}

isobath_status ib_setup_open_exec(ib_setup *s, const ib_exec_hello *told, ib_diag *diag)
{
    const isobath_run_options *o = &s->options;
    isobath_plan *p = &s->plan;
    if (!o->model[strlen(IB_EXEC_PREFIX)]) return ib_fail(diag, ISOBATH_ERR_USAGE, "--model %s: no command named", o->model);
    if (o->exec_timeout_s < 0) return ib_fail(diag, ISOBATH_ERR_USAGE, "--exec-timeout %g: expected seconds", o->exec_timeout_s);
    if (!told) IB_TRY(start(s, diag));
    const ib_exec_hello *hello = told ? told : ib_exec_info(s->exec);
    s->config.metric = o->metric >= 0 ? o->metric : hello->metric;
    snprintf(s->config.name, sizeof s->config.name, "%.31s", hello->name);
    snprintf(s->model_path, sizeof s->model_path, "%s", o->model);
    snprintf(p->model, sizeof p->model, "%s", s->config.name);
    p->metric = s->config.metric;
    p->network_width = s->shape.width = hello->width;
    p->network_height = s->shape.height = hello->height;
    s->shape.depth_slots = 1;
    s->device = IB_DEVICE_CPU;
    s->act = IB_F32;
    snprintf(p->precision, sizeof p->precision, "fp32");
    return ISOBATH_OK;
}

const char *ib_setup_kind(const ib_setup *s) { return ib_setup_is_exec(s) ? "a depth program" : s->plan.device; }
