/* none: depth is computed, aligned and rendered, and dropped. For measuring everything but the writing; manifest and log are written. */
#include "sink/formats.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct none_sink {
    atomic_int_fast64_t frames;
} none_sink;

static void none_outputs(const ib_sink_config *config, void (*add)(void *ctx, const char *path), void *ctx)
{
    (void)config, (void)add, (void)ctx;
}

static double none_bytes_per_frame(const ib_sink_config *config)
{
    (void)config;
    return 0;
}

static isobath_status none_open(const ib_sink_config *config, ib_diag *diag, ib_sink **out)
{
    none_sink *sink = calloc(1, sizeof *sink);
    *out = (ib_sink *)sink;
    if (!sink) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the none sink");
    if (config->resume) atomic_store(&sink->frames, config->resume->count);
    return ISOBATH_OK;
}

static isobath_status none_push(ib_sink *base, ib_depth_frame *frame)
{
    (void)frame;
    atomic_fetch_add(&((none_sink *)base)->frames, 1);
    return ISOBATH_OK;
}

static isobath_status none_flush(ib_sink *base, int64_t *frames)
{
    int64_t done = atomic_load(&((none_sink *)base)->frames);
    if (done < *frames) *frames = done;
    return ISOBATH_OK;
}

static int none_state_bytes(const ib_sink_config *config)
{
    (void)config;
    return 0;
}

static void none_save(ib_sink *base, int64_t first, int64_t end, uint8_t *state)
{
    (void)base, (void)first, (void)end, (void)state;
}

static isobath_status none_done(ib_sink *base)
{
    (void)base;
    return ISOBATH_OK;
}

static json_t *none_describe(ib_sink *base)
{
    return json_pack("{s:s, s:I}", "format", "none", "frames", (json_int_t)atomic_load(&((none_sink *)base)->frames));
}

static void none_close(ib_sink *base) { free(base); }

const ib_sink_format ib_sink_none = {
    .name = "none",
    .summary = "nothing: for measuring without writing",
    .outputs = none_outputs,
    .bytes_per_frame = none_bytes_per_frame,
    .open = none_open,
    .push = none_push,
    .flush = none_flush,
    .state_bytes = none_state_bytes,
    .save = none_save,
    .granularity = 1,
    .drain = none_done,
    .finish = none_done,
    .describe = none_describe,
    .close = none_close,
};
