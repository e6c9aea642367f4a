/* The log callback; see log.h. */
#include "media/log.h"

#include <libavutil/log.h>
#include <pthread.h>
#include <stdatomic.h>

/* Marks our decoders: decoders never call get_encode_buffer, and the copies that libavcodec makes for its threads keep
 * the pointer. So nobody else's opaque is ever touched. */
static int mark(AVCodecContext *codec, AVPacket *packet, int flags)
{
    (void)codec, (void)packet, (void)flags;
    return AVERROR(ENOSYS);
}

static void callback(void *object, int level, const char *format, va_list args)
{
    if (level <= AV_LOG_ERROR && object && *(const AVClass **)object == avcodec_get_class()) {
        AVCodecContext *codec = object;
        if (codec->get_encode_buffer == mark) atomic_fetch_add((atomic_int *)codec->opaque, 1);
    }
    av_log_default_callback(object, level, format, args);
}

static void init_once(void)
{
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
    av_log_set_callback(callback);
}

void ib_log_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
}

void ib_log_watch(AVCodecContext *codec) { codec->get_encode_buffer = mark; }
