/* Selection: the k-th smallest of a list without sorting it. */
#ifndef IB_BASE_SELECT_H
#define IB_BASE_SELECT_H

#include <stddef.h>

/* k-th smallest (k < n, n >= 1) of v; reorders v so that v[k] is it and none before it is larger. No NaN. */
double ib_select_nth(double *v, size_t n, size_t k);

#endif
