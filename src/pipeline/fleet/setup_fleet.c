/* What a run on several devices needs beyond setup.c: how much look-ahead fits into memory, and worker processes that say what they
 * are before anything is written. */
#include "pipeline/fleet/child.h"

#include "base/clock.h"
#include "base/thread_name.h"
#include "pipeline/engine.h"
#include "pipeline/render.h"
#include "pipeline/report/machine.h"
#include "pipeline/fleet/sabotage.h"
#include "pipeline/fleet/schedule.h"
#include "pipeline/fleet/trace.h"
#include "pipeline/setup.h"
#include "pipeline/shots.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEGMENT_MOST 8
#define SEGMENT_LEAST 4
#define SEGMENT_DECODED 24 /* of cards that decode: each begins with a jump in the video, and decoding is hardly faster than the network */
#define DECODED_SPARE 8    /* places for results: being checked and rendered, and for a device that is ahead */
#define DECODER_THREADS 16
#define DECODER_FRAMES 24  /* pictures that a decoder with its threads holds */
#define START_LIMIT_S 120 /* a driver that wakes a machine's cards takes a while */
#define PROCESS_BYTES ((size_t)25 << 20)      /* code and libraries of a worker process */
#define CUDA_PROCESS_BYTES ((size_t)400 << 20) /* with a CUDA context */

/* Bytes of a frame as the decoder leaves it, where workers make RGB of it themselves: cards always, processors where that takes less
 * memory (4:2:0 of 8 bits: half; a picture that is much reduced: more). 0: frames are shared as RGB. */
static size_t planes_bytes(const ib_setup *s)
{
    ib_yuv_planes planes;
    const char *test = getenv("ISOBATH_WORKER_TEST"); /* sabotage.h */
    if (ib_setup_wants_rgb(s) || !ib_media_first_planes(s->media, &planes) || planes.on_device) return 0;
    size_t bytes = ib_shared_planes_bytes(&planes), rgb = (size_t)s->plan.source_width * (size_t)s->plan.source_height * 3;
    int smaller = bytes < rgb && !(test && strstr(test, "rgb"));
    for (int i = 0; i < s->devices.count; i++)
        if (s->devices.device[i] == IB_DEVICE_CPU && !smaller) return 0;
    return bytes;
}

/* Places for `segment` windows a device. Frames: what all devices still have to compute of their segments, one window that is
 * assembled, one that is rendered, the decoder's; where pictures are wanted, those of every finished window. Results: finished windows
 * that wait for older ones, and those in work. */
static ib_shared_layout layout_for(const ib_setup *s, int segment)
{
    const isobath_plan *p = &s->plan;
    int devices = s->devices.count, several = devices > 1, deep = 0;
    for (int i = 0; i < devices; i++) deep += ib_sabotage_is_card(s->devices.device[i]) ? IB_SCHEDULE_DEEP : IB_SCHEDULE_DEPTH; /* with decoders of their own */
    int more = ib_renderer_held(s->render_threads, s->render_windows) - 1; /* windows in the render stage than one */
    int64_t raws = (several ? (int64_t)devices * (segment + 1) + 4 : 6) + more;
    int64_t decoded = several ? (int64_t)(devices - 1) * segment + deep + DECODED_SPARE + more : raws + 2; /* segments of all but the oldest, windows in work */
    int64_t frames = (several ? (int64_t)devices * segment * IB_PLAN_STEP : 2 * IB_PLAN_STEP) + 3 * IB_PLAN_WINDOW;
    size_t raw = (size_t)IB_PLAN_WINDOW * (size_t)p->network_width * (size_t)p->network_height * sizeof(float);
    if (s->decodes)
        return ib_shared_layout_for(p->source_width, p->source_height, 0, 0, raw + IB_PLAN_WINDOW * sizeof(ib_thumb), (int)decoded);
    if (ib_setup_wants_rgb(s)) frames += raws * IB_PLAN_STEP;
    return ib_shared_layout_for(p->source_width, p->source_height, planes_bytes(s), (int)frames, raw, (int)raws);
}

