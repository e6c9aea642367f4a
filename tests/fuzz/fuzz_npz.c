/* Arrays from strangers: the ZIP directory, the members, the NumPy headers, the deflate streams. */
#include "accept.h"
#include "sink/npy_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_ELEMENTS (1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_array(int fd, const ib_zip_member *member)
{
    ib_npy_stream *stream;
    if (ib_npy_open(fd, "fuzz", member, NULL, &stream) != ISOBATH_OK) return;
    int64_t n = 1;
    for (int i = 0; i < ib_npy_rank(stream); i++) n *= ib_npy_shape(stream)[i]; /* bounded by the reader */
    if (n > MAX_ELEMENTS) n = MAX_ELEMENTS;
    float *values = malloc((size_t)n * sizeof *values + 8);
    int64_t *times = malloc((size_t)n * sizeof *times + 8);
    char text[16];
    if (values && times) {
        if (ib_npy_read_float(stream, n / 2, n - n / 2, values) == ISOBATH_OK) fuzz_accept(1);
        ib_npy_read_float(stream, 0, n, values); /* going back starts over */
        ib_npy_read_int64(stream, 0, n, times);
        ib_npy_read_text(stream, text, sizeof text);
    }
    free(values);
    free(times);
    ib_npy_close(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    ib_zip_member members[8];
    int count;
    if (ib_zip_list(fd, "fuzz", NULL, members, 8, &count) == ISOBATH_OK)
        for (int i = 0; i < count; i++) read_array(fd, &members[i]);
    read_array(fd, NULL);
    close(fd);
    return 0;
}
