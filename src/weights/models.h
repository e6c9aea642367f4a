/* The models that isobath knows by name, and where their files are looked for. */
#ifndef IB_WEIGHTS_MODELS_H
#define IB_WEIGHTS_MODELS_H

#include "base/diag.h"
#include <stddef.h>

/* Path of the checkpoint that `model` means: a path when it names an existing file, else a known name (NULL: "nano"),
 * `metric` picking the metric variant. Looked for beside the binary, in the source tree's assets, in the install
 * prefix, in $ISOBATH_MODELS and in the cache folder. Errors: ISOBATH_ERR_MODEL with what was looked for and how to get
 * it, ISOBATH_ERR_USAGE (a name that does not fit `size`). */
isobath_status ib_models_resolve(const char *model, int metric, ib_diag *diag, char *path, size_t size);

/* For ib_download: the file opens as a checkpoint. */
isobath_status ib_download_accept_checkpoint(const char *path, ib_diag *diag);

#endif
