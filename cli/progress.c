/* The progress of a run; see progress.h. */
#include "progress.h"

#include "cli.h"
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct cli_progress {
    isobath_session *session;
    cli_progress_mode mode;
    int terminal;
    int stop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

/* "[#####.....]  41%  118/290 frames  3.2 frames/s  network  left 0:53" in the width of the terminal. */
static void print_bar(const isobath_progress *p)
{
    struct winsize ws;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
    char text[160], left[32] = "", bar[64];
    if (p->left_s >= 0) cli_duration(p->left_s, left, sizeof left);
    int n = snprintf(text, sizeof text, "%lld", (long long)p->frames_done);
    if (p->frames_hint > 0) n += snprintf(text + n, sizeof text - (size_t)n, "/%lld", (long long)p->frames_hint);
    n += snprintf(text + n, sizeof text - (size_t)n, " frames  %.1f frames/s  slowest: %s", p->frames_per_s, p->slowest);
    if (*left) n += snprintf(text + n, sizeof text - (size_t)n, "  left %s", left);
    if (p->guards) n += snprintf(text + n, sizeof text - (size_t)n, "  guards %lld", (long long)p->guards);
    int cells = columns - n - 12;
    if (cells > 40) cells = 40;
    if (p->fraction < 0 || cells < 5) {
        char percent[16] = "";
        if (p->fraction >= 0) snprintf(percent, sizeof percent, "%.0f%%  ", p->fraction * 100);
        fprintf(stderr, "\r\033[K%s%.*s", percent, columns - 1 - (int)strlen(percent), text);
        return;
    }
    int full = (int)(p->fraction * cells);
    for (int i = 0; i < cells; i++) bar[i] = i < full ? '#' : '.';
    bar[cells] = 0;
    fprintf(stderr, "\r\033[K[%s] %3.0f%%  %s", bar, p->fraction * 100, text);
}

static void print_line(const isobath_progress *p)
{
    char left[32];
    fprintf(stderr, "progress %lld frames", (long long)p->frames_done);
    if (p->fraction >= 0) fprintf(stderr, ", %.0f%%", p->fraction * 100);
    fprintf(stderr, ", %.2f frames/s, slowest: %s", p->frames_per_s, p->slowest);
    if (p->left_s >= 0) fprintf(stderr, ", left %s", cli_duration(p->left_s, left, sizeof left));
    fprintf(stderr, "\n");
}

static void print_json(const isobath_progress *p, const char *event)
{
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:I}", "event", event, "frames_done",
                          (json_int_t)p->frames_done, "frames_decoded", (json_int_t)p->frames_decoded, "frames_hint",
                          (json_int_t)p->frames_hint, "fraction", p->fraction, "elapsed_s", p->elapsed_s, "frames_per_s",
                          p->frames_per_s, "left_s", p->left_s, "decode", p->decode_share, "network", p->network_share, "align",
                          p->align_share, "write", p->write_share, "slowest", p->slowest, "guards", (json_int_t)p->guards);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("\n");
    fflush(stdout);
    json_decref(o);
}

static void report(cli_progress *c)
{
    isobath_progress p;
    isobath_session_progress(c->session, &p);
    if (c->mode == CLI_PROGRESS_JSON) print_json(&p, "progress");
    else if (c->terminal) print_bar(&p);
    else print_line(&p);
}

static void *progress_main(void *arg)
{
    cli_progress *c = arg;
    /* a terminal five times a second; a file or pipe every ten seconds; JSON every second */
    long wait_ms = c->mode == CLI_PROGRESS_JSON ? 1000 : c->terminal ? 200 : 10000;
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += wait_ms % 1000 * 1000000;
        until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&c->wake, &c->lock, &until);
        if (!c->stop) report(c);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

cli_progress *cli_progress_start(isobath_session *session, cli_progress_mode mode)
{
    if (mode == CLI_PROGRESS_NONE) return NULL;
    cli_progress *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->session = session;
    c->mode = mode;
    c->terminal = mode == CLI_PROGRESS_TEXT && isatty(STDERR_FILENO);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    if (pthread_create(&c->thread, NULL, progress_main, c) != 0) {
        free(c);
        return NULL;
    }
    return c;
}

void cli_progress_stop(cli_progress *c, isobath_status status)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->stop = 1;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    isobath_progress p;
    isobath_session_progress(c->session, &p);
    if (c->mode == CLI_PROGRESS_JSON) print_json(&p, status == ISOBATH_OK ? "done" : "failed");
    else {
        char t[32];
        if (c->terminal) fprintf(stderr, "\r\033[K");
        if (status == ISOBATH_OK && p.frames_done == 0)
            fprintf(stderr, "done     it was complete: every file has the bytes that its manifest names (%s)\n",
                    cli_duration(p.elapsed_s, t, sizeof t));
        else if (status == ISOBATH_OK)
            fprintf(stderr, "done     %lld frames in %s, %.2f frames/s; busy: decode %.0f%%, network %.0f%%, align %.0f%%, write %.0f%%\n",
                    (long long)p.frames_done, cli_duration(p.elapsed_s, t, sizeof t), p.frames_per_s, p.decode_share * 100,
                    p.network_share * 100, p.align_share * 100, p.write_share * 100);
    }
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    free(c);
}
