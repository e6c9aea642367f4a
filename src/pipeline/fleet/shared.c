/* Memory shared with worker processes; see shared.h. */
#include "pipeline/fleet/shared.h"

#include "base/thread_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096u

_Static_assert(sizeof(ib_yuv_planes) <= IB_SHARED_SAMPLES && sizeof(uint8_t *) == sizeof(uint64_t), "a frame's head");

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
    int *raw_user; /* the device that had the place last; -1: none */
    pthread_t reserver;
    int reserving, frames, raws; /* reserving: there is the thread; places whose memory is taken at the start */
    atomic_int ending, error;    /* error: an errno; 0: none */
};

static uint64_t pages(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

ib_shared_layout ib_shared_layout_for(int width, int height, size_t planes_bytes, int frames, size_t raw_bytes, int raws)
{
    uint64_t pixels = (uint64_t)width * (uint64_t)height;
    ib_shared_layout l = {.width = width, .height = height, .frames = frames, .raws = raws, .planes = planes_bytes > 0};
    l.frame_used = pages(l.planes ? IB_SHARED_SAMPLES + planes_bytes : pixels * 3);
    /* A stream may change its format on the way: 16-bit 4:4:4 fits, though it is not counted upon. */
    l.frame_stride = l.planes ? pages(IB_SHARED_SAMPLES + pixels * 6) : l.frame_used;
    if (l.frame_stride < l.frame_used) l.frame_stride = l.frame_used;
    l.raw_stride = pages(raw_bytes);
    l.raw_offset = l.frame_stride * (uint64_t)frames;
    l.bytes = l.raw_offset + l.raw_stride * (uint64_t)raws;
    return l;
}

uint64_t ib_shared_used_bytes(const ib_shared_layout *l, int frames, int raws)
{
    return l->frame_used * (uint64_t)frames + l->raw_stride * (uint64_t)raws;
}

size_t ib_shared_row_bytes(const ib_yuv_planes *p, int plane)
{
    size_t used = 0;
    for (int c = 0; c < 3; c++) {
        int columns = c ? (p->width + (1 << p->ssx) - 1) >> p->ssx : p->width;
        size_t end = (size_t)p->c[c].offset + (size_t)(columns - 1) * (size_t)p->c[c].step + (p->bits + p->shift > 8 ? 2 : 1);
        if (p->c[c].plane == plane && end > used) used = end;
    }
    return used;
}

size_t ib_shared_planes_bytes(const ib_yuv_planes *p)
{
    size_t bytes = 0;
    for (int i = 0; i < p->planes; i++) bytes += ib_shared_row_bytes(p, i) * (size_t)p->rows[i];
    return bytes;
}

/* Pages of [offset, offset + bytes) are there afterwards. 0 on success. */
static int reserve(int fd, uint64_t offset, uint64_t bytes)
{
    int error = 0;
    while (bytes && fallocate(fd, 0, (off_t)offset, (off_t)bytes) != 0 && (error = errno) == EINTR) error = 0;
    return error == EOPNOTSUPP ? 0 : error;
}

static isobath_status no_room(const ib_shared *s, int error, ib_diag *diag)
{
    return ib_fail(diag, ISOBATH_ERR_MEMORY, "no room for %.1f GB of memory shared with worker processes: %s (--segment-windows 1 takes less)",
                   (double)ib_shared_used_bytes(&s->layout, s->frames, s->raws) * 1e-9, strerror(error));
}

/* A place that nobody had yet: after all that were used. */
static void add_raw(ib_shared *s, int place)
{
    pthread_mutex_lock(&s->lock);
    memmove(s->free_raws + 1, s->free_raws, (size_t)s->free_raw_count++ * sizeof *s->free_raws);
    s->free_raws[0] = place;
    pthread_mutex_unlock(&s->lock);
}

static void *reserve_main(void *arg)
{
    ib_shared *s = arg;
    const ib_shared_layout *l = &s->layout;
    int error = 0;
    for (int i = 0; i < l->raws && !error && !atomic_load(&s->ending); i++) {
        if (i < s->raws) error = reserve(s->fd, l->raw_offset + l->raw_stride * (uint64_t)i, l->raw_stride);
        if (!error) add_raw(s, i);
    }
    atomic_store(&s->error, error);
    return NULL;
}

/* The same, in a thread of its own. */
static void *reserver_main(void *arg)
{
    ib_thread_name("reserve");
    return reserve_main(arg);
}

isobath_status ib_shared_check(ib_shared *s, ib_diag *diag)
{
    int error = atomic_load(&s->error);
    return error ? no_room(s, error, diag) : ISOBATH_OK;
}

static isobath_status take_memory(ib_shared *s, ib_diag *diag)
{
    const ib_shared_layout *l = &s->layout;
    s->free_frames = malloc(((size_t)l->frames + 1) * sizeof *s->free_frames);
    s->free_raws = malloc((size_t)l->raws * sizeof *s->free_raws);
    s->raw_user = malloc((size_t)l->raws * sizeof *s->raw_user);
    if (!s->free_frames || !s->free_raws || !s->raw_user) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for the list of shared places");
    for (int i = l->frames; i--;) s->free_frames[s->free_frame_count++] = i;
    for (int i = 0; i < l->raws; i++) s->raw_user[i] = -1;
    if ((s->fd = memfd_create("isobath", MFD_CLOEXEC)) < 0)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "no shared memory for worker processes: %s", strerror(errno));
    if (ftruncate(s->fd, (off_t)l->bytes) == 0) s->base = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->base == MAP_FAILED) s->base = NULL;
    int error = s->base ? 0 : errno;
    for (int i = 0; i < s->frames && !error; i++) error = reserve(s->fd, l->frame_stride * (uint64_t)i, l->frame_used);
    if (error) return no_room(s, error, diag);
    s->reserving = pthread_create(&s->reserver, NULL, reserver_main, s) == 0;
    if (!s->reserving) reserve_main(s);
    return ISOBATH_OK;
}

