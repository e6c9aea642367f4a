/* Taking over an unfinished run; see resume.h. */
#include "pipeline/journal/resume.h"

#include "base/bytes.h"
#include "base/json.h"
#include "pipeline/identity.h"
#include "sink/file.h"
#include "sink/manifest.h"
#include <isobath/check.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FOLDER/[.]NAME + suffix; the caller frees. */
static char *path_of(const ib_run *r, const char *hidden, const char *suffix)
{
    return ib_text("%s/%s%s%s", r->setup->options.output, hidden, r->setup->name, suffix);
}

static int is_there(const char *path) { return path && access(path, F_OK) == 0; }

typedef struct removal {
    ib_diag *diag;
    isobath_status status;
} removal;

static void remove_one(void *ctx, const char *path)
{
    removal *r = ctx;
    isobath_status st = ib_remove_part(path, r->diag);
    if (r->status == ISOBATH_OK) r->status = st;
}

/* Hidden files and folders of every format (of those not in this run, too) and the kept maps. */
static isobath_status remove_parts(ib_run *r)
{
    removal all = {r->diag, ISOBATH_OK};
    ib_sink_config config = r->setup->sink;
    config.png16_present = 0;
    config.preview_side_by_side = 1;
    for (int i = 0; ib_sink_formats[i]; i++)
        if (ib_sink_formats[i]->parts) ib_sink_formats[i]->parts(&config, remove_one, &all);
    static const char *const others[][2] = {{".", "_isobath_state"}, {"", "_isobath.journal.tmp"}, {"", "_isobath.json.tmp"},
                                            {"", "_isobath.status.json.tmp"}};
    int count = r->status ? 3 : 4; /* the last one may be in use */
    for (int i = 0; i < count; i++) {
        char *path = path_of(r, others[i][0], others[i][1]);
        if (path) remove_one(&all, path);
        free(path);
    }
    return all.status;
}

/* Only the time of change of the input is another: it was copied, or touched. Its content decides. `text` is for the error line. */
static isobath_status same_content(ib_run *r, const char *text)
{
    const ib_setup *s = r->setup;
    const char *was = r->past.input_sha256;
    char note[4352];
    if (!*was)
        return ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s: cannot go on: %s, and it was stopped before the input's SHA-256 was known (--overwrite "
                       "begins again)", s->options.output, text);
    IB_TRY(ib_media_hash(s->options.input, r->diag, r->input_sha256));
    if (strcmp(was, r->input_sha256))
        return ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s: cannot go on, this is another run: input.sha256 is \"%.60s\", was \"%.60s\" "
                       "(--overwrite begins again)", s->options.output, r->input_sha256, was);
    snprintf(note, sizeof note, "%.4000s: was copied or touched since, its content is the same (SHA-256): going on", s->options.input);
    if (s->options.note) s->options.note(s->options.note_ctx, note);
    return ISOBATH_OK;
}

/* What --on-error stop has rendered is what repeat would have: a run that damage has stopped goes on with repeat. */
static int repeats_now(const ib_run *r) { return r->setup->options.on_error_repeat; }

/* Frames that stand in for damaged ones, when all are known. */
static isobath_status load_repeats(ib_run *r)
{
    for (int64_t i = 0; i < r->past.repeated_count && r->past.ended; i++) {
        int64_t frame = r->past.repeated[i];
        if (frame >= r->frame_count) break;
        IB_TRY(ib_repeats_add(&r->repeats, &(ib_media_frame){.index = frame, .pts_us = r->frames[frame].pts_us, .repeated = 1}, r->diag));
    }
    return ISOBATH_OK;
}

