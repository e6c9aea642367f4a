/* Memory shared with worker processes; see shared.h. */
#include "pipeline/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

struct ib_shared {
    atomic_int refs;
    ib_shared_layout layout;
    int fd;
    uint8_t *base;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    int stopped;
    int *free_frames, free_frame_count; /* stacks: what was used last is used next */
    int *free_raws, free_raw_count;
};

static uint64_t pages(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

ib_shared_layout ib_shared_layout_for(int width, int height, int frames, size_t raw_bytes, int raws)
{
    ib_shared_layout l = {.width = width, .height = height, .frames = frames, .raws = raws};
    l.frame_stride = pages((uint64_t)width * (uint64_t)height * 3);
    l.raw_stride = pages(raw_bytes);
    l.raw_offset = l.frame_stride * (uint64_t)frames;
    l.bytes = l.raw_offset + l.raw_stride * (uint64_t)raws;
    return l;
}

/* Pages of [offset, offset + bytes) are there afterwards. 0 on success. */
static int reserve(int fd, uint64_t offset, uint64_t bytes)
{
    int error = 0;
    while (bytes && fallocate(fd, 0, (off_t)offset, (off_t)bytes) != 0 && (error = errno) == EINTR) error = 0;
    return error == EOPNOTSUPP ? 0 : error;
}

static isobath_status take_memory(ib_shared *s, int frames, int raws, ib_diag *diag)
{
    const ib_shared_layout *l = &s->layout;
    s->free_frames = malloc((size_t)l->frames * sizeof *s->free_frames);
    s->free_raws = malloc((size_t)l->raws * sizeof *s->free_raws);
    if (!s->free_frames || !s->free_raws) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the list of shared places");
    for (int i = l->frames; i--;) s->free_frames[s->free_frame_count++] = i;
    for (int i = l->raws; i--;) s->free_raws[s->free_raw_count++] = i;
    if ((s->fd = memfd_create("isobath", MFD_CLOEXEC)) < 0)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "no shared memory for worker processes: %s", strerror(errno));
    if (ftruncate(s->fd, (off_t)l->bytes) == 0) s->base = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->base == MAP_FAILED) s->base = NULL;
    if (s->base) {
        errno = reserve(s->fd, 0, l->frame_stride * (uint64_t)(frames < l->frames ? frames : l->frames));
        if (!errno) errno = reserve(s->fd, l->raw_offset, l->raw_stride * (uint64_t)(raws < l->raws ? raws : l->raws));
    }
    if (!s->base || errno)
        return ib_fail(diag, ISOBATH_ERR_MEMORY, "no room for %.1f GB of memory shared with worker processes: %s (--segment-windows 1 takes "
                       "less)", (double)l->bytes * 1e-9, strerror(errno));
    return ISOBATH_OK;
}

isobath_status ib_shared_create(const ib_shared_layout *layout, int frames, int raws, ib_diag *diag, ib_shared **out)
{
    *out = NULL;
    ib_shared *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for shared memory");
    atomic_init(&s->refs, 1);
    s->layout = *layout;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    isobath_status st = take_memory(s, frames, raws, diag);
    if (st == ISOBATH_OK) *out = s;
    else ib_shared_unref(s);
    return st;
}

void ib_shared_unref(ib_shared *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    if (s->base) munmap(s->base, s->layout.bytes);
    if (s->fd >= 0) close(s->fd);
    free(s->free_frames);
    free(s->free_raws);
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int ib_shared_fd(const ib_shared *s) { return s->fd; }
const ib_shared_layout *ib_shared_get_layout(const ib_shared *s) { return &s->layout; }

static void release_frame(ib_source_frame *f)
{
    ib_shared *s = f->pool;
    pthread_mutex_lock(&s->lock);
    s->free_frames[s->free_frame_count++] = f->place;
    pthread_cond_signal(&s->freed);
    pthread_mutex_unlock(&s->lock);
    free(f);
    ib_shared_unref(s);
}

static ib_source_frame *take_frame(void *ctx, int width, int height)
{
    ib_shared *s = ctx;
    if (width != s->layout.width || height != s->layout.height) return NULL;
    ib_source_frame *f = malloc(sizeof *f);
    if (!f) return NULL;
    pthread_mutex_lock(&s->lock);
    while (!s->free_frame_count && !s->stopped) pthread_cond_wait(&s->freed, &s->lock);
    int place = s->stopped ? -1 : s->free_frames[--s->free_frame_count];
    pthread_mutex_unlock(&s->lock);
    if (place < 0) {
        free(f);
        return NULL;
    }
    atomic_fetch_add(&s->refs, 1);
    *f = (ib_source_frame){.width = width, .height = height, .place = place, .release = release_frame, .pool = s,
                           .rgb = s->base + s->layout.frame_stride * (uint64_t)place};
    atomic_init(&f->refs, 1);
    return f;
}

ib_frame_pool ib_shared_pool(ib_shared *s) { return (ib_frame_pool){take_frame, s}; }

void ib_shared_stop(ib_shared *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopped = 1;
    pthread_cond_broadcast(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

int ib_shared_take_raw(ib_shared *s)
{
    pthread_mutex_lock(&s->lock);
    int place = s->free_raw_count ? s->free_raws[--s->free_raw_count] : -1;
    pthread_mutex_unlock(&s->lock);
    return place;
}

void ib_shared_give_raw(ib_shared *s, int place)
{
    pthread_mutex_lock(&s->lock);
    s->free_raws[s->free_raw_count++] = place;
    pthread_mutex_unlock(&s->lock);
}

int ib_shared_free_raws(ib_shared *s)
{
    pthread_mutex_lock(&s->lock);
    int count = s->free_raw_count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

float *ib_shared_raw(const ib_shared *s, int place)
{
    return (float *)(void *)(s->base + s->layout.raw_offset + s->layout.raw_stride * (uint64_t)place);
}

isobath_status ib_shared_map(int fd, const ib_shared_layout *l, ib_diag *diag, uint8_t **base)
{
    struct stat sb;
    *base = NULL;
    ib_shared_layout sound = l->width < 1 || l->height < 1 || l->frames < 0 || l->raws < 1 || l->width > 65536 || l->height > 65536
                                 ? (ib_shared_layout){0}
                                 : ib_shared_layout_for(l->width, l->height, l->frames, l->raw_stride, l->raws);
    if (fd < 0 || fstat(fd, &sb) != 0 || memcmp(&sound, l, sizeof sound) != 0 || (uint64_t)sb.st_size < l->bytes)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "the shared memory is not what was announced");
    void *p = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return ib_fail(diag, ISOBATH_ERR_MEMORY, "no room for %.1f GB of shared memory: %s", (double)l->bytes * 1e-9, strerror(errno));
    *base = p;
    return ISOBATH_OK;
}
