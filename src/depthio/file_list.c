/* Lists of files; see file_list.h. */
#include "depthio/file_list.h"

#include "sink/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Numbers inside names compare as numbers. */
static int compare_names(const void *va, const void *vb)
{
    const char *a = *(char *const *)va, *b = *(char *const *)vb;
    while (*a && *b) {
        size_t na = strspn(a, "0123456789"), nb = strspn(b, "0123456789");
        if (na && nb) {
            const char *ea = a + na, *eb = b + nb;
            while (*a == '0' && a + 1 < ea) a++;
            while (*b == '0' && b + 1 < eb) b++;
            if (ea - a != eb - b) return ea - a < eb - b ? -1 : 1;
            int c = strncmp(a, b, (size_t)(ea - a));
            if (c) return c;
            a = ea;
            b = eb;
        } else {
            if (*a != *b) return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
        }
    }
    if (*a || *b) return *a ? 1 : -1;
    return strcmp(*(char *const *)va, *(char *const *)vb); /* frame_01 and frame_1 */
}

isobath_status ib_list_folder(const char *folder, const char *suffix, ib_diag *diag, char ***names, int64_t *count)
{
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(folder);
    if (!dir) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: cannot open: %s", folder, strerror(errno));
    int64_t capacity = 0;
    int failed = 0;
    for (struct dirent *e; !failed && (e = readdir(dir));) {
        size_t n = strlen(e->d_name), m = strlen(suffix);
        if (e->d_name[0] == '.' || n < m || strcasecmp(e->d_name + n - m, suffix) != 0) continue;
        if (*count == capacity) {
            capacity = capacity ? 2 * capacity : 256;
            char **grown = realloc(*names, (size_t)capacity * sizeof **names);
            if (!grown) {
                failed = 1;
                break;
            }
            *names = grown;
        }
        char *copy = strdup(e->d_name);
        if (copy)
            (*names)[(*count)++] = copy;
        else
            failed = 1;
    }
    closedir(dir);
    if (failed) {
        ib_list_free(*names, *count);
        *names = NULL;
        *count = 0;
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    }
    if (*count) qsort(*names, (size_t)*count, sizeof **names, compare_names);
    return ISOBATH_OK;
}

void ib_list_free(char **names, int64_t count)
{
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

isobath_status ib_file_list_open(ib_file_list *list, const char *folder, const char *suffix, ib_diag *diag)
{
    *list = (ib_file_list){0};
    IB_TRY(ib_list_folder(folder, suffix, diag, &list->names, &list->count));
    if (list->count == 0) return ib_fail(diag, ISOBATH_ERR_INPUT, "%s: no %s files in this folder", folder, suffix);
    if (!(list->folder = strdup(folder))) {
        ib_file_list_free(list);
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", folder);
    }
    return ISOBATH_OK;
}

isobath_status ib_file_list_single(ib_file_list *list, const char *path, ib_diag *diag)
{
    *list = (ib_file_list){.names = calloc(1, sizeof *list->names), .count = 1};
    if (list->names && (list->names[0] = strdup(path))) return ISOBATH_OK;
    ib_file_list_free(list);
    return ib_fail(diag, ISOBATH_ERR_MEMORY, "%s: out of memory", path);
}

void ib_file_list_free(ib_file_list *list)
{
    if (list->names) ib_list_free(list->names, list->count);
    free(list->folder);
    *list = (ib_file_list){0};
}

char *ib_file_list_path(const ib_file_list *list, int64_t i)
{
    return list->folder ? ib_text("%s/%s", list->folder, list->names[i]) : strdup(list->names[i]);
}
