/* Inner loops that a sanitizer does not watch access by access, but is told what they read and write: unrolled register
 * tiles take it minutes to compile and ten times as long to run, and each access says the same. Nothing in ordinary builds. */
#ifndef IB_BASE_SANITIZE_H
#define IB_BASE_SANITIZE_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* IB_UNWATCHED: attribute of a function (always_inline ones that it calls come with it). IB_READS, IB_WRITES: `bytes` at p.
 * IB_READS_WHOLE: what was written as a whole, once and long ago (weights): ThreadSanitizer is told its first bytes. */
#if defined(__SANITIZE_ADDRESS__)
void __asan_loadN(void *p, __UINTPTR_TYPE__ bytes);
void __asan_storeN(void *p, __UINTPTR_TYPE__ bytes);
#define IB_UNWATCHED __attribute__((no_sanitize("address"), no_sanitize("undefined")))
#define IB_READS(p, bytes) __asan_loadN((void *)(p), (__UINTPTR_TYPE__)(bytes))
#define IB_WRITES(p, bytes) __asan_storeN((void *)(p), (__UINTPTR_TYPE__)(bytes))
#define IB_READS_WHOLE(p, bytes) IB_READS(p, bytes)
#elif defined(__SANITIZE_THREAD__)
void __tsan_read_range(void *p, __UINTPTR_TYPE__ bytes);
void __tsan_write_range(void *p, __UINTPTR_TYPE__ bytes);
#define IB_UNWATCHED __attribute__((no_sanitize("thread")))
#define IB_READS(p, bytes) __tsan_read_range((void *)(p), (__UINTPTR_TYPE__)(bytes))
#define IB_WRITES(p, bytes) __tsan_write_range((void *)(p), (__UINTPTR_TYPE__)(bytes))
#define IB_READS_WHOLE(p, bytes) IB_READS(p, (bytes) < 64 ? (bytes) : 64)
#else
#define IB_UNWATCHED
#define IB_READS(p, bytes) ((void)0)
#define IB_WRITES(p, bytes) ((void)0)
#define IB_READS_WHOLE(p, bytes) ((void)0)
#endif

#endif
