"""Builds the renderer (gcc for the CPU, nvcc for the GPU) and calls it on batches of frames; the camera's faults
(noise, blur, exposure, compression) are added afterwards in torch."""
import ctypes
import os
import subprocess
import tempfile
import zlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
_lib = {}


def library(kind):
    if kind not in _lib:
        text = "".join(open(f"{HERE}/{n}").read() for n in ("render_core.h", "render_cpu.c", "render.cu"))
        kept = os.path.join(tempfile.gettempdir(), f"isobath_render_{kind}_{zlib.crc32(text.encode()):08x}.so")
        out = f"{kept}.{os.getpid()}"
        if kind == "cpu":
            cmd = ["gcc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC",
                   f"{HERE}/render_cpu.c", "-o", out, "-lm"]
        else:
            cmd = ["nvcc", "-O3", "-std=c++17", "-arch=native", "--use_fast_math", "-shared", "-Xcompiler", "-fPIC",
                   f"{HERE}/render.cu", "-o", out]
        if not os.path.exists(kept):
            subprocess.run(cmd, check=True)
            os.replace(out, kept)
        _lib[kind] = ctypes.CDLL(kept)
    return _lib[kind].render


def render(batch, height, width, device, scene=None, look=None):
    """batch: dict of float32 arrays (scenes.collate) or tensors: prims (N,s,P,20), groups (N,s,G,6), mats (K,M,20), views
    (F,S,52); s is S (every sample at its own time) or 1. Frame f shows scene[f] of N with the materials look[f] of K
    (int32 tensors; None: f). Returns rgb (F,3,H,W) in 0..1, z (F,H,W) metres along the optical axis (0: sky), id (F,H,W)."""
    kind = "cuda" if torch.device(device).type == "cuda" else "cpu"
    call = library(kind)
    a = [batch[k] if torch.is_tensor(batch[k]) else torch.from_numpy(np.ascontiguousarray(batch[k], np.float32))
         for k in ("prims", "groups", "mats", "views")]
    a = [t.to(device, non_blocking=True) for t in a]
    n, s = a[3].shape[:2]
    own = int(a[0].shape[1] > 1)
    assert not own or a[0].shape[1] == s
    scene, look = (torch.arange(n, device=device, dtype=torch.int32) if i is None else i for i in (scene, look))
    rgb = torch.empty(n, 3, height, width, device=device)
    z = torch.empty(n, height, width, device=device)
    ids = torch.empty_like(z)
    ptr = [ctypes.c_void_p(t.data_ptr()) for t in (*a, scene, look)]
    out = [ctypes.c_void_p(t.data_ptr()) for t in (rgb, z, ids)]
    args = [*ptr, n, s, own, a[0].shape[2], a[1].shape[2], a[2].shape[1], height, width, *out]
    if kind == "cuda":
        code = call(*args, torch.cuda.current_device(), ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
        if code:
            raise RuntimeError(f"render: CUDA error {code}")
    else:
        call(*args)
    return rgb, z, ids


def _dct(device):
    k = torch.arange(8, device=device, dtype=torch.float32)
    m = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) * 0.5
    m[0] *= 0.5 ** 0.5
    return m


