"""Trains nano on clips rendered on the fly: python train.py --out FOLDER --minutes 5 [--total 10] [--resume FOLDER]

One process a device (all that are there); training is cut into pieces by --minutes, --total is what the schedule is
made for, and --resume goes on from a piece's files (ema.safetensors, model.safetensors, optim.pt). Two sets of output
layers, relative and metric, are trained together over one trunk; export.py makes two checkpoints of them."""
import argparse
import json
import math
import os
import shutil
import time

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

import losses
from model import MEAN, STD, VideoDepth
from render import camera, library, render
from scenes import Clip, KINDS, TEST_SEEDS, collate, sub_frames

SHARES = np.array([.17, .18, .16, .17, .17, .15])  # of KINDS
CANONICAL = math.tan(math.radians(30))  # metric: metres as if the longer side spanned 60 degrees
METRIC_SCALE = 8.0  # the metric output layers predict metres / 8; export.py folds it into the last layer
SAMPLES = 3
# progress until which it holds, frames a step, sizes with their weights, lengths of clip with their weights
STAGES = [
    (0.62, 256, [((140, 252), .55), ((154, 210), .2), ((182, 182), .15), ((238, 140), .1)], [(1, .02), (2, .12), (4, .5), (8, .36)]),
    (2.00, 128, [((196, 350), .55), ((210, 280), .2), ((252, 252), .15), ((322, 182), .1)], [(4, .3), (8, .35), (16, .25), (32, .1)]),
]
TOY = [(2.0, 8, [((70, 126), 1.0)], [(4, .5), (8, .5)])]


def slots_and_frames(g, t):
    """T slots of a window of 32 and the frame number that each holds: window 0 is 32 frames in a row; a later one
    begins with frame 0 and the frame 12 before its third."""
    k = int(g.integers(0, 3))
    step = int(g.integers(1, 3)) if t <= 12 else 1
    if k == 0 or t < 4:
        n = (t - 1) * step + 1
        slots = int(g.integers(0, 33 - n)) + step * np.arange(t)
        return slots, slots + int(g.integers(0, 40))
    n = (t - 3) * step + 1
    rest = int(g.integers(2, 33 - n)) + step * np.arange(t - 2)
    return np.concatenate([[0, 1], rest]), np.concatenate([[0, 22 * k - 10], 22 * k + rest])


class Batches(torch.utils.data.IterableDataset):
    """Endless batches of scene rows, the same for the same (rank, index). `progress` is shared with the trainer."""

    def __init__(self, rank, world, start, progress, stages):
        self.rank, self.world, self.start, self.progress, self.stages = rank, world, start, progress, stages
        self.shared = shutil.disk_usage("/dev/shm").total > 8 << 30  # else through pipes: slower, but it runs

    def __iter__(self):
        w = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        n, i = (w.num_workers, w.id) if w else (1, 0)
        i += self.start
        while True:
            yield self.make(i)
            i += n

    def make(self, i):
        shared = np.random.default_rng([i, 11])  # the same on every rank, so that steps take equally long
        g = np.random.default_rng([i, self.rank, 12])
        stage = next(s for s in self.stages if self.progress.value < s[0])
        h, w = stage[2][shared.choice(len(stage[2]), p=[x[1] for x in stage[2]])][0]
        frames = int(stage[1] * (stage[2][0][0][0] * stage[2][0][0][1]) / (h * w))
        frames = frames // 32 * 32 or max(frames // 8 * 8, 8)  # few different batch sizes: libraries prepare for each
        t = int(shared.choice([x[0] for x in stage[3]], p=[x[1] for x in stage[3]]))
        t = min(t, frames)
        slots, numbers = slots_and_frames(shared, t)
        b = max(frames // t, 1)
        items, scale = [], []
        for k in range(b):
            seed = ((i * self.world + self.rank) * 256 + k) % TEST_SEEDS
            c = Clip(seed, KINDS[g.choice(len(KINDS), p=SHARES)])
            items.append(sub_frames(c, numbers, SAMPLES, h, w))
            scale.append(math.tan(c.fov / 2) / CANONICAL)
        out = dict(collate(items), slots=slots, scale=np.array(scale, np.float32))
        if self.shared: out = {k: torch.from_numpy(v) for k, v in out.items()}
        return dict(out, size=(h, w), clips=b, seed=i * self.world + self.rank)


def zeropower(g):
    """The nearest orthogonal matrices, about: five Newton-Schulz steps (Muon's coefficients). g (N, rows, columns)."""
    x = g.bfloat16()
    flip = x.shape[1] > x.shape[2]
    if flip: x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if flip else x).float()


