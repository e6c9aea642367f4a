/* Messages of worker processes: whatever comes out of the socket is told apart from a message; the memory layout that LOAD announces and
 * the frames in it are checked before they are used. */
#include "accept.h"
#include "pipeline/fleet/wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A layout and a first frame from outside: mapped, or refused in one line. */
static void try_layout(const ib_shared_layout *l, const uint8_t *frame, size_t size)
{
    ib_diag diag = IB_DIAG_INIT;
    uint8_t *base;
    ib_yuv_planes planes;
    int has_planes, fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 1 << 24) != 0) abort();
    if (ib_shared_map(fd, l, &diag, &base) == ISOBATH_OK) {
        if (l->frames > 0) {
            memcpy(base, frame, size < l->frame_stride ? size : l->frame_stride);
            const uint8_t *at = ib_shared_frame(base, l, 0, &planes, &has_planes);
            fuzz_accept(at != NULL);
            for (int i = 0; at && has_planes && i < planes.planes; i++) { /* first and last sample row are inside */
                const uint8_t *end = planes.plane[i] + planes.stride[i] * planes.rows[i];
                if (planes.plane[i] < base || end > base + l->frame_stride) abort();
            }
        }
        munmap(base, l->bytes);
    } else if (!*diag.text) abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ib_message *m = calloc(1, sizeof *m);
    if (!m) return 0;
    memcpy(m, data, size < sizeof *m ? size : sizeof *m);
    const char *why = ib_message_check(m, size < sizeof *m ? size : sizeof *m, m->sequence);
    if (!why && m->type == IB_MSG_LOAD) try_layout(&m->u.load.shared, data, size);
    /* and without the checksum in the way */
    if (size >= sizeof(ib_shared_layout)) {
        ib_shared_layout l;
        memcpy(&l, data, sizeof l);
        try_layout(&l, data + sizeof l, size - sizeof l);
    }
    free(m);
    return 0;
}
