/* See keep.h. */
#include "media/nvcuvid/keep.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* CUVIDDECODECREATEINFO; what is not named is zero. */
typedef struct create_info {
    unsigned long width, height, surfaces;
    int codec, chroma;
    unsigned long flags, depth_minus_8, intra_only, max_width, max_height, reserved;
    short display[4];
    int format, deinterlace;
    unsigned long target_width, target_height, output_surfaces;
    void *lock;
    short target[4];
    unsigned long histogram, more_reserved[4];
} create_info;
_Static_assert(sizeof(unsigned long) != 8 || sizeof(create_info) == 176, "as the driver's");

/* CUVIDDECODECAPS: what is asked for, and what the card can. */
enum { CAPS_ASKED = 24, CAPS_BYTES = 88 };

typedef struct answer {
    struct answer *next;
    const void *owner;
    unsigned char caps[CAPS_BYTES], asked[CAPS_ASKED];
} answer;

typedef struct entry {
    struct entry *next;
    void *decoder;
    const void *owner;
    create_info info;
    int kept; /* given back by libavcodec */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *entries;  /* decoders of owners that are not released */
static answer *answers; /* that they got */
static _Thread_local const void *working_for;

void ib_keep_work_for(const void *owner) { working_for = owner; }

int ib_keep_caps(const ib_keep_driver *driver, void *caps)
{
    const void *owner = working_for;
    if (!owner) return driver->caps(caps);
    pthread_mutex_lock(&lock);
    answer *a = answers;
    while (a && (a->owner != owner || memcmp(a->asked, caps, CAPS_ASKED) != 0)) a = a->next;
    if (a) memcpy(caps, a->caps, CAPS_BYTES);
    pthread_mutex_unlock(&lock);
    if (a) return 0;
    a = malloc(sizeof *a);
    if (a) memcpy(a->asked, caps, CAPS_ASKED);
    int err = driver->caps(caps);
    if (err != 0 || !a) {
        free(a);
        return err;
    }
    a->owner = owner;
    memcpy(a->caps, caps, CAPS_BYTES);
    pthread_mutex_lock(&lock);
    a->next = answers;
    answers = a;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* Takes the first entry out of the list that is of this owner, and kept if `kept`; the lock is held. */
static entry *take(const void *owner, int kept)
{
    for (entry **at = &entries; *at; at = &(*at)->next) {
        entry *e = *at;
        if (e->owner != owner || (kept && !e->kept)) continue;
        *at = e->next;
        return e;
    }
    return NULL;
}

int ib_keep_create(const ib_keep_driver *driver, void **decoder, void *info)
{
    const void *owner = working_for;
    if (!owner) return driver->create(decoder, info);
    pthread_mutex_lock(&lock);
    for (entry *e = entries; e; e = e->next)
        if (e->owner == owner && e->kept && memcmp(&e->info, info, sizeof e->info) == 0) {
            e->kept = 0;
            *decoder = e->decoder;
            pthread_mutex_unlock(&lock);
            return 0;
        }
    for (entry *e; (e = take(owner, 1)); free(e)) driver->destroy(e->decoder); /* for other pictures */
    pthread_mutex_unlock(&lock);
    entry *e = malloc(sizeof *e);
    int err = driver->create(decoder, info);
    if (err != 0 || !e) { /* without an entry it is never kept */
        free(e);
        return err;
    }
    *e = (entry){.decoder = *decoder, .owner = owner};
    memcpy(&e->info, info, sizeof e->info);
    pthread_mutex_lock(&lock);
    e->next = entries;
    entries = e;
    pthread_mutex_unlock(&lock);
    return 0;
}

int ib_keep_destroy(const ib_keep_driver *driver, void *decoder)
{
    int full = 0;
    pthread_mutex_lock(&lock);
    entry **at = &entries;
    while (*at && (*at)->decoder != decoder) at = &(*at)->next;
    entry *e = *at;
    for (entry *other = entries; e && other; other = other->next) full |= other->owner == e->owner && other->kept;
    if (e && !full) {
        e->kept = 1;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    if (e) *at = e->next;
    pthread_mutex_unlock(&lock);
    free(e);
    return driver->destroy(decoder);
}

void ib_keep_release(const ib_keep_driver *driver, const void *owner)
{
    pthread_mutex_lock(&lock);
    for (entry *e; (e = take(owner, 0)); free(e))
        if (e->kept) driver->destroy(e->decoder);
    for (answer **at = &answers, *a; (a = *at);) {
        if (a->owner != owner) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        free(a);
    }
    pthread_mutex_unlock(&lock);
}
