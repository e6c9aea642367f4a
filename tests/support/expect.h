/* The expected values of tests/oracle/data (README.md there): a strided sample of every inner value and result of the
 * reference implementation for one case, and comparisons with what isobath computes. */
#ifndef ISOBATH_TESTS_EXPECT_H
#define ISOBATH_TESTS_EXPECT_H

#include <stdint.h>

typedef struct expect_case {
    struct ib_checkpoint *file;
    char kind[16]; /* of the synthetic checkpoint */
    uint64_t seed; /* of checkpoint and frames */
    int64_t frames, height, width, input_size;
    int metric, stream;
    double max_depth; /* of a metric Depth Anything V2; 0: none */
} expect_case;

/* Opens tests/oracle/data/NAME.safetensors, e.g. "tiny_2_20_90_160_98". 0, or -1 with a line on stderr. */
int expect_open(const char *name, expect_case *out);
void expect_close(expect_case *c);

/* Full shape of a value ("depth", "raw_windows", "tap.block0" ...) into dim[8]; returns its rank, 0 when absent. */
int expect_shape(const expect_case *c, const char *key, int64_t dim[8]);
/* Largest minus smallest sample of a value: the range that errors are relative to. 0 when absent. */
double expect_range(const expect_case *c, const char *key);

/* Errors |actual - expected| / range over the sampled elements. */
typedef struct expect_error {
    int64_t count;     /* samples compared */
    int64_t missing;   /* samples for which no actual value was given: worst is infinite then */
    int64_t nonfinite; /* actual values that are NaN or infinite: likewise */
    double median, p9999, worst;
    double range;
} expect_error;

/* One comparison, fed in pieces of any order. `range` 0 stands for expect_range() of the value itself. NULL with a
 * line on stderr when the key is absent or memory is out. */
typedef struct expect_check expect_check;
expect_check *expect_begin(const expect_case *c, const char *key, double range);
/* Elements [first, first + count) of the value in the file's own order (C order of its full shape). 0, or -1 with a
 * line on stderr when they reach beyond it. */
int expect_add(expect_check *check, int64_t first, int64_t count, const float *actual);
/* Frames [first, first + count) in isobath's order, (count, positions, channels) with channels last, whatever the
 * file's order is: tokens (T,N,C), maps (T,C,h,w), network_input (1,T,C,h,w) or motion (1,C,T,h,w). Likewise. */
int expect_add_frames(expect_check *check, int64_t first, int64_t count, int64_t positions, int64_t channels,
                      const float *actual);
expect_error expect_end(expect_check *check); /* frees; NULL gives an infinite error */

/* begin, add all `count` elements in the file's order, end. A wrong count gives an infinite error. */
expect_error expect_compare(const expect_case *c, const char *key, const float *actual, int64_t count, double range);

/* Prints one line with the figures; 1 when all three are within their bounds (INFINITY: not asked), else 0. */
int expect_within(const char *label, const expect_error *error, double median, double p9999, double worst);

#endif