class Optimiser:
    """Muon for the matrices (and 3x3 kernels as matrices), Adam for the rest. A Muon step is scaled to the size of an
    Adam step, so that one learning rate serves both; the head, which has no normalisation, takes `head` of it: with
    more its kernels grow and training stalls. Moments are stacked by shape."""

    def __init__(self, net, lr, head, decay):
        self.lr, self.decay, self.t = lr, decay, 0
        names = [(n, p) for n, p in net.named_parameters()]
        is_muon = lambda n, p: p.dim() >= 2 and min(p.shape[0], p[0].numel()) >= 16 and not any(
            k in n for k in ("pos_embed", "token", "patch_embed", "output_conv2.2", "resize_layers.0", "resize_layers.1"))
        slow = lambda n: ("head." in n or "metric." in n) and "motion" not in n
        self.adam, self.muon = [], []  # (parameters, rate)
        for is_slow, rate in ((False, 1.0), (True, head)):
            mine = [(n, p) for n, p in names if slow(n) == is_slow]
            self.adam.append(([p for n, p in mine if not is_muon(n, p)], rate))
            groups = {}
            for n, p in mine:
                if is_muon(n, p): groups.setdefault((p.shape[0], p[0].numel()), []).append(p)
            self.muon += [(g, rate * 0.2 * max(k) ** 0.5) for k, g in groups.items()]
        self.m = [torch.zeros_like(p) for ps, _ in self.adam for p in ps]
        self.v = [torch.zeros_like(p) for ps, _ in self.adam for p in ps]
        self.b = [torch.zeros(len(g), g[0].shape[0], g[0][0].numel(), device=g[0].device) for g, _ in self.muon]

    @torch.no_grad()
    def step(self, k, grads):
        """k: the schedule's factor of the learning rates; grads: parameter -> gradient."""
        self.t += 1
        g = [grads[p] for ps, _ in self.adam for p in ps]
        torch._foreach_lerp_(self.m, g, 0.1)
        torch._foreach_mul_(self.v, 0.99)
        torch._foreach_addcmul_(self.v, g, g, 0.01)
        den = torch._foreach_sqrt(torch._foreach_div(self.v, 1 - 0.99 ** self.t))
        torch._foreach_add_(den, 1e-8)
        upd = torch._foreach_div(self.m, den)
        at = 0
        for ps, rate in self.adam:
            torch._foreach_add_(ps, upd[at:at + len(ps)], alpha=-self.lr * rate * k / (1 - 0.9 ** self.t))
            at += len(ps)
        for (ps, rate), buf in zip(self.muon, self.b):
            gr = torch.stack([grads[p].flatten(1) for p in ps])
            buf.mul_(0.95).add_(gr)
            o = zeropower(gr.add(buf, alpha=0.95))
            torch._foreach_mul_(ps, 1 - self.lr * k * self.decay)
            torch._foreach_add_(ps, [n.view_as(p) for p, n in zip(ps, o)], alpha=-self.lr * rate * k)

    def state(self):
        half = lambda a: [x.bfloat16().cpu() for x in a]
        return dict(t=self.t, m=half(self.m), v=half(self.v), b=half(self.b))

    def load(self, s):
        self.t = s["t"]
        for mine, theirs in ((self.m, s["m"]), (self.v, s["v"]), (self.b, s["b"])):
            for a, b in zip(mine, theirs): a.copy_(b)


