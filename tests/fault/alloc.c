/* The wrappers; see alloc.h. */
#include "alloc.h"

#include <errno.h>
#include <execinfo.h>
#include <jansson.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int mode;
static atomic_int_fast64_t calls, limit;
static _Atomic(void *) first_site;
static void *callers[24]; /* of the first failed call */
static int caller_count;

void fault_arm(fault_mode how, int64_t n)
{
    json_set_alloc_funcs(malloc, free); /* jansson allocates through us, too */
    atomic_store(&calls, 0);
    atomic_store(&limit, n);
    atomic_store(&first_site, NULL);
    atomic_store(&mode, how);
}

int64_t fault_disarm(void **site)
{
    atomic_store(&mode, FAULT_NEVER);
    *site = atomic_load(&first_site);
    return atomic_load(&calls);
}

static int fails(void *site)
{
    int64_t n = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&limit);
    int how = atomic_load(&mode);
    if (how == FAULT_NEVER || (how == FAULT_ONCE ? n != at : n < at)) return 0;
    void *none = NULL;
    if (atomic_compare_exchange_strong(&first_site, &none, site)) caller_count = backtrace(callers, 24);
    errno = ENOMEM;
    return 1;
}

void fault_print(void *site)
{
    if (site) backtrace_symbols_fd(callers, caller_count, 2);
}

/* A wrapper of a function that gives NULL when memory is out. */
#define WRAP(type, name, parameters, arguments)                                                                        \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters { return fails(__builtin_return_address(0)) ? NULL : __real_##name arguments; }
/* One that gives a status. */
#define WRAP_STATUS(name, error, parameters, arguments)                                                                \
    int __real_##name parameters;                                                                                      \
    int __wrap_##name parameters;                                                                                      \
    int __wrap_##name parameters { return fails(__builtin_return_address(0)) ? (error) : __real_##name arguments; }

WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, aligned_alloc, (size_t a, size_t n), (a, n))
WRAP(char *, strdup, (const char *s), (s))
WRAP(char *, strndup, (const char *s, size_t n), (s, n))
WRAP(FILE *, open_memstream, (char **p, size_t *n), (p, n))
WRAP(AVPacket *, av_packet_alloc, (void), ())
WRAP(AVFrame *, av_frame_alloc, (void), ())
WRAP(void *, av_mallocz, (size_t n), (n))
WRAP(void *, av_memdup, (const void *p, size_t n), (p, n))
WRAP(AVStream *, avformat_new_stream, (AVFormatContext *f, const AVCodec *c), (f, c))
WRAP(AVCodecContext *, avcodec_alloc_context3, (const AVCodec *c), (c))
WRAP(AVCodecParameters *, avcodec_parameters_alloc, (void), ())
WRAP(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
WRAP_STATUS(av_new_packet, AVERROR(ENOMEM), (AVPacket *p, int n), (p, n))
WRAP_STATUS(av_frame_get_buffer, AVERROR(ENOMEM), (AVFrame *f, int align), (f, align))
WRAP_STATUS(avcodec_parameters_copy, AVERROR(ENOMEM), (AVCodecParameters *to, const AVCodecParameters *from), (to, from))
WRAP_STATUS(avformat_alloc_output_context2, AVERROR(ENOMEM), (AVFormatContext **c, const AVOutputFormat *f, const char *name, const char *path), (c, f, name, path))
WRAP_STATUS(av_dict_set, AVERROR(ENOMEM), (AVDictionary **d, const char *k, const char *v, int flags), (d, k, v, flags))
WRAP_STATUS(pthread_create, EAGAIN, (pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg), (t, a, f, arg))

int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fails(__builtin_return_address(0))) return -1;
    va_list args;
    va_start(args, format);
    int n = vasprintf(out, format, args);
    va_end(args);
    return n;
}
