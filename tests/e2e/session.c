/* What the end-to-end tests share; see session.h. */
#include "session.h"

#include "base/hash.h"
#include "depthio/depth_reader.h"
#include "support/synth.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>

int e2e_setup(void **state)
{
    e2e *e = calloc(1, sizeof *e);
    if (!e || clip_make_dir(e->dir, sizeof e->dir) != 0) return -1;
    snprintf(e->model, sizeof e->model, "%s/tiny.safetensors", e->dir);
    *state = e;
    return synth_checkpoint_write("tiny", 1, e->model);
}

int e2e_teardown(void **state)
{
    e2e *e = *state;
    clip_remove_dir(e->dir);
    free(e);
    return 0;
}

const char *e2e_path(e2e *e, const char *name)
{
    static char buffers[8][1024];
    static int next;
    char *b = buffers[next++ % 8];
    snprintf(b, sizeof buffers[0], "%s/%s", e->dir, name);
    return b;
}

isobath_run_options e2e_options(e2e *e, const char *input, const char *out)
{
    isobath_run_options o;
    isobath_run_options_init(&o);
    o.input = e2e_path(e, input);
    o.output = e2e_path(e, out);
    o.name = "clip";
    o.model = e->model;
    o.input_size = 28;
    o.devices = "cpu";
    o.precision = "fp32";
    o.formats = "png16,npz";
    o.threads = 2;
    return o;
}

isobath_status e2e_run(e2e *e, const isobath_run_options *options)
{
    isobath_session *s;
    isobath_status st = isobath_session_create(options, &s);
    if (st == ISOBATH_OK) {
        e->plan = *isobath_session_plan(s);
        st = isobath_session_run(s);
    }
    snprintf(e->error, sizeof e->error, "%s", s ? isobath_session_error(s) : "no session");
    isobath_session_destroy(s);
    return st;
}

typedef struct stopper {
    isobath_session *session;
    int64_t frames;
    int cancels;
    int over;
} stopper;

static void *stop_after(void *arg)
{
    stopper *s = arg;
    isobath_progress p;
    do {
        isobath_session_progress(s->session, &p);
        usleep(200);
    } while (p.frames_done < s->frames && !__atomic_load_n(&s->over, __ATOMIC_RELAXED));
    for (int i = 0; i < s->cancels; i++) isobath_session_cancel(s->session);
    return NULL;
}

isobath_status e2e_run_until(e2e *e, const isobath_run_options *options, int64_t frames, int cancels, int *can_resume)
{
    stopper s = {.frames = frames, .cancels = cancels};
    pthread_t thread;
    assert_int_equal(isobath_session_create(options, &s.session), ISOBATH_OK);
    assert_int_equal(pthread_create(&thread, NULL, stop_after, &s), 0);
    isobath_status st = isobath_session_run(s.session);
    __atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    snprintf(e->error, sizeof e->error, "%s", isobath_session_error(s.session));
    if (can_resume) *can_resume = isobath_session_can_resume(s.session);
    isobath_session_destroy(s.session);
    return st;
}

void e2e_clip(e2e *e, const char *name, int n, int variable)
{
    clip c = {.encoder = "mpeg4", .frames = n, .variable = variable, .width = 64, .height = 48};
    assert_int_equal(clip_write(e2e_path(e, name), &c), 0);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void e2e_digest(const char *path, char hex[65])
{
    DIR *d = opendir(path);
    if (!d) {
        assert_int_equal(ib_sha256_file(path, NULL, hex), ISOBATH_OK);
        return;
    }
    char *names[4096];
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && n < 4096) names[n++] = strdup(e->d_name);
    closedir(d);
    qsort(names, (size_t)n, sizeof *names, by_name);
    ib_sha256 *hash = ib_sha256_create();
    for (int i = 0; i < n; i++) {
        char child[2048], digest[65];
        snprintf(child, sizeof child, "%s/%s", path, names[i]);
        e2e_digest(child, digest);
        ib_sha256_update(hash, names[i], strlen(names[i]) + 1);
        ib_sha256_update(hash, digest, 64);
        free(names[i]);
    }
    ib_sha256_finish(hash, hex);
}

int e2e_count_files(const char *folder, const char *suffix)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t a = strlen(e->d_name), b = strlen(suffix);
        n += a >= b && strcmp(e->d_name + a - b, suffix) == 0;
    }
    if (d) closedir(d);
    return n;
}

float *e2e_read_depth(const char *path, int64_t *frames, int *height, int *width)
{
    ib_depth_reader *r;
    ib_diag diag = IB_DIAG_INIT;
    if (ib_depth_reader_open(path, &diag, &r) != ISOBATH_OK) {
        print_error("%s\n", diag.text);
        return NULL;
    }
    const ib_depth_reader_info *info = ib_depth_reader_get_info(r);
    size_t map = (size_t)info->width * (size_t)info->height;
    float *all = malloc((size_t)info->frames * map * sizeof *all);
    for (int64_t i = 0; all && i < info->frames; i++)
        if (ib_depth_reader_read(r, i, all + (size_t)i * map) != ISOBATH_OK) {
            free(all);
            all = NULL;
        }
    *frames = info->frames;
    *height = info->height;
    *width = info->width;
    ib_depth_reader_close(r);
    return all;
}