isobath_status ib_shared_create(const ib_shared_layout *layout, int frames, int raws, ib_diag *diag, ib_shared **out)
{
    *out = NULL;
    ib_shared *s = calloc(1, sizeof *s);
    if (!s) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for shared memory");
    atomic_init(&s->refs, 1);
    s->layout = *layout;
    s->frames = frames < layout->frames ? frames : layout->frames;
    s->raws = raws < layout->raws ? raws : layout->raws;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    isobath_status st = take_memory(s, diag);
    if (st == ISOBATH_OK) *out = s;
    else ib_shared_unref(s);
    return st;
}

void ib_shared_unref(ib_shared *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    atomic_store(&s->ending, 1);
    if (s->reserving) pthread_join(s->reserver, NULL);
    if (s->base) munmap(s->base, s->layout.bytes);
    if (s->fd >= 0) close(s->fd);
    free(s->free_frames);
    free(s->free_raws);
    free(s->raw_user);
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
    ib_media_picture_free(f->picture);
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
                           .rgb = s->layout.planes ? NULL : s->base + s->layout.frame_stride * (uint64_t)place};
    atomic_init(&f->refs, 1);
    return f;
}

/* Copies what the decoder left to the frame's place, rows without gaps. */
static isobath_status store_frame(void *ctx, ib_source_frame *f, ib_diag *diag)
{
    ib_shared *s = ctx;
    uint8_t *base = s->base + s->layout.frame_stride * (uint64_t)f->place, *at = base + IB_SHARED_SAMPLES;
    ib_yuv_planes p = {.width = f->width, .height = f->height};
    size_t bytes = f->planes ? ib_shared_planes_bytes(f->planes) : (size_t)f->width * (size_t)f->height * 3;
    if (f->planes) p = *f->planes;
    if (IB_SHARED_SAMPLES + bytes > s->layout.frame_stride || p.on_device)
        return ib_fail(diag, ISOBATH_ERR_UNSUPPORTED, "frame %lld: its pixel format does not fit the others'", (long long)f->index);
    if (!f->planes) memcpy(at, f->rgb, bytes);
    for (int i = 0; i < p.planes; i++) {
        size_t row = ib_shared_row_bytes(&p, i);
        const uint8_t *from = p.plane[i];
        uint64_t offset = (uint64_t)(at - base);
        for (int y = 0; y < p.rows[i]; y++, at += row, from += p.stride[i]) memcpy(at, from, row);
        memcpy(&p.plane[i], &offset, sizeof offset); /* told as an offset */
        p.stride[i] = (int64_t)row;
    }
    memcpy(base, &p, sizeof p);
    ib_media_picture_free(f->picture);
    f->picture = NULL;
    f->planes = NULL;
    f->rgb = NULL;
    return ISOBATH_OK;
}

