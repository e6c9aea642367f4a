/* A run that is cut into tasks: the plan that all of them read, and where their files are. docs/CLUSTER.md is the manual. */
#ifndef IB_PIPELINE_CLUSTER_SHARD_H
#define IB_PIPELINE_CLUSTER_SHARD_H

#include "pipeline/exec/exec_protocol.h"
#include "pipeline/plan.h"
#include "pipeline/setup.h"
#include <jansson.h>

#define IB_SHARD_CHECK_EVERY IB_PLAN_STEP /* the picture of every so many-th frame has a checksum in the plan */

/* Everything that tasks must agree on. Immutable after reading. Owns its memory. */
typedef struct ib_shard {
    char id[65];                 /* SHA-256 of the plan's text: names it in every file that belongs to it */
    isobath_run_options options; /* input and model are absolute paths; output: the folder, as the reader named it */
    char *strings[32];           /* what the option strings point to */
    int string_count;
    char name[256];
    char input_sha256[65], model_sha256[65];
    int network_width, network_height, output_width, output_height;
    int temporal, metric;        /* of the model */
    char program[64];            /* name of a model exec:COMMAND, as it said; "": another model */
    int64_t frames;
    int64_t *pts_us;             /* of all frames */
    ib_repeats repeats;          /* frames that stand in for damaged ones */
    int counted;                 /* 1: times are from packets, nothing was decoded: no checksums */
    uint32_t *checks;            /* CRC-32 of the RGB pictures of frames 0, 22, 44 ...; counted: zeros */
    int64_t shot_count;
    ib_shot *shots;
    int64_t *shot_window;        /* (shot_count + 1) number of each shot's first window among all windows */
    int64_t windows;
    int64_t segments;            /* segment i: windows [i * windows / segments, (i + 1) * windows / segments) */
} ib_shard;

/* Reads OUT's plan; `name` NULL: the only one there. Errors: ISOBATH_ERR_INPUT (none, several, damaged), ISOBATH_ERR_MEMORY. */
isobath_status ib_shard_read(const char *folder, const char *name, ib_diag *diag, ib_shard *out);
void ib_shard_free(ib_shard *shard);
/* The same from the text of the plan and the bytes of its table of frames; `where` is for error lines. Pure; for tests and fuzzing. */
isobath_status ib_shard_parse(const char *text, size_t size, const uint8_t *table, size_t table_size, const char *where, ib_diag *diag,
                              ib_shard *out);
/* Writes it: the table first, then the plan, whose existence says that all is there. Sets shard->id. */
isobath_status ib_shard_write(ib_shard *shard, ib_diag *diag);

/* OUT/NAME_isobath.tasks/FILE, printf-style; NULL: out of memory. The caller frees. */
char *ib_shard_path(const ib_shard *shard, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The windows of segment i of n. */
void ib_shard_segment(const ib_shard *shard, int64_t i, int64_t *first, int64_t *end);
/* The shot that window w of the video belongs to; *k: its number there. */
int64_t ib_shard_window(const ib_shard *shard, int64_t w, int64_t *k);
/* Frames of the video that window w makes final. */
void ib_shard_final_frames(const ib_shard *shard, int64_t w, int64_t *first, int64_t *end);
/* What the program of a model exec:COMMAND said when the plan was made; *hello is the caller's room. NULL: another model. */
const ib_exec_hello *ib_shard_program(const ib_shard *shard, ib_exec_hello *hello);
/* Maps of window w that the spool keeps. */
uint32_t ib_shard_slots(const ib_shard *shard, int64_t w);

#endif
