/* isobath worker: one device of a run, started by the run itself; not for people. */
#include "cli.h"

#include <isobath/worker.h>
#include <stdlib.h>
#include <string.h>

int cmd_worker(int argc, char **argv)
{
    int fd = -1;
    long parent = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--fd") == 0) fd = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--parent") == 0) parent = atol(argv[i + 1]);
    }
    if (fd < 0) return cli_fail("worker", ISOBATH_ERR_USAGE, "started by isobath run for each device (see isobath run --help, --devices)");
    return isobath_worker_run(fd, parent);
}
