/* The progress of a run: a bar on a terminal, plain lines in a pipe, JSON events. */
#ifndef ISOBATH_CLI_PROGRESS_H
#define ISOBATH_CLI_PROGRESS_H

#include <isobath/session.h>

typedef enum cli_progress_mode { CLI_PROGRESS_TEXT, CLI_PROGRESS_JSON, CLI_PROGRESS_NONE } cli_progress_mode;
typedef struct cli_progress cli_progress;

/* Starts a thread that reports on `session` until cli_progress_stop; NULL (no reports) when it cannot. */
cli_progress *cli_progress_start(isobath_session *session, cli_progress_mode mode);
/* Prints the last line and frees. NULL allowed. */
void cli_progress_stop(cli_progress *progress, isobath_status status);

#endif