void ib_setup_shared_places(const ib_setup *s, int *frames, int *raws)
{
    int64_t n = s->plan.frames_hint;
    *frames = n > 0 && n < s->shared.frames ? (int)n : s->shared.frames;
    *raws = n > 0 && ib_plan_windows(n) < s->shared.raws ? (int)ib_plan_windows(n) : s->shared.raws;
}

int ib_setup_threads_of(const ib_setup *s, int device)
{
    int cpus = 0;
    for (int i = 0; i < s->devices.count; i++) cpus += s->devices.device[i] == IB_DEVICE_CPU;
    return device != IB_DEVICE_CPU ? 1 : s->threads / cpus > 0 ? s->threads / cpus : 1;
}

void ib_setup_plan_fleet(ib_setup *s)
{
    size_t memory, available;
    ib_machine_memory(&memory, &available);
    s->segment = s->options.segment_windows > 0 ? s->options.segment_windows : s->decodes && ib_sabotage_is_card(s->device) ? SEGMENT_DECODED : SEGMENT_MOST;
    /* A twelfth of the machine and a third of what is free, but for short segments (half of what is free), and single windows always. */
    uint64_t limit = memory / 12 < available / 3 ? memory / 12 : available / 3;
    for (;; s->segment--) {
        s->shared = layout_for(s, s->segment);
        if (s->segment == 1 || s->options.segment_windows > 0 || !available) break;
        uint64_t bytes = ib_shared_used_bytes(&s->shared, s->shared.frames, s->shared.raws);
        if (bytes <= limit || (s->segment == SEGMENT_LEAST && bytes <= available / 2)) break;
    }
    s->source_queue_bytes = 2 * (size_t)s->plan.source_width * (size_t)s->plan.source_height * 3; /* the look-ahead is in shared memory */
    int frames, raws;
    ib_setup_shared_places(s, &frames, &raws);
    size_t bytes = (size_t)ib_shared_used_bytes(&s->shared, frames, raws);
    for (int i = 0; i < s->devices.count; i++) {
        int d = s->devices.device[i];
        bytes += d >= 0 ? CUDA_PROCESS_BYTES : PROCESS_BYTES + (d == IB_DEVICE_CPU ? s->memory.total : 0);
        if (s->decodes) /* the windows that it has read, and the decoder's own */
            bytes += (size_t)((ib_sabotage_is_card(d) ? IB_SCHEDULE_DEEP : 2) * IB_PLAN_STEP + IB_PLAN_WINDOW + (d >= 0 ? 2 : 1) * DECODER_FRAMES) *
                     (size_t)s->plan.source_width * (size_t)s->plan.source_height * 3;
    }
    s->fleet_bytes = bytes;
}

int ib_setup_may_decode_apart(const ib_setup *s)
{
    const isobath_run_options *o = &s->options;
    struct stat sb;
    if (o->decoders && strcmp(o->decoders, "one") == 0) return 0;
    int pipe = strcmp(o->input, "-") == 0 || o->raw_format || (stat(o->input, &sb) == 0 && !S_ISREG(sb.st_mode) && !S_ISDIR(sb.st_mode));
    return !pipe && !s->cuts_auto && !ib_setup_wants_rgb(s) && strlen(o->input) < sizeof(((ib_msg_open *)0)->input);
}

static void note_kind(char all[128], const char *kind)
{
    size_t n = strlen(all);
    if (!n) snprintf(all, 128, "%s", kind);
    else if (!strstr(all, kind)) snprintf(all + n, 128 - n, " + %s", kind);
}

/* Asks the i-th device what it is. */
static isobath_status ask(ib_setup *s, int i, ib_diag *diag, ib_msg_opened *answer)
{
    char name[16];
    ib_device_name(s->devices.device[i], name);
    return ib_child_opened(s->child[i], name, START_LIMIT_S, diag, answer);
}