/* Whether the journal, which was read, is of this run; then its lists are ours. */
static isobath_status load(ib_run *r, const char *journal, const json_t *now)
{
    char text[400];
    json_t *was;
    IB_TRY(ib_json_parse(r->past.identity, strlen(r->past.identity), journal, r->diag, &was));
    json_t *options = json_object_get(was, "options");
    if (r->past.repeats || repeats_now(r)) json_object_set_new(options, "on_error", json_string("repeat"));
    int count = ib_identity_differences(now, was, text, sizeof text), touched = count && ib_identity_only_touched(now, was);
    json_decref(was);
    if (touched) IB_TRY(same_content(r, text));
    else if (count)
        return ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s: cannot go on, this is another run: %s (--overwrite begins again)",
                       r->setup->options.output, text);
    const ib_setup *s = r->setup;
    int fits = r->past.sink_count < 0 || r->past.sink_count == s->format_count;
    for (int i = 0; fits && i < r->past.sink_count; i++) fits = r->past.state_bytes[i] == s->formats[i]->state_bytes(&s->sink);
    if (!fits || !r->past.window_count) return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: damaged (--overwrite begins again)", journal);
    ib_journal_state *p = &r->past;
    r->windows = p->windows;
    r->window_count = r->window_at = p->window_count;
    r->window_cap = p->window_cap;
    r->frames = p->frames;
    r->frame_count = p->frame_count;
    r->frame_cap = p->frame_cap;
    p->windows = NULL;
    p->frames = NULL;
    return load_repeats(r);
}

/* Nothing worth keeping was there, or it shall go. The new journal first: from then on whatever is there is known to be ours,
 * unfinished and of no use. */
static isobath_status begin(ib_run *r, const char *journal, const json_t *now)
{
    ib_setup *s = r->setup;
    int replace = r->unfinished || s->options.overwrite;
    r->complete = 0;
    ib_journal_state_free(&r->past);
    if (!replace) IB_TRY(ib_setup_check_outputs(s, 0, r->diag));
    char *text = ib_json_dump(now, JSON_COMPACT | JSON_SORT_KEYS);
    isobath_status st = text ? ib_journal_create(journal, text, r->diag, &r->journal)
                             : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    free(text);
    IB_TRY(st);
    if (replace) IB_TRY(ib_setup_check_outputs(s, 1, r->diag));
    IB_TRY(remove_parts(r));
    return ib_setup_check_room(s, 1, r->diag);
}

static isobath_status decide(ib_run *r, const char *journal, const char *manifest, const json_t *now)
{
    const isobath_run_options *o = &r->setup->options;
    int has_journal = is_there(journal);
    if (has_journal && !o->overwrite) IB_TRY(ib_journal_read(journal, r->diag, &r->past));
    int64_t frames = r->past.frame_count, hint = r->setup->plan.frames_hint;
    r->unfinished = has_journal && !(r->past.ended && is_there(manifest));
    r->complete = is_there(manifest) && !r->unfinished; /* with a journal: stopped when only its removal was left */
    if (o->overwrite || (!r->complete && !frames)) return begin(r, journal, now);
    if (r->complete && !o->resume) return ib_setup_check_outputs(r->setup, 0, r->diag);
    if (!o->resume)
        return ib_fail(r->diag, ISOBATH_ERR_EXISTS, hint > 0 ? "%s: an unfinished result of %s is there (%lld of about %lld frames): "
                       "--resume goes on, --overwrite begins again" : "%s: an unfinished result of %s is there (%lld frames): --resume "
                       "goes on, --overwrite begins again", o->output, r->setup->name, (long long)frames, (long long)hint);
    if (!has_journal) return ISOBATH_OK;
    IB_TRY(load(r, journal, now));
    if (r->complete) return ISOBATH_OK;
    IB_TRY(ib_setup_check_room(r->setup, hint > frames ? 1 - (double)frames / (double)hint : 0, r->diag));
    IB_TRY(ib_journal_open(journal, r->past.valid_bytes, r->diag, &r->journal));
    int changes = repeats_now(r) && !r->past.repeats && !r->past.ended;
    return changes ? ib_journal_repeats(r->journal, &(ib_repeats){0}) : ISOBATH_OK;
}

isobath_status ib_resume_prepare(ib_run *r)
{
    ib_setup *s = r->setup;
    if (s->options.resume && s->options.overwrite)
        return ib_fail(r->diag, ISOBATH_ERR_USAGE, "--resume and --overwrite: one of them, please");
    IB_TRY(ib_setup_make_folder(s, r->diag));
    char *journal = path_of(r, "", "_isobath.journal"), *manifest = path_of(r, "", "_isobath.json");
    json_t *now = NULL;
    isobath_status st = journal && manifest ? ISOBATH_OK : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for paths");
    if (st == ISOBATH_OK) st = ib_lock_result(s->options.output, s->name, 0, r->diag, &r->lock);
    if (st == ISOBATH_OK && !s->exec) st = ib_setup_hash_model(s, r->diag, r->model_sha256);
    if (st == ISOBATH_OK && !(now = ib_identity(s, r->model_sha256))) st = ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for the journal");
    if (st == ISOBATH_OK) st = decide(r, journal, manifest, now);
    json_decref(now);
    free(journal);
    free(manifest);
    return st;
}

