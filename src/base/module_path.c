/* See module_path.h. */
#include "base/module_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ISOBATH_LIBDIR
#define ISOBATH_LIBDIR "/usr/local/lib"
#endif

/* The folder of the running program into dir; "." when the system does not tell. */
static void program_folder(char dir[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
    if (n <= 0) {
        strcpy(dir, ".");
        return;
    }
    dir[n] = 0;
    char *slash = strrchr(dir, '/');
    if (slash) *slash = 0;
}

int ib_module_path(const char *file, const char *variable, char path[IB_MODULE_PATH_SIZE])
{
    const char *named = getenv(variable);
    if (named && *named) {
        snprintf(path, IB_MODULE_PATH_SIZE, "%s", named);
        return 1;
    }
    static const char *const beside[] = {"", "/..", "/../lib"};
    char dir[PATH_MAX];
    program_folder(dir);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(path, IB_MODULE_PATH_SIZE, "%s%s/%s", dir, beside[i], file);
        if (access(path, F_OK) == 0) return 1;
    }
    snprintf(path, IB_MODULE_PATH_SIZE, "%s/%s", ISOBATH_LIBDIR, file);
    return access(path, F_OK) == 0;
}

const char *ib_module_library_folder(void) { return ISOBATH_LIBDIR; }