/* Do all workers read the same input, as this process does? Else this one reads it for all of them. */
static void settle_decoders(ib_setup *s, const ib_msg_opened *answers)
{
    char line[512] = "";
    for (int i = 0; i < s->devices.count && !*line; i++) {
        const ib_msg_opened *a = &answers[i];
        if (!a->decodes) snprintf(line, sizeof line, "%s", a->why);
        else if (a->width != s->plan.source_width || a->height != s->plan.source_height) snprintf(line, sizeof line, "pictures of another size");
        else if (strcmp(a->decoder, answers->decoder) != 0) snprintf(line, sizeof line, "%s and %s", answers->decoder, a->decoder);
    }
    if (!*line) {
        snprintf(s->decoder, sizeof s->decoder, "%s", answers->decoder);
        snprintf(s->colour, sizeof s->colour, "%s", answers->colour);
        if (strstr(s->decoder, IB_DAMAGE_NOT_SEEN) && s->options.note)
            s->options.note(s->options.note_ctx, "decoder: on the cards, where damage inside of pictures is concealed without a word: "
                                                 "--decoder software finds it");
        return;
    }
    char text[600];
    snprintf(text, sizeof text, "one decoder for all devices (%s)", line);
    if (s->options.note) s->options.note(s->options.note_ctx, text);
    s->decodes = 0;
    ib_setup_plan_fleet(s);
}

static void leave_out(ib_setup *s, int i)
{
    ib_child_close(s->child[i]);
    for (int j = i; j + 1 < s->devices.count; j++) {
        s->child[j] = s->child[j + 1];
        s->devices.device[j] = s->devices.device[j + 1];
    }
    s->child[--s->devices.count] = NULL;
    s->device = s->devices.device[0];
    s->plan.device_count = s->devices.count;
}

static isobath_status start_child(ib_setup *s, int i, ib_diag *diag)
{
    ib_msg_open open = ib_setup_child_open(s, s->devices.device[i]);
    IB_TRY(ib_child_start(s->program, diag, &s->child[i]));
    ib_child_open(s->child[i], &open); /* whether it heard is seen from its answer */
    if (s->options.engine) ib_engine_started_child(s->options.engine);
    return ISOBATH_OK;
}

/* Asks one that rested; not 0: it is gone. */
static int wake(ib_setup *s, int i)
{
    ib_msg_open open = ib_setup_child_open(s, s->devices.device[i]);
    char how[64];
    if (!ib_child_ended(s->child[i], how, sizeof how) && ib_child_open(s->child[i], &open) == 0) return 0;
    ib_child_close(s->child[i]);
    s->child[i] = NULL;
    return -1;
}

static isobath_status open_children(ib_setup *s, char kinds[128], ib_diag *diag)
{
    int choose = !s->options.devices || strcmp(s->options.devices, "auto") == 0; /* then what does not work is left out */
    IB_TRY(ib_child_program(s->options.program, s->program, sizeof s->program, diag));
    *kinds = 0;
    int rested[IB_MAX_DEVICES];
    ib_msg_opened answers[IB_MAX_DEVICES];
    for (int i = 0; i < s->devices.count; i++) {
        s->child[i] = s->options.engine ? ib_engine_take_child(s->options.engine, s->devices.device[i]) : NULL;
        rested[i] = s->child[i] && wake(s, i) == 0;
        if (!rested[i]) IB_TRY(start_child(s, i, diag));
    }
    for (int i = 0; i < s->devices.count;) {
        char line[IB_DIAG_TEXT];
        ib_diag own = IB_DIAG_INIT;
        isobath_status st = ask(s, i, &own, &answers[i]);
        if (st == ISOBATH_OK) {
            note_kind(kinds, answers[i].kind);
            i++;
            continue;
        }
        if (rested[i]) { /* it has died meanwhile */
            rested[i] = 0;
            ib_child_close(s->child[i]);
            s->child[i] = NULL;
            IB_TRY(start_child(s, i, diag));
            continue;
        }
        if (!choose || s->devices.count == 1) return ib_fail(diag, st, "%s", own.text);
        snprintf(line, sizeof line, "left out: %.700s", own.text);
        if (s->options.note) s->options.note(s->options.note_ctx, line);
        leave_out(s, i);
        memmove(rested + i, rested + i + 1, (IB_MAX_DEVICES - 1 - (size_t)i) * sizeof *rested);
    }
    if (s->decodes) settle_decoders(s, answers);
    return ISOBATH_OK;
}

