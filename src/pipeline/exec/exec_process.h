/* One process of a user's depth program: started, spoken to without ever blocking, watched, killed. Not thread-safe. */
#ifndef IB_PIPELINE_EXEC_EXEC_PROCESS_H
#define IB_PIPELINE_EXEC_EXEC_PROCESS_H

#include "pipeline/exec/exec_protocol.h"
#include <sys/types.h>

typedef struct ib_exec_process ib_exec_process;

/* Starts `sh -c command` in a process group of its own. `visible` (NULL: as it is) becomes CUDA_VISIBLE_DEVICES. What it writes to
 * its standard error is read and its last line kept. Errors: ISOBATH_ERR_MODEL, ISOBATH_ERR_MEMORY. */
isobath_status ib_exec_process_start(const char *command, const char *visible, ib_diag *diag, ib_exec_process **out);
/* Kills the group and frees. NULL allowed. */
void ib_exec_process_destroy(ib_exec_process *process);

/* Sends a message: head (at most 64 bytes, copied) and body (must live until ib_exec_process_sending is 0); only while nothing else
 * is being sent. */
void ib_exec_process_send(ib_exec_process *process, ib_exec_type type, const void *head, size_t head_size, const void *body,
                          size_t body_size);
int ib_exec_process_sending(const ib_exec_process *process);

/* Moves bytes both ways for at most timeout_ms, returning early when something was sent whole or came whole. *message becomes the
 * payload of a message that came (valid until the next call), NULL when none did. `hello` as for ib_exec_read_header.
 * Errors: ISOBATH_ERR_MODEL: it ended, or wrote what is no message; the text names its status and its last words. */
isobath_status ib_exec_process_poll(ib_exec_process *process, int timeout_ms, const ib_exec_hello *hello, ib_diag *diag,
                                    ib_exec_header *header, const unsigned char **message);
/* The last line of its standard error, "" when there was none. */
const char *ib_exec_process_words(const ib_exec_process *process);

#endif