static char *map_path(const ib_run *r, int64_t shot)
{
    return ib_text("%s/.%s_isobath_state/%lld.map", r->setup->options.output, r->setup->name, (long long)shot);
}

/* Bytes of a kept map: width, height, values, CRC-32. */
static size_t map_bytes(const ib_run *r)
{
    return 8 + (size_t)r->setup->plan.network_height * (size_t)r->setup->plan.network_width * sizeof(float) + 4;
}

/* Reads a kept map into the chain; 0: it is not there or damaged. */
static int load_first(ib_run *r, int64_t shot)
{
    char *path = map_path(r, shot);
    uint8_t *data = NULL;
    size_t size = 0, want = map_bytes(r);
    uint32_t width = 0, height = 0, crc = 0;
    int ok = path && ib_read_file(path, want, NULL, &data, &size) == ISOBATH_OK && size == want;
    if (ok) {
        ib_get32(ib_get32(data, &width), &height);
        ib_get32(data + size - 4, &crc);
    }
    ok = ok && (int)width == r->setup->plan.network_width && (int)height == r->setup->plan.network_height &&
         crc == libdeflate_crc32(0, data, size - 4);
    if (ok) memcpy(r->chain.first, data + 8, size - 12);
    free(data);
    free(path);
    return ok;
}

void ib_resume_keep_first(ib_run *r, int64_t shot)
{
    if (!r->journal || r->setup->plan.metric || !r->setup->config.temporal) return;
    size_t size = map_bytes(r);
    uint8_t *data = malloc(size);
    char *folder = path_of(r, ".", "_isobath_state"), *path = map_path(r, shot);
    if (data && folder && path && ib_make_folder(folder, NULL) == ISOBATH_OK) {
        ib_put32(ib_put32(data, (uint32_t)r->setup->plan.network_width), (uint32_t)r->setup->plan.network_height);
        memcpy(data + 8, r->chain.first, size - 12);
        ib_put32(data + size - 4, libdeflate_crc32(0, data, size - 4));
        ib_write_file(path, data, size, 0, NULL);
    }
    /* maps of shots that are committed are not needed any more; shots come one by one */
    for (int64_t i = r->window_count - 1; i > 0 && r->kept_from < shot; i--) {
        if (r->windows[i].k != 0 || r->windows[i].shot != r->kept_from + 1) continue;
        if (r->windows[i].shot_first > ib_commit_frames(r->commit)) break;
        char *old = map_path(r, r->kept_from++);
        if (old) unlink(old);
        free(old);
        i = r->window_count;
    }
    free(data);
    free(folder);
    free(path);
}

/* The window that makes frame i of a shot of `total` frames (-1: not known) final. */
static int64_t final_window(const ib_run *r, int64_t i, int64_t total)
{
    int64_t k = i / IB_PLAN_STEP, first, end;
    for (; k > 0; k--) {
        if (r->setup->config.temporal) ib_plan_final_frames(k, total, &first, &end);
        else ib_plan_new_frames(k, total, &first, &end);
        if ((total < 0 || k < ib_plan_windows(total)) && i >= first && i < end) break;
    }
    return k;
}

ib_range ib_resume_range(ib_run *r)
{
    int64_t begin = r->window_count - 1, total = -1;
    if (!r->past.frame_count) return IB_RANGE_ALL;
    /* the shot of the next frame, or of the last one where nothing says that there is a next */
    while (begin > 0 && (r->windows[begin].k != 0 || r->windows[begin].shot_first >= r->frame_count)) begin--;
    const ib_window_record *w = &r->windows[begin];
    for (int64_t i = begin; i < r->window_count; i++) {
        const ib_window_record *at = &r->windows[i];
        if (at->shot == w->shot && at->frames_total > 0) total = at->frames_total;
        if (at->shot == w->shot + 1 && at->k == 0) total = at->shot_first - w->shot_first;
    }
    int64_t i = r->frame_count - w->shot_first;
    if (total > 0 && i >= total) i = total - 1;
    else if (r->stabilizer.previous && i > 0) i--; /* frame i is held to the one before */
    int64_t k = final_window(r, i, total);
    if (r->setup->config.temporal && k > 0) {
        k--; /* its tail is what frame i fades from */
        r->prime = k > 0 && (r->setup->plan.metric || load_first(r, w->shot));
        if (!r->prime) k = 0; /* the chain from the shot's start */
    }
    r->window_at = begin + k < r->window_count ? begin + k : r->window_count;
    r->kept_from = w->shot;
    return (ib_range){.shot = w->shot, .shot_first = w->shot_first, .k = k, .k_end = -1};
}

