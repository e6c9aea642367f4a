/* Packets that still owe a picture. After damage a decoder drops packets without a word until it finds its way again; where a stream has one
 * picture for every packet, those that never come are told from those that are only late by their times. */
#ifndef IB_MEDIA_OWED_H
#define IB_MEDIA_OWED_H

#include <stdint.h>

#define IB_OWED_MOST 128 /* packets that a decoder may hold */
#define IB_OWED_TURNS 16 /* pictures in turn, after which a packet without one is remarkable */

typedef struct ib_owed_packet {
    int64_t ts, packet, pos; /* number of the packet, its byte or -1 */
} ib_owed_packet;

/* All zero: nothing sent yet. One thread at a time. */
typedef struct ib_owed {
    ib_owed_packet list[IB_OWED_MOST]; /* ascending in ts */
    int count;
    int started;    /* a picture came, the last one of time `last` */
    int64_t last;
    int off;        /* the stream has packets without pictures, or times that do not fit: nothing can be said */
    int damaged;    /* from now on a picture that does not come is lost */
    int64_t in_turn;       /* pictures so far, each of the packet whose turn it was */
    ib_owed_packet silent; /* the first packet behind many such pictures that gave none, before any damage */
    int has_silent;
    int64_t behind; /* packets since then of times that were past when they came, less the pictures out of order */
    int64_t filled[IB_OWED_MOST]; /* times of the newest stand-ins */
    int64_t filled_count;         /* of all of them */
} ib_owed;

/* The decoder took a packet; ts: its presentation time, INT64_MIN: unknown. */
void ib_owed_sent(ib_owed *owed, int64_t ts, int64_t packet, int64_t pos);
/* What became of the packet of this time is known: its picture came (in order of presentation), or it is given up. */
void ib_owed_came(ib_owed *owed, int64_t ts);
void ib_owed_given_up(ib_owed *owed, int64_t ts);
/* A stand-in for the picture of this time is out. */
void ib_owed_filled(ib_owed *owed, int64_t ts);
/* 1: it is, the picture comes after all (damage upsets the order of pictures), and it is nobody else's stand-in. */
int ib_owed_is_late(const ib_owed *owed, int64_t ts);
/* No picture comes any more. */
void ib_owed_end(ib_owed *owed);
/* 1: `out` is the earliest packet before ts (INT64_MAX: at all) whose picture is lost; it is owed no more. */
int ib_owed_lost(ib_owed *owed, int64_t ts, ib_owed_packet *out);

#endif
