/* Where modules are that the program loads at run time. */
#ifndef IB_BASE_MODULE_PATH_H
#define IB_BASE_MODULE_PATH_H

#include <limits.h>
#include <stddef.h>

#define IB_MODULE_PATH_SIZE (PATH_MAX + 64)

/* The first `file` that exists in: the folder of the running program, its parent, ../lib beside it, the library folder of the
 * installation. With `variable` set in the environment: what it says, unchecked. 0: there is none. Thread-safe. */
int ib_module_path(const char *file, const char *variable, char path[IB_MODULE_PATH_SIZE]);
/* The last of these folders, for messages. */
const char *ib_module_library_folder(void);

#endif
