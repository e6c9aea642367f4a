/* Faults on purpose; see sabotage.h. */
#include "pipeline/fleet/sabotage.h"

#include "base/clock.h"
#include "pipeline/devices.h"
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int ib_sabotage_is_card(int device)
{
    const char *test = getenv("ISOBATH_WORKER_TEST");
    return device >= 0 || (device == IB_DEVICE_NULL && test && strstr(test, "card_us="));
}

void ib_sabotage_init(ib_sabotage *s)
{
    static const char *const faults[] = {"die", "hang", "oom", "nan", "place", "noise", "hash", "broken", "poison", "short", "starved"};
    char text[512], *save = NULL;
    *s = (ib_sabotage){.state = (uint32_t)getpid() * 2654435761u};
    const char *named = getenv("ISOBATH_WORKER_TEST");
    if (!named) return;
    snprintf(text, sizeof text, "%s", named);
    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        if (strncmp(item, "delay_us=", 9) == 0) s->delay_us = atoi(item + 9);
        if (strncmp(item, "pause_us=", 9) == 0) s->pause_us = atoi(item + 9);
        if (strncmp(item, "card_us=", 8) == 0) s->card_us = atoi(item + 8);
        if (strncmp(item, "nvdec=", 6) == 0) s->nvdec = atoi(item + 6);
        if (strncmp(item, "decode_us=", 10) == 0) s->decode_us = atoi(item + 10);
        if (strncmp(item, "decoders=", 9) == 0) s->decoders = atoi(item + 9);
        if (strncmp(item, "window=", 7) == 0) s->window = atoll(item + 7);
        if (strncmp(item, "once=", 5) == 0) snprintf(s->once, sizeof s->once, "%s", item + 5);
        if (strcmp(item, "always") == 0) s->always = 1;
        for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
            if (strcmp(item, faults[i]) == 0) snprintf(s->fault, sizeof s->fault, "%s", faults[i]);
    }
}

/* Is it this process's turn for this fault at this window? */
static int strikes(ib_sabotage *s, const char *fault, int64_t order)
{
    return strcmp(s->fault, fault) == 0 && order == s->window && (s->always || (*s->once && unlink(s->once) == 0));
}

void ib_sabotage_before(ib_sabotage *s, int64_t order)
{
    if (s->delay_us) {
        s->state = s->state * 1664525u + 1013904223u;
        usleep((s->state >> 8) % (uint32_t)s->delay_us);
    }
    if (s->pause_us) usleep((useconds_t)s->pause_us);
    if (strikes(s, "die", order)) raise(SIGKILL);
    if (strikes(s, "hang", order)) raise(SIGSTOP);
}

isobath_status ib_sabotage_fails(ib_sabotage *s, int64_t order, ib_diag *diag)
{
    return strikes(s, "oom", order) ? ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory on purpose") : ISOBATH_OK;
}

int ib_sabotage_starves(ib_sabotage *s, int64_t order)
{
    return strikes(s, "short", order) ? 1 : strikes(s, "starved", order) ? INT_MAX : 0;
}

isobath_status ib_sabotage_breaks(ib_sabotage *s, int64_t order, ib_backend *backend, ib_diag *diag)
{
    if (strikes(s, "broken", order)) return ib_fail(diag, ISOBATH_ERR_DEVICE, "the device failed on purpose");
    if (strcmp(backend->ops->name, "cuda") != 0 || !strikes(s, "poison", order)) return ISOBATH_OK;
    void *nowhere = (void *)(uintptr_t)0x100000; /* of the device's address space */
    ib_copy_args copy = {.x = ib_tensor_3d(nowhere, IB_F32, 1, 64, 64), .y = ib_tensor_3d(nowhere, IB_F32, 1, 64, 64)};
    return backend->ops->copy(backend, &copy);
}

int64_t ib_sabotage_due(ib_sabotage *s)
{
    int64_t now = ib_now_us();
    if (!s->card_us) return 0;
    s->due_us = (s->due_us > now ? s->due_us : now) + s->card_us;
    return s->due_us;
}

void ib_sabotage_wait(int64_t due_us)
{
    int64_t left = due_us ? due_us - ib_now_us() : 0;
    if (left > 0) usleep((useconds_t)left);
}

void ib_sabotage_fill(float *raw, size_t count)
{
    enum { PERIOD = 1 << 19 };
    uint32_t noise = 1;
    size_t first = count < PERIOD ? count : PERIOD;
    for (size_t i = 0; i < first; i++) { /* slopes, and noise as much as a network's */
        noise = noise * 1664525u + 1013904223u;
        raw[i] = 1 + (float)(i % 65536) * 1e-4f + (float)(noise >> 20) * 1e-6f;
    }
    for (size_t i = first; i < count; i += PERIOD) memcpy(raw + i, raw, (count - i < PERIOD ? count - i : PERIOD) * sizeof *raw);
}

void ib_sabotage_stamp(const ib_sabotage *s, const ib_msg_window *w, int height, int width, float *raw)
{
    size_t map = (size_t)height * (size_t)width;
    for (int slot = 0; s->card_us && slot < IB_PLAN_WINDOW; slot++)
        for (int x = 0; x < width; x++) raw[(size_t)slot * map + (size_t)x] = 1 + (float)(w->index[slot] % 64) / 16;
}

void ib_sabotage_result(ib_sabotage *s, int fd, ib_msg_result *o, float *raw)
{
    if (strikes(s, "nan", o->order)) raw[1] = NAN;
    if (strikes(s, "place", o->order)) o->raw++;
    if (strikes(s, "hash", o->order)) o->before[3] ^= 1;
    if (strikes(s, "noise", o->order)) send(fd, "isobath?", 8, MSG_NOSIGNAL);
}
