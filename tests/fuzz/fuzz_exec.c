/* What a depth program may write: headers before and after its hello, and the hello itself. */
#include "accept.h"
#include "pipeline/exec/exec_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_exec_hello hello = {.width = 3, .height = 2};
    ib_exec_header header;
    if (size >= IB_EXEC_HEADER) {
        if (ib_exec_read_header(data, NULL, NULL, &header) == ISOBATH_OK && header.size > IB_EXEC_TEXT_MAX) abort();
        if (ib_exec_read_header(data, &hello, NULL, &header) == ISOBATH_OK && header.size > IB_EXEC_TEXT_MAX) abort();
        data += IB_EXEC_HEADER;
        size -= IB_EXEC_HEADER;
    }
    isobath_status st = ib_exec_read_hello((const char *)data, size, NULL, &hello);
    fuzz_accept(st == ISOBATH_OK);
    if (st == ISOBATH_OK)
        if (hello.width < 1 || hello.height < 1 || hello.width > IB_EXEC_SIDE_MAX || hello.height > IB_EXEC_SIDE_MAX || !hello.name[0] ||
            !memchr(hello.name, '\0', sizeof hello.name))
            abort();
    return 0;
}
