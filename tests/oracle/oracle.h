/* What the comparisons with the expected values share: the command line, the case, its synthetic checkpoint, the backend.
 *
 *   CASE [--backend cpu|ref|cuda] [--isa I] [--act f32|bf16|f16] [--threads N] [--median M] [--p9999 P] [--worst W] [--no-taps]
 *
 * Bounds are relative to the range of each value. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include "backend/backend.h"
#include "model/vda.h"
#include "support/expect.h"

typedef struct oracle {
    const char *name, *backend, *isa, *act;
    int threads, taps;
    double median, p9999, worst;
    expect_case c;
    ib_diag diag;
    ib_pool *pool;
    ib_backend *be, *host; /* the one that is looked at; and ref or cpu in f32, for alignment and rendering */
    ib_checkpoint *ckpt;
    ib_vda_config config;
    int width, height; /* of the network */
} oracle;

/* Reads the command line (`--extra`, without dashes, is one more option with a whole number) and opens everything. -1: go on; else the
 * exit status, after a line: 2 for a mistake, 77 where this machine lacks the backend, 1 otherwise. */
int oracle_open(oracle *o, int argc, char **argv, const char *extra, int *number);
/* Closes everything (networks must be gone), prints the verdict and returns the exit status. */
int oracle_close(oracle *o, int bad);
/* Prints what failed and its reason; returns 1. */
int oracle_die(const oracle *o, const char *what);
/* Ends a comparison against the bounds, with a line; 1 when it is outside them. */
int oracle_judge(const oracle *o, const char *label, expect_check *check);
/* A tensor of the backend as floats; malloc'ed. */
float *oracle_read(const oracle *o, const ib_tensor *value);

#endif
