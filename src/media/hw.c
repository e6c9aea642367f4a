/* NVDEC through libavcodec; see hw.h. The context and the stream are ours: libav takes them as they are, and after waiting for the
 * stream a frame is complete for every other stream of the context. */
#define CUDA_VERSION 1 /* hwcontext_cuda.h needs two names of cuda.h, no more */
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
#include "media/hw.h"
#include "media/hw_watch.h"

#include <dlfcn.h>
#include <libavutil/hwcontext.h>
#include <libavutil/hwcontext_cuda.h>
#include <libavutil/imgutils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_NON_BLOCKING = 1, HOST_PORTABLE = 1, FIRST = -100 }; /* priorities are clamped to what there is */

/* The driver's functions that are used here; all have been there since CUDA 7. */
typedef struct driver {
    void *library;
    int (*init)(unsigned flags);
    int (*retain)(CUcontext *context, int device);
    int (*release)(int device);
    int (*push)(CUcontext context);
    int (*pop)(CUcontext *context);
    int (*stream_create)(CUstream *stream, unsigned flags);
    int (*stream_destroy)(CUstream stream);
    int (*stream_sync)(CUstream stream);
    int (*host_alloc)(void **memory, size_t bytes, unsigned flags);
    int (*host_free)(void *memory);
    int (*mem_info)(size_t *available, size_t *total); /* NULL: not found; as the next one */
    int (*stream_create_first)(CUstream *stream, unsigned flags, int priority);
} driver;

/* What the device context of libav keeps alive: frames may outlive the ib_hw. */
typedef struct card {
    driver d;
    int device;
    CUcontext context;
    CUstream stream;
} card;

struct ib_hw {
    card *card; /* owned by `device` */
    AVBufferRef *device;
    AVBufferRef *frames; /* where kept frames come from; made for the first one */
    ib_hw_watch watch;
    ib_nvcuvid_counts before, total; /* the thread's at enter; of this decoder's pictures */
    char blind[160];                 /* why nothing is watched, or "" */
};

/* ISO C has no cast from an object pointer to a function pointer; POSIX says that this works. */
static int find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static int load(driver *d)
{
    d->library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!d->library) return 0;
    void *l = d->library;
    find(l, "cuMemGetInfo_v2", &d->mem_info);
    find(l, "cuStreamCreateWithPriority", &d->stream_create_first);
    if (find(l, "cuInit", &d->init) && find(l, "cuDevicePrimaryCtxRetain", &d->retain) &&
        (find(l, "cuDevicePrimaryCtxRelease_v2", &d->release) || find(l, "cuDevicePrimaryCtxRelease", &d->release)) &&
        find(l, "cuCtxPushCurrent_v2", &d->push) && find(l, "cuCtxPopCurrent_v2", &d->pop) &&
        find(l, "cuStreamCreate", &d->stream_create) && find(l, "cuStreamDestroy_v2", &d->stream_destroy) &&
        find(l, "cuStreamSynchronize", &d->stream_sync) && find(l, "cuMemHostAlloc", &d->host_alloc) &&
        find(l, "cuMemFreeHost", &d->host_free))
        return 1;
    dlclose(l);
    d->library = NULL;
    return 0;
}

static void card_free(card *c)
{
    CUcontext old;
    if (c->stream && c->d.push(c->context) == 0) {
        c->d.stream_destroy(c->stream);
        c->d.pop(&old);
    }
    if (c->context) c->d.release(c->device);
    if (c->d.library) dlclose(c->d.library);
    free(c);
}

/* Called by libav when the last frame and decoder are gone. */
static void device_freed(AVHWDeviceContext *device) { card_free(device->user_opaque); }

static card *card_open(int device, const char **why)
{
    CUcontext old;
    card *c = calloc(1, sizeof *c);
    *why = "out of memory";
    if (!c) return NULL;
    c->device = device;
    *why = "no NVIDIA driver (libcuda.so.1 does not load)";
    if (load(&c->d)) {
        *why = "the driver gives no context";
        if (c->d.init(0) == 0 && c->d.retain(&c->context, device) == 0 && c->d.push(c->context) == 0) {
            /* What it does with a picture is short: before the blocks of the network that wait for the card. */
            int failed = c->d.stream_create_first ? c->d.stream_create_first(&c->stream, STREAM_NON_BLOCKING, FIRST)
                                                  : c->d.stream_create(&c->stream, STREAM_NON_BLOCKING);
            c->d.pop(&old);
            if (!failed) return c;
            c->stream = NULL;
        }
    }
    card_free(c);
    return NULL;
}

static int has_config(const AVCodec *codec)
{
    const AVCodecHWConfig *config;
    for (int i = 0; (config = avcodec_get_hw_config(codec, i)); i++)
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA && (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX)) return 1;
    return 0;
}

