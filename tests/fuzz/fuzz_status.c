/* Status files from strangers: whatever the folder holds, a report or one clear line. */
#include "accept.h"
#include "pipeline/report/status.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    isobath_report r;
    ib_diag diag = IB_DIAG_INIT;
    isobath_status st = ib_status_parse((const char *)data, size, "fuzz", &diag, &r);
    fuzz_accept(st == ISOBATH_OK);
    if (st == ISOBATH_OK) {
        if (r.state >= ISOBATH_REPORT_DEAD || !r.progress.slowest || r.device_count > ISOBATH_REPORT_DEVICES || r.gpu_count > ISOBATH_REPORT_DEVICES) abort();
        if (!memchr(r.name, 0, sizeof r.name) || !memchr(r.error, 0, sizeof r.error)) abort();
    } else if (!*diag.text) abort();
    int alive = ib_status_alive((const char *)data, size);
    if (alive < -1 || alive > 1) abort();
    ib_diag_destroy(&diag);
    return 0;
}
