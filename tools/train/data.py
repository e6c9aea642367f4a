"""Training pictures. Processes build scenes by seed; pools on the device keep the newest few thousand, and every batch
draws from them: scenes with a few views each for single frames, windows of 32 frames for clips."""
import math
import queue
import threading

import numpy as np
import torch

from render import camera, render
from scenes import FPS, TEST_SEEDS, Clip, KINDS

SHARES = np.array([.17, .18, .16, .17, .17, .15])  # of KINDS
CANONICAL = math.tan(math.radians(30))  # metric: metres as if the longer side spanned 60 degrees
WINDOW = 32
P, G, M = 384, 136, 224  # most primitives, groups and materials of a scene; a scene of more is left out
MOMENTS, LOOKS = 3, 4  # of a scene: moments in time, and views at each
SAMPLES = dict(frames=3, clips=2)  # rays a pixel
JITTER = (np.stack([np.arange(8), (np.arange(8) * .618) % 1 * 8]) / 8 + .5 / 8) % 1  # of the rays in a pixel


def pad(a, n):
    out = np.zeros(a.shape[:-2] + (n, a.shape[-1]), np.float32)
    out[..., :a.shape[-2], :] = a
    return out


def window(g):
    """The frame numbers of a window of 32, as the pipeline reads them: in a row, or with two frames from before."""
    k = int(g.integers(0, 3))
    if k == 0: return np.arange(WINDOW) + int(g.integers(0, 40))
    return np.concatenate([[0, 22 * k - 10], 22 * k + np.arange(2, WINDOW)])


def build(seed, kind_of_entry):
    """One scene's rows, or None when it is too large: prims (L,P,20), groups (L,G,6), mats (M,20), views (L,V,S,52)
    without intrinsics, fov (L,V) as the tangent of half of it."""
    g = np.random.default_rng([seed, 12])
    c = Clip(seed, KINDS[g.choice(len(KINDS), p=SHARES)])
    samples = SAMPLES[kind_of_entry]
    off = np.concatenate([[0], (np.arange(samples - 1) + .5) / max(samples - 1, 1) - .5]) * .5 / FPS
    if kind_of_entry == "frames":
        t, v = np.sort(g.uniform(0, c.duration, MOMENTS)), LOOKS
        yaw, pitch = g.normal(0, .45, (MOMENTS, v)), g.normal(0, .06, (MOMENTS, v))
        yaw[:, 0] = pitch[:, 0] = 0
        fov = np.clip(c.fov * np.exp(g.normal(0, .15, (MOMENTS, v))), math.radians(38), math.radians(102))
        fov[:, 0] = c.fov
    else:
        t, v = window(g) / FPS, 1
        yaw = pitch = np.zeros((WINDOW, 1))
        fov = np.full((WINDOW, 1), c.fov)
    prims, groups, _ = c.evaluate(t)
    if prims.shape[1] > P or groups.shape[1] > G or len(c.mats) > M: return None
    at = (t[:, None, None] + off + np.zeros((1, v, 1))).reshape(-1)
    rep = lambda a: np.repeat(a.reshape(-1), samples)
    views = c.views(at, groups.shape[1], rep(yaw), rep(pitch)).reshape(len(t), v, samples, -1)
    return dict(prims=pad(prims, P), groups=pad(groups, G), mats=pad(c.mats, M), views=views.astype(np.float32),
                fov=np.tan(.5 * fov).astype(np.float32))


def worker(out, rank, world, me, workers, start, share):
    """Endless (kind of entry, entry). share: how much of the time goes into clips, set by the trainer."""
    torch.set_num_threads(1)
    g = np.random.default_rng([start, rank, me, 13])
    i = 0
    while True:
        seed = ((start + i) * world + rank) * workers + me
        what = "clips" if g.random() < share.value else "frames"
        i += 1
        e = build(seed % TEST_SEEDS, what)
        if e is not None: out.put((what, e))


class Pool:
    """The newest `room` entries of a kind, on the device."""

    def __init__(self, what, room, dev):
        self.what, self.room, self.dev, self.n, self.at, self.t = what, room, dev, 0, 0, None

    def add(self, e):
        if self.t is None:
            self.t = {k: torch.zeros((self.room,) + v.shape, device=self.dev) for k, v in e.items()}
            s = SAMPLES[self.what]
            self.jitter = torch.tensor(.5 + .6 * (JITTER[:, :s] - .5), dtype=torch.float32, device=self.dev)
            self.jitter[:, 0] = .5
            self.beside = torch.cuda.Stream() if self.dev.type == "cuda" else None
            if self.beside: torch.cuda.synchronize()
        with torch.cuda.stream(self.beside):  # not behind the training step; a scene drawn half old and half new does no harm
            for k, v in e.items(): self.t[k][self.at].copy_(torch.from_numpy(v), non_blocking=True)
        self.at = (self.at + 1) % self.room
        self.n = max(self.n, self.at) if self.n < self.room else self.room

    def draw(self, entry, moment, look, h, w):
        """rgb (F,3,h,w) and z (F,h,w) of the views named by three index tensors (F,), and tan(fov / 2) (F,)."""
        t = self.t
        v = t["views"][entry, moment, look]
        tan = t["fov"][entry, moment, look]
        fx = (.5 * max(h, w) / tan)[:, None]
        v[..., 12], v[..., 13], v[..., 14], v[..., 15] = fx, fx, .5 * w, .5 * h
        v[..., 48], v[..., 49] = self.jitter[0], self.jitter[1]
        steps = t["prims"].shape[1]
        rgb, z, _ = render(dict(prims=t["prims"].view(-1, 1, P, 20), groups=t["groups"].view(-1, 1, G, 6), mats=t["mats"], views=v),
                           h, w, self.dev, (entry * steps + moment).int(), entry.int())
        return rgb, torch.where(z > 1e4, 0, z), tan