def compress(rgb, strength):
    """JPEG-like loss: 8x8 DCT of Y, Cb, Cr, quantised; strength (F,) is the step of a middle frequency, in 0..1 units."""
    n, _, h, w = rgb.shape
    to_ycc = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    m, back = (torch.from_numpy(v).float().to(rgb.device, non_blocking=True) for v in (to_ycc, np.linalg.inv(to_ycc)))
    ycc = torch.einsum("kc,nchw->nkhw", m, rgb)
    ycc = F.pad(ycc, (0, -w % 8, 0, -h % 8), mode="replicate")
    hp, wp = ycc.shape[2:]
    d = _dct(rgb.device)
    b = ycc.view(n, 3, hp // 8, 8, wp // 8, 8)
    c = torch.einsum("ua,nkyaxb,vb->nkyuxv", d, b, d)
    f = torch.arange(8, device=rgb.device, dtype=torch.float32)
    q = 0.4 + 0.25 * (f[:, None] + f[None])
    q = q[None, None, None, :, None, :] * strength.view(n, 1, 1, 1, 1, 1)
    q = torch.cat([q, q.expand(-1, 2, -1, -1, -1, -1) * 1.8], 1)
    c = torch.where(q > 1e-4, torch.round(c / q.clamp(min=1e-4)) * q, c)
    b = torch.einsum("ua,nkyuxv,vb->nkyaxb", d, c, d).reshape(n, 3, hp, wp)[:, :, :h, :w]
    return torch.einsum("kc,nchw->nkhw", back, b)


FAULTS = 20


def faults(g, k):
    """What k cameras do to their pictures, (k, FAULTS): 0 lens blur in pixels of a 640 wide picture, 1 vignette, 2-4
    white balance, 5-7 exposure drift (amount, rate, phase), 8 contrast, 9 brightness, 10 saturation, 11 noise, 12 step
    of the compression."""
    v = np.zeros((k, FAULTS), np.float32)
    v[:, 0] = np.where(g.random(k) < 0.5, g.uniform(0.3, 1.2, k), 0.0)
    v[:, 1] = g.uniform(0, 0.22, k)
    v[:, 2:5] = g.normal(1, 0.06, (k, 3))
    v[:, 5:8] = np.stack([g.uniform(0, 0.08, k), g.uniform(0.02, 0.3, k), g.uniform(0, 6, k)], 1)
    v[:, 8], v[:, 9], v[:, 10] = g.uniform(0.75, 1.25, k), g.uniform(-0.06, 0.06, k), g.uniform(0.5, 1.25, k)
    v[:, 11] = g.uniform(0, 0.035, k) * (g.random(k) < 0.7)
    v[:, 12] = np.where(g.random(k) < 0.7, g.uniform(0.02, 0.22, k) ** 1.2, 0.0)
    return v


def camera(rgb, seed, clip_frames):
    """What a real camera does to the clean picture, by seed: per clip of `clip_frames` frames a lens blur, vignette,
    white balance, contrast and slow exposure drift; per frame noise; then compression. Result rounded to 8 bits."""
    dev = rgb.device
    n, _, h, w = rgb.shape
    k = n // clip_frames
    v = torch.from_numpy(faults(np.random.default_rng([seed, 77]), k)).to(dev, non_blocking=True).repeat_interleave(clip_frames, 0)
    v = v.T.reshape(FAULTS, n, 1, 1, 1)
    ker = torch.exp(-0.5 * (torch.arange(-3, 4, device=dev) / (v[0].view(n, 1) * (w / 640)).clamp(min=0.05)) ** 2)
    ker = ker / ker.sum(1, keepdim=True)
    if w >= 320:
        ker = ker.repeat_interleave(3, 0)
        t = F.pad(rgb.reshape(1, n * 3, h, w), (3, 3, 3, 3), mode="replicate")
        t = F.conv2d(t, ker.view(n * 3, 1, 1, 7), groups=n * 3)
        rgb = F.conv2d(t, ker.view(n * 3, 1, 7, 1), groups=n * 3).view(n, 3, h, w)
    else:  # a small picture: three taps hold all of it
        t = F.pad(rgb, (1, 1, 1, 1), mode="replicate")
        a = (ker[:, 2] / (1 + 2 * (ker[:, 2] / ker[:, 3])) / ker[:, 3]).view(n, 1, 1, 1)
        t = t + a * (t.roll(1, 3) + t.roll(-1, 3) - 2 * t)
        rgb = (t + a * (t.roll(1, 2) + t.roll(-1, 2) - 2 * t))[:, :, 1:-1, 1:-1]
    yy = torch.linspace(-1, 1, h, device=dev)[:, None] ** 2 + torch.linspace(-1, 1, w, device=dev)[None] ** 2
    t = torch.arange(clip_frames, device=dev).repeat(k).view(n, 1, 1, 1)
    gain = v[2:5].transpose(0, 1).reshape(n, 3, 1, 1) * (1 + v[5] * torch.sin(t * v[6] + v[7]))
    rgb = ((rgb * (1 - v[1] * yy) * gain).clamp(0, 1) - 0.45) * v[8] + 0.45 + v[9]
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * v[10]
    gen = torch.Generator(device=dev).manual_seed(int(seed) % (1 << 62))
    rgb = rgb + v[11] * torch.randn(rgb.shape, device=dev, generator=gen)
    rgb = compress(rgb, v[12].flatten())
    return (rgb.clamp(0, 1) * 255).round() / 255
