/* What makes two runs the same run: everything that changes a byte of the result. */
#ifndef IB_PIPELINE_IDENTITY_H
#define IB_PIPELINE_IDENTITY_H

#include "pipeline/setup.h"
#include <jansson.h>

/* The options that change bytes, as the manifest has them; those of formats only where they are not the default. New reference. */
json_t *ib_options_json(const ib_setup *setup);

/* {"isobath", "kind", "decoder", "model_sha256", "options", "input": size, time and a hash of its head and tail; of the first
 * picture where it is no file}. Reads a little of the input. New reference; NULL: no memory. */
json_t *ib_identity(const ib_setup *setup, const char *model_sha256);

/* Says what changed: "options.max_res is 640, was 1280; ..." (at most three), into `text`. Returns how many values differ. */
int ib_identity_differences(const json_t *now, const json_t *was, char *text, size_t size);

/* 1: they differ at most in when the input was changed, so its content decides. 0 also when there is no memory. */
int ib_identity_only_touched(const json_t *now, const json_t *was);

#endif
