/* How tests talk to the stand-in for the driver's decoder library (nvcuvid.c): it exports `stub_nvcuvid_state`. */
#ifndef TESTS_STUB_NVCUVID_H
#define TESTS_STUB_NVCUVID_H

typedef struct stub_nvcuvid {
    int damaged_picture; /* this one (from 0, in the order of decoding, of each decoder) has status_of_damage; -1: none */
    int status_of_damage;
    int polls;           /* so often a picture's status is "in progress" first */
    int no_status;       /* 1: the status of a picture cannot be asked for */
    int decoders, most_decoders, made, maps; /* open now; at a time; in all; pictures mapped */
} stub_nvcuvid;

#endif
