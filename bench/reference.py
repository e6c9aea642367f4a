#!/usr/bin/env python3
"""Times a checkout of the reference implementation of Video Depth Anything, for the table of tools/gpu-check.sh: the network alone, plain, with
PyTorch's fused attention, with that and its transformer blocks compiled one by one ("blocks", seconds) or compiled as a whole ("compiled", minutes), and the whole of a clip (decode, preprocess, network, align; nothing is written). Output frames/s: a window
of 32 frames yields 22 new ones. Frames are on the card before the clock starts, unlike ours. One line a row:
    reference vits 518x518 f16 fused 500.3 output frames/s, 1.60 GiB at most
usage: reference.py CHECKOUT [--models vits,vitl] [--sizes 518x518,924x518] [--weights FOLDER] [--clip FILE --clip-frames N]
                    [--variants plain,fused,blocks,compiled] [--limit SECONDS] [--hold FILE] [--device cuda|cpu]
FOLDER holds NAME.safetensors (isobath_synth writes them); without it weights are random. Rows that would begin after SECONDS are left out, and said so.
--hold FILE: compiles everything at once, then waits for FILE and measures: for a machine that is busy with other things meanwhile."""
import argparse, os, statistics, sys, time

import checkout

o = argparse.ArgumentParser()
o.add_argument("checkout")
o.add_argument("--models", default="vits,vitl")
o.add_argument("--sizes", default="518x518,924x518")
o.add_argument("--weights")
o.add_argument("--clip")
o.add_argument("--clip-frames", type=int, default=66)
o.add_argument("--variants", default="plain,fused,blocks,compiled")
o.add_argument("--limit", type=float, default=1e9)
o.add_argument("--hold")
o.add_argument("--device", default="cuda")
o = o.parse_args()

checkout.use(o.checkout)
import torch
import torch._dynamo
import torch.nn.functional as F
from video_depth_anything import video_depth
from video_depth_anything.dinov2_layers import attention
from video_depth_anything.motion_module import attention as motion

WINDOW, NEW = 32, 22
began = time.monotonic()  # importing may take half a minute
SIZES = {"vits": dict(encoder="vits", features=64, out_channels=[48, 96, 192, 384]),
         "vitb": dict(encoder="vitb", features=128, out_channels=[96, 192, 384, 768]),
         "vitl": dict(encoder="vitl", features=256, out_channels=[256, 512, 1024, 1024])}
cuda = o.device == "cuda"
plain = attention.MemEffAttention.forward, motion.CrossAttention._attention


def fused_frame(self, x, attn_bias=None):
    q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def fused_time(self, q, k, v, attention_mask=None):
    q, k, v = (x.unsqueeze(1) for x in (q, k, v))
    return self.reshape_batch_dim_to_heads(F.scaled_dot_product_attention(q, k, v).squeeze(1))


def use(fused):
    attention.MemEffAttention.forward, motion.CrossAttention._attention = (fused_frame, fused_time) if fused else plain


def sync():
    if cuda:
        torch.cuda.synchronize()


def seconds(work):
    """Median of up to five calls after two, or of as many as four seconds allow."""
    times, start = [], time.monotonic()
    for i in range(7):
        sync()
        t = time.monotonic()
        work()
        sync()
        times.append(time.monotonic() - t)
        if i >= 2 and time.monotonic() - start > 4:
            break
    return statistics.median(times[2:] if len(times) > 2 else times)


def memory(start=False):
    if start and cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated() / 2**30 if cuda else 0


def row(name, size, act, variant, work, frames):
    label = f"reference {name} {size} {act} {variant}"
    if time.monotonic() - began > o.limit:
        return print(f"{label} left out: {o.limit:.0f} s are over", flush=True)
    try:
        memory(start=True)
        s = seconds(work) if frames == NEW else timed(work)
        print(f"{label} {frames / s:.1f} output frames/s, {memory():.2f} GiB at most", flush=True)
    except Exception as e:  # out of memory, or no compiler: the row says so and the next one runs
        print(f"{label} failed: {str(e).splitlines()[0][:160] if str(e) else type(e).__name__}", flush=True)


def timed(work):
    start = time.monotonic()
    work()
    sync()
    return time.monotonic() - start


def network(m, x, half):
    with torch.no_grad(), torch.autocast(o.device, enabled=half):
        return m(x)


def whole_clip(m, frames):
    import cv2
    import numpy
    video, read = cv2.VideoCapture(o.clip), []
    while len(read) < frames:
        ok, picture = video.read()
        if not ok:
            raise RuntimeError(f"{o.clip}: {len(read)} frames")
        read.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    m.infer_video_depth(numpy.stack(read), 25, device=o.device)


print(f"reference PyTorch {torch.__version__} on {torch.cuda.get_device_name() if cuda else 'cpu'}", flush=True)
variants = o.variants.split(",")
models = []
for name in o.models.split(","):
    m = video_depth.VideoDepthAnything(**SIZES[name]).to(o.device).eval()
    if o.weights:
        from safetensors.torch import load_file
        m.load_state_dict(load_file(os.path.join(o.weights, name + ".safetensors"), device=o.device))
    for size in o.sizes.split(","):
        w, h = map(int, size.split("x"))
        x = torch.randn(1, WINDOW, 3, h, w, device=o.device)
        for variant in ("plain", "fused"):
            use(variant == "fused")
            if variant in variants:
                row(name, size, "f16", variant, lambda: network(m, x, True), NEW)
            if variant in variants and name == "vits" and size == "518x518":
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
                row(name, size, "f32", variant, lambda: network(m, x, False), NEW)
                torch.backends.cudnn.allow_tf32 = True  # PyTorch's default
        del x
    if o.clip:
        use(False)
        try:
            if time.monotonic() - began < o.limit:
                whole_clip(m, 32)  # warm
        except Exception as e:
            print(f"reference {name} clip f16 plain failed: {e}", flush=True)
        else:
            row(name, "clip", "f16", "plain", lambda: whole_clip(m, o.clip_frames), o.clip_frames)
    models.append((name, m))
use(True)
for name, m in models if "blocks" in variants else ():
    blocks = [*m.pretrained.blocks, *(b for t in m.head.motion_modules for b in t.temporal_transformer.transformer_blocks)]
    for size in o.sizes.split(","):
        w, h = map(int, size.split("x"))
        torch._dynamo.reset()
        for b in blocks:
            b.compile(dynamic=False)
        x = torch.randn(1, WINDOW, 3, h, w, device=o.device)
        row(name, size, "f16", "blocks", lambda: network(m, x, True), NEW)
        for b in blocks:
            b._compiled_call_impl = None  # as it was
torch._dynamo.reset()
compiled = []
for name, m in models if "compiled" in variants else ():  # last: compiling takes a minute or more
    quick = torch.compile(m, dynamic=False)
    for size in o.sizes.split(","):
        w, h = map(int, size.split("x"))
        x = torch.randn(1, WINDOW, 3, h, w, device=o.device)
        work = lambda quick=quick, x=x: network(quick, x, True)
        if not o.hold:
            row(name, size, "f16", "compiled", work, NEW)
            continue
        start = time.monotonic()
        try:
            work()
            sync()
            print(f"{name} {size} compiled in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        except Exception as e:
            print(f"{name} {size} not compiled: {e}", file=sys.stderr, flush=True)
        compiled.append((name, size, work))
while compiled and not os.path.exists(o.hold):
    time.sleep(0.1)
for name, size, work in compiled:
    row(name, size, "f16", "compiled", work, NEW)
