/* The fleet's insides: fleet.c (stream, assembling), fleet_devices.c (worker processes: one thread for all of them), fleet_talk.c (what that
 * thread says to them and hears). */
#ifndef IB_PIPELINE_FLEET_FLEET_INTERNAL_H
#define IB_PIPELINE_FLEET_FLEET_INTERNAL_H

#include "base/pool.h"
#include "pipeline/fleet/fleet.h"
#include "pipeline/reader.h"
#include "pipeline/fleet/schedule.h"
#include "pipeline/fleet/trace.h"
#include "media/index.h"
#include "pipeline/shots.h"

/* A window until it is handed on. */
typedef struct ib_fleet_job {
    ib_window window; /* raw, release: unused */
    ib_source_frame *frames[IB_PLAN_WINDOW]; /* until it has its result */
    int raw;                                 /* place of the result */
    int first, end;                          /* slots of new frames */
    int64_t video_frames;                    /* -1: not known when it was planned */
    uint32_t before[IB_PLAN_OVERLAP], after[IB_PLAN_OVERLAP]; /* of ib_msg_result */
} ib_fleet_job;

/* A frame of the input that no one has decoded yet. */
typedef struct ib_planned_frame {
    ib_source_frame base; /* without a picture */
    ib_media_entry entry;
} ib_planned_frame;

/* Where windows come from when workers decode: only the assembler uses it. */
typedef struct ib_fleet_index {
    ib_media_index *index; /* NULL: frames come from the source */
    int64_t next, next_cut;
    int64_t video_frames;  /* -1: its end is not reached */
    int failed;
    ib_diag diag;
} ib_fleet_index;

/* Looks at the thumbnails of windows in order: likely cuts. Only the stream's reader uses it. */
typedef struct ib_fleet_look {
    ib_cut_detector detector;
    int64_t undecided, seen; /* frames [undecided, seen) wait for a decision; seen -1: none yet */
    int64_t sure;
} ib_fleet_look;

/* A window that a worker has: its frames and the place for its result stay until it answers or is dead. */
typedef struct ib_fleet_flight {
    int64_t order;
    ib_source_frame *frames[IB_PLAN_WINDOW];
    int raw;
} ib_fleet_flight;

typedef enum ib_fleet_state {
    IB_FLEET_START,   /* to be started */
    IB_FLEET_OPENING, /* asked what it is */
    IB_FLEET_LOADING, /* told the network */
    IB_FLEET_WORKING,
    IB_FLEET_DYING,   /* killed, not reaped */
    IB_FLEET_OUT      /* left out; or dismissed at the end */
} ib_fleet_state;

typedef struct ib_fleet_device {
    char name[16];
    int device; /* CUDA ordinal, IB_DEVICE_CPU or IB_DEVICE_NULL */
    ib_fleet_state state;
    ib_child *child;
    ib_fleet_flight flight[IB_SCHEDULE_DEEP]; /* oldest first */
    int flights, flights_noted; /* flights_noted: in the trace */
    int failures;
    int64_t quiet_us; /* how long nothing was heard while something was due, as far as this process was awake */
    int grace_s;
    char fault[IB_DIAG_TEXT]; /* why it was killed last; "": it died by itself */
    isobath_status fault_status;
    int64_t windows;
    double flops, busy_s, flops_before, busy_before; /* of this process; of those before it */
    double decode_s, decode_before;
    ib_msg_waits waits, waits_before;
    int no_place;         /* it could have a window more, but there is no place for its result */
    int64_t no_place_us;  /* how long */
} ib_fleet_device;

struct ib_fleet {
    ib_window_stream stream;
    ib_fleet_options o;
    ib_shared *shared;
    ib_source *source;
    ib_reader reader;
    ib_fleet_index index;
    ib_fleet_look look;
    atomic_int_fast64_t likely_cuts;
    ib_trace *trace;
    int64_t taken_us; /* when the reader took its last window; 0: it has none */
    ib_pool *checkers; /* look at results beside the devices' thread */
    int wake_fd; /* eventfd: the devices' thread has something to look at */
    pthread_t assembler, dispatcher;
    int assembling, dispatching;
    atomic_int stopping;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t changed;
    ib_schedule schedule;
    ib_fleet_job *jobs; /* ring of schedule.capacity */
    int over;           /* no more results will come */
    int64_t lost;
    int redo_told;
    int64_t decoded;             /* new frames of finished windows */
    char misfit[IB_DIAG_TEXT];   /* "": none */
    atomic_int misfits;          /* 1: there is one */
    int cut_short;               /* 1: packets tell no more windows than were appended */
    uint32_t after[IB_PLAN_OVERLAP]; /* of the window that was handed on last, window k of its shot */
    int64_t after_shot, after_k; /* after_k -1: nothing was */
    ib_fleet_device device[IB_MAX_DEVICES];
};

void ib_fleet_wake(ib_fleet *fleet);
/* fleet_index.c. The next frame that windows are made of; its entry; opening and closing. What is wrong with the packets is a misfit. */
ib_source_frame *ib_fleet_next_frame(void *fleet);
isobath_status ib_fleet_open_index(ib_fleet *fleet);
void ib_fleet_close_index(ib_fleet *fleet);
static inline const ib_media_entry *ib_fleet_entry(const ib_source_frame *frame) { return &((const ib_planned_frame *)(const void *)frame)->entry; }
/* The frames do not fit: what is there in order can still be taken. The lock is held. */
void ib_fleet_set_misfit(ib_fleet *fleet, const char *why);
/* Looks for cuts among the new frames [first, end) of a window whose first frame has this number in the video; slot -1: the end. */
void ib_fleet_look_at(ib_fleet *fleet, int64_t index, int first, int end, const ib_thumb *thumbs);
/* fleet_devices.c. The thread. */
void *ib_fleet_devices_main(void *fleet);
/* For that thread, which holds the lock. Takes everything from a device and kills its process; places that it may still write to are kept until
 * it is dead. `why` may be followed by its own words. */
void ib_fleet_fail_device(ib_fleet *fleet, ib_fleet_device *device, isobath_status status, const char *why);
/* A line for the log and for people. */
void ib_fleet_tell(ib_fleet *fleet, const ib_fleet_device *device, const char *event, const char *text);
/* fleet_talk.c. Tells a device that has said what it is the network; gives it as many windows as it may have; takes in everything that it has said. */
void ib_fleet_load(ib_fleet *fleet, ib_fleet_device *device);
void ib_fleet_feed(ib_fleet *fleet, ib_fleet_device *device);
void ib_fleet_hear(ib_fleet *fleet, ib_fleet_device *device);
void ib_fleet_drop_frames(ib_source_frame *frames[IB_PLAN_WINDOW]);

#endif
