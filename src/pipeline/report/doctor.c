/* What this machine has and how fast a model runs here; see include/isobath/doctor.h. */
#include "pipeline/report/doctor.h"

#include "backend/cuda_info.h"
#include "media/versions.h"
#include "pipeline/report/machine.h"
#include "pipeline/setup.h"
#include "weights/models.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB (1024.0 * 1024.0 * 1024.0)

void ib_doctor_say(const ib_doctor *d, isobath_doctor_level level, const char *topic, const char *format, ...)
{
    char text[1024];
    va_list args;
    if (!d->options->line) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->options->line(d->options->ctx, level, topic, text);
}

void ib_doctor_fail(ib_doctor *d, const char *topic, const ib_diag *diag)
{
    ib_doctor_say(d, ISOBATH_DOCTOR_BAD, topic, "%s", diag->text);
    ib_fail(&d->first, diag->status, "%s", diag->text);
}

isobath_status ib_doctor_device(const char *text, ib_diag *diag, int *device)
{
    int end = 0;
    *device = IB_DEVICE_CPU;
    if (strcmp(text, "cpu") == 0) return ISOBATH_OK;
    *device = 0;
    if (strcmp(text, "cuda") == 0) return ISOBATH_OK;
    if (sscanf(text, "cuda:%d%n", device, &end) == 1 && !text[end] && *device >= 0) return ISOBATH_OK;
    return ib_fail(diag, ISOBATH_ERR_USAGE, "device %s: expected cpu or cuda:N", text);
}

isobath_status ib_doctor_precision(const char *text, ib_diag *diag, ib_dtype *act)
{
    static const char *const names[] = {[IB_F32] = "fp32", [IB_F16] = "fp16", [IB_BF16] = "bf16"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *act = (ib_dtype)i;
        return ISOBATH_OK;
    }
    return ib_fail(diag, ISOBATH_ERR_USAGE, "precision %s: expected fp32, fp16 or bf16", text);
}

static void look_at_machine(ib_doctor *d)
{
    isobath_doctor_report *r = d->report;
    const char *folder = d->options->output ? d->options->output : ".";
    ib_machine_cpu(r->cpu, sizeof r->cpu, r->cpu_features, sizeof r->cpu_features);
    r->cpus = ib_cpu_count();
    ib_machine_memory(&r->memory_bytes, &r->memory_available);
    r->disk_available = ib_machine_disk(folder);
    ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "cpu", "%s, %d usable; %s", r->cpu, r->cpus, r->cpu_features);
    ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "memory", "%.1f GiB, %.1f available; disk of %s: %.1f GiB free", (double)r->memory_bytes / GIB,
                  (double)r->memory_available / GIB, folder, r->disk_available / GIB);
}

/* The cards as the driver lists them, then whether the module can use them. */
static void look_at_cards(ib_doctor *d)
{
    isobath_doctor_report *r = d->report;
    ib_diag diag = IB_DIAG_INIT;
    ib_cuda_info info;
    if (ib_cuda_info_read(&diag, &info) == ISOBATH_OK) {
        r->cuda_version = info.version;
        r->card_count = info.count;
        for (int i = 0; i < info.count; i++) {
            isobath_doctor_card *c = &r->cards[i];
            snprintf(c->name, sizeof c->name, "%s", info.device[i].name);
            c->compute_major = info.device[i].major;
            c->compute_minor = info.device[i].minor;
            c->memory_bytes = info.device[i].memory_bytes;
            ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "gpu", "cuda:%d %s, compute capability %d.%d, %.1f GiB; driver for CUDA %d.%d", i,
                          c->name, c->compute_major, c->compute_minor, (double)c->memory_bytes / GIB, info.version / 1000,
                          info.version % 1000 / 10);
        }
        ib_backend *probe;
        ib_backend_options b = {.act = IB_F32, .diag = &diag};
        if (ib_cuda_open(&b, &probe) == ISOBATH_OK) ib_backend_close(probe);
    }
    if (diag.status != ISOBATH_OK) {
        snprintf(r->cuda_reason, sizeof r->cuda_reason, "%s", diag.text);
        ib_doctor_say(d, ISOBATH_DOCTOR_NOTE, "gpu", "none is used: %s", diag.text);
    }
    ib_diag_destroy(&diag);
}

