/* The fleet's insides: fleet.c (stream, assembling), fleet_devices.c (worker processes, one thread for all of them). */
#ifndef IB_PIPELINE_FLEET_FLEET_INTERNAL_H
#define IB_PIPELINE_FLEET_FLEET_INTERNAL_H

#include "pipeline/fleet/fleet.h"
#include "pipeline/reader.h"
#include "pipeline/fleet/schedule.h"

/* A window until it is handed on. */
typedef struct ib_fleet_job {
    ib_window window; /* raw, release: unused */
    ib_source_frame *frames[IB_PLAN_WINDOW]; /* until it has its result */
    int raw;                                 /* place of the result */
} ib_fleet_job;

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
    ib_fleet_flight flight[IB_SCHEDULE_DEPTH]; /* oldest first */
    int flights;
    int failures;
    int64_t quiet_us; /* how long nothing was heard while something was due, as far as this process was awake */
    int grace_s;
    char fault[IB_DIAG_TEXT]; /* why it was killed last; "": it died by itself */
    isobath_status fault_status;
    int64_t windows;
    double flops, busy_s, flops_before, busy_before; /* of this process; of those before it */
} ib_fleet_device;

struct ib_fleet {
    ib_window_stream stream;
    ib_fleet_options o;
    ib_shared *shared;
    ib_source *source;
    ib_reader reader;
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
    ib_fleet_device device[IB_MAX_DEVICES];
};

void ib_fleet_wake(ib_fleet *fleet);
void *ib_fleet_devices_main(void *fleet); /* the thread */
void ib_fleet_drop_frames(ib_source_frame *frames[IB_PLAN_WINDOW]);

#endif
