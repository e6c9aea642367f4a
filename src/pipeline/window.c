/* Raw windows and where they come from; see window.h. */
#include "pipeline/window.h"

#include <string.h>

void ib_window_free(ib_window *w)
{
    if (!w) return;
    for (int i = 0; i < IB_PLAN_WINDOW; i++) ib_source_frame_unref(w->source[i]);
    w->release(w);
}

ib_window *ib_windows_next(ib_window_stream *s) { return s->ops->next(s); }

void ib_windows_stop(ib_window_stream *s) { s->ops->stop(s); }

void ib_windows_stats(ib_window_stream *s, ib_window_stats *out)
{
    memset(out, 0, sizeof *out);
    s->ops->stats(s, out);
}

void ib_windows_end(ib_window_stream *s)
{
    s->ops->stop(s);
    if (s->ops->end) s->ops->end(s);
}

void ib_windows_destroy(ib_window_stream *s)
{
    if (s) s->ops->destroy(s);
}
