/* Reading a journal; see journal.h. It is outside data: every number is checked before it is used. */
#include "pipeline/journal/journal_format.h"

#include "base/bytes.h"
#include "sink/file.h"
#include <inttypes.h>
#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATE_BYTES 4096
#define MAX_FILE ((size_t)16 << 30)

/* 1: taken, 0: it contradicts what came before, -1: out of memory. */
typedef int verdict;

static const uint8_t *get_i64(const uint8_t *p, int64_t *v)
{
    uint64_t u;
    p = ib_get64(p, &u);
    *v = (int64_t)u;
    return p;
}

static const uint8_t *get_double(const uint8_t *p, double *v)
{
    uint64_t u;
    p = ib_get64(p, &u);
    memcpy(v, &u, sizeof u);
    return p;
}

static char *text_of(const uint8_t *p, size_t size)
{
    char *text = malloc(size + 1);
    if (text) {
        memcpy(text, p, size);
        text[size] = '\0';
    }
    return text;
}

/* Room for one more block of items; grows by doubling, so that loading is linear. */
static int reserve(void **list, int64_t need, int64_t *cap, size_t size)
{
    if (need <= *cap) return 1;
    int64_t next = *cap ? *cap : 256;
    while (next < need) next *= 2;
    void *p = realloc(*list, (size_t)next * size);
    if (!p) return 0;
    *list = p;
    *cap = next;
    return 1;
}

static verdict take_window(ib_journal_state *s, const uint8_t *p, size_t size)
{
    ib_window_record w = {0};
    uint32_t flags;
    if (size != IB_JOURNAL_WINDOW_BYTES || s->ended) return 0;
    p = get_i64(get_i64(p, &w.shot), &w.shot_first);
    p = get_i64(get_i64(p, &w.k), &w.frames_total);
    p = ib_get_float(ib_get_float(p, &w.alignment.scale), &w.alignment.shift);
    p = get_double(get_double(p, &w.alignment.fit_scale), &w.alignment.fit_shift);
    p = ib_get32(p, &flags);
    get_i64(p, &w.nonfinite);
    w.alignment.guarded = flags & 1;
    w.redone = flags >> 1 & 1;
    const ib_window_record *last = s->window_count ? &s->windows[s->window_count - 1] : NULL;
    int follows = last && w.shot == last->shot && w.shot_first == last->shot_first && w.k == last->k + 1;
    int begins = w.k == 0 && (last ? w.shot == last->shot + 1 && w.shot_first > last->shot_first &&
                                         (last->frames_total < 0 || w.shot_first == last->shot_first + last->frames_total)
                                   : w.shot == 0 && w.shot_first == 0);
    if (!(follows || begins) || flags > 3 || w.frames_total < -1 || w.frames_total == 0 || w.nonfinite < 0 ||
        w.frames_total > INT64_MAX / 4 || !isfinite(w.alignment.scale) || !isfinite(w.alignment.shift))
        return 0;
    if (!reserve((void **)&s->windows, s->window_count + 1, &s->window_cap, sizeof *s->windows)) return -1;
    s->windows[s->window_count++] = w;
    return 1;
}

static verdict take_frames(ib_journal_state *s, const uint8_t *p, size_t size)
{
    int64_t first;
    uint32_t count, sinks, bytes[IB_JOURNAL_SINKS];
    if (size < 16 || s->ended) return 0;
    p = ib_get32(ib_get32(get_i64(p, &first), &count), &sinks);
    if (first != s->frame_count || count < 1 || sinks > IB_JOURNAL_SINKS || (s->sink_count >= 0 && (int)sinks != s->sink_count) ||
        size < 16 + 4 * (size_t)sinks)
        return 0;
    size_t each = IB_JOURNAL_FRAME_BYTES;
    for (uint32_t i = 0; i < sinks; i++) {
        p = ib_get32(p, &bytes[i]);
        if (bytes[i] > MAX_STATE_BYTES || (s->sink_count >= 0 && (int)bytes[i] != s->state_bytes[i])) return 0;
        each += bytes[i];
    }
    if (size != 16 + 4 * (size_t)sinks + count * each) return 0;
    int64_t need = s->frame_count + count, cap = s->frame_cap;
    if (!reserve((void **)&s->frames, need, &cap, sizeof *s->frames)) return -1;
    for (uint32_t i = 0; i < sinks && cap > s->frame_cap; i++) {
        uint8_t *grown = realloc(s->sink_state[i], (size_t)cap * bytes[i] + 1);
        if (!grown) return -1;
        s->sink_state[i] = grown;
    }
    s->frame_cap = cap;
    s->sink_count = (int)sinks;
    for (uint32_t i = 0; i < count; i++) {
        ib_frame_record *f = &s->frames[s->frame_count + i];
        p = ib_get_float(ib_get_float(get_i64(p, &f->pts_us), &f->min), &f->max);
        p = ib_get_float(ib_get_float(p, &f->scale), &f->shift);
        if (!(f->min >= 0) || !isfinite(f->max) || f->max < f->min || !isfinite(f->scale) || !isfinite(f->shift)) return 0;
    }
    for (uint32_t i = 0; i < sinks; i++) {
        s->state_bytes[i] = (int)bytes[i];
        memcpy(s->sink_state[i] + (size_t)s->frame_count * bytes[i], p, (size_t)count * bytes[i]);
        p += (size_t)count * bytes[i];
    }
    s->frame_count = need;
    return 1;
}

