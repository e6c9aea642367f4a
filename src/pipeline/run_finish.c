/* The end of a run: what the user is told, finishing passes of the formats, the manifest; see run.h. */
#include "pipeline/run.h"

#include "base/json.h"
#include "pipeline/journal/resume.h"
#include "sink/describe.h"
#include "sink/file.h"

#include <stdio.h>
#include <stdlib.h>

/* Cuts that nobody asked to obey are told: across a cut the alignment has nothing to hold on to. */
void ib_run_report_cuts(ib_run *r)
{
    int64_t likely = ib_run_likely_cuts(r), shots = r->windows[r->window_count - 1].shot + 1;
    char line[160];
    const isobath_run_options *o = &r->setup->options;
    ib_log_event(r->log, "cuts", json_pack("{s:I, s:I}", "likely", (json_int_t)likely, "shots", (json_int_t)shots));
    if (o->cuts && o->note) {
        snprintf(line, sizeof line, "%lld shot%s, each aligned by itself", (long long)shots, shots == 1 ? "" : "s");
        o->note(o->note_ctx, line);
    }
    if (likely && !o->cuts && o->note) {
        snprintf(line, sizeof line, "%lld likely cut%s: --cuts auto makes every shot its own (off by default)", (long long)likely,
                 likely == 1 ? "" : "s");
        o->note(o->note_ctx, line);
    }
}

void ib_run_tell(ib_run *r, const char *event, const char *text)
{
    const isobath_run_options *o = &r->setup->options;
    ib_log_event(r->log, event, json_pack("{s:o}", "text", ib_json_string(text)));
    if (o->note) o->note(o->note_ctx, text);
}

void ib_run_report_repeats(ib_run *r)
{
    const isobath_run_options *o = &r->setup->options;
    char line[256];
    for (int64_t i = 0; i < r->repeats.count; i++) {
        const ib_repeat *at = &r->repeats.list[i];
        ib_log_event(r->log, "repeated", json_pack("{s:I, s:I, s:o}", "frame", (json_int_t)at->index, "time_us", (json_int_t)at->pts_us, "why",
                                                   ib_json_string(at->why)));
    }
    if (!r->repeats.count || !o->note) return;
    ib_repeats_line(&r->repeats, line, sizeof line);
    o->note(o->note_ctx, line);
}

/* A container that breaks off gives what is there: that is told, too. */
void ib_run_report_end(ib_run *r)
{
    const char *broken = r->source ? ib_media_broken(r->setup->media) : "";
    char line[640];
    int64_t packet, pos;
    if (r->source && ib_media_silent(r->setup->media, &packet, &pos)) {
        snprintf(line, sizeof line, "input: packet %lld (byte %lld) gave no picture, though every one before it did: it is damaged without a trace, or not "
                 "meant to be shown", (long long)packet, (long long)pos);
        ib_run_tell(r, "no_picture", line);
    }
    if (!*broken) return;
    snprintf(line, sizeof line, "the input breaks off behind frame %lld: %s", (long long)r->frame_count - 1, broken);
    ib_run_tell(r, "broken_off", line);
}

/* The finishing pass of one format; then the journal says so. */
static isobath_status finish_sink(ib_run *r, int i)
{
    const ib_sink_format *format = r->setup->formats[i];
    if (r->described[i]) return ISOBATH_OK; /* by an earlier run */
    IB_TRY(format->finish(r->sinks[i]));
    r->described[i] = format->describe(r->sinks[i]);
    if (!r->described[i]) return ib_fail(r->diag, ISOBATH_ERR_MEMORY, "%s: cannot be read back, or out of memory", format->name);
    if (!r->journal) return ISOBATH_OK;
    IB_TRY(ib_sync_path(r->setup->options.output, r->diag));
    char *text = ib_json_dump(r->described[i], JSON_COMPACT | JSON_SORT_KEYS);
    isobath_status st = text ? ib_journal_finished(r->journal, i, text) : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    free(text);
    return st == ISOBATH_OK ? ib_journal_sync(r->journal) : st;
}

isobath_status ib_run_finish(ib_run *r)
{
    int64_t start = ib_now_us();
    for (int i = 0; i < r->setup->format_count; i++) IB_TRY(finish_sink(r, i));
    ib_busy_add(&r->counters->write, start);
    if (r->hashing) pthread_join(r->hash_thread, NULL);
    r->hashing = 0;
    IB_TRY(ib_diag_status(r->diag));
    IB_TRY(ib_run_write_manifest(r));
    return r->journal ? ib_resume_clean(r) : ISOBATH_OK;
}
