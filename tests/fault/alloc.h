/* Allocations that fail on purpose. The program is linked with --wrap for every allocating function that our code calls
 * (CMakeLists.txt lists them), so calls from our objects come here and those inside libraries do not. */
#ifndef TESTS_FAULT_ALLOC_H
#define TESTS_FAULT_ALLOC_H

#include <stdint.h>

typedef enum fault_mode {
    FAULT_NEVER, /* only counts */
    FAULT_ONCE,  /* the n-th call fails */
    FAULT_FROM   /* the n-th call and all later ones fail: memory stays exhausted */
} fault_mode;

/* Counts from 1 again; from now on call n (of any thread) fails as `mode` says. */
void fault_arm(fault_mode mode, int64_t n);
/* No more failures. Returns the number of calls since fault_arm; *site: the address that the first failed call came from, NULL: none failed. */
int64_t fault_disarm(void **site);
/* Where `site` is, with the callers of the first failed call, on stderr (addresses for addr2line). */
void fault_print(void *site);

#endif
