/* What a run and its worker processes say to each other: fixed-size messages over a SOCK_SEQPACKET socket, each with a sequence number
 * and a CRC, so that a worker that has gone mad is noticed. Both ends are the same program; OPEN says which version. */
#ifndef IB_PIPELINE_FLEET_WIRE_H
#define IB_PIPELINE_FLEET_WIRE_H

#include "model/vda.h"
#include "pipeline/fleet/shared.h"
#include "pipeline/plan.h"

#define IB_WIRE_VERSION "isobath " ISOBATH_VERSION " wire 5"

typedef enum ib_message_type {
    IB_MSG_OPEN = 1, /* to the worker: what to be */
    IB_MSG_OPENED,   /* from it: its kind */
    IB_MSG_LOAD,     /* to it, with the shared memory's descriptor: the network */
    IB_MSG_LOADED,   /* from it: windows may come */
    IB_MSG_WINDOW,   /* to it */
    IB_MSG_RESULT,   /* from it: windows in the order in which they came */
    IB_MSG_TICK,     /* from it, now and then: it is alive */
    IB_MSG_FAILED,   /* from it, the last message */
    IB_MSG_BYE,      /* to it: end in peace */
    IB_MSG_REST,     /* to it, when nothing is in work: the run is over; OPEN for another one follows, or BYE */
    IB_MSG_MISFIT,   /* from it, the last message: the input does not give it the frames of a window */
    IB_MSG_TYPES
} ib_message_type;

typedef struct ib_msg_open {
    char version[64];
    int32_t device; /* CUDA ordinal, IB_DEVICE_CPU or IB_DEVICE_NULL of setup.h */
    int32_t act, threads;
    char isa[16]; /* "": the best */
    int32_t decodes; /* 1: it is to open the input itself, with these options (their pointers mean nothing) */
    char input[4096];
    ib_media_options media;
} ib_msg_open;

typedef struct ib_msg_opened {
    char kind[128];
    int32_t decodes, width, height; /* 1: it has opened the input, whose pictures have this size */
    char decoder[96], colour[96];   /* as of ib_media_info */
    char why[256];                  /* decodes 0 although it was to: the reason */
} ib_msg_opened;

typedef struct ib_msg_load {
    char model_path[4096];
    ib_vda_config config;
    ib_vda_shape shape;   /* its budget does not travel */
    uint64_t budget_bytes; /* 0: no limit */
    ib_shared_layout shared;
    int32_t decodes; /* 1: it reads the frames itself; behind the maps of a raw window are 32 thumbnails then */
    int32_t share, shares, places; /* of raw places [0, places) every shares-th from `share` on is meant for it */
} ib_msg_load;

/* Where decoding begins for a frame; of media/index.h. */
typedef struct ib_msg_point {
    int64_t key_us, lead;
} ib_msg_point;

typedef struct ib_msg_window {
    int64_t order; /* its number in the run */
    int64_t shot, k;
    int64_t index[IB_PLAN_WINDOW]; /* of the frames in the video: equal ones are one frame */
    int32_t frame[IB_PLAN_WINDOW]; /* places in shared memory */
    int32_t raw;                   /* place for the result */
    int32_t first, end;            /* slots of new frames. This and what follows is for a worker that decodes */
    int64_t pts_us[IB_PLAN_WINDOW];
    ib_msg_point point[2];         /* of the frames in slots 0 and 1 */
    int64_t video_frames;          /* -1: not known yet */
} ib_msg_window;

/* Seconds in which a worker's device had nothing to compute since it was loaded, by what was missing. */
typedef struct ib_msg_waits {
    double window_s; /* it was given no window */
    double jump_s;   /* the frames of a window that begins elsewhere than the one before it ended */
    double frames_s; /* the frames of another window */
} ib_msg_waits;

typedef struct ib_msg_result {
    int64_t order;
    int32_t raw, redone;
    int64_t nonfinite;
    double flops, busy_s; /* since it was loaded */
    /* of a worker that decodes: hashes of the pictures that the window shares with the one before it, and with the one after it; and since
     * it was opened */
    uint32_t before[IB_PLAN_OVERLAP], after[IB_PLAN_OVERLAP];
    double decode_s;
    ib_msg_waits waits;
} ib_msg_result;

typedef struct ib_msg_tick {
    double flops, busy_s;
    int32_t grace_s; /* nothing may be heard for so long after this; 0: as usual */
} ib_msg_tick;

typedef struct ib_msg_failed {
    int32_t status; /* isobath_status */
    char text[IB_DIAG_TEXT];
} ib_msg_failed;

typedef struct ib_msg_misfit {
    int64_t order;
    char text[IB_DIAG_TEXT];
} ib_msg_misfit;

typedef struct ib_message {
    uint32_t magic, type, bytes, sequence, crc, unused; /* set by ib_wire_send */
    union {
        ib_msg_open open;
        ib_msg_opened opened;
        ib_msg_load load;
        ib_msg_window window;
        ib_msg_result result;
        ib_msg_tick tick;
        ib_msg_failed failed;
        ib_msg_misfit misfit;
    } u;
} ib_message;

/* One end. */
typedef struct ib_wire {
    int fd;
    uint32_t sent, received;
} ib_wire;

/* Sends m->type with its body, and descriptor `pass` when it is not negative. `wait`: block while the other end does not read; else
 * that is a failure. 0 on success, else errno. */
int ib_wire_send(ib_wire *wire, ib_message *m, int pass, int wait);

typedef enum ib_wire_got { IB_WIRE_MESSAGE, IB_WIRE_NOTHING, IB_WIRE_CLOSED, IB_WIRE_GARBAGE } ib_wire_got;
/* Receives one message; *passed (NULL allowed) gets a descriptor or -1. `wait`: block. GARBAGE: *why says what is wrong. Strings in
 * the message are ended. */
ib_wire_got ib_wire_receive(ib_wire *wire, ib_message *m, int *passed, int wait, const char **why);

/* Is this a whole and sound message, `bytes` long, the `sequence`-th? NULL, or what is wrong. For receivers and fuzzing. */
const char *ib_message_check(ib_message *m, size_t bytes, uint32_t sequence);

#endif
