/* Errors inside the library: the first failure with its one line of text is kept, later ones are consequences. */
#ifndef IB_BASE_DIAG_H
#define IB_BASE_DIAG_H

#include <isobath/status.h>
#include <pthread.h>
#include <stdarg.h>

#define IB_DIAG_TEXT 768

/* Holds the first error of a session. Thread-safe: any thread may fail, the first one wins. */
typedef struct ib_diag {
    pthread_mutex_t lock;
    isobath_status status; /* ISOBATH_OK until something failed */
    char text[IB_DIAG_TEXT];
} ib_diag;

#define IB_DIAG_INIT {PTHREAD_MUTEX_INITIALIZER, ISOBATH_OK, ""}

void ib_diag_init(ib_diag *diag);
void ib_diag_destroy(ib_diag *diag);
/* Forgets the error, so that the object can be used again. */
void ib_diag_reset(ib_diag *diag);

/* Records `status` and a printf-formatted line (what, where, what was expected; no newline) unless an error is
 * recorded already; `diag` may be NULL (the text is dropped). Returns `status`, so `return ib_fail(...)` reads well. */
isobath_status ib_fail(ib_diag *diag, isobath_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The recorded status. */
isobath_status ib_diag_status(ib_diag *diag);

/* `IB_TRY(f(...))` returns from the calling function when f fails. */
#define IB_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        isobath_status ib_try_ = (expr);                                                                               \
        if (ib_try_ != ISOBATH_OK) return ib_try_;                                                                     \
    } while (0)
/* The same for functions with clean-up: stores into `st` and jumps to `label`. */
#define IB_TRY_GOTO(st, expr, label)                                                                                   \
    do {                                                                                                               \
        (st) = (expr);                                                                                                 \
        if ((st) != ISOBATH_OK) goto label;                                                                            \
    } while (0)

#endif