ib_hw *ib_hw_open(int device, const AVCodec *codec, char *why, size_t size)
{
    const char *reason = NULL;
    if (!has_config(codec)) {
        snprintf(why, size, "this libavcodec cannot decode %s on a card", codec->name);
        return NULL;
    }
    ib_hw_watch watch;
    char blind[160];
    if (!ib_hw_watch_open(&watch, blind, sizeof blind)) { /* part of the driver, but containers often leave it out */
        snprintf(why, size, "the driver's decoder library libnvcuvid.so.1 does not load (containers: NVIDIA_DRIVER_CAPABILITIES=all)");
        return NULL;
    }
    card *c = card_open(device, &reason);
    ib_hw *hw = c ? calloc(1, sizeof *hw) : NULL;
    AVBufferRef *ref = hw ? av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA) : NULL;
    if (!ref) {
        snprintf(why, size, "%s", c ? "out of memory" : reason);
        if (c) card_free(c);
        free(hw);
        return NULL;
    }
    AVHWDeviceContext *context = (AVHWDeviceContext *)ref->data;
    AVCUDADeviceContext *cuda = context->hwctx;
    context->user_opaque = c;
    context->free = device_freed;
    cuda->cuda_ctx = c->context;
    cuda->stream = c->stream;
    *hw = (ib_hw){.card = c, .device = ref, .watch = watch};
    snprintf(hw->blind, sizeof hw->blind, "%s", blind);
    if (av_hwdevice_ctx_init(ref) < 0) {
        snprintf(why, size, "libavutil does not take the CUDA context");
        ib_hw_close(hw);
        return NULL;
    }
    return hw;
}

size_t ib_hw_free_bytes(ib_hw *hw)
{
    const card *c = hw->card;
    size_t available = 0, total = 0;
    CUcontext old;
    if (!c->d.mem_info || c->d.push(c->context) != 0) return 0;
    if (c->d.mem_info(&available, &total) != 0) available = 0;
    c->d.pop(&old);
    return available;
}

static void host_buffer_free(void *opaque, uint8_t *data)
{
    AVBufferRef *device = opaque;
    card *c = ((AVHWDeviceContext *)device->data)->user_opaque;
    CUcontext old;
    if (c->d.push(c->context) == 0) {
        c->d.host_free(data);
        c->d.pop(&old);
    }
    av_buffer_unref(&device);
}

void ib_hw_close(ib_hw *hw)
{
    CUcontext old;
    if (!hw) return;
    if (hw->watch.release && hw->card->d.push(hw->card->context) == 0) {
        hw->watch.release(hw);
        hw->card->d.pop(&old);
    }
    av_buffer_unref(&hw->frames);
    av_buffer_unref(&hw->device);
    free(hw);
}

static enum AVPixelFormat choose_format(AVCodecContext *codec, const enum AVPixelFormat *offered)
{
    for (int i = 0; offered[i] != AV_PIX_FMT_NONE; i++)
        if (offered[i] == AV_PIX_FMT_CUDA) return AV_PIX_FMT_CUDA;
    return avcodec_default_get_format(codec, offered); /* the card cannot: the decoder's user sees it in the first frame */
}

isobath_status ib_hw_attach(ib_hw *hw, AVCodecContext *codec, ib_diag *diag)
{
    codec->hw_device_ctx = av_buffer_ref(hw->device);
    if (!codec->hw_device_ctx) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoder");
    codec->get_format = choose_format;
    codec->extra_hw_frames = 2; /* one in hand, one waiting */
    codec->thread_count = 1;
    return ISOBATH_OK;
}

void ib_hw_enter(ib_hw *hw)
{
    if (!hw->watch.counts) return;
    hw->before = *hw->watch.counts();
    hw->watch.work_for(hw);
}

int ib_hw_leave(ib_hw *hw)
{
    if (!hw->watch.counts) return 0;
    hw->watch.work_for(NULL);
    const ib_nvcuvid_counts *now = hw->watch.counts(), *before = &hw->before;
    hw->total.mapped += now->mapped - before->mapped;
    hw->total.unknown += now->unknown - before->unknown;
    hw->total.damaged += now->damaged - before->damaged;
    return now->damaged != before->damaged;
}

const char *ib_hw_blind(const ib_hw *hw)
{
    if (hw->blind[0]) return hw->blind;
    if (hw->total.unknown) return "the driver does not tell for this codec on this card";
    return hw->total.mapped ? "" : "this libavcodec takes pictures from the card in another way";
}

int ib_hw_on_card(const AVFrame *frame) { return frame->format == AV_PIX_FMT_CUDA; }

int ib_hw_format(const AVFrame *frame)
{
    if (!ib_hw_on_card(frame) || !frame->hw_frames_ctx) return frame->format;
    return ((const AVHWFramesContext *)(const void *)frame->hw_frames_ctx->data)->sw_format;
}