def work(rank, world, a):
    t_start = time.time()
    cuda = torch.cuda.is_available()
    dev = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(dev)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(a.port))
        dist.init_process_group("nccl", rank=rank, world_size=world)
    if not cuda: torch.set_num_threads(1)
    torch.manual_seed(1)
    net = VideoDepth("nano", metric_head=True, temporal=not a.no_temporal).initialise().to(dev)
    net.leak = 0.1
    if a.warm:
        w = load_file(f"{a.warm}/nano.safetensors")
        for k, v in load_file(f"{a.warm}/nano_metric.safetensors").items():
            if "output_conv2" in k: w["metric." + k[len("head.scratch."):]] = v / METRIC_SCALE if "output_conv2.2." in k else v
        net.load_state_dict({k: v.float() for k, v in w.items()})
    start = dict(step=0, done=0.0)
    ema = {k: v.detach().clone() for k, v in net.state_dict().items()}
    opt = Optimiser(net, a.lr, a.head_rate, a.decay)
    if a.resume:
        start = json.load(open(f"{a.resume}/progress.json"))
        net.load_state_dict(load_file(f"{a.resume}/model.safetensors"))
        for k, v in load_file(f"{a.resume}/ema.safetensors").items(): ema[k].copy_(v)
        opt.load(torch.load(f"{a.resume}/optim.pt"))
    params = [p for p in net.parameters()]
    skipped = [p for n, p in net.named_parameters() if "mask_token" in n or "refinenet4.resConfUnit1" in n or (a.no_temporal and "motion" in n)]
    frozen = {p for p in skipped}
    progress = torch.multiprocessing.get_context("fork").Value("d", start["done"] / a.total, lock=False)
    data = Batches(rank, world, start["step"], progress, TOY if a.toy else STAGES)
    loader = iter(torch.utils.data.DataLoader(data, batch_size=None, num_workers=a.workers, prefetch_factor=3 if a.workers else None, pin_memory=cuda, collate_fn=lambda x: x,
                                              multiprocessing_context="fork" if a.workers else None))
    mean, std = (torch.tensor(v, device=dev).view(1, 3, 1, 1) for v in (MEAN, STD))
    flat = torch.zeros(sum(p.numel() for p in params) + 1, device=dev)
    grads = {p: v.view_as(p) for p, v in zip(params, flat[:-1].split([p.numel() for p in params]))}
    live = [p for p in params if p not in frozen]
    step, t0, log_at, frames, wait, seen = start["step"], None, 0, 0, 0.0, {}
    library("cuda" if cuda else "cpu")
    log = open(f"{a.out}/log.jsonl", "a") if rank == 0 else None
    if rank == 0: print(f"start-up {time.time() - t_start:.1f} s, {world} device(s), {sum(p.numel() for p in params)} parameters", flush=True)
    def save():
        save_file({k: v.contiguous().cpu() for k, v in net.state_dict().items()}, f"{a.out}/model.safetensors")
        save_file({k: v.contiguous().cpu() for k, v in ema.items()}, f"{a.out}/ema.safetensors")
        torch.save(opt.state(), f"{a.out}/optim.pt")
        json.dump(dict(step=step, done=done, devices=world), open(f"{a.out}/progress.json", "w"))
    saves = [0.5, 0.8]
    while True:
        w0 = time.time()
        item = next(loader)
        if t0 is None: t0 = time.time()
        wait += time.time() - w0
        done = start["done"] + (time.time() - t0) / 60
        h, w = item["size"]
        b, n = item["clips"], item["prims"].shape[0]
        with torch.no_grad():
            rgb, z, _ = render({k: item[k] for k in ("prims", "groups", "mats", "views")}, h, w, dev)
            rgb = camera(rgb, item["seed"], n // b)
            x = ((rgb - mean) / std).view(b, n // b, 3, h, w)
            z = z.view(b, n // b, h, w)
            z = torch.where(z > 1e4, 0 * z, z)
            zc = z * torch.as_tensor(item["scale"]).to(dev).view(b, 1, 1, 1)
        with torch.autocast(dev.type, torch.bfloat16, enabled=cuda):
            d, m = net(x, torch.as_tensor(item["slots"]).to(dev), which=("relative", "metric"))
        parts = {}
        loss = losses.relative(d.float(), z, parts) + losses.metric(m.float() * METRIC_SCALE, zc, parts)
        loss.backward()
        torch._foreach_copy_([grads[p] for p in live], [p.grad for p in live])
        flat[-1] = done / a.total
        if world > 1:
            dist.all_reduce(flat)
            flat /= world
        norm = flat[:-1].norm()
        flat[:-1] *= (a.clip / (norm + 1e-6)).clamp(max=1)  # not finite: every gradient becomes NaN; dropped below
        torch.nan_to_num_(flat, 0.0, 0.0, 0.0)
        where = float(flat[-1])
        progress.value = where
        k = min(1, (step + 1) / a.warmup) * max(0.0, min(1.0, (1 - where) / (1 - a.hold)))
        opt.step(k, grads)
        for p in live: p.grad = None
        decay = min(0.996, (1 + step) / (20 + step))
        with torch.no_grad():
            keys = list(ema)
            torch._foreach_lerp_([ema[i] for i in keys], [v for _, v in net.state_dict().items()], 1 - decay)
        step += 1
        frames += n
        for i, v in parts.items(): seen.setdefault(i, []).append(v.detach())
        if rank == 0 and (time.time() - log_at > a.every or where >= min(1, a.stop)):
            torch.cuda.synchronize() if cuda else None
            line = dict(step=step, minutes=round(done, 3), norm=round(float(norm), 2), rate=round(k, 4), size=[h, w, n // b], fps=round(frames / max(time.time() - max(log_at, t0), 1e-3)) if log_at else 0,
                        wait=round(wait, 2), gib=round(torch.cuda.max_memory_allocated() / 2**30, 1) if cuda else 0,
                        **{i: round(float(torch.stack(v).mean()), 4) for i, v in seen.items()})
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            log_at, frames, wait, seen = time.time(), 0, 0.0, {}
        if saves and where > saves[0]:
            saves = [v for v in saves if v >= where]
            if rank == 0: save()
        if where * a.total - start["done"] >= a.minutes or where >= 1 or (a.steps and step >= a.steps): break
    if rank == 0:
        save()
        print(f"saved after {step} steps, {done:.2f} minutes of training, {time.time() - t_start:.0f} s in all", flush=True)
    if world > 1: dist.destroy_process_group()
    os._exit(0)  # the loader's workers are daemons; do not wait for their queues


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--total", type=float, default=0, help="minutes that the schedule is made for (default: --minutes)")
    p.add_argument("--resume")
    p.add_argument("--warm", help="folder of nano.safetensors and nano_metric.safetensors to begin with")
    p.add_argument("--hold", type=float, default=0.3, help="part of the schedule before the learning rate falls")
    p.add_argument("--no-temporal", action="store_true")
    p.add_argument("--devices", default="", help="such as 0,1; all by default")
    p.add_argument("--workers", type=int, default=14, help="scene builders per device")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--head-rate", type=float, default=0.5)
    p.add_argument("--decay", type=float, default=0.1)
    p.add_argument("--clip", type=float, default=5.0)
    p.add_argument("--warmup", type=int, default=60)
    p.add_argument("--every", type=float, default=10)
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--port", type=int, default=29511)
    p.add_argument("--toy", action="store_true", help="small pictures: does everything run?")
    a = p.parse_args()
    a.total = a.total or a.minutes
    a.stop = 1.0
    os.makedirs(a.out, exist_ok=True)
    if a.devices: os.environ["CUDA_VISIBLE_DEVICES"] = a.devices
    world = len(a.devices.split(",")) if a.devices else (torch.cuda.device_count() or 1)
    if world > 1: torch.multiprocessing.spawn(work, (world, a), nprocs=world)
    else: work(0, 1, a)


if __name__ == "__main__":
    main()
