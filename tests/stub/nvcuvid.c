/* A libnvcuvid.so.1 for machines without a card. It "decodes" a picture to a pattern that names it: the four bytes of a hash of its
 * slices, again and again. So tests see which picture came when, in which order and how often, but not what was in it. */
#include "stub/nvcuvid.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { SURFACES = 64, PITCH_UNIT = 256 };

/* The beginnings of CUVIDDECODECREATEINFO, CUVIDPICPARAMS, CUVIDDECODECAPS and CUVIDGETDECODESTATUS. */
typedef struct create_info {
    unsigned long width, height, surfaces;
} create_info;
typedef struct picture_info {
    int mb_width, mb_height, surface, field, bottom, second_field;
    unsigned bytes;
    const unsigned char *data;
} picture_info;
typedef struct caps_info {
    int codec, chroma;
    unsigned depth_minus_8, reserved[3];
    unsigned char supported, engines;
    unsigned short formats;
    unsigned max_width, max_height, max_mbs;
    unsigned short min_width, min_height;
} caps_info;

typedef struct decoder {
    unsigned width, height;
    int decoded;
    uint32_t hash[SURFACES];
    int status[SURFACES], polls[SURFACES];
} decoder;

stub_nvcuvid stub_nvcuvid_state = {.damaged_picture = -1, .status_of_damage = 9};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define STUB(name, parameters, body) \
    int name parameters;             \
    int name parameters body
#define NOTHING(name) STUB(name, (void), { return 0; })

STUB(cuvidGetDecoderCaps, (caps_info *caps), {
    caps->supported = 1;
    caps->engines = 1;
    caps->formats = 3;
    caps->max_width = caps->max_height = 8192;
    caps->max_mbs = 8192 * 8192 / 256;
    caps->min_width = caps->min_height = 16;
    return 0;
})
STUB(cuvidCreateDecoder, (decoder **out, const create_info *info), {
    *out = calloc(1, sizeof **out);
    if (!*out || info->surfaces > SURFACES) return 2;
    (*out)->width = (unsigned)info->width;
    (*out)->height = (unsigned)info->height;
    pthread_mutex_lock(&lock);
    stub_nvcuvid *s = &stub_nvcuvid_state;
    s->made++;
    if (++s->decoders > s->most_decoders) s->most_decoders = s->decoders;
    pthread_mutex_unlock(&lock);
    return 0;
})
STUB(cuvidDestroyDecoder, (decoder *d), {
    free(d);
    pthread_mutex_lock(&lock);
    stub_nvcuvid_state.decoders--;
    pthread_mutex_unlock(&lock);
    return 0;
})
STUB(cuvidDecodePicture, (decoder *d, const picture_info *p), {
    uint32_t h = p->second_field ? d->hash[p->surface] : 2166136261u;
    for (unsigned i = 0; i < p->bytes; i++) h = (h ^ p->data[i]) * 16777619u;
    d->hash[p->surface] = h;
    d->status[p->surface] = d->decoded == stub_nvcuvid_state.damaged_picture ? stub_nvcuvid_state.status_of_damage : 2;
    d->polls[p->surface] = stub_nvcuvid_state.polls;
    d->decoded += !p->field || p->second_field;
    return 0;
})
STUB(cuvidGetDecodeStatus, (decoder *d, int surface, int *status), {
    if (stub_nvcuvid_state.no_status) return 801; /* CUDA_ERROR_NOT_SUPPORTED */
    *status = d->polls[surface]-- > 0 ? 1 : d->status[surface];
    return 0;
})
STUB(cuvidMapVideoFrame64, (decoder *d, int surface, unsigned long long *at, unsigned *pitch, void *how), {
    *pitch = (d->width + PITCH_UNIT - 1) / PITCH_UNIT * PITCH_UNIT;
    size_t bytes = (size_t)*pitch * (d->height + 1) * 3 / 2;
    uint32_t *p = malloc(bytes);
    if (!p || !how) return 2;
    for (size_t i = 0; i < bytes / 4; i++) p[i] = d->hash[surface];
    *at = (unsigned long long)(uintptr_t)p;
    pthread_mutex_lock(&lock);
    stub_nvcuvid_state.maps++;
    pthread_mutex_unlock(&lock);
    return 0;
})
STUB(cuvidUnmapVideoFrame64, (decoder *d, unsigned long long at), {
    free((void *)(uintptr_t)at);
    return d == NULL;
})
/* For the module that passes calls on: what it passes. */
STUB(cuvidSetVideoSourceState, (int *source, int state), { return *source = state; })

NOTHING(cuvidReconfigureDecoder)
NOTHING(cuvidCtxLockCreate)
NOTHING(cuvidCtxLockDestroy)
NOTHING(cuvidCtxLock)
NOTHING(cuvidCtxUnlock)
NOTHING(cuvidCreateVideoSource)
NOTHING(cuvidCreateVideoSourceW)
NOTHING(cuvidDestroyVideoSource)
NOTHING(cuvidGetVideoSourceState)
NOTHING(cuvidGetSourceVideoFormat)
NOTHING(cuvidGetSourceAudioFormat)
NOTHING(cuvidCreateVideoParser)
NOTHING(cuvidParseVideoData)
NOTHING(cuvidDestroyVideoParser)
