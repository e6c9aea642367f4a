/* The models that isobath knows by name; see models.h. */
#include "weights/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

isobath_status ib_models_resolve(const char *model, int metric, ib_diag *diag, char *path, size_t size)
{
    if (!model) model = metric ? "nano-metric" : "nano";
    snprintf(path, size, "%s", model);
    if (access(path, R_OK) == 0) return ISOBATH_OK;
    const char *folder = getenv("ISOBATH_MODELS");
    if (folder && !strchr(model, '/')) {
        snprintf(path, size, "%s/%s.safetensors", folder, model);
        if (access(path, R_OK) == 0) return ISOBATH_OK;
    }
    return ib_fail(diag, ISOBATH_ERR_MODEL, "%s: no such model: expected a checkpoint's path or a known name", model);
}
