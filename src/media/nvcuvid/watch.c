/* isobath_nvcuvid.so: stands in for the driver's libnvcuvid.so.1, passes every call on, and asks what libavcodec does not ask: was the
 * picture that is being mapped damaged? And decoders that libavcodec drops with every flush are kept for it (keep.h).
 *
 * libavcodec loads the decoder library by its name and keeps the handle of its decoder to itself. This module has that name as its
 * SONAME, so once the program has loaded it, the dynamic linker gives it to libavcodec. The prototypes are those of nvcuvid.h, with
 * void * for its handles and structures. Every function of the library that libavcodec looks for must be here. */
#include "media/nvcuvid/keep.h"
#include "media/nvcuvid/nvcuvid.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define EXPORT __attribute__((visibility("default")))
enum { NOT_INITIALIZED = 3 /* CUDA_ERROR_NOT_INITIALIZED */ };

typedef unsigned long long address;

/* name, parameters, arguments; all return a CUresult (or an enum of that size). */
#define FORWARDED(F)                                                                                                        \
    F(cuvidDecodePicture, (void *decoder, void *picture), (decoder, picture))                                               \
    F(cuvidReconfigureDecoder, (void *decoder, void *info), (decoder, info))                                                \
    F(cuvidUnmapVideoFrame, (void *decoder, unsigned at), (decoder, at))                                                    \
    F(cuvidUnmapVideoFrame64, (void *decoder, address at), (decoder, at))                                                   \
    F(cuvidCtxLockCreate, (void **lock, void *context), (lock, context))                                                    \
    F(cuvidCtxLockDestroy, (void *lock), (lock))                                                                            \
    F(cuvidCtxLock, (void *lock, unsigned flags), (lock, flags))                                                            \
    F(cuvidCtxUnlock, (void *lock, unsigned flags), (lock, flags))                                                          \
    F(cuvidCreateVideoSource, (void **source, const char *name, void *info), (source, name, info))                          \
    F(cuvidCreateVideoSourceW, (void **source, const wchar_t *name, void *info), (source, name, info))                      \
    F(cuvidDestroyVideoSource, (void *source), (source))                                                                    \
    F(cuvidSetVideoSourceState, (void *source, int state), (source, state))                                                 \
    F(cuvidGetVideoSourceState, (void *source), (source))                                                                   \
    F(cuvidGetSourceVideoFormat, (void *source, void *format, unsigned flags), (source, format, flags))                     \
    F(cuvidGetSourceAudioFormat, (void *source, void *format, unsigned flags), (source, format, flags))                     \
    F(cuvidCreateVideoParser, (void **parser, void *info), (parser, info))                                                  \
    F(cuvidParseVideoData, (void *parser, void *packet), (parser, packet))                                                  \
    F(cuvidDestroyVideoParser, (void *parser), (parser))

/* CUVIDGETDECODESTATUS */
typedef struct decode_status {
    int status;
    unsigned reserved[31];
    void *reserved_pointers[8];
} decode_status;
enum { STATUS_IN_PROGRESS = 1, STATUS_SUCCESS = 2, STATUS_ERROR = 8, STATUS_CONCEALED = 9 };
enum { WAIT_NS = 50000, WAITS = 20000 /* a second: a card that takes longer for a picture has other troubles */ };

#define MEMBER(name, parameters, arguments) int(*name) parameters;
static struct driver {
    FORWARDED(MEMBER)
    ib_keep_driver decoders;
    int (*cuvidGetDecodeStatus)(void *decoder, int picture, void *status);
    int (*cuvidMapVideoFrame)(void *decoder, int picture, unsigned *at, unsigned *pitch, void *how);
    int (*cuvidMapVideoFrame64)(void *decoder, int picture, address *at, unsigned *pitch, void *how);
} driver; /* written once, in attach */

static _Thread_local ib_nvcuvid_counts counts;

#define PASS_ON(name, parameters, arguments)   \
    EXPORT int name parameters;                \
    EXPORT int name parameters { return driver.name ? driver.name arguments : NOT_INITIALIZED; }
FORWARDED(PASS_ON)

EXPORT int cuvidGetDecoderCaps(void *caps);
EXPORT int cuvidGetDecoderCaps(void *caps) { return driver.decoders.caps ? ib_keep_caps(&driver.decoders, caps) : NOT_INITIALIZED; }

