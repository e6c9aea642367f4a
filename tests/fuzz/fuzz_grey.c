/* Any bytes as a grey depth video: open, count, read forwards and back. */
#include "accept.h"
#include "media/grey.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_PIXELS (256 * 256)
#define MAX_FRAMES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_frames(ib_grey *grey, const ib_grey_info *info)
{
    float *samples = malloc(sizeof *samples * (size_t)info->width * (size_t)info->height);
    int64_t last_us = -1, n = info->frames < MAX_FRAMES ? info->frames : MAX_FRAMES;
    for (int64_t i = 0; samples && i < n; i++) {
        if (ib_grey_time_us(grey, i) < last_us) abort(); /* times must not go back */
        last_us = ib_grey_time_us(grey, i);
        if (ib_grey_read(grey, i, samples) != ISOBATH_OK) break;
        fuzz_accept(1);
        for (int k = 0; k < info->width * info->height; k++)
            if (!(samples[k] >= 0 && samples[k] < (float)(1 << info->bits))) abort();
    }
    if (samples) ib_grey_read(grey, 0, samples);
    free(samples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20) return 0;
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ib_grey *grey;
    if (ib_grey_open(path, 1, NULL, &grey) == ISOBATH_OK) {
        const ib_grey_info *info = ib_grey_get_info(grey);
        if (info->width > 0 && info->height > 0 && (int64_t)info->width * info->height <= MAX_PIXELS)
            read_frames(grey, info);
        ib_grey_close(grey);
    }
    close(fd);
    return 0;
}
