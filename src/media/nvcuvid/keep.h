/* Decoders of the card that libavcodec gives back, kept for the next time that it wants one, and what it asks for before. After a flush, as jumps
 * to other key frames need it, libavcodec's decoder of H.264 drops what it has and makes a new one of the same kind: 0.04 to 0.08 s on a card,
 * and 0.2 for destroying the old one, in which the process's other calls of the driver stand. What the driver makes depends on what it is
 * asked for alone, and a picture refers to others by numbers that come with it; so one that was used is as good as a new one. */
#ifndef IB_MEDIA_NVCUVID_KEEP_H
#define IB_MEDIA_NVCUVID_KEEP_H

/* The driver's functions, which return a CUresult. */
typedef struct ib_keep_driver {
    int (*caps)(void *caps);
    int (*create)(void **decoder, void *info);
    int (*destroy)(void *decoder);
} ib_keep_driver;

/* In place of these: a decoder that is created while the calling thread works for an owner is kept for that owner's next one instead of being
 * destroyed, one at a time, until the owner is released. Thread-safe. */
int ib_keep_caps(const ib_keep_driver *driver, void *caps); /* what the card can: asked once for an owner and a kind of stream */
int ib_keep_create(const ib_keep_driver *driver, void **decoder, void *info);
int ib_keep_destroy(const ib_keep_driver *driver, void *decoder);
/* Whom the calling thread works for from now on; NULL: nobody. */
void ib_keep_work_for(const void *owner);
/* Destroys what is kept for the owner; the context of its decoders is current. Those in use are destroyed when they are given back. */
void ib_keep_release(const ib_keep_driver *driver, const void *owner);

#endif
