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


def render(batch, height, width, device):
    """batch: dict of float32 numpy arrays (scenes.collate): prims (F,S,P,20), groups (F,S,G,6), mats (F,M,20),
    views (F,S,52). Returns rgb (F,3,H,W) in 0..1, z (F,H,W) metres along the optical axis (0: sky), id (F,H,W)."""
    kind = "cuda" if torch.device(device).type == "cuda" else "cpu"
    call = library(kind)
    a = [batch[k] if torch.is_tensor(batch[k]) else torch.from_numpy(np.ascontiguousarray(batch[k], np.float32))
         for k in ("prims", "groups", "mats", "views")]
    a = [t.to(device, non_blocking=True) for t in a]
    n, s, p = a[0].shape[:3]
    rgb = torch.empty(n, 3, height, width, device=device)
    z = torch.empty(n, height, width, device=device)
    ids = torch.empty_like(z)
    ptr = [ctypes.c_void_p(t.data_ptr()) for t in a]
    out = [ctypes.c_void_p(t.data_ptr()) for t in (rgb, z, ids)]
    args = [*ptr, n, s, p, a[1].shape[2], a[2].shape[1], height, width, *out]
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
    m, back = (torch.tensor(v, dtype=torch.float32, device=rgb.device) for v in (to_ycc, np.linalg.inv(to_ycc)))
    ycc = torch.einsum("kc,nchw->nkhw", m, rgb)
    ycc = F.pad(ycc, (0, -w % 8, 0, -h % 8), mode="replicate")
    hp, wp = ycc.shape[2:]
    d = _dct(rgb.device)
    b = ycc.view(n, 3, hp // 8, 8, wp // 8, 8)
    c = torch.einsum("ua,nkyaxb,vb->nkyuxv", d, b, d)
    f = torch.arange(8, device=rgb.device, dtype=torch.float32)
    q = 0.4 + 0.25 * (f[:, None] + f[None])
    q = q[None, None, None, :, None, :] * strength.view(n, 1, 1, 1, 1, 1)
    q = q * torch.tensor([1.0, 1.8, 1.8], device=rgb.device).view(1, 3, 1, 1, 1, 1)
    c = torch.where(q > 1e-4, torch.round(c / q.clamp(min=1e-4)) * q, c)
    b = torch.einsum("ua,nkyuxv,vb->nkyaxb", d, c, d).reshape(n, 3, hp, wp)[:, :, :h, :w]
    return torch.einsum("kc,nchw->nkhw", back, b)


def camera(rgb, seed, clip_frames):
    """What a real camera does to the clean picture, by seed: per clip of `clip_frames` frames a lens blur, vignette,
    white balance, contrast and slow exposure drift; per frame noise; then compression. Result rounded to 8 bits."""
    dev = rgb.device
    n, _, h, w = rgb.shape
    k = n // clip_frames
    g = np.random.default_rng([seed, 77])
    def clip(v):  # one value per clip -> per frame
        return torch.tensor(np.repeat(np.asarray(v, np.float32), clip_frames, 0), device=dev)
    soft = np.where(g.random(k) < 0.5, g.uniform(0.3, 1.2, k) * w / 640, 0.0)
    if (soft > 0.15).any():
        blur = clip(soft)
        x = torch.arange(-3, 4, device=dev, dtype=torch.float32)
        ker = torch.exp(-0.5 * (x[None] / blur.clamp(min=0.05)[:, None]) ** 2)
        ker = (ker / ker.sum(1, keepdim=True)).repeat_interleave(3, 0)
        t = F.pad(rgb.reshape(1, n * 3, h, w), (3, 3, 3, 3), mode="replicate")
        t = F.conv2d(t, ker.view(n * 3, 1, 1, 7), groups=n * 3)
        rgb = F.conv2d(t, ker.view(n * 3, 1, 7, 1), groups=n * 3).view(n, 3, h, w)
    yy = torch.linspace(-1, 1, h, device=dev)[:, None] ** 2 + torch.linspace(-1, 1, w, device=dev)[None] ** 2
    rgb = rgb * (1 - clip(g.uniform(0, 0.22, k)).view(n, 1, 1, 1) * yy)
    gain = clip(g.normal(1, 0.06, (k, 3))).view(n, 3, 1, 1)
    t = np.tile(np.arange(clip_frames), k)
    drift = np.repeat(g.uniform(0, 0.08, k), clip_frames) * np.sin(t * np.repeat(g.uniform(0.02, 0.3, k), clip_frames) +
                                                                  np.repeat(g.uniform(0, 6, k), clip_frames))
    gain = gain * torch.tensor(1 + drift, dtype=torch.float32, device=dev).view(n, 1, 1, 1)
    con = clip(g.uniform(0.75, 1.25, k)).view(n, 1, 1, 1)
    rgb = ((rgb * gain).clamp(0, 1) - 0.45) * con + 0.45 + clip(g.uniform(-0.06, 0.06, k)).view(n, 1, 1, 1)
    sat = clip(g.uniform(0.5, 1.25, k)).view(n, 1, 1, 1)
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * sat
    sig = clip(g.uniform(0, 0.035, k) * (g.random(k) < 0.7)).view(n, 1, 1, 1)
    gen = torch.Generator(device=dev).manual_seed(int(seed) % (1 << 62))
    rgb = rgb + sig * torch.randn(rgb.shape, device=dev, generator=gen)
    q = clip(np.where(g.random(k) < 0.7, g.uniform(0.02, 0.22, k) ** 1.2, 0.0))
    rgb = compress(rgb, q)
    return (rgb.clamp(0, 1) * 255).round() / 255