isobath_status ib_resume_prime(ib_run *r, const ib_window *w, ib_alignment *out)
{
    size_t map = (size_t)r->setup->plan.network_height * (size_t)r->setup->plan.network_width;
    int64_t first = w->shot_first + IB_PLAN_STEP * w->k;
    for (int slot = IB_PLAN_OVERLAP; slot < IB_PLAN_WINDOW && first + slot < r->frame_count; slot++)
        if (w->pts_us[slot] != r->frames[first + slot].pts_us)
            return ib_fail(r->diag, ISOBATH_ERR_INPUT, "%s: frame %lld has another time than before the run was stopped (--overwrite begins "
                           "again)", r->setup->options.input, (long long)(first + slot));
    memcpy(r->chain.last12, w->raw + 12 * map, map * sizeof *w->raw);
    r->chain.last = r->windows[r->window_at++].alignment;
    r->chain.next = w->k + 1;
    *out = r->chain.last;
    return ISOBATH_OK;
}

/* Whether the manifest is of this input, model and options. */
static isobath_status compare_manifest(ib_run *r, const char *path)
{
    char text[400] = "", hex[65];
    json_t *m, *now, *was;
    IB_TRY(ib_json_read(path, r->diag, &m));
    isobath_status st = ib_media_hash(r->setup->options.input, r->diag, hex);
    now = json_pack("{s:o, s:{s:s}, s:{s:s}}", "options", ib_options_json(r->setup), "model", "sha256", r->model_sha256, "input", "sha256", hex);
    json_t *model = json_object_get(json_object_get(m, "model"), "sha256"), *input = json_object_get(json_object_get(m, "input"), "sha256");
    was = json_pack("{s:O?, s:{s:O?}, s:{s:O?}}", "options", json_object_get(m, "options"), "model", "sha256", model, "input", "sha256", input);
    if (st == ISOBATH_OK && now && was && ib_identity_differences(now, was, text, sizeof text))
        st = ib_fail(r->diag, ISOBATH_ERR_EXISTS, "%s: is the result of another run: %s (--overwrite begins again)", path, text);
    json_decref(now);
    json_decref(was);
    json_decref(m);
    return st;
}

isobath_status ib_resume_verify(ib_run *r)
{
    char *path = path_of(r, "", "_isobath.json");
    isobath_status st = path ? compare_manifest(r, path) : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for a path");
    isobath_check *check = NULL;
    const isobath_check_options how = {.digests = 1, .threads = r->setup->threads};
    if (st == ISOBATH_OK) st = isobath_check_run(path, &how, &check);
    if (check && st != ISOBATH_OK) ib_fail(r->diag, st, "%s", isobath_check_error(check));
    if (st == ISOBATH_OK && !isobath_check_passed(check)) {
        st = ISOBATH_ERR_INPUT;
        for (size_t i = 0; i < isobath_check_count(check); i++) {
            isobath_check_item item = isobath_check_get(check, i);
            if (item.level == ISOBATH_CHECK_BAD)
                ib_fail(r->diag, st, "%s: %s (--overwrite begins again)", item.path, item.text);
        }
    }
    isobath_check_destroy(check);
    free(path);
    return st;
}

isobath_status ib_resume_clean(ib_run *r)
{
    IB_TRY(ib_sync_path(r->setup->options.output, r->diag));
    IB_TRY(remove_parts(r));
    ib_journal_close(r->journal);
    r->journal = NULL;
    char *journal = path_of(r, "", "_isobath.journal");
    isobath_status st = journal ? ib_remove_part(journal, r->diag) : ib_fail(r->diag, ISOBATH_ERR_MEMORY, "out of memory for a path");
    free(journal);
    return st;
}