EXPORT int cuvidCreateDecoder(void **decoder, void *info);
EXPORT int cuvidCreateDecoder(void **decoder, void *info)
{
    return driver.decoders.create ? ib_keep_create(&driver.decoders, decoder, info) : NOT_INITIALIZED;
}

EXPORT int cuvidDestroyDecoder(void *decoder);
EXPORT int cuvidDestroyDecoder(void *decoder)
{
    return driver.decoders.destroy ? ib_keep_destroy(&driver.decoders, decoder) : NOT_INITIALIZED;
}

EXPORT int cuvidGetDecodeStatus(void *decoder, int picture, void *status);
EXPORT int cuvidGetDecodeStatus(void *decoder, int picture, void *status)
{
    return driver.cuvidGetDecodeStatus ? driver.cuvidGetDecodeStatus(decoder, picture, status) : NOT_INITIALIZED;
}

/* Of a picture that was mapped; usually it is decoded by then. */
static void look_at(void *decoder, int picture)
{
    decode_status s = {0};
    int err = driver.cuvidGetDecodeStatus(decoder, picture, &s);
    for (int i = 0; err == 0 && s.status == STATUS_IN_PROGRESS && i < WAITS; i++) {
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
        err = driver.cuvidGetDecodeStatus(decoder, picture, &s);
    }
    counts.mapped++;
    if (err != 0 || (s.status != STATUS_SUCCESS && s.status != STATUS_ERROR && s.status != STATUS_CONCEALED)) counts.unknown++;
    else if (s.status != STATUS_SUCCESS) counts.damaged++;
}

EXPORT int cuvidMapVideoFrame(void *decoder, int picture, unsigned *at, unsigned *pitch, void *how);
EXPORT int cuvidMapVideoFrame(void *decoder, int picture, unsigned *at, unsigned *pitch, void *how)
{
    int err = driver.cuvidMapVideoFrame ? driver.cuvidMapVideoFrame(decoder, picture, at, pitch, how) : NOT_INITIALIZED;
    if (err == 0) look_at(decoder, picture);
    return err;
}

EXPORT int cuvidMapVideoFrame64(void *decoder, int picture, address *at, unsigned *pitch, void *how);
EXPORT int cuvidMapVideoFrame64(void *decoder, int picture, address *at, unsigned *pitch, void *how)
{
    int err = driver.cuvidMapVideoFrame64 ? driver.cuvidMapVideoFrame64(decoder, picture, at, pitch, how) : NOT_INITIALIZED;
    if (err == 0) look_at(decoder, picture);
    return err;
}

static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol); /* ISO C has no such cast; POSIX says that this works */
    return symbol != NULL;
}

EXPORT ib_nvcuvid_attach isobath_nvcuvid_attach;
EXPORT int isobath_nvcuvid_attach(const char *path)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int attached;
    pthread_mutex_lock(&lock);
    void *library = attached ? NULL : dlopen(path, RTLD_LAZY | RTLD_LOCAL); /* with a folder: else it would find this module */
    if (library) {
#define FIND(name, parameters, arguments) find(library, #name, &driver.name);
        FORWARDED(FIND)
        find(library, "cuvidMapVideoFrame", &driver.cuvidMapVideoFrame);
        find(library, "cuvidGetDecoderCaps", &driver.decoders.caps);
        attached = find(library, "cuvidCreateDecoder", &driver.decoders.create) && find(library, "cuvidDestroyDecoder", &driver.decoders.destroy) &&
                   find(library, "cuvidGetDecodeStatus", &driver.cuvidGetDecodeStatus) &&
                   find(library, "cuvidMapVideoFrame64", &driver.cuvidMapVideoFrame64);
    }
    int ok = attached;
    pthread_mutex_unlock(&lock);
    return ok;
}

EXPORT ib_nvcuvid_counts_of_thread isobath_nvcuvid_counts;
EXPORT ib_nvcuvid_counts *isobath_nvcuvid_counts(void) { return &counts; }

EXPORT ib_nvcuvid_work_for isobath_nvcuvid_work_for;
EXPORT void isobath_nvcuvid_work_for(const void *owner) { ib_keep_work_for(owner); }

EXPORT ib_nvcuvid_release isobath_nvcuvid_release;
EXPORT void isobath_nvcuvid_release(const void *owner) { ib_keep_release(&driver.decoders, owner); }
