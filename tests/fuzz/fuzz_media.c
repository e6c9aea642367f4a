/* Any bytes as a video or image file, through the whole of ib_media: open, convert, reduce. The first byte chooses the
 * options; the rest is the file. Pictures are capped, frames are few, so that one input takes a moment. */
#include "accept.h"
#include "media/index.h"
#include "media/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_PIXELS (256 * 256)
#define MAX_FRAMES 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_it(const char *path, const ib_media_options *options)
{
    ib_diag diag;
    ib_diag_init(&diag);
    ib_media *m = NULL;
    isobath_status st = ib_media_open(path, options, &diag, &m);
    if (st == ISOBATH_OK) {
        const ib_media_info *info = ib_media_get_info(m);
        uint8_t *rgb = malloc((size_t)info->width * (size_t)info->height * 3);
        ib_media_frame frame = {.pts_us = -1};
        int64_t last_us = -1;
        for (int got = 1; st == ISOBATH_OK && got;) {
            st = ib_media_read(m, rgb, &frame, &got);
            if (st == ISOBATH_OK && got && frame.pts_us <= last_us) abort(); /* times must increase */
            last_us = frame.pts_us;
        }
        free(rgb);
    }
    fuzz_accept(st == ISOBATH_OK);
    if ((st == ISOBATH_OK) != (diag.text[0] == '\0')) abort(); /* a failure has its line, success has none */
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

/* The same file as packets tell it: times that increase, key frames before them; and a jump to the last frame found. */
static void index_it(const char *path, const ib_media_options *options)
{
    ib_diag diag;
    ib_diag_init(&diag);
    ib_media_index *index = NULL;
    ib_media *m = NULL;
    ib_media_entry entry = {0}, last = {.pts_us = -1};
    int64_t count = 0;
    isobath_status st = ib_media_index_open(path, options, 1, &diag, &index);
    for (int got = 1; st == ISOBATH_OK && got;) {
        st = ib_media_index_next(index, &entry, &got);
        if (st != ISOBATH_OK || !got) continue;
        if (entry.pts_us <= last.pts_us || entry.key_us > entry.pts_us || entry.lead < 0) abort();
        last = entry;
        count++;
    }
    ib_media_index_close(index);
    if ((st == ISOBATH_OK) != (diag.text[0] == '\0')) abort();
    ib_diag_reset(&diag);
    if (count > 1 && ib_media_open(path, options, &diag, &m) == ISOBATH_OK) {
        ib_media_frame frame;
        int arrived, got;
        if (ib_media_jump_from(m, count - 1, last.pts_us, last.key_us, &arrived) == ISOBATH_OK && arrived &&
            ib_media_read(m, NULL, &frame, &got) == ISOBATH_OK && got && frame.pts_us != last.pts_us)
            abort();
    }
    ib_media_close(m);
    ib_diag_destroy(&diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) return 0;
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1)) abort();
    char path[64];
    /* a name with an image's extension goes the way of image sequences */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ib_media_options o = {.max_frames = MAX_FRAMES, .max_pixels = MAX_PIXELS, .threads = 1 + (data[0] & 1)};
    if (data[0] & 2) o.on_error = IB_ON_ERROR_REPEAT;
    if (data[0] & 4) o.max_res = 48;
    if (data[0] & 32) o.crop = IB_CROP_AUTO;
    if (data[0] & 64) o.square_pixels = o.deinterlace = 1;
    if (data[0] & 128) o.start_frame = data[0] & 64 ? 70 : 2, o.start_s = 0.05; /* 70: by the index */
    if (data[0] & 8) o.raw_format = "16x16:yuv420p:25";
    char folder[] = "/tmp/fuzz_media_XXXXXX", image[64];
    if ((data[0] & 16) && mkdtemp(folder)) {
        snprintf(image, sizeof image, "%s/a.png", folder);
        if (symlink(path, image) == 0) {
            o.raw_format = NULL;
            read_it(image, &o);
            unlink(image);
        }
        rmdir(folder);
    } else {
        read_it(path, &o);
        index_it(path, &o);
    }
    close(fd);
    return 0;
}
