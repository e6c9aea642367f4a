/* The files of a depth result: one, or a folder's in the order of the numbers in their names. */
#ifndef IB_DEPTHIO_FILE_LIST_H
#define IB_DEPTHIO_FILE_LIST_H

#include "base/diag.h"
#include <stdint.h>

typedef struct ib_file_list {
    char *folder; /* NULL: names[0] is a path */
    char **names;
    int64_t count;
} ib_file_list;

/* The files of a folder that end with `suffix`. Errors: ISOBATH_ERR_INPUT (not a folder, none), ISOBATH_ERR_MEMORY. */
isobath_status ib_file_list_open(ib_file_list *list, const char *folder, const char *suffix, ib_diag *diag);
/* One file. */
isobath_status ib_file_list_single(ib_file_list *list, const char *path, ib_diag *diag);
void ib_file_list_free(ib_file_list *list);
/* Fresh path of file i; NULL: out of memory. */
char *ib_file_list_path(const ib_file_list *list, int64_t i);

/* The names in a folder that end with `suffix`, sorted by the numbers in them (frame_2 before frame_10). *names and
 * each name are the caller's. Errors: ISOBATH_ERR_INPUT (not a folder), ISOBATH_ERR_MEMORY. */
isobath_status ib_list_folder(const char *folder, const char *suffix, ib_diag *diag, char ***names, int64_t *count);
void ib_list_free(char **names, int64_t count);

#endif
