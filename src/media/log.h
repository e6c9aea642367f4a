/* libav's log: quiet by default, and a source of news about damage. */
#ifndef IB_MEDIA_LOG_H
#define IB_MEDIA_LOG_H

#include <libavcodec/avcodec.h>

/* Puts our log callback in front of libav's default one, once per process, and keeps libav from printing unless the
 * program has chosen a level of its own. Every message still goes to the default callback. A program that sets its own
 * callback afterwards keeps it; then damage may be noticed later with several decoder threads. Thread-safe. */
void ib_log_init(void);

/* From now on codec->opaque is an atomic_int that counts the errors that this context, or a thread's copy of it, logs.
 */
void ib_log_watch(AVCodecContext *codec);

#endif
