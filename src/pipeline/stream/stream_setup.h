/* What a stream is made of: ib_setup's decisions, for one frame at a time. */
#ifndef IB_PIPELINE_STREAM_SETUP_H
#define IB_PIPELINE_STREAM_SETUP_H

#include "pipeline/setup.h"
#include <isobath/stream.h>

/* A file that can be read twice: its hash goes into the manifest, its sound into the preview. */
int ib_stream_is_file(const char *input);

/* Checks the options and fills the setup, which may be freed even after a failure; options->run becomes the setup's, whose strings live on.
 * Errors: those of ib_setup_init. */
isobath_status ib_stream_setup(isobath_stream_options *options, ib_setup *setup, ib_diag *diag);

#endif
