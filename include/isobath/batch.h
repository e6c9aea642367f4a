/* Several inputs for one command: folders and lists become inputs, and results that would have one name are found before anything
 * starts. And what runs one after another may share: devices that stay open with the model loaded. */
#ifndef ISOBATH_BATCH_H
#define ISOBATH_BATCH_H

#include <isobath/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A list of inputs; one thread at a time. */
typedef struct isobath_batch isobath_batch;

/* NULL: out of memory. */
isobath_batch *isobath_batch_create(void);
void isobath_batch_destroy(isobath_batch *batch); /* NULL allowed */
/* Adds an input as a session takes it. A folder without images stands for the videos in it, in natural order (clip2 before
 * clip10). What is not there, or empty, is added all the same: its own run says so. ISOBATH_ERR_MEMORY. */
isobath_status isobath_batch_add(isobath_batch *batch, const char *input);
/* Adds the inputs named in a text file ("-": standard input), one a line; empty lines mean nothing.
 * Errors: ISOBATH_ERR_INPUT, ISOBATH_ERR_MEMORY. */
isobath_status isobath_batch_add_list(isobath_batch *batch, const char *path);
/* ISOBATH_ERR_USAGE when two inputs would give results of one name, or standard input is both list and video;
 * ISOBATH_ERR_INPUT when there is no input. */
isobath_status isobath_batch_check(isobath_batch *batch);
size_t isobath_batch_count(const isobath_batch *batch);
/* The i-th input, and the NAME of its results; i < count. They live as long as the batch. */
const char *isobath_batch_input(const isobath_batch *batch, size_t i);
const char *isobath_batch_name(const isobath_batch *batch, size_t i);
/* One line about the first error, "" when there was none. */
const char *isobath_batch_error(const isobath_batch *batch);

/* A device that stays open with the model loaded, for sessions one after another: name it in isobath_run_options.engine. A session of
 * another model, device or precision makes it load that one. Of sessions on several devices it keeps the worker processes; sessions must
 * then be created on one thread. */
typedef struct isobath_engine isobath_engine;
isobath_engine *isobath_engine_create(void);          /* NULL: out of memory */
void isobath_engine_destroy(isobath_engine *engine);  /* after its sessions; NULL allowed */
int64_t isobath_engine_loads(const isobath_engine *engine); /* how often a model was read so far, by worker processes, too */

#ifdef __cplusplus
}
#endif
#endif