class Data:
    """The processes and the two pools. frames() and clips() make batches on the device: pictures x (B,T,3,h,w) in 0..1, z
    (B,T,h,w) metres in the canonical camera (0: sky), far (B,1,1,1) 80 m in it, slots (B,T)."""

    def __init__(self, dev, rank, world, workers, start, room=(6000, 400)):
        self.dev, self.seed = dev, start * 1000003 + rank
        start *= 20000
        ctx = torch.multiprocessing.get_context("fork")
        self.share = ctx.Value("d", 0.0, lock=False)
        self.ctx, self.args, self.workers = ctx, (rank, world), workers
        self.out = ctx.Queue(4 * workers)
        self.procs = [ctx.Process(target=worker, args=(self.out, rank, world, i, workers, start, self.share), daemon=True) for i in range(workers)]
        for p in self.procs: p.start()
        self.pools = dict(frames=Pool("frames", room[0], dev), clips=Pool("clips", room[1], dev))
        self.waiting, self.built, self.rings = queue.Queue(64), 0, {}

    def listen(self):
        """Starts to receive (after the processes have been forked from a program without threads)."""
        def receive():
            while True: self.waiting.put(self.out.get())
        threading.Thread(target=receive, daemon=True).start()

    def fill(self, what=None, least=0):
        """Takes over what has been built; waits until a pool holds `least` entries."""
        while True:
            try: kind, e = self.waiting.get(timeout=40) if what and self.pools[what].n < least else self.waiting.get_nowait()
            except queue.Empty:
                if what and self.pools[what].n < least: raise RuntimeError("no scenes arrive")
                if what and self.dev.type == "cuda": torch.cuda.synchronize()
                return
            self.pools[kind].add(e)
            self.built += 1

    def pick(self, n, high):
        return torch.randint(0, high, (n,), device=self.dev)

    def frames(self, n, h, w, again=3):
        """n single frames. Each picture is used `again` times on average."""
        pool = self.pools["frames"]
        if (h, w) not in self.rings:
            size = 12 * n
            self.rings[h, w] = dict(at=0, n=0, t=(torch.zeros(size, 3, h, w, device=self.dev), torch.zeros(size, h, w, device=self.dev),
                                                  torch.ones(size, device=self.dev)))
        ring = self.rings[h, w]
        size = len(ring["t"][1])
        for _ in range(1 if ring["n"] else 4):
            k = min(n // again if ring["n"] >= 4 * n else n, size - ring["at"])
            parts = self.faulty(*pool.draw(self.pick(k, pool.n), self.pick(k, MOMENTS), self.pick(k, LOOKS), h, w), 1)
            for r, p in zip(ring["t"], parts): r[ring["at"]:ring["at"] + k] = p
            ring["n"] = max(ring["n"], ring["at"] + k)
            ring["at"] = (ring["at"] + k) % size
        i = self.pick(n, ring["n"])
        return self.finish(*(r[i] for r in ring["t"]), n, 1, torch.randint(0, WINDOW, (n, 1), device=self.dev))

    def clips(self, b, t, h, w):
        pool = self.pools["clips"]
        e = self.pick(b, pool.n)
        most = max((WINDOW - 1) // max(t - 1, 1), 1)
        step = torch.randint(1, min(most, 4) + 1, (b, 1), device=self.dev)
        first = (torch.rand(b, 1, device=self.dev) * (WINDOW - (t - 1) * step)).long()
        slots = first + step * torch.arange(t, device=self.dev)
        f = slots.flatten()
        return self.finish(*self.faulty(*pool.draw(e.repeat_interleave(t), f, torch.zeros_like(f), h, w), t), b, t, slots)

    def faulty(self, rgb, z, tan, t):
        self.seed += 1
        return camera(rgb, self.seed, t), z, tan

    def finish(self, x, z, tan, b, t, slots):
        scale = tan.view(b, t)[:, :1, None, None] / CANONICAL
        flip = (torch.rand(b, device=self.dev) < .5).view(b, 1, 1, 1)
        z = z.view(b, t, *z.shape[-2:]) * scale
        x = x.view(b, t, *x.shape[-3:])
        x, z = torch.where(flip.unsqueeze(-1), x.flip(-1), x), torch.where(flip, z.flip(-1), z)
        return x, z, 80 * scale, slots

    def close(self):
        for p in self.procs: p.terminate()
