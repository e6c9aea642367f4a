/* Plans of chunks from strangers: JSON and lists. */
#include "accept.h"
#include "split/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_split_plan plan;
    isobath_status st = ib_split_plan_parse((const char *)data, size, "fuzz", NULL, &plan);
    fuzz_accept(st == ISOBATH_OK);
    if (st == ISOBATH_OK && plan.frames >= 0)
        for (int64_t k = 0; k < plan.count; k++) /* what later stages trust */
            if (plan.chunks[k].first < 0 || plan.chunks[k].frames < 1 ||
                plan.chunks[k].first + plan.chunks[k].frames > plan.frames)
                __builtin_trap();
    ib_split_plan_free(&plan);
    return 0;
}
