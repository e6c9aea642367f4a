/* The beginning of a run: log, status file, network, alignment, sinks, commits, the threads that hash and load; see run.h. */
#include "pipeline/run.h"

#include "base/json.h"
#include "base/thread_name.h"
#include "pipeline/engine.h"
#include "pipeline/journal/resume.h"
#include "sink/describe.h"
#include "sink/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *hash_main(void *arg)
{
    ib_run *r = arg;
    ib_thread_name("hash");
    const char *input = r->setup->options.input, *before = r->past.input_sha256;
    if (ib_media_hash(input, r->diag, r->input_sha256) != ISOBATH_OK || !r->journal || !*r->input_sha256) return NULL;
    if (!*before) ib_journal_input(r->journal, r->input_sha256);
    else if (strcmp(before, r->input_sha256))
        ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: its content changed since the run was begun (--overwrite begins again)", input);
    return NULL;
}

isobath_status ib_run_open_log(ib_run *r)
{
    const ib_setup *s = r->setup;
    const isobath_plan *p = &s->plan;
    char path[8192];
    snprintf(path, sizeof path, "%s/%s_isobath.log.jsonl", s->options.output, s->name);
    IB_TRY(ib_log_open(path, r->past.frame_count > 0, r->diag, &r->log));
    if (r->past.frame_count) ib_log_event(r->log, "resume", json_pack("{s:I}", "frames", (json_int_t)r->past.frame_count));
    ib_log_event(r->log, "start", json_pack("{s:s, s:o, s:o, s:s, s:[i,i], s:[i,i], s:[i,i], s:I, s:I, s:I, s:i, s:s}", "isobath",
                                            ISOBATH_VERSION, "input", ib_json_string(s->options.input), "model",
                                            ib_json_string(s->model_path), "device",
                                            p->device, "source_size", p->source_width, p->source_height, "network_size",
                                            p->network_width, p->network_height, "output_size", p->output_width,
                                            p->output_height, "frames_hint", (json_int_t)p->frames_hint, "host_bytes",
                                            (json_int_t)p->host_bytes, "device_bytes", (json_int_t)p->device_bytes, "threads",
                                            s->threads, "decoders", s->decodes ? "each" : "one"));
    const ib_precision_verdict *v = &s->precision;
    if (*s->model_sha256) /* it was tested */
        ib_log_event(r->log, "precision", json_pack("{s:s, s:b, s:b, s:I, s:f, s:f}", "chosen", p->precision, "sound", v->sound, "cached",
                                                    v->cached, "nonfinite", (json_int_t)v->nonfinite, "median", v->median, "p9999",
                                                    v->p9999));
    return ISOBATH_OK;
}

isobath_status ib_run_open_sinks(ib_run *r)
{
    ib_setup *s = r->setup;
    r->wants_rgb = ib_setup_wants_rgb(s);
    ib_sink_resume resume = {.count = r->past.frame_count, .frames = r->frames};
    ib_sink_config config = s->sink;
    config.resumable = r->journal != NULL;
    if (resume.count) config.resume = &resume;
    for (int i = 0; i < s->format_count; i++) {
        resume.state = r->past.sink_state[i];
        const char *finished = r->past.finished[i];
        if (finished) IB_TRY(ib_json_parse(finished, strlen(finished), "journal", r->diag, &r->described[i]));
        else IB_TRY(s->formats[i]->open(&config, r->diag, &r->sinks[i]));
        free(r->past.sink_state[i]);
        r->past.sink_state[i] = NULL;
    }
    return ISOBATH_OK;
}

isobath_status ib_run_start_hash(ib_run *r)
{
    if (strcmp(r->setup->options.input, "-") == 0 || *r->input_sha256) return ISOBATH_OK;
    r->hashing = pthread_create(&r->hash_thread, NULL, hash_main, r) == 0;
    return r->hashing ? ISOBATH_OK : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "could not start the hashing thread");
}

static isobath_status open_status(ib_run *r)
{
    char path[8192];
    if (!r->report.progress) return ISOBATH_OK;
    snprintf(path, sizeof path, "%s/%s_isobath.status.json", r->setup->options.output, r->setup->name);
    return ib_status_start(path, r->setup->name, NULL, &r->report, r->diag, &r->status);
}

