/* Fuzz target: the .pth reader (zip and restricted pickle) on any bytes; every tensor of what it accepts is read. */
#include "accept.h"
#include "weights/checkpoint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_checkpoint *c = NULL;
    if (ib_torch_pth_parse(data, size, "fuzz", NULL, &c) != ISOBATH_OK) return 0;
    fuzz_accept(1);
    for (size_t i = 0; i < ib_checkpoint_count(c); i++) {
        const ib_checkpoint_tensor *t = ib_checkpoint_at(c, i);
        if (t->count > (int64_t)size || ib_checkpoint_find(c, t->name) != t) abort(); /* more values than bytes */
        float *values = malloc((size_t)t->count * sizeof *values + 1);
        if (!values) abort();
        ib_checkpoint_read_f32(t, values);
        free(values);
    }
    ib_checkpoint_close(c);
    return 0;
}
