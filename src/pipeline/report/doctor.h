/* What the parts of the doctor share. */
#ifndef IB_PIPELINE_REPORT_DOCTOR_H
#define IB_PIPELINE_REPORT_DOCTOR_H

#include "pipeline/report/trial.h"
#include <isobath/doctor.h>

typedef struct ib_doctor {
    const isobath_doctor_options *options;
    isobath_doctor_report *report;
    ib_diag first; /* the first failure that would stop a run */
    ib_checkpoint *checkpoint;
    ib_vda_config config;
    ib_pool *pool;
    ib_trial_frames frames;
    uint8_t *pixels; /* of frames */
    int input_size;  /* of the network */
    double seconds;  /* for measuring */
} ib_doctor;

/* Prints a line through options->line. */
void ib_doctor_say(const ib_doctor *doctor, isobath_doctor_level level, const char *topic, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with the text of `diag`, and keeps it as the first failure. */
void ib_doctor_fail(ib_doctor *doctor, const char *topic, const ib_diag *diag);

/* Fills `pixels` with `count` synthetic frames: a moving pattern with edges and noise. */
void ib_doctor_draw(uint8_t *pixels, int width, int height, int count);
/* 32 frames of the input, repeated when it has fewer, or synthetic ones; measures decoding. */
isobath_status ib_doctor_frames(ib_doctor *doctor, ib_diag *diag);

/* Self-tests and rates of every device and precision, into the report. */
void ib_doctor_trials(ib_doctor *doctor);

/* "cuda:1" is 1, "cuda" 0, "cpu" -1. Errors: USAGE. */
isobath_status ib_doctor_device(const char *text, ib_diag *diag, int *device);
isobath_status ib_doctor_precision(const char *text, ib_diag *diag, ib_dtype *act);

#endif