static isobath_status open_alignment(ib_run *r)
{
    const isobath_plan *p = &r->setup->plan;
    ib_backend_options host = {.act = IB_F32, .isa = r->setup->options.cpu_isa, .pool = r->host_pool, .diag = r->diag};
    IB_TRY(ib_cpu_open(&host, &r->host));
    IB_TRY(ib_align_chain_init(&r->chain, r->host, p->metric, r->setup->options.guard, p->output_height, p->output_width,
                               p->network_height, p->network_width, r->diag));
    double stabilize_s = r->setup->options.stabilize_s;
    if (!(stabilize_s > 0)) return ISOBATH_OK;
    return ib_stabilizer_init(&r->stabilizer, (int64_t)p->network_height * p->network_width, p->metric, stabilize_s, r->diag);
}

static isobath_status open_commit(ib_run *r)
{
    ib_commit_options c = {.journal = r->journal, .config = &r->setup->sink, .formats = r->setup->formats, .sinks = r->sinks,
                           .count = r->setup->format_count, .first = r->past.frame_count, .diag = r->diag};
    return ib_commit_start(&c, &r->commit);
}

/* Of this process: its own, or what the engine keeps. */
static isobath_status open_network(ib_run *r)
{
    ib_setup *s = r->setup;
    int here = !s->exec && !s->fleet;
    if (here && s->options.engine && !s->options.device_memory) { /* a limit of memory is this session's */
        IB_TRY(ib_engine_take(s->options.engine, s, r->diag, &r->compute_pool, &r->device, &r->vda));
        r->engine = s->options.engine;
    } else {
        IB_TRY(ib_pool_create(s->threads, r->diag, &r->compute_pool));
        if (!here) return ISOBATH_OK;
        IB_TRY(ib_setup_open_network(s, s->act, r->compute_pool, r->diag, &r->device, &r->vda, NULL));
    }
    r->device->diag = &r->device_diag; /* from now on what fails there need not be the run's end */
    ib_vda_set_diag(r->vda, &r->device_diag);
    return ISOBATH_OK;
}

static void *load_main(void *arg)
{
    ib_run *r = arg;
    ib_thread_name("load");
    r->loaded = open_network(r);
    return NULL;
}

/* A processor's network is loaded while the model's file is hashed, sinks open and the first frames are decoded. Cards have one thread that
 * they are bound to; a run that goes on may turn out to be complete. */
isobath_status ib_run_start_loading(ib_run *r)
{
    const ib_setup *s = r->setup;
    if (s->device != IB_DEVICE_CPU || s->fleet || s->exec || s->options.resume) return ISOBATH_OK;
    r->loading = pthread_create(&r->load_thread, NULL, load_main, r) == 0;
    return r->loading ? ISOBATH_OK : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "could not start the thread that loads the network");
}

isobath_status ib_run_await_network(ib_run *r)
{
    if (!r->loading) return ISOBATH_OK;
    pthread_join(r->load_thread, NULL);
    r->loading = 0;
    return r->loaded;
}

#define CHAIN_THREADS 8

isobath_status ib_run_open(ib_run *r)
{
    ib_setup *s = r->setup;
    IB_TRY(ib_run_open_log(r));
    IB_TRY(open_status(r));
    if (r->past.ended) { /* only finishing is left */
        IB_TRY(ib_run_open_sinks(r));
        return ib_run_start_hash(r);
    }
    int chain = s->threads < CHAIN_THREADS ? s->threads : CHAIN_THREADS; /* other threads render beside it */
    IB_TRY(ib_pool_create(s->render_threads ? chain : s->threads, r->diag, &r->host_pool));
    if (!r->loading) IB_TRY(open_network(r));
    IB_TRY(open_alignment(r));
    IB_TRY(ib_run_open_sinks(r));
    IB_TRY(open_commit(r));
    IB_TRY(ib_renderer_start(r, &r->render));
    IB_TRY(ib_run_start_hash(r));
    ib_range range = ib_resume_range(r);
    return ib_run_open_windows(r, &range);
}
