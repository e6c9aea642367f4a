/* Camera files from strangers: YAML and JSON; see src/track/lens.h. */
#include "accept.h"
#include "track/lens.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_lens lens;
    double ray[2];
    for (int json = 0; json < 2; json++) {
        if ((json ? ib_lens_parse_json : ib_lens_parse_yaml)((const char *)data, size, "fuzz", NULL, &lens) != ISOBATH_OK) continue;
        fuzz_accept(1);
        ib_lens_ray(&lens, 10, 20, ray);
        if (!(lens.fx > 0) || !(lens.fy > 0)) __builtin_trap();
    }
    return 0;
}
