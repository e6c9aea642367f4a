/* A folder that `run` or `join` wrote: its manifest says where the depth is. */
#include "depthio/depth_reader_internal.h"
#include "sink/file.h"
#include "sink/manifest.h"

#include <stdlib.h>
#include <string.h>

/* The entry of the best format there is: floats before 16 bits. */
static const char *choose(const json_t *outputs)
{
    static const char *const formats[] = {"npz", "exr", "png16", "ffv1"};
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
        size_t i;
        const json_t *entry;
        json_array_foreach(outputs, i, entry)
        {
            const char *format = json_string_value(json_object_get(entry, "format")),
                       *path = json_string_value(json_object_get(entry, "path"));
            if (format && path && strcmp(format, formats[k]) == 0 && path[0] != '/' && !strstr(path, "..")) return path;
        }
    }
    return NULL;
}

isobath_status ib_depth_find_result(const char *folder, ib_diag *diag, char **path)
{
    ib_file_list list = {0};
    json_t *manifest = NULL;
    *path = NULL;
    IB_TRY(ib_list_folder(folder, "_isobath.json", diag, &list.names, &list.count));
    isobath_status st = ISOBATH_OK;
    if (list.count > 1)
        st = ib_fail(diag, ISOBATH_ERR_INPUT,
                     "%s: %s and %lld more results are in this folder: name the file or folder of the depth", folder,
                     list.names[0], (long long)list.count - 1);
    char *name = list.count == 1 ? ib_text("%s/%s", folder, list.names[0]) : NULL;
    if (list.count == 1 && !name) st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    if (st == ISOBATH_OK && name) st = ib_json_read(name, diag, &manifest);
    const char *found = choose(json_object_get(manifest, "outputs"));
    if (st == ISOBATH_OK && name && !found)
        st = ib_fail(diag, ISOBATH_ERR_INPUT, "%s: lists no depth (npz, exr, png16 or ffv1)", name);
    if (st == ISOBATH_OK && found && !(*path = ib_text("%s/%s", folder, found)))
        st = ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    json_decref(manifest);
    free(name);
    ib_file_list_free(&list);
    return st;
}