ib_frame_pool ib_shared_pool(ib_shared *s) { return (ib_frame_pool){take_frame, s, s->layout.planes ? store_frame : NULL}; }

const uint8_t *ib_shared_frame(const uint8_t *base, const ib_shared_layout *l, int place, ib_yuv_planes *p, int *has_planes)
{
    const uint8_t *at = base + l->frame_stride * (uint64_t)place;
    *has_planes = 0;
    if (!l->planes) return at;
    memcpy(p, at, sizeof *p);
    if (p->width != l->width || p->height != l->height || p->planes < 0 || p->planes > 3) return NULL;
    *has_planes = p->planes > 0;
    for (int i = 0; i < p->planes; i++) {
        uint64_t offset;
        memcpy(&offset, &p->plane[i], sizeof offset);
        if (p->rows[i] < 1 || p->stride[i] < 1 || offset > l->frame_stride || (uint64_t)p->stride[i] > l->frame_stride ||
            (uint64_t)p->rows[i] > (l->frame_stride - offset) / (uint64_t)p->stride[i])
            return NULL;
        p->plane[i] = at + offset;
    }
    return at + IB_SHARED_SAMPLES;
}

void ib_shared_stop(ib_shared *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopped = 1;
    pthread_cond_broadcast(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

void ib_shared_deal(ib_shared *s, int devices)
{
    for (int i = 0; i < s->layout.raws; i++) s->raw_user[i] = i % devices;
}

int ib_shared_take_raw(ib_shared *s, int device)
{
    int place = -1, found = -1;
    pthread_mutex_lock(&s->lock);
    for (int i = s->free_raw_count - 1; i >= 0; i--) { /* its own, else a fresh one, else what was used last */
        int user = s->raw_user[s->free_raws[i]];
        if (user == device || (user < 0 && (found < 0 || s->raw_user[s->free_raws[found]] >= 0)) || found < 0) found = i;
        if (user == device) break;
    }
    if (found >= 0) {
        place = s->free_raws[found];
        memmove(s->free_raws + found, s->free_raws + found + 1, (size_t)(s->free_raw_count - found - 1) * sizeof *s->free_raws);
        s->free_raw_count--;
        s->raw_user[place] = device;
    }
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
    const uint64_t most = (uint64_t)1 << 40; /* so that nothing below overflows */
    int sizes = l->width > 0 && l->height > 0 && l->width <= 65536 && l->height <= 65536 && l->frames >= 0 && l->frames < 1 << 20 &&
                l->raws > 0 && l->raws < 1 << 20 && l->raw_stride < most && l->frame_used < most &&
                (!l->planes || l->frame_used > IB_SHARED_SAMPLES);
    ib_shared_layout sound = {0};
    if (sizes) sound = ib_shared_layout_for(l->width, l->height, l->planes ? (size_t)l->frame_used - IB_SHARED_SAMPLES : 0, l->frames,
                                            l->raw_stride, l->raws);
    if (!sizes || fd < 0 || fstat(fd, &sb) != 0 || memcmp(&sound, l, sizeof sound) != 0 || (uint64_t)sb.st_size < l->bytes)
        return ib_fail(diag, ISOBATH_ERR_INTERNAL, "the shared memory is not what was announced");
    void *p = mmap(NULL, l->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return ib_fail(diag, ISOBATH_ERR_MEMORY, "no room for %.1f GB of shared memory: %s", (double)l->bytes * 1e-9, strerror(errno));
    *base = p;
    return ISOBATH_OK;
}
