/* The render stage of a run: frames of the windows that the alignment has passed, of any of them, on threads of its own; handed to the sinks
 * in order. The alignment of the next windows goes on meanwhile. */
#ifndef IB_PIPELINE_RENDER_H
#define IB_PIPELINE_RENDER_H

#include "pipeline/align.h"
#include "pipeline/window.h"

struct ib_run;
typedef struct ib_renderer ib_renderer;

/* A window and which frames it finishes: [first, end) of its shot, none where first == end (the window after it still fades from it). */
typedef struct ib_renderer_window {
    ib_window *window;
    ib_alignment alignment;                 /* of the window */
    ib_alignment frame[IB_PLAN_WINDOW];     /* of frame first + i */
    int64_t first, end;
} ib_renderer_window;

/* run->setup says how: render_threads (0: the caller of ib_renderer_add renders, one frame at a time, on run->host), render_windows, render_ahead.
 * Sinks are open. The run's sinks, commit, counters and list of frames belong to the stage while it has windows. Errors: ISOBATH_ERR_MEMORY ... */
isobath_status ib_renderer_start(struct ib_run *run, ib_renderer **out);
/* Takes the window over, whatever is returned: the first failure so far. Returns when there is room for one more. A window is given back when its
 * frames and those of the window after it are handed on. run->cancelled 2: no frame is begun any more. After a failure windows are given back
 * unrendered, and run->stream is stopped. This and what follows: one thread, the run's. */
isobath_status ib_renderer_add(ib_renderer *render, const ib_renderer_window *window);
/* Waits until all frames are handed on. Returns the first failure; ISOBATH_ERR_INTERRUPTED: frames were left out because run->cancelled is 2. */
isobath_status ib_renderer_drain(ib_renderer *render);
/* After ib_renderer_drain: gives back the last window, too; of it is kept what the next one fades from. ISOBATH_ERR_MEMORY. */
isobath_status ib_renderer_detach(ib_renderer *render);
/* Drains, gives back everything and frees. NULL allowed. */
void ib_renderer_destroy(ib_renderer *render);

/* Windows that the stage has at a time, the one that it is given included; and that are not given back yet. One device has no window that soon. */
int ib_renderer_windows(int threads, int devices, size_t window_bytes);
int ib_renderer_held(int threads, int windows);
/* Frames that are rendered and not handed on, at most. */
int ib_renderer_ahead(int threads, size_t frame_bytes);

#endif
