/* isobath_synth: writes a synthetic checkpoint, or raw frames of the synthetic clip, for tests and tools.
 *   isobath_synth tiny|vits|vitb|vitl SEED OUT.safetensors [METADATA_JSON]
 *   isobath_synth frames SEED OUT.rgb COUNT HEIGHT WIDTH      (u8 RGB, frame after frame; "-" is standard output) */
#include "support/synth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_frames(uint64_t seed, const char *path, int64_t count, int64_t height, int64_t width)
{
    if (count < 1 || height < 1 || width < 1 || height > 32768 || width > 32768) {
        fprintf(stderr, "isobath_synth: COUNT, HEIGHT and WIDTH must be positive\n");
        return 2;
    }
    size_t bytes = (size_t)(height * width * 3);
    uint8_t *frame = malloc(bytes);
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    int bad = !f || !frame;
    for (int64_t t = 0; !bad && t < count; t++) {
        synth_frames(t, 1, height, width, seed, frame);
        bad = fwrite(frame, 1, bytes, f) != bytes;
    }
    if (f && (f == stdout ? fflush(f) : fclose(f)) != 0) bad = 1;
    if (bad) fprintf(stderr, "isobath_synth: cannot write %s: %s\n", path, strerror(errno));
    free(frame);
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    uint64_t seed = argc > 2 ? strtoull(argv[2], &end, 10) : 0;
    if (argc == 7 && strcmp(argv[1], "frames") == 0 && !*end)
        return write_frames(seed, argv[3], atoll(argv[4]), atoll(argv[5]), atoll(argv[6]));
    const synth_config *config = argc > 1 ? synth_config_find(argv[1]) : NULL;
    if (!config || argc < 4 || argc > 5 || *end) {
        fprintf(stderr, "usage: isobath_synth [v2-]tiny|vits|vitb|vitl SEED OUT.safetensors [METADATA_JSON]\n"
                        "       isobath_synth frames SEED OUT.rgb|- COUNT HEIGHT WIDTH\n");
        return 2;
    }
    return synth_checkpoint_write_config(config, seed, argc > 4 ? argv[4] : NULL, argv[3]) == 0 ? 0 : 1;
}
