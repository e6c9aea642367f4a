/* Synthetic checkpoints and frames that are pure functions of names, shapes and a seed: what the expected values in
 * tests/oracle/data were computed with. The same 24-bit fractions and float operations give the same bits anywhere
 * (build with -ffp-contract=off). */
#ifndef ISOBATH_TESTS_SYNTH_H
#define ISOBATH_TESTS_SYNTH_H

#include <stddef.h>
#include <stdint.h>

#define SYNTH_MAX_NAME 160

/* One size of the model family. Everything else about its tensors follows. */
typedef struct synth_config {
    const char *kind;    /* "tiny", "vits", "vitb", "vitl"; "v2-tiny" ... of Depth Anything V2 */
    int width, depth;    /* of the encoder; MLP is 4 * width, head size 64 */
    int grid;            /* position embedding: grid * grid + 1 rows */
    int features;        /* of the DPT head */
    int out_channels[4]; /* of head.projects */
    int temporal_length; /* rows of pos_encoder.pe: 32; 0: no temporal modules */
} synth_config;

/* NULL when the name is unknown. */
const synth_config *synth_config_find(const char *kind);

typedef struct synth_tensor {
    char name[SYNTH_MAX_NAME];
    int rank;
    int64_t dim[4];
    int64_t count; /* product of dim */
} synth_tensor;

/* The tensors of that size in the order of a state dict: *out is malloc'ed (caller frees) and holds the returned
 * number. 0: out of memory. */
size_t synth_tensors(const synth_config *config, synth_tensor **out);

/* Values [first, first + count) of a tensor (any chunking gives the same values). Names that end in pos_encoder.pe are
 * the sinusoidal table; all others come from the hash. */
void synth_fill(const synth_tensor *tensor, uint64_t seed, int64_t first, int64_t count, float *dst);
/* The same for a name and shape that are not in a list; rank <= 4. */
void synth_values(const char *name, int rank, const int64_t *dim, uint64_t seed, float *dst);

/* Writes a whole f32 checkpoint of `kind` as safetensors. 0 on success; else -1 with a line on stderr. */
int synth_checkpoint_write(const char *kind, uint64_t seed, const char *path);
/* The same for any config; `metadata` is NULL or JSON text of an object of strings for __metadata__. */
int synth_checkpoint_write_config(const synth_config *config, uint64_t seed, const char *metadata, const char *path);

/* Frames [first, first + count) of the moving pattern with noise: dst is u8 RGB (count,height,width,3). A frame does
 * not depend on how many are made. */
void synth_frames(int64_t first, int64_t count, int64_t height, int64_t width, uint64_t seed, uint8_t *dst);

#endif