isobath_status ib_setup_open_children(ib_setup *s, char kinds[128], ib_diag *diag)
{
    ib_trace *trace = ib_trace_open("run", 1); /* before the workers' */
    int64_t start = ib_now_us();
    isobath_status st = open_children(s, kinds, diag);
    ib_trace_span(trace, "open worker processes", start, -1);
    ib_trace_close(trace);
    return st;
}

ib_msg_open ib_setup_child_open(const ib_setup *s, int device)
{
    ib_msg_open o = {.device = device, .act = (int32_t)s->act, .threads = ib_setup_threads_of(s, device)};
    snprintf(o.isa, sizeof o.isa, "%s", s->options.cpu_isa ? s->options.cpu_isa : "");
    o.decodes = s->decodes;
    if (!o.decodes) return o;
    int cards = 0;
    for (int i = 0; i < s->devices.count; i++) cards += s->devices.device[i] >= 0;
    const char *decoder = s->options.decoder;
    snprintf(o.input, sizeof o.input, "%s", s->options.input);
    o.media = s->media_options;
    o.media.pool = NULL;
    o.media.raw_format = NULL;
    o.media.threads = s->threads / s->devices.count > 1 ? s->threads / s->devices.count : 1;
    if (o.media.threads > DECODER_THREADS) o.media.threads = DECODER_THREADS;
    o.media.cuda_device = device >= 0 ? device : 0;
    if (cards < s->devices.count || s->options.device_memory) o.media.decoder = IB_DECODER_SOFTWARE; /* one kind for all */
    else if (!decoder || strcmp(decoder, "auto") == 0) o.media.decoder = IB_DECODER_AUTO;
    return o;
}

static void *hash_main(void *arg)
{
    ib_setup *s = arg;
    ib_thread_name("hash");
    ib_checkpoint *ckpt;
    if (ib_checkpoint_open(s->model_path, NULL, &ckpt) != ISOBATH_OK) return NULL;
    const char *hash = ib_checkpoint_sha256(ckpt);
    if (hash) snprintf(s->early_sha256, sizeof s->early_sha256, "%s", hash);
    ib_checkpoint_close(ckpt);
    return NULL;
}

void ib_setup_begin_hash(ib_setup *s) { s->hashing = pthread_create(&s->hash_thread, NULL, hash_main, s) == 0; }

void ib_setup_end_hash(ib_setup *s)
{
    if (s->hashing) pthread_join(s->hash_thread, NULL);
    s->hashing = 0;
}

isobath_status ib_setup_hash_model(ib_setup *s, ib_diag *diag, char sha256[65])
{
    if (s->hashing) {
        ib_setup_end_hash(s);
        memcpy(s->model_sha256, s->early_sha256, 65);
    }
    if (!*s->model_sha256) {
        ib_checkpoint *ckpt;
        IB_TRY(ib_checkpoint_open(s->model_path, diag, &ckpt));
        const char *hash = ib_checkpoint_sha256(ckpt);
        if (hash) snprintf(s->model_sha256, sizeof s->model_sha256, "%s", hash);
        isobath_status st = hash ? ISOBATH_OK : ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory for a hash", s->model_path);
        ib_checkpoint_close(ckpt);
        IB_TRY(st);
    }
    memmove(sha256, s->model_sha256, 65);
    return ISOBATH_OK;
}
