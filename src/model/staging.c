/* Source frames into network input; see staging.h. */
#include "model/staging.h"

#include "model/arena.h"
#include "model/config.h"
#include "model/vda.h"

/* The device's memory is the host's: frames are read where they are, and the one that is converted is scratch, as the ops' own. */
static int in_place(const ib_backend *be) { return !be->ops->stage_upload; }

void ib_staging_free(ib_staging *s, ib_backend *be, ib_budget *budget)
{
    for (int i = 0; i < IB_STAGE_SLOTS; i++) ib_device_free(be, budget, s->stage[i], s->stage_bytes[i]);
    ib_device_free(be, in_place(be) ? NULL : budget, s->rgb, s->rgb_bytes);
    *s = (ib_staging){0};
}

/* A buffer of at least `wanted` bytes; its old content goes. */
static isobath_status reserve(ib_backend *be, ib_budget *budget, void **buffer, size_t *bytes, size_t wanted)
{
    if (wanted <= *bytes) return ISOBATH_OK;
    ib_device_free(be, budget, *buffer, *bytes);
    *buffer = NULL;
    *bytes = 0;
    IB_TRY(ib_device_alloc(be, budget, wanted, buffer));
    *bytes = wanted;
    return ISOBATH_OK;
}

static size_t align(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* From the first sample of a plane to the last one. */
static size_t plane_bytes(const ib_yuv_planes *p, int plane)
{
    int used = 0;
    for (int c = 0; c < 3; c++) {
        int columns = c ? (p->width + (1 << p->ssx) - 1) >> p->ssx : p->width;
        int end = p->c[c].offset + (columns - 1) * p->c[c].step + (p->bits + p->shift > 8 ? 2 : 1);
        if (p->c[c].plane == plane && end > used) used = end;
    }
    return (size_t)p->stride[plane] * (size_t)(p->rows[plane] - 1) + (size_t)used;
}

/* Bytes that a frame takes in the staging memory; 0 when it is on the device already. */
static size_t frame_bytes(const ib_vda_frame *f)
{
    if (!f->planes) return align((size_t)f->height * (size_t)f->width * 3);
    size_t bytes = 0;
    for (int i = 0; i < f->planes->planes && !f->planes->on_device; i++)
        bytes += align(plane_bytes(f->planes, i));
    return bytes;
}

/* Uploads to `at`; of planes, *where becomes the picture with its device addresses. */
static isobath_status upload(ib_backend *be, const ib_vda_frame *f, uint8_t *at, ib_yuv_planes *where)
{
    if (!f->planes) return ib_stage_upload(be, at, f->rgb, (size_t)f->height * (size_t)f->width * 3);
    *where = *f->planes;
    for (int i = 0; i < where->planes && !where->on_device; i++) {
        size_t bytes = plane_bytes(where, i);
        IB_TRY(ib_stage_upload(be, at, where->plane[i], bytes));
        where->plane[i] = at;
        at += align(bytes);
    }
    return ISOBATH_OK;
}

static ib_tensor component(const ib_yuv_planes *p, int c, int height, int width)
{
    int bytes = p->bits + p->shift > 8 ? 2 : 1, plane = p->c[c].plane;
    ib_tensor t = ib_tensor_3d((void *)(uintptr_t)(p->plane[plane] + p->c[c].offset), IB_U8, height, width, bytes);
    t.stride[0] = p->stride[plane];
    t.stride[1] = p->c[c].step;
    return t;
}

static isobath_status convert(ib_backend *be, const ib_yuv_planes *p, const ib_tensor *rgb)
{
    int h = (p->height + (1 << p->ssy) - 1) >> p->ssy, w = (p->width + (1 << p->ssx) - 1) >> p->ssx;
    return ib_yuv_to_rgb(be, &(ib_yuv_to_rgb_args){.luma = component(p, 0, p->height, p->width),
                                                   .u = component(p, 1, h, w),
                                                   .v = component(p, 2, h, w),
                                                   .bits = p->bits, .shift = p->shift, .ssx = p->ssx, .ssy = p->ssy,
                                                   .interlaced = p->interlaced, .k = p->k,
                                                   .y = ib_tensor_3d(rgb->data, IB_U8, p->height, p->width, 3)});
}

static isobath_status preprocess_in_place(ib_staging *s, ib_backend *be, const ib_vda_frame *frames, int count, const ib_tensor *input)
{
    for (int i = 0; i < count; i++) {
        const ib_vda_frame *f = &frames[i];
        ib_tensor rgb = ib_tensor_4d((void *)(uintptr_t)f->rgb, IB_U8, 1, f->height, f->width, 3);
        if (f->planes) {
            IB_TRY(reserve(be, NULL, &s->rgb, &s->rgb_bytes, (size_t)f->height * (size_t)f->width * 3));
            rgb.data = s->rgb;
            IB_TRY(convert(be, f->planes, &rgb));
        }
        IB_TRY(ib_preprocess(be, &(ib_preprocess_args){rgb, ib_tensor_slice(input, i, 1)}));
    }
    return ISOBATH_OK;
}

isobath_status ib_staging_preprocess(ib_staging *s, ib_backend *be, ib_budget *budget, const ib_vda_frame *frames, int count,
                                     int batch, const ib_tensor *input)
{
    if (in_place(be)) return preprocess_in_place(s, be, frames, count, input);
    int slot = s->next;
    size_t largest = 0, converted = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes = frame_bytes(&frames[i]);
        if (bytes > largest) largest = bytes;
        if (frames[i].planes) converted = (size_t)frames[i].height * (size_t)frames[i].width * 3;
    }
    if (largest * (size_t)batch > s->stage_bytes[slot] || converted > s->rgb_bytes) {
        IB_TRY(be->ops->sync(be)); /* the first frames, or larger ones: nothing may read what is freed */
        IB_TRY(reserve(be, budget, &s->stage[slot], &s->stage_bytes[slot], largest * (size_t)batch));
        IB_TRY(reserve(be, budget, &s->rgb, &s->rgb_bytes, converted));
    }
    ib_yuv_planes where[IB_WINDOW];
    IB_TRY(ib_stage_begin(be, slot));
    for (int i = 0; i < count; i++) IB_TRY(upload(be, &frames[i], (uint8_t *)s->stage[slot] + (size_t)i * largest, &where[i]));
    IB_TRY(ib_stage_end(be, slot));
    for (int i = 0; i < count; i++) {
        ib_tensor rgb = ib_tensor_4d((uint8_t *)s->stage[slot] + (size_t)i * largest, IB_U8, 1, frames[i].height,
                                     frames[i].width, 3);
        if (frames[i].planes) {
            rgb.data = s->rgb;
            IB_TRY(convert(be, &where[i], &rgb));
        }
        IB_TRY(ib_preprocess(be, &(ib_preprocess_args){rgb, ib_tensor_slice(input, i, 1)}));
    }
    IB_TRY(ib_stage_used(be, slot));
    s->next = (slot + 1) % IB_STAGE_SLOTS;
    return ISOBATH_OK;
}
