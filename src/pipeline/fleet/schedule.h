/* Who computes which window: segments (runs of consecutive windows) for devices of different speed, in an order that keeps results in
 * sequence and memory bounded, whatever device is late, dies or comes back. Pure: knows no clock, thread, process or frame. */
#ifndef IB_PIPELINE_FLEET_SCHEDULE_H
#define IB_PIPELINE_FLEET_SCHEDULE_H

#include "pipeline/window.h"

#define IB_SCHEDULE_DEPTH 3    /* windows that a device has at a time: one or two in work, one waiting */
#define IB_SCHEDULE_DEEP 10    /* of a card that decodes its frames itself: so far ahead, for a jump to the next segment takes a while */
#define IB_SCHEDULE_RESERVE 2  /* result slots that only the oldest window may take, with several devices */
#define IB_SCHEDULE_LATE 3     /* times the median: then a second device gets the segment as well */
#define IB_SCHEDULE_MEDIAN 63  /* windows that the median is taken over */

/* Windows are numbered 0, 1, 2 ... over the whole range. */
typedef struct ib_schedule_segment {
    int64_t next, end; /* windows still to be given to the device; next == end: none */
    int64_t first;
    int64_t start_us;  /* when its first window was given; -1: not yet */
} ib_schedule_segment;

typedef struct ib_schedule_device {
    int depth;                  /* windows that it may have: the caller's, up to IB_SCHEDULE_DEEP; IB_SCHEDULE_DEPTH is the default */
    int working;                /* 0: starting, lost or left out */
    ib_schedule_segment segment, before; /* the one that it is given windows of, and the one before it */
    int64_t flight[IB_SCHEDULE_DEEP]; /* windows that it has, oldest first */
    int flight_count;
    int segments;               /* given so far: the first ones are short */
    double window_us;           /* smoothed time between its results; 0: none yet */
    int64_t last_us;            /* of its last result, or when it began to work again */
} ib_schedule_device;

typedef struct ib_schedule {
    int device_count;
    int segment_max;            /* windows */
    int64_t windows_hint;       /* -1: unknown */
    ib_schedule_device device[IB_MAX_DEVICES];
    int64_t out, appended;      /* windows [out, appended) are known and not handed on */
    int ended;                  /* no more will be appended */
    uint8_t *done;              /* ring of `capacity`: 1 when window i has its result */
    int32_t *lead;              /* ring: frames that are decoded for nothing when a segment begins with window i; -1: none ever */
    int64_t capacity;
    int64_t medians[IB_SCHEDULE_MEDIAN]; /* times of the last windows */
    int median_count, median_next;
    int64_t late;               /* segments given twice */
} ib_schedule;

/* At most `capacity` windows are known at a time. Errors: ISOBATH_ERR_MEMORY. */
isobath_status ib_schedule_init(ib_schedule *schedule, int devices, int segment_max, int64_t windows_hint, int64_t capacity,
                                ib_diag *diag);
void ib_schedule_free(ib_schedule *schedule);

/* One more window can be computed; 0: there is no room until older ones are handed on. `lead`: frames that whoever begins a segment with
 * it decodes for nothing, so that segments end where that is little; -1: where they begin does not matter. */
int ib_schedule_append(ib_schedule *schedule, int32_t lead);
/* The next window for the device with `free_slots` slots for results free; it has it from now on. -1: none now. */
int64_t ib_schedule_next(ib_schedule *schedule, int device, int free_slots, int64_t now_us);
/* The device answered for the oldest window that it had. 1: this is the window's result; 0: another device was faster. */
int ib_schedule_done(ib_schedule *schedule, int device, int64_t now_us);
/* The device works from now on, or works no more: what it had and has not answered goes to others. */
void ib_schedule_join(ib_schedule *schedule, int device, int64_t now_us);
/* Returns 1 when windows were lost with it. */
int ib_schedule_leave(ib_schedule *schedule, int device);
/* Is the oldest window there? */
int ib_schedule_ready(const ib_schedule *schedule);
/* It is handed on; returns its number. */
int64_t ib_schedule_pop(ib_schedule *schedule);
/* Median time of a window in microseconds; 0: nothing measured. */
int64_t ib_schedule_median_us(const ib_schedule *schedule);

#endif
