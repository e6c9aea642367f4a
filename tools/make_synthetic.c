/* isobath_synth: writes a synthetic checkpoint, or raw frames of the synthetic clip, for tests and tools.
 *   isobath_synth tiny|vits|vitb|vitl SEED OUT.safetensors [METADATA_JSON]
 *   isobath_synth tiny-overflow|vits-overflow ... SEED OUT.safetensors      (the same network to rounding, but a LayerNorm's
 *       output and what is made of it pass the range of fp16: fp16 alone gives NaN, fp32 the plain network's answer)
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

/* Multiplies a tensor of an f32 safetensors file. */
static int scale_tensor(const char *path, const char *name, float factor)
{
    FILE *f = fopen(path, "r+b");
    uint64_t length = 0;
    if (!f || fread(&length, 8, 1, f) != 1 || length > 1 << 26) return -1;
    char *header = calloc(1, (size_t)length + 1), quoted[200];
    long long first, end;
    int bad = !header || fread(header, 1, (size_t)length, f) != length;
    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    const char *at = bad ? NULL : strstr(header, quoted);
    at = at ? strstr(at, "\"data_offsets\": [") : NULL;
    bad = !at || sscanf(at, "\"data_offsets\": [%lld,%lld]", &first, &end) != 2;
    for (long long i = bad ? 0 : first, last = bad ? 0 : end; i < last && !bad; i += 4) {
        float v;
        long place = (long)(8 + (long long)length + i);
        bad = fseek(f, place, SEEK_SET) != 0 || fread(&v, 4, 1, f) != 1;
        v *= factor;
        bad = bad || fseek(f, place, SEEK_SET) != 0 || fwrite(&v, 4, 1, f) != 1;
    }
    if (fclose(f) != 0) bad = 1;
    free(header);
    return bad ? -1 : 0;
}

/* 1e5 into the norm before an attention, and out of the product after it. */
static int make_overflow(const char *path)
{
    static const struct {
        const char *name;
        float factor;
    } changes[] = {{"pretrained.blocks.1.norm1.weight", 1e5f},
                   {"pretrained.blocks.1.norm1.bias", 1e5f},
                   {"pretrained.blocks.1.attn.qkv.weight", 1e-5f}};
    for (int i = 0; i < 3; i++)
        if (scale_tensor(path, changes[i].name, changes[i].factor) != 0) {
            fprintf(stderr, "isobath_synth: %s: cannot change %s\n", path, changes[i].name);
            return 1;
        }
    return 0;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    uint64_t seed = argc > 2 ? strtoull(argv[2], &end, 10) : 0;
    if (argc == 7 && strcmp(argv[1], "frames") == 0 && !*end)
        return write_frames(seed, argv[3], atoll(argv[4]), atoll(argv[5]), atoll(argv[6]));
    char kind[64] = "";
    if (argc > 1) snprintf(kind, sizeof kind, "%s", argv[1]);
    char *overflow = strstr(kind, "-overflow");
    if (overflow) *overflow = 0;
    const synth_config *config = synth_config_find(kind);
    if (!config || argc < 4 || argc > 5 || *end) {
        fprintf(stderr, "usage: isobath_synth [v2-]tiny|vits|vitb|vitl SEED OUT.safetensors [METADATA_JSON]\n"
                        "       isobath_synth frames SEED OUT.rgb|- COUNT HEIGHT WIDTH\n");
        return 2;
    }
    if (synth_checkpoint_write_config(config, seed, argc > 4 ? argv[4] : NULL, argv[3]) != 0) return 1;
    return overflow ? make_overflow(argv[3]) : 0;
}
