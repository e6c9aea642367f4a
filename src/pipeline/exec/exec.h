/* A user's program as the depth model (--model exec:COMMAND, docs/EXEC.md): one process per device, frames dealt to whichever is
 * free, depth handed on in order as windows of frames that stand alone. */
#ifndef IB_PIPELINE_EXEC_EXEC_H
#define IB_PIPELINE_EXEC_EXEC_H

#include "pipeline/exec/exec_protocol.h"
#include "pipeline/window.h"

#define IB_EXEC_PREFIX "exec:"

typedef struct ib_exec_options {
    const char *command;               /* for sh -c; copied */
    int processes;                     /* 1 .. IB_MAX_DEVICES */
    const char *visible[IB_MAX_DEVICES]; /* CUDA_VISIBLE_DEVICES of each; NULL: as it is; copied */
    int width, height;                 /* of the frames */
    double fps;                        /* 0: unknown */
    double start_timeout_s, frame_timeout_s; /* 0: 300 and 60 */
    void (*note)(void *ctx, const char *line); /* a process was lost; any thread; NULL allowed */
    void *note_ctx;
} ib_exec_options;

typedef struct ib_exec ib_exec;

/* Starts the first process and waits for its hello. Errors: ISOBATH_ERR_MODEL, ISOBATH_ERR_MEMORY, ISOBATH_ERR_INTERRUPTED. */
isobath_status ib_exec_open(const ib_exec_options *options, ib_diag *diag, ib_exec **out);
/* After the stream is destroyed. NULL allowed. */
void ib_exec_close(ib_exec *exec);
const ib_exec_hello *ib_exec_info(const ib_exec *exec);

/* Windows from the beginning of `range` on (its k_end does not count): `raw` has the new frames' slots (ib_plan_new_frames), the others are not written. A process that ends,
 * is silent for too long, or sends values that are not finite loses its frames to another; it is started anew once, then left
 * out. `cancelled` (NULL allowed) is polled. With none left, or for a frame that failed three times, the stream ends with ISOBATH_ERR_MODEL in diag. Once per object. */
isobath_status ib_exec_start(ib_exec *exec, ib_source *source, const ib_range *range, int wants_rgb, const atomic_int *cancelled, ib_diag *diag,
                             ib_window_stream **out);

#endif
