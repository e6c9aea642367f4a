/* Finds and loads the CUDA module (isobath_cuda.so) at run time, so that the same program runs with and without a GPU.
 *
 * Looked for, in this order: $ISOBATH_CUDA_MODULE (a path; nothing else is tried when it is set), the folder of the
 * running program, its parent, ../lib beside it, and the library folder of the installation. The module stays loaded
 * until the process ends: a CUDA context does not survive unloading. */
#include "backend/backend.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ISOBATH_LIBDIR
#define ISOBATH_LIBDIR "/usr/local/lib"
#endif

#define MODULE_FILE "isobath_cuda.so"

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

/* Path of the first module file that exists; 0 when there is none. */
static int find_module(char path[PATH_MAX + 64])
{
    const char *named = getenv("ISOBATH_CUDA_MODULE");
    if (named && *named) {
        snprintf(path, PATH_MAX + 64, "%s", named);
        return 1;
    }
    static const char *const beside[] = {"", "/..", "/../lib"};
    char dir[PATH_MAX];
    program_folder(dir);
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(path, PATH_MAX + 64, "%s%s/" MODULE_FILE, dir, beside[i]);
        if (access(path, F_OK) == 0) return 1;
    }
    snprintf(path, PATH_MAX + 64, "%s/" MODULE_FILE, ISOBATH_LIBDIR);
    return access(path, F_OK) == 0;
}

/* The driver is looked for first, so that its absence is told in plain words. */
static isobath_status load_module(ib_diag *diag, const ib_cuda_module **out)
{
    *out = NULL;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                       "cuda: no NVIDIA driver on this machine (libcuda.so.1 does not load): install a driver, or use "
                       "--devices cpu");
    dlclose(driver);
    char path[PATH_MAX + 64];
    if (!find_module(path))
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                       "cuda: the module " MODULE_FILE " is neither beside the program nor in %s: build with nvcc "
                       "(-DISOBATH_CUDA=ON), or set ISOBATH_CUDA_MODULE",
                       ISOBATH_LIBDIR);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        const char *text = dlerror();
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "cuda: %s does not load: %s", path, text ? text : "unknown");
    }
    const ib_cuda_module *module = (const ib_cuda_module *)dlsym(handle, IB_CUDA_MODULE_SYMBOL);
    if (!module)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "cuda: %s is no isobath module: it lacks the symbol %s", path,
                       IB_CUDA_MODULE_SYMBOL);
    if (module->abi != IB_CUDA_MODULE_ABI)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                       "cuda: %s has module interface %u, this program needs %u: take both from one build", path,
                       module->abi, IB_CUDA_MODULE_ABI);
    *out = module;
    return ISOBATH_OK;
}

isobath_status ib_cuda_open(const ib_backend_options *options, ib_backend **out)
{
    const ib_cuda_module *module;
    *out = NULL;
    IB_TRY(load_module(options->diag, &module));
    return module->open(options, out);
}

int ib_cuda_device_count(void)
{
    const ib_cuda_module *module;
    int count = 0;
    if (load_module(NULL, &module) != ISOBATH_OK) return 0;
    if (module->device_count(NULL, &count) != ISOBATH_OK) return 0;
    return count;
}
