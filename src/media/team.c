/* See team.h. */
#include "media/team.h"

#include "base/thread_name.h"

#include "media/hw.h"
#include "media/index.h"

#include <libavutil/imgutils.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MOST_SESSIONS = 8,
    FEWEST_FRAMES = 48,  /* of a chunk: a decoder needs some frames to come to speed */
    OWN_FRAMES = 4,      /* that the chunk whose turn it is may always have waiting */
};
#define WAITING_BYTES ((int64_t)256 << 20) /* of all other frames that wait */

typedef struct team_frame {
    struct team_frame *next;
    AVFrame *frame;
    int64_t pts_us;
} team_frame;

/* A chunk that a decoder works on, or whose frames wait. */
typedef struct team_chunk {
    struct team_chunk *next;
    int64_t first, pts_us; /* its first frame, which is a key frame, and when that is shown */
    int64_t frames;        /* -1: all that follow */
    int64_t *times_us;     /* of these frames, as their packets have them; NULL with -1 */
    team_frame *head, **tail;
    int waiting, done, failed;
} team_chunk;

struct ib_team {
    char *name;
    ib_media_options options;
    ib_media_index *index;
    ib_diag index_diag;
    ib_media_entry entry;       /* the first frame of the next chunk */
    int64_t entry_frame;
    pthread_mutex_t index_lock; /* taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    team_chunk *head, **tail;  /* in the order of the input */
    int64_t waiting_bytes;
    int cut;                   /* the last chunk is in the list */
    int stop, working;         /* threads at work */
    int threads;
    pthread_t thread[MOST_SESSIONS];
    team_frame *shown;
    int64_t delivered;
};

static int64_t frame_bytes(const AVFrame *f)
{
    int bytes = av_image_get_buffer_size(ib_hw_format(f), f->width, f->height, 1);
    return bytes > 0 ? bytes : 1;
}

static void free_frame(team_frame *f)
{
    if (!f) return;
    av_frame_free(&f->frame);
    free(f);
}

static void free_chunk(team_chunk *c)
{
    while (c->head) {
        team_frame *f = c->head;
        c->head = f->next;
        free_frame(f);
    }
    free(c->times_us);
    free(c);
}

static int add_time(team_chunk *c, int64_t *capacity, int64_t us)
{
    if (c->frames == *capacity) {
        int64_t next = *capacity ? 2 * *capacity : 4 * FEWEST_FRAMES;
        int64_t *p = realloc(c->times_us, (size_t)next * sizeof *p);
        if (!p) return 0;
        c->times_us = p;
        *capacity = next;
    }
    c->times_us[c->frames++] = us;
    return 1;
}

/* Up to the first key frame behind FEWEST_FRAMES; where packets end, or do not tell, one decoder does the rest. 0: no memory. */
static int cut_chunk(ib_team *t, team_chunk *c)
{
    int64_t capacity = 0;
    ib_media_entry e = t->entry;
    int got = 1;
    c->first = t->entry_frame;
    c->pts_us = e.pts_us;
    do {
        if (!add_time(c, &capacity, e.pts_us)) return 0;
        isobath_status st = ib_media_index_next(t->index, &e, &got);
        if (st == ISOBATH_ERR_MEMORY) return 0;
        if (st != ISOBATH_OK) got = 0;
    } while (got && !(e.lead == 0 && c->frames >= FEWEST_FRAMES));
    if (got) {
        t->entry = e;
        t->entry_frame = c->first + c->frames;
    } else {
        free(c->times_us);
        c->times_us = NULL;
        c->frames = -1;
    }
    return 1;
}

/* The next chunk, at the end of the list; NULL: there is none, or no memory. */
static team_chunk *take_chunk(ib_team *t)
{
    team_chunk *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->tail = &c->head;
    pthread_mutex_lock(&t->index_lock);
    pthread_mutex_lock(&t->lock);
    int over = t->stop || t->cut;
    pthread_mutex_unlock(&t->lock);
    int failed = !over && !cut_chunk(t, c);
    pthread_mutex_lock(&t->lock);
    if (!over) {
        c->failed = failed;
        *t->tail = c;
        t->tail = &c->next;
        t->cut = failed || c->frames < 0;
        pthread_cond_broadcast(&t->changed);
    }
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_unlock(&t->index_lock);
    if (over) free(c);
    return over || failed ? NULL : c;
}

/* Waits until there is room for a frame of the chunk; 0: the team is stopped. */
static int wait_for_room(ib_team *t, const team_chunk *c, int64_t bytes)
{
    pthread_mutex_lock(&t->lock);
    while (!t->stop && t->waiting_bytes + bytes > WAITING_BYTES && !(c == t->head && c->waiting < OWN_FRAMES))
        pthread_cond_wait(&t->changed, &t->lock);
    int go_on = !t->stop;
    pthread_mutex_unlock(&t->lock);
    return go_on;
}

static int hand_over(ib_team *t, team_chunk *c, ib_decoder *d, const ib_decoded *decoded, ib_diag *diag)
{
    int64_t bytes = frame_bytes(decoded->frame);
    if (!wait_for_room(t, c, bytes)) return 0;
    team_frame *f = calloc(1, sizeof *f);
    if (!f || ib_hw_keep(ib_decoder_hw(d), decoded->frame, diag, &f->frame) != ISOBATH_OK) {
        free(f);
        return 0;
    }
    f->pts_us = decoded->pts_us;
    pthread_mutex_lock(&t->lock);
    *c->tail = f;
    c->tail = &f->next;
    c->waiting++;
    t->waiting_bytes += bytes;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return 1;
}

