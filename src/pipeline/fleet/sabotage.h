/* Faults on purpose in a worker process, for tests of the run that has to survive them. Read from the environment variable
 * ISOBATH_WORKER_TEST: items separated by commas. Without it nothing here does anything.
 *   rgb           (read by the run) the CPU gets frames as RGB also where planes are smaller
 *   decoders=N    a worker that decodes has N of them (1 or 2), whatever its device
 *   delay_us=N    sleeps up to N microseconds before each window, at random
 *   pause_us=N    sleeps N microseconds
 *   card_us=N     (also read by the run) `null` devices are dealt with as cards are, and a window is there N microseconds after it was begun
 *                 or the one before it was there; results are a picture that does not change but for the first row,
 *                 which says which frame it is: 1 + (frame mod 64) / 16
 *   nvdec=N       such devices decode on the first N cards
 *   decode_us=N   a decoder of a worker takes so long for a frame, at least
 *   once=PATH     the following faults happen to the one process that can remove this file, and to no other
 *   always        they happen to every process
 *   window=K      at this window of the run (default 0)
 *   die | hang | oom | nan | place | noise | hash
 *                 it kills itself; stops; says that memory is out; writes NaN; names another place; sends bytes that are no message; read
 *                 other pictures than its neighbours
 *   short         the device has no memory left for this window, until the network has taken a smaller plan
 *   starved       nor then
 *   broken | poison
 *                 also in the run's own process (worker.c): the device fails; a kernel reads where nothing is, which a card's context
 *                 does not survive */
#ifndef IB_PIPELINE_FLEET_SABOTAGE_H
#define IB_PIPELINE_FLEET_SABOTAGE_H

#include "pipeline/fleet/wire.h"

typedef struct ib_sabotage {
    uint32_t state;
    int delay_us, pause_us, card_us, decode_us, nvdec, decoders, always;
    int64_t due_us; /* of the window that was begun last */
    int64_t window;
    char fault[8], once[256]; /* fault: its first 7 letters */
} ib_sabotage;

void ib_sabotage_init(ib_sabotage *sabotage);
/* In any process: is the device (as of setup.h) a card, or treated as one? */
int ib_sabotage_is_card(int device);
void ib_sabotage_before(ib_sabotage *sabotage, int64_t order);
isobath_status ib_sabotage_fails(ib_sabotage *sabotage, int64_t order, ib_diag *diag);
/* In any process: for ib_compute_starve before this window. */
int ib_sabotage_starves(ib_sabotage *sabotage, int64_t order);
/* The device fails at this window of the stream, by itself or by a kernel that reads where nothing is. */
isobath_status ib_sabotage_breaks(ib_sabotage *sabotage, int64_t order, ib_backend *backend, ib_diag *diag);
/* When the window that begins now is there; 0: when it is. ib_sabotage_wait waits for that. */
int64_t ib_sabotage_due(ib_sabotage *sabotage);
void ib_sabotage_wait(int64_t due_us);
/* What a played card leaves in a place for results; and writes for a window, f32 (32,height,width). */
void ib_sabotage_fill(float *raw, size_t count);
void ib_sabotage_stamp(const ib_sabotage *sabotage, const ib_msg_window *window, int height, int width, float *raw);
void ib_sabotage_result(ib_sabotage *sabotage, int fd, ib_msg_result *result, float *raw);

#endif
