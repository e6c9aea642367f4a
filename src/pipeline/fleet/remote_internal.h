/* The insides of a worker process: remote.c (its life: one thread listens to the run, the main one computes), remote_network.c (device,
 * network, places of results), remote_feed.c (windows to do; where it decodes for itself, threads that read frames ahead and one that looks at
 * them). */
#ifndef IB_PIPELINE_FLEET_REMOTE_INTERNAL_H
#define IB_PIPELINE_FLEET_REMOTE_INTERNAL_H

#include "base/clock.h"
#include "pipeline/compute.h"
#include "pipeline/fleet/feed.h"
#include "pipeline/fleet/sabotage.h"
#include "pipeline/fleet/schedule.h"
#include "pipeline/fleet/trace.h"
#include "pipeline/fleet/wire.h"
#include "pipeline/setup.h"

#define IB_REMOTE_TICK_US 200000
#define IB_REMOTE_QUEUE 16 /* windows that may wait; the run sends fewer */
#define IB_REMOTE_FEEDS 2  /* decoders of a card: while one is at the end of a segment, the other one jumps to the next */

_Static_assert(IB_REMOTE_QUEUE > IB_SCHEDULE_DEEP, "windows in work");

/* A window to compute. */
typedef struct ib_remote_task {
    struct ib_remote_task *next; /* of a worker that decodes, from here on */
    int feed;                    /* who reads it */
    int jump;                    /* it does not follow the one before it */
    int taken, read;             /* its reading has begun; has ended */
    ib_msg_window window;
    ib_feed_frames frames;
    isobath_status status; /* of reading them */
    char why[IB_DIAG_TEXT];
} ib_remote_task;

/* A window in work. */
typedef struct ib_remote_flight {
    ib_msg_window window;
    uint32_t before[IB_PLAN_OVERLAP], after[IB_PLAN_OVERLAP]; /* of ib_msg_result */
    int64_t begun_us, due_us; /* due_us: of ib_sabotage_due */
} ib_remote_flight;

typedef struct ib_remote {
    ib_wire wire;
    ib_diag diag;
    char isa[16];
    ib_setup setup; /* only what ib_setup_open_network needs */
    ib_pool *pool;
    ib_backend *backend;
    ib_vda *vda;
    ib_compute *compute;
    ib_vda_memory memory;
    ib_shared_layout layout;
    uint8_t *base;
    atomic_int *registered; /* per raw place: whether the device knows it: PLACE_... of remote_network.c */
    pthread_t registrar;
    int registering, share, shares, places;
    atomic_int enough; /* the registrar is to end */
    int64_t last_tick_us;
    ib_sabotage sabotage;
    /* windows to do: written by the listener */
    pthread_mutex_t lock;
    pthread_cond_t came;
    ib_msg_window queue[IB_REMOTE_QUEUE];
    int queued, bye, rest;
    ib_msg_open open;
    ib_feed *feed[IB_REMOTE_FEEDS]; /* the first one NULL: frames are in shared memory */
    int feeds, turn;      /* of the segment that windows come of */
    ib_msg_window newest;
    ib_remote_task *head, **tail; /* windows in the order in which they came, until they have been looked at */
    ib_feed_look look;
    ib_remote_task *ready[IB_REMOTE_QUEUE]; /* afterwards */
    int ready_count, starved; /* starved: no more come */
    const ib_remote_task *looking; /* the one that is looked at now */
    pthread_cond_t fed;
    pthread_t feeder[IB_REMOTE_FEEDS], looker;
    char held[4200]; /* what device and network are of, while they rest; "": nothing is held */
    ib_remote_flight flight[2]; /* oldest first */
    int flights;
    int64_t finished_us; /* when the last one was there */
    double window_us;    /* smoothed time that the device takes for one; 0: not known */
    ib_msg_waits waits;
    ib_trace *trace;
} ib_remote;

/* remote.c. Messages to the run; the next one from it, which must be of this type. A run that is gone ends this process. */
void ib_remote_tell(ib_remote *remote, ib_message *m);
void ib_remote_tell_tick(ib_remote *remote, int grace_s);
int ib_remote_tick(void *remote); /* now and then; 0 */
isobath_status ib_remote_expect(ib_remote *remote, ib_message_type type, ib_message *m, int *passed);

/* remote_network.c. Becomes the device that the run asks for, as far as that needs no network. */
isobath_status ib_remote_open_device(ib_remote *remote);
isobath_status ib_remote_load_network(ib_remote *remote);
void ib_remote_drop_network(ib_remote *remote);
void ib_remote_close_feeds(ib_remote *remote);
/* A place for a result, known to the device. */
static inline int ib_remote_is_place(const ib_remote *r, int raw) { return raw >= 0 && raw < r->layout.raws; }
float *ib_remote_raw_place(ib_remote *remote, int place);
void ib_remote_end_places(ib_remote *remote); /* at the end of a run */

/* remote_feed.c. A window for the decoders; remote->lock is held. */
void ib_remote_add_task(ib_remote *remote, const ib_msg_window *window);
isobath_status ib_remote_start_feed(ib_remote *remote);
/* 1: *out is the next window; 0: none is there while another one is in work, or the run says good-bye. */
int ib_remote_next_task(ib_remote *remote, ib_remote_task *out);
double ib_remote_decode_busy_s(ib_remote *remote);
void ib_remote_end_feed(ib_remote *remote);

#endif