/* All frames of the chunk, as its packets promise them; 0: they are not there, or the team is stopped. `start`: the first frame of the
 * input, which the decoder has just given, or NULL. */
static int decode_chunk(ib_team *t, team_chunk *c, ib_decoder *d, const ib_decoded *start, ib_diag *diag)
{
    ib_decoded out;
    int got = 1, arrived;
    if (start && c->first == 0) out = *start;
    else if (ib_decoder_seek(d, c->first, c->pts_us, c->pts_us, &out, &arrived) != ISOBATH_OK || !arrived) return 0;
    for (int64_t i = 0;;) {
        if (!ib_decoder_hw(d) || out.repeated || out.index != c->first + i || (c->frames >= 0 && out.pts_us != c->times_us[i]) ||
            !hand_over(t, c, d, &out, diag))
            return 0;
        if (++i == c->frames) return 1;
        if (ib_decoder_next(d, &out, &got) != ISOBATH_OK) return 0;
        if (!got) return c->frames < 0;
    }
}

static void *work(void *arg)
{
    ib_team *t = arg;
    ib_thread_name("decode");
    ib_diag diag = IB_DIAG_INIT; /* what goes wrong is told by the one decoder that takes over */
    ib_decoder *d = NULL;
    ib_decoded first;
    team_chunk *c = NULL;
    int got = 0, fresh = 1;
    /* the first frame tells the clock of the stream */
    int ok = ib_decoder_open(t->name, &t->options, &diag, &d) == ISOBATH_OK && ib_decoder_next(d, &first, &got) == ISOBATH_OK && got;
    for (; ok && (c = take_chunk(t)); fresh = 0) {
        ok = decode_chunk(t, c, d, fresh ? &first : NULL, &diag);
        pthread_mutex_lock(&t->lock);
        c->failed = !ok;
        c->done = 1;
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
    }
    ib_decoder_close(d);
    ib_diag_destroy(&diag);
    pthread_mutex_lock(&t->lock);
    t->working--;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* The index of all frames of the stream, and the first one. */
static int open_index(ib_team *t)
{
    ib_media_options all = t->options;
    int got = 0;
    all.start_s = all.end_s = 0;
    all.start_frame = all.end_frame = all.max_frames = 0;
    return ib_media_index_open(t->name, &all, 1, &t->index_diag, &t->index) == ISOBATH_OK &&
           ib_media_index_next(t->index, &t->entry, &got) == ISOBATH_OK && got;
}

isobath_status ib_team_open(const char *input, const ib_media_options *options, int sessions, ib_diag *diag, ib_team **out)
{
    struct stat sb;
    *out = NULL;
    if (sessions < 2 || stat(input, &sb) != 0 || !S_ISREG(sb.st_mode)) return ISOBATH_OK;
    ib_team *t = calloc(1, sizeof *t);
    if (!t || !(t->name = strdup(input))) {
        free(t);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for several decoders");
    }
    t->options = *options;
    t->options.decoder = IB_DECODER_CUDA;
    t->tail = &t->head;
    ib_diag_init(&t->index_diag);
    pthread_mutex_init(&t->index_lock, NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    if (!open_index(t)) sessions = 0;
    pthread_mutex_lock(&t->lock);
    for (; t->threads < sessions && t->threads < MOST_SESSIONS; t->threads++) {
        if (pthread_create(&t->thread[t->threads], NULL, work, t) != 0) break;
        t->working++;
    }
    pthread_mutex_unlock(&t->lock);
    if (t->threads) *out = t;
    else ib_team_close(t);
    return ISOBATH_OK;
}

void ib_team_close(ib_team *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->stop = 1;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->threads; i++) pthread_join(t->thread[i], NULL);
    while (t->head) {
        team_chunk *c = t->head;
        t->head = c->next;
        free_chunk(c);
    }
    free_frame(t->shown);
    ib_media_index_close(t->index);
    ib_diag_destroy(&t->index_diag);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->index_lock);
    free(t->name);
    free(t);
}

/* A frame, or a chunk that is at its end; the lock is held. */
static ib_team_result next_frame(ib_team *t, team_frame **out)
{
    for (;;) {
        team_chunk *c = t->head;
        if (c && c->head) {
            *out = c->head;
            c->head = (*out)->next;
            if (!c->head) c->tail = &c->head;
            c->waiting--;
            t->waiting_bytes -= frame_bytes((*out)->frame);
            pthread_cond_broadcast(&t->changed);
            return IB_TEAM_FRAME;
        }
        if (c ? c->failed : !t->cut && !t->working) return IB_TEAM_FAILED;
        if (!c && t->cut) return IB_TEAM_END;
        if (c && c->done) {
            t->head = c->next;
            if (!t->head) t->tail = &t->head;
            free_chunk(c);
            pthread_cond_broadcast(&t->changed); /* another one's turn */
            continue;
        }
        pthread_cond_wait(&t->changed, &t->lock);
    }
}

ib_team_result ib_team_next(ib_team *t, ib_decoded *out)
{
    free_frame(t->shown);
    t->shown = NULL;
    pthread_mutex_lock(&t->lock);
    ib_team_result r = next_frame(t, &t->shown);
    pthread_mutex_unlock(&t->lock);
    if (r != IB_TEAM_FRAME) return r;
    *out = (ib_decoded){.index = t->delivered++, .frame = t->shown->frame, .pts_us = t->shown->pts_us};
    return r;
}