static verdict take_input(ib_journal_state *s, const uint8_t *p, size_t size)
{
    if (size != 4 + 64 || *s->input_sha256) return 0;
    for (int i = 0; i < 64; i++)
        if (!strchr("0123456789abcdef", p[4 + i]) || !p[4 + i]) return 0;
    memcpy(s->input_sha256, p + 4, 64);
    return 1;
}

static verdict take_repeats(ib_journal_state *s, const uint8_t *p, size_t size)
{
    uint32_t count;
    if (size < 4 || s->ended) return 0;
    p = ib_get32(p, &count);
    if (size - 4 != 8 * (size_t)count) return 0;
    int64_t *list = malloc(8 * (size_t)count + 1);
    if (!list) return -1;
    for (uint32_t i = 0; i < count; i++) {
        p = get_i64(p, &list[i]);
        if (list[i] > (i ? list[i - 1] : 0)) continue; /* frame 0 has none before it */
        free(list);
        return 0;
    }
    free(s->repeated);
    s->repeated = list;
    s->repeated_count = count;
    s->repeats = 1;
    return 1;
}

static verdict take_record(ib_journal_state *s, const uint8_t *p, size_t size)
{
    int type = *p++;
    size--;
    if ((type == IB_RECORD_IDENTITY) != !s->identity) return 0; /* first, and once */
    if (type == IB_RECORD_WINDOW) return take_window(s, p, size);
    if (type == IB_RECORD_FRAMES) return take_frames(s, p, size);
    if (type == IB_RECORD_INPUT) return take_input(s, p, size);
    if (type == IB_RECORD_REPEATS) return take_repeats(s, p, size);
    if (type == IB_RECORD_END) {
        int64_t frames;
        if (size != 8 || s->ended) return 0;
        get_i64(p, &frames);
        s->ended = frames == s->frame_count && frames > 0;
        return s->ended;
    }
    uint32_t number;
    if (size < 4 || (type != IB_RECORD_IDENTITY && type != IB_RECORD_FINISHED)) return 0;
    p = ib_get32(p, &number);
    char **text = type == IB_RECORD_IDENTITY ? &s->identity : NULL;
    if (type == IB_RECORD_FINISHED && s->ended && (int64_t)number < s->sink_count && !s->finished[number]) text = &s->finished[number];
    if (!text) return 0;
    return (*text = text_of(p, size - 4)) ? 1 : -1;
}

isobath_status ib_journal_parse(const uint8_t *data, size_t size, const char *name, ib_diag *diag, ib_journal_state *s)
{
    *s = (ib_journal_state){.sink_count = -1};
    if (size < 8 || memcmp(data, IB_JOURNAL_MAGIC, 8) != 0)
        return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: not a journal of this version (--overwrite begins again)", name);
    size_t at = 8;
    while (size - at > IB_JOURNAL_HEAD) {
        uint32_t bytes, crc;
        const uint8_t *payload = ib_get32(ib_get32(data + at, &bytes), &crc);
        if (bytes < 1 || bytes > size - at - IB_JOURNAL_HEAD || libdeflate_crc32(0, payload, bytes) != crc) break;
        verdict v = take_record(s, payload, bytes);
        if (v < 0) {
            ib_journal_state_free(s);
            return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", name);
        }
        if (!v) break;
        at += IB_JOURNAL_HEAD + bytes;
    }
    s->valid_bytes = (int64_t)at;
    if (s->identity) return ISOBATH_OK;
    ib_journal_state_free(s);
    return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: damaged: its first record is not whole (--overwrite begins again)", name);
}

isobath_status ib_journal_read(const char *path, ib_diag *diag, ib_journal_state *s)
{
    uint8_t *data;
    size_t size;
    *s = (ib_journal_state){.sink_count = -1};
    IB_TRY(ib_read_file(path, MAX_FILE, diag, &data, &size));
    isobath_status st = ib_journal_parse(data, size, path, diag, s);
    free(data);
    return st;
}

void ib_journal_state_free(ib_journal_state *s)
{
    free(s->identity);
    free(s->repeated);
    free(s->windows);
    free(s->frames);
    for (int i = 0; i < IB_JOURNAL_SINKS; i++) {
        free(s->sink_state[i]);
        free(s->finished[i]);
    }
    *s = (ib_journal_state){.sink_count = -1};
}
