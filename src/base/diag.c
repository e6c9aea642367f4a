/* Errors inside the library; see diag.h. */
#include "base/diag.h"

#include <stdio.h>

const char *isobath_status_name(isobath_status status)
{
    switch (status) {
    case ISOBATH_OK: return "ok";
    case ISOBATH_ERR_INTERNAL: return "internal error";
    case ISOBATH_ERR_USAGE: return "usage error";
    case ISOBATH_ERR_INPUT: return "input error";
    case ISOBATH_ERR_MODEL: return "model error";
    case ISOBATH_ERR_IO: return "I/O error";
    case ISOBATH_ERR_MEMORY: return "out of memory";
    case ISOBATH_ERR_DEVICE: return "device error";
    case ISOBATH_ERR_EXISTS: return "result exists";
    case ISOBATH_ERR_UNSUPPORTED: return "not supported";
    case ISOBATH_ERR_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}

void ib_diag_init(ib_diag *diag)
{
    pthread_mutex_init(&diag->lock, NULL);
    diag->status = ISOBATH_OK;
    diag->text[0] = 0;
}

void ib_diag_destroy(ib_diag *diag) { pthread_mutex_destroy(&diag->lock); }

void ib_diag_reset(ib_diag *diag)
{
    pthread_mutex_lock(&diag->lock);
    diag->status = ISOBATH_OK;
    diag->text[0] = 0;
    pthread_mutex_unlock(&diag->lock);
}

isobath_status ib_fail(ib_diag *diag, isobath_status status, const char *format, ...)
{
    if (!diag) return status;
    pthread_mutex_lock(&diag->lock);
    if (diag->status == ISOBATH_OK) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(diag->text, sizeof diag->text, format, ap);
        va_end(ap);
        diag->status = status;
    }
    pthread_mutex_unlock(&diag->lock);
    return status;
}

isobath_status ib_diag_status(ib_diag *diag)
{
    pthread_mutex_lock(&diag->lock);
    isobath_status st = diag->status;
    pthread_mutex_unlock(&diag->lock);
    return st;
}
