/* Journals from strangers: whatever the bytes, no crash, and what is accepted is consistent and accepted again. */
#include "accept.h"
#include "base/bytes.h"
#include "pipeline/journal/journal.h"

#include <libdeflate.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok) abort();
}

static void parse(const uint8_t *data, size_t size)
{
    ib_journal_state state, again;
    if (ib_journal_parse(data, size, "fuzz", NULL, &state) != ISOBATH_OK) return;
    fuzz_accept(state.window_count > 0);
    check(state.valid_bytes > 8 && (size_t)state.valid_bytes <= size && state.identity);
    check(state.frame_count == 0 || (state.frames && state.sink_count >= 0));
    for (int64_t i = 0; i < state.frame_count; i++)
        for (int s = 0; s < state.sink_count; s++)
            for (int b = 0; b < state.state_bytes[s]; b++) (void)*(volatile uint8_t *)&state.sink_state[s][i * state.state_bytes[s] + b];
    for (int64_t i = 0; i < state.repeated_count; i++) check(state.repeated[i] > (i ? state.repeated[i - 1] : 0));
    for (int64_t i = 1; i < state.window_count; i++)
        check(state.windows[i].k == 0 ? state.windows[i].shot == state.windows[i - 1].shot + 1 : state.windows[i].k == state.windows[i - 1].k + 1);
    check(ib_journal_parse(data, (size_t)state.valid_bytes, "fuzz", NULL, &again) == ISOBATH_OK);
    check(again.valid_bytes == state.valid_bytes && again.frame_count == state.frame_count && again.window_count == state.window_count);
    ib_journal_state_free(&again);
    ib_journal_state_free(&state);
}

/* The checksum of every record that fits becomes right, so that what stands behind the check is reached, too. */
static void mend(uint8_t *data, size_t size)
{
    for (size_t at = 8; size > at + 8;) {
        uint32_t bytes;
        ib_get32(data + at, &bytes);
        if (bytes < 1 || bytes > size - at - 8) break;
        ib_put32(data + at + 4, libdeflate_crc32(0, data + at + 8, bytes));
        at += 8 + bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy) return 0;
    memcpy(copy, data, size);
    if (size) mend(copy, size);
    parse(copy, size);
    free(copy);
    return 0;
}
