/* Depth frames on a file descriptor; include/isobath/stream.h has the forms. */
#ifndef IB_PIPELINE_STREAM_DEPTH_PIPE_H
#define IB_PIPELINE_STREAM_DEPTH_PIPE_H

#include "sink/sink.h"
#include <isobath/stream.h>

typedef struct ib_depth_pipe ib_depth_pipe;
/* `config` gives size, kind, rate, range and where notes go; it must outlive the pipe. The descriptor stays the caller's. */
isobath_status ib_depth_pipe_open(isobath_stream_pipe form, int fd, const ib_sink_config *config, ib_diag *diag,
                                  ib_depth_pipe **out);
/* Blocks until the frame is written. ISOBATH_ERR_IO when the reader is gone. */
isobath_status ib_depth_pipe_push(ib_depth_pipe *pipe, const ib_depth_frame *frame);
void ib_depth_pipe_close(ib_depth_pipe *pipe); /* NULL allowed */

#endif