/* The pool of kept frames for pictures like `frame`. */
static int open_frames(ib_hw *hw, const AVFrame *frame)
{
    const AVHWFramesContext *like = (const AVHWFramesContext *)(const void *)frame->hw_frames_ctx->data;
    if (hw->frames) {
        const AVHWFramesContext *now = (const AVHWFramesContext *)(const void *)hw->frames->data;
        if (now->sw_format == like->sw_format && now->width == like->width && now->height == like->height) return 0;
        av_buffer_unref(&hw->frames);
    }
    hw->frames = av_hwframe_ctx_alloc(hw->device);
    if (!hw->frames) return AVERROR(ENOMEM);
    AVHWFramesContext *c = (AVHWFramesContext *)(void *)hw->frames->data;
    c->format = AV_PIX_FMT_CUDA;
    c->sw_format = like->sw_format;
    c->width = like->width;
    c->height = like->height;
    int err = av_hwframe_ctx_init(hw->frames);
    if (err < 0) av_buffer_unref(&hw->frames);
    return err;
}

static int synchronize(const card *c)
{
    CUcontext old;
    int err = c->d.push(c->context);
    if (err == 0) {
        err = c->d.stream_sync(c->stream);
        c->d.pop(&old);
    }
    return err;
}

isobath_status ib_hw_keep(ib_hw *hw, const AVFrame *frame, ib_diag *diag, AVFrame **out)
{
    *out = NULL;
    AVFrame *kept = av_frame_alloc();
    if (!kept) return ib_fail(diag, ISOBATH_ERR_MEMORY, "out of memory for a decoded frame");
    int err = open_frames(hw, frame);
    if (err >= 0) err = av_hwframe_get_buffer(hw->frames, kept, 0);
    if (err >= 0) {
        kept->width = frame->width;
        kept->height = frame->height;
        err = av_hwframe_transfer_data(kept, frame, 0);
    }
    if (err >= 0) err = av_frame_copy_props(kept, frame);
    int broken = err >= 0 && synchronize(hw->card) != 0;
    if (err < 0 || broken) {
        av_frame_free(&kept);
        return ib_fail(diag, err == AVERROR(ENOMEM) ? ISOBATH_ERR_MEMORY : ISOBATH_ERR_DEVICE,
                       "a decoded frame cannot be kept on the card (%s): try --decoder software", av_err2str(err));
    }
    *out = kept;
    return ISOBATH_OK;
}

/* A page-locked frame like `frame` in host memory. */
static int open_host(ib_hw_host *host, const AVFrame *frame)
{
    int format = ib_hw_format(frame);
    AVFrame *f = *host;
    if (f && f->format == format && f->width == frame->width && f->height == frame->height) return 0;
    av_frame_free(host);
    AVBufferRef *device = ((const AVHWFramesContext *)(const void *)frame->hw_frames_ctx->data)->device_ref;
    card *c = ((AVHWDeviceContext *)(void *)device->data)->user_opaque;
    int bytes = av_image_get_buffer_size(format, frame->width, frame->height, 64);
    void *memory = NULL;
    CUcontext old;
    f = av_frame_alloc();
    if (!f || bytes < 0 || c->d.push(c->context) != 0) {
        av_frame_free(&f);
        return AVERROR(ENOMEM);
    }
    if (c->d.host_alloc(&memory, (size_t)bytes, HOST_PORTABLE) != 0) memory = NULL;
    AVBufferRef *keep = memory ? av_buffer_ref(device) : NULL;
    if (keep) f->buf[0] = av_buffer_create(memory, (size_t)bytes, host_buffer_free, keep, 0);
    if (!f->buf[0]) {
        if (memory) c->d.host_free(memory);
        av_buffer_unref(&keep);
        av_frame_free(&f);
    }
    c->d.pop(&old);
    if (!f) return AVERROR(ENOMEM);
    f->format = format;
    f->width = frame->width;
    f->height = frame->height;
    av_image_fill_arrays(f->data, f->linesize, memory, format, f->width, f->height, 64);
    *host = f;
    return 0;
}

isobath_status ib_hw_download(ib_hw_host *host, const AVFrame *frame, ib_diag *diag, const AVFrame **out)
{
    int err = open_host(host, frame);
    AVFrame *f = *host;
    if (err >= 0) err = av_hwframe_transfer_data(f, frame, 0);
    while (err >= 0 && f->nb_side_data) av_frame_remove_side_data(f, f->side_data[0]->type);
    if (err >= 0) err = av_frame_copy_props(f, frame);
    if (err < 0)
        return ib_fail(diag, err == AVERROR(ENOMEM) ? ISOBATH_ERR_MEMORY : ISOBATH_ERR_DEVICE,
                       "a decoded frame cannot be read from the card (%s): try --decoder software", av_err2str(err));
    *out = f;
    return ISOBATH_OK;
}
