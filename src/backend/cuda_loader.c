/* Finds and loads the CUDA module (isobath_cuda.so) at run time, so that the same program runs with and without a GPU.
 *
 * $ISOBATH_CUDA_MODULE is its path; else it is looked for where all modules are (base/module_path.h). The module stays loaded
 * until the process ends: a CUDA context does not survive unloading. */
#include "backend/backend.h"
#include "base/module_path.h"
#include <dlfcn.h>

#define MODULE_FILE "isobath_cuda.so"

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
    char path[IB_MODULE_PATH_SIZE];
    if (!ib_module_path(MODULE_FILE, "ISOBATH_CUDA_MODULE", path))
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED,
                       "cuda: the module " MODULE_FILE " is neither beside the program nor in %s: build with nvcc "
                       "(-DISOBATH_CUDA=ON), or set ISOBATH_CUDA_MODULE",
                       ib_module_library_folder());
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