static void look_at_model(ib_doctor *d)
{
    isobath_doctor_report *r = d->report;
    ib_diag diag = IB_DIAG_INIT;
    isobath_status st = ib_models_resolve(d->options->model, d->options->metric, &diag, r->model_path, sizeof r->model_path);
    if (st == ISOBATH_OK) st = ib_checkpoint_open(r->model_path, &diag, &d->checkpoint);
    if (st == ISOBATH_OK) st = ib_vda_config_read(d->checkpoint, d->options->metric ? 1 : -1, &diag, &d->config);
    if (st == ISOBATH_OK) {
        d->input_size = d->options->input_size ? d->options->input_size : d->config.input_size;
        if (d->input_size < 14 || d->input_size > 4096)
            st = ib_fail(&diag, ISOBATH_ERR_USAGE, "--input-size %d: expected 14 to 4096", d->input_size);
    }
    if (st == ISOBATH_OK) {
        snprintf(r->plan.model, sizeof r->plan.model, "%s", d->config.name);
        r->plan.metric = d->config.metric;
        ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "model", "%s (%s, %.1f million parameters): %s", d->config.name,
                      d->config.metric ? "metric" : "relative", (double)d->config.parameters * 1e-6, r->model_path);
    } else {
        ib_checkpoint_close(d->checkpoint);
        d->checkpoint = NULL;
        ib_doctor_fail(d, "model", &diag);
    }
    ib_diag_destroy(&diag);
}

/* What a run of the input would print before its first frame, and whether it fits. */
static void look_at_plan(ib_doctor *d)
{
    isobath_doctor_report *r = d->report;
    const isobath_doctor_options *o = d->options;
    isobath_run_options run;
    isobath_run_options_init(&run);
    run.input = o->input;
    run.output = o->output ? o->output : ".";
    run.model = o->model;
    run.metric = o->metric ? 1 : -1;
    run.input_size = o->input_size;
    run.threads = o->threads;
    run.devices = o->devices;
    run.precision = o->precision;
    run.formats = o->formats;
    ib_diag diag = IB_DIAG_INIT;
    ib_setup setup;
    if (ib_setup_init(&setup, &run, &diag) == ISOBATH_OK) {
        isobath_plan *p = &r->plan;
        *p = setup.plan;
        char card[64] = "";
        if (p->device_bytes) snprintf(card, sizeof card, ", on the card %.2f GiB", (double)p->device_bytes / GIB);
        ib_doctor_say(d, ISOBATH_DOCTOR_FACT, "plan", "network %d x %d on %s; memory %.2f GiB%s, disk at most %.2f GiB", p->network_width,
                      p->network_height, p->device, (double)p->host_bytes / GIB, card, p->disk_bytes / GIB);
        const ib_media_info *media = setup.media ? ib_media_get_info(setup.media) : NULL;
        if (media)
            ib_doctor_say(d, media->decoder_note[0] ? ISOBATH_DOCTOR_NOTE : ISOBATH_DOCTOR_FACT, "decoder", "%s%s%s", media->decoder,
                          media->decoder_note[0] ? ": " : "", media->decoder_note);
        if (r->memory_available && p->host_bytes > r->memory_available)
            ib_fail(&diag, ISOBATH_ERR_MEMORY, "the run takes %.2f GiB of memory, %.2f are available: a smaller --input-size or model fits",
                    (double)p->host_bytes / GIB, (double)r->memory_available / GIB);
        else if (setup.device >= 0 && setup.device < r->card_count && p->device_bytes > r->cards[setup.device].memory_bytes)
            ib_fail(&diag, ISOBATH_ERR_MEMORY, "the run takes %.2f GiB on the card, which has %.2f: a smaller --input-size or model fits",
                    (double)p->device_bytes / GIB, (double)r->cards[setup.device].memory_bytes / GIB);
        else if (r->disk_available >= 0 && p->disk_bytes > r->disk_available)
            ib_fail(&diag, ISOBATH_ERR_IO, "the result may take %.2f GiB, the disk has %.2f free: fewer formats, or another disk",
                    p->disk_bytes / GIB, r->disk_available / GIB);
    }
    if (diag.status != ISOBATH_OK) ib_doctor_fail(d, "plan", &diag);
    ib_setup_free(&setup);
    ib_diag_destroy(&diag);
}

isobath_status isobath_doctor_run(const isobath_doctor_options *options, isobath_doctor_report *report, char *error, size_t error_size)
{
    ib_doctor d = {.options = options, .report = report, .seconds = options->seconds > 0 ? options->seconds : 7};
    memset(report, 0, sizeof *report);
    ib_diag_init(&d.first);
    look_at_machine(&d);
    look_at_cards(&d);
    ib_media_versions(report->ffmpeg, sizeof report->ffmpeg);
    ib_doctor_say(&d, ISOBATH_DOCTOR_FACT, "ffmpeg", "%s", report->ffmpeg);
    look_at_model(&d);
    ib_diag diag = IB_DIAG_INIT;
    if (ib_doctor_frames(&d, &diag) != ISOBATH_OK) ib_doctor_fail(&d, "input", &diag);
    else if (d.checkpoint) {
        if (options->input) look_at_plan(&d);
        ib_doctor_trials(&d);
    }
    ib_diag_destroy(&diag);
    free(d.pixels);
    ib_checkpoint_close(d.checkpoint);
    isobath_status st = ib_diag_status(&d.first);
    if (error && error_size) snprintf(error, error_size, "%s", d.first.text);
    ib_diag_destroy(&d.first);
    return st;
}
