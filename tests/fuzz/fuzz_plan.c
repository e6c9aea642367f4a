/* Plans from strangers: the text, a zero byte, the table of frames. What is read obeys what everybody else relies on. */
#include "accept.h"
#include "pipeline/cluster/shard.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    size_t text = zero ? (size_t)(zero - data) : size;
    ib_shard s;
    ib_diag diag = IB_DIAG_INIT;
    isobath_status st = ib_shard_parse((const char *)data, text, zero ? zero + 1 : data, zero ? size - text - 1 : 0, "fuzz", &diag, &s);
    if (st != ISOBATH_OK && !*diag.text) abort();
    if (st == ISOBATH_OK) {
        int64_t next = 0, frame = 0;
        if (s.segments < 1 || s.segments > s.windows || strlen(s.id) != 64 || strchr(s.name, '/')) abort();
        for (int64_t i = 0; i < s.segments && i < 1000; i++) {
            int64_t first, end;
            ib_shard_segment(&s, i, &first, &end);
            if (first != next || end <= first || end > s.windows) abort();
            next = end;
        }
        for (int64_t i = 0; i < s.repeats.count; i++)
            if (s.repeats.list[i].index < 1 || s.repeats.list[i].index >= s.frames || (i && s.repeats.list[i].index <= s.repeats.list[i - 1].index)) abort();
        for (int64_t w = 0; w < s.windows && w < 1000; w++) {
            int64_t first, end;
            ib_shard_final_frames(&s, w, &first, &end);
            if (first != frame || end < first || end > s.frames) abort();
            frame = end;
            ib_shard_slots(&s, w);
        }
    }
    fuzz_accept(st == ISOBATH_OK);
    ib_shard_free(&s);
    ib_diag_destroy(&diag);
    return 0;
}
