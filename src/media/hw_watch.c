/* See hw_watch.h. */
#include "media/hw_watch.h"

#include "base/module_path.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "libnvcuvid.so.1"
#define MODULE "isobath_nvcuvid.so"

/* Whose file a library is; 0: not known. */
static int path_of(void *library, char path[IB_MODULE_PATH_SIZE])
{
    struct link_map *map = NULL;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map || map->l_name[0] != '/') return 0;
    return snprintf(path, IB_MODULE_PATH_SIZE, "%s", map->l_name) < IB_MODULE_PATH_SIZE;
}

/* The driver's decoder library, which should not be loaded before the module: beside its libcuda, if that is there. */
static int find_driver(char path[IB_MODULE_PATH_SIZE])
{
    void *cuda = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    int found = 0;
    char *slash;
    if (cuda && path_of(cuda, path) && (slash = strrchr(path, '/')) && strlen(path) + sizeof DRIVER < IB_MODULE_PATH_SIZE) {
        strcpy(slash + 1, DRIVER);
        found = access(path, R_OK) == 0;
    }
    if (cuda) dlclose(cuda);
    void *library = found ? NULL : dlopen(DRIVER, RTLD_LAZY | RTLD_LOCAL);
    if (library) {
        found = path_of(library, path);
        dlclose(library);
    }
    return found;
}

/* What libavcodec gets when it asks for the driver's library: is it the module? */
static int in_place(ib_hw_watch *watch, ib_nvcuvid_attach **attach)
{
    void *library = dlopen(DRIVER, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return 0;
    *(void **)&watch->counts = dlsym(library, IB_NVCUVID_COUNTS);
    *(void **)&watch->work_for = dlsym(library, IB_NVCUVID_WORK_FOR);
    *(void **)&watch->release = dlsym(library, IB_NVCUVID_RELEASE);
    *(void **)attach = dlsym(library, IB_NVCUVID_ATTACH);
    dlclose(library);
    return watch->counts && watch->work_for && watch->release && *attach;
}

int ib_hw_watch_open(ib_hw_watch *watch, char *why, size_t size)
{
    char driver[IB_MODULE_PATH_SIZE], module[IB_MODULE_PATH_SIZE];
    ib_nvcuvid_attach *attach = NULL;
    *watch = (ib_hw_watch){0};
    why[0] = '\0';
    if (in_place(watch, &attach)) return 1; /* by an earlier decoder */
    *watch = (ib_hw_watch){0};
    if (!find_driver(driver)) return 0;
    if (!ib_module_path(MODULE, "ISOBATH_NVCUVID_MODULE", module))
        snprintf(why, size, "the module " MODULE " is neither beside the program nor in %s", ib_module_library_folder());
    else if (!dlopen(module, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)) snprintf(why, size, "the module " MODULE " does not load");
    else if (!in_place(watch, &attach)) snprintf(why, size, DRIVER " was loaded before " MODULE);
    else if (!attach(driver)) snprintf(why, size, DRIVER " does not load, or is too old to tell");
    if (why[0]) *watch = (ib_hw_watch){0};
    return 1;
}
