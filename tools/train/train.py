"""Trains nano (both outputs on one trunk): python train.py --out FOLDER --plan frames --seconds 240 [--init FILE]

Runs in pieces of a few minutes: each begins with the weights of the one before (--init: its weights.safetensors), warms
up anew and lowers its learning rate to --end of it. One process per GPU. A step is one replay of a CUDA graph
(forward, loss, backward), one sum over the devices and one replay of the optimiser's graph."""
import argparse
import collections
import json
import os
import time

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import losses
from data import Data
from model import MEAN, STD, VideoDepth
from optim import Optimiser
from render import library

RECORD = torch.cuda.device_count() > 0 and not os.environ.get("NO_GRAPHS")  # set NO_GRAPHS=1 to look for faults
METRIC_SCALE = 8.0  # the metric output layers predict metres / 8; export.py folds it into the last layer
RELATIVE_SCALE = 0.216  # 1/m of the canonical camera per unit of the relative output
# what: frames (of one scene each) or clips of t frames; h x w; frames a step and device; temporal modules on; small: output
# layers before the last enlargement; share of the steps
Part = collections.namedtuple("Part", "what h w n t temporal small share")
PLANS = {
    "frames": [Part("frames", 140, 252, 128, 1, False, True, .8), Part("frames", 182, 182, 128, 1, False, True, .2)],
    "larger": [Part("frames", 196, 350, 128, 1, False, True, .55), Part("frames", 266, 182, 128, 1, False, True, .15),
               Part("frames", 280, 504, 64, 1, False, True, .3)],
    "clips": [Part("frames", 280, 504, 48, 1, True, False, .25), Part("clips", 196, 350, 128, 8, True, False, .35),
              Part("clips", 280, 504, 64, 8, True, False, .25), Part("clips", 196, 350, 128, 32, True, False, .15)],
    "longer": [Part("frames", 280, 504, 48, 1, True, False, .25), Part("clips", 196, 350, 128, 8, True, False, .2),
               Part("clips", 280, 504, 64, 8, True, False, .2), Part("clips", 196, 350, 128, 32, True, False, .15),
               Part("clips", 280, 504, 64, 32, True, False, .2)],
    "flat": [Part("frames", 280, 504, 48, 1, False, False, .4), Part("frames", 196, 350, 96, 1, False, False, .6)],
    "toy": [Part("frames", 70, 126, 8, 1, False, True, .4), Part("clips", 70, 126, 8, 4, True, False, .4),
            Part("clips", 70, 126, 32, 32, True, False, .2)],
}


class Step:
    """Forward, loss and backward of one part of a plan on inputs of fixed shape, recorded when the device can."""

    def __init__(self, net, opt, part, data, steady):
        self.net, self.opt, self.part, self.data, self.steady, self.graph, self.total = net, opt, part, data, steady, None, 0
        self.mean, self.std = (torch.tensor(v, device=data.dev).view(1, 1, 3, 1, 1) for v in (MEAN, STD))
        self.inputs = [v.clone() for v in self.make()]
        self.parts, self.sums = [], {}

    def make(self):
        p = self.part
        if p.what == "frames": x, z, far, slots = self.data.frames(p.n, p.h, p.w)
        else: x, z, far, slots = self.data.clips(p.n // p.t, p.t, p.h, p.w)
        if p.small:  # the truth where the small output's pixels are
            i, j = (torch.linspace(0, v - 1, v // 14 * 8, device=z.device).round().long() for v in (p.h, p.w))
            z = z[..., i, :][..., j]
        return ((x - self.mean) / self.std).to(self.opt.work.dtype), z, far, slots

    def run(self):
        self.opt.work_grad.zero_()
        x, z, far, slots = self.inputs
        d, m = self.net(x, slots, ("relative", "metric"), self.part.temporal, self.part.small)
        parts = {}
        loss = losses.relative(d.float() * RELATIVE_SCALE, z, far, parts, self.steady)
        loss = loss + losses.metric(m.float() * METRIC_SCALE, z, parts, self.steady)
        loss.backward()
        self.opt.grad[:-1].copy_(self.opt.work_grad)
        for k, v in parts.items():
            if k not in self.sums: self.sums[k] = torch.zeros((), device=v.device)
            self.sums[k] += v.detach()

    def record(self):
        self.graph = record(self.run)
        for v in self.sums.values(): v.zero_()

    def __call__(self):
        with torch.no_grad():
            for a, b in zip(self.inputs, self.make()): a.copy_(b)
        self.graph.replay() if self.graph else self.run()


def record(f, warm=2):
    """f as a CUDA graph; None (and f runs as it is) when that fails."""
    if not RECORD: return None
    s = torch.cuda.Stream()
    s.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(s):
        for _ in range(warm): f()
    torch.cuda.current_stream().wait_stream(s)
    torch.cuda.synchronize()
    try:
        g = torch.cuda.CUDAGraph()
        with torch.cuda.graph(g, capture_error_mode="thread_local"): f()
        torch.cuda.synchronize()
        return g
    except RuntimeError as e:
        print("no graph:", e, flush=True)
        torch.cuda.synchronize()
        return None


def initial(path):
    """Weights by name: a weights.safetensors, or a folder with the two shipped checkpoints."""
    if os.path.isfile(path): return load_file(path)
    w = load_file(f"{path}/nano.safetensors")
    for k, v in load_file(f"{path}/nano_metric.safetensors").items():
        if "output_conv2" in k: w["metric." + k[len("head.scratch."):]] = v.float() / METRIC_SCALE if "output_conv2.2." in k else v
    return w


def work(rank, world, a):
    t_start = time.time()
    cuda = torch.cuda.device_count() > 0  # does not start CUDA: the data's processes are forked first
    dev = torch.device("cuda", rank) if cuda else torch.device("cpu")
    data = Data(dev, rank, world, a.workers, a.seed, (400, 60) if a.plan == "toy" else (6000, 400))
    plan = PLANS[a.plan]
    has_clips = any(p.what == "clips" for p in plan)
    data.share.value = a.clip_share if has_clips else 0.0
    data.listen()
    if cuda:
        torch.cuda.set_device(dev)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    else: torch.set_num_threads(1)
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(a.port))
        dist.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=world)
    torch.manual_seed(a.seed)
    net = VideoDepth(a.net, metric_head=True).initialise().to(dev)
    net.leak = 0.1
    before = dict(steps=0, gpu_seconds=0.0, frames=0)
    if a.init:
        state = initial(a.init)
        net.load_state_dict({k: v.float() for k, v in state.items()})
        if os.path.isfile(a.init): before.update(json.loads(safe_open(a.init, "pt").metadata()["isobath.training"]))
    motion_rests = not any(p.temporal for p in plan)
    opt = Optimiser(net, a.lr, a.head_rate, a.decay, a.clip,
                    lambda n: "mask_token" in n or "refinenet4.resConfUnit1" in n or (motion_rests and "motion" in n))
    torch.manual_seed(a.seed * 64 + rank)
    t_built = time.time()
    library("cuda" if cuda else "cpu")
    data.fill("frames", a.least)
    if has_clips: data.fill("clips", max(a.least // 8, 1))
    t_data = time.time()
    steps = []
    def timed(f, n=5):
        torch.cuda.synchronize()
        t = time.time()
        for _ in range(n): f()
        torch.cuda.synchronize()
        return round((time.time() - t) / n * 1e3, 1)
    for p in plan:
        with torch.no_grad(): s = Step(net, opt, p, data, a.steady)
        s.record()
        steps.append(s)
        if cuda and rank == 0:  # where the time goes
            ms = timed(s.graph.replay if s.graph else s.run)
            print(p, "data", timed(s.make), "network", ms, "ms", flush=True)
            if ms > a.slow and (p is plan[0] or not a.slow):
                with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as prof:
                    s.run()
                    torch.cuda.synchronize()
                print(prof.key_averages().table(sort_by="cuda_time_total", row_limit=22, max_name_column_width=90), flush=True)
                if a.slow:
                    data.close()
                    os._exit(7)
    if not a.slow: os._exit(7)
    opt_graph = record(opt.step)
    for v in (opt.t, opt.m, opt.v, opt.buf): v.zero_()
    opt.ema.copy_(opt.master)
    if rank == 0:
        print(f"start-up: network {t_built - t_start:.1f} s, scenes {t_data - t_built:.1f} s, graphs {time.time() - t_data:.1f} s; "
              f"{world} device(s), {len(opt.master)} parameters, graphs: {[s.graph is not None for s in steps]}", flush=True)
    if cuda and rank == 0:
        print("optimiser", timed(opt_graph.replay if opt_graph else opt.step), "ms", flush=True)
    for v in (opt.t, opt.m, opt.v, opt.buf): v.zero_()
    if world > 1: dist.barrier()
    end = a.seconds - (time.time() - t_start) + time.time()
    t0 = time.time()
    agreed = [torch.zeros(1, pin_memory=cuda) for _ in range(3)]  # read two steps late: the host runs ahead of the device
    events = [torch.cuda.Event() for _ in range(3)] if cuda else None
    choose, saved_at = np.random.default_rng(a.seed), time.time()
    shares = np.array([p.share for p in plan])
    step, log_at, frames, logged, log = 0, time.time(), 0, 0, open(f"{a.out}/log.jsonl", "a") if rank == 0 else None
    def save(name="weights"):
        meta = dict(steps=before["steps"] + step, gpu_seconds=round(before["gpu_seconds"] + (time.time() - t0) * world, 1),
                    frames=before["frames"] + frames * world)
        save_file({k: v.half() for k, v in opt.state(opt.ema).items()}, f"{a.out}/{name}.safetensors",
                  {"isobath.net": a.net, "isobath.training": json.dumps(meta)})
        return meta
    while True:
        data.fill()
        if cuda and step > 1: events[(step - 2) % 3].synchronize()
        where = float(agreed[(step - 2) % 3]) if step > 1 else 0.0
        if where >= 1 or (a.steps and step >= a.steps): break
        s = steps[choose.choice(len(steps), p=shares / shares.sum())]
        s()
        opt.grad[-1].fill_((time.time() - t0) / max(end - t0, 1e-3))
        if world > 1:
            dist.all_reduce(opt.grad)
            opt.grad /= world
        agreed[step % 3].copy_(opt.grad[-1:], non_blocking=True)
        if cuda: events[step % 3].record()
        k = min(1, (step + 1) / a.warmup) * (1 - where * (1 - a.end))
        opt.k.fill_(max(k, 0))
        opt.blend.fill_(1 - min(a.average, (1 + step) / (20 + step)))
        opt_graph.replay() if opt_graph else opt.step()
        step += 1
        frames += s.part.n
        s.total += 1
        if rank == 0 and time.time() - log_at > a.every:
            if cuda: torch.cuda.synchronize()
            n = max(step - logged, 1)
            line = dict(step=step, where=round(where, 3), norm=round(float(opt.norm), 2), k=round(k, 3), fps=round(frames / (time.time() - t0)), ms=round((time.time() - log_at) / n * 1e3, 1),
                        scenes=data.built, gib=round(torch.cuda.max_memory_allocated() / 2**30, 1) if cuda else 0)
            for i in steps:
                if i.total: line[f"{i.part.what}{i.part.t}_{i.part.h}"] = {q: round(float(v) / i.total, 3) for q, v in i.sums.items()}
                for v in i.sums.values(): v.zero_()
                i.total = 0
            print(json.dumps(line), flush=True)
            log.write(json.dumps(line) + "\n")
            log.flush()
            if time.time() - saved_at > 60:
                save()
                saved_at = time.time()
            log_at, logged = time.time(), step
    if rank == 0: print("saved:", save(), f"{time.time() - t_start:.0f} s in all", flush=True)
    data.close()
    if world > 1: dist.barrier()
    os._exit(0)  # threads and queues of the data are not waited for


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    p.add_argument("--plan", default="frames", choices=list(PLANS))
    p.add_argument("--net", default="nano")
    p.add_argument("--seconds", type=float, default=240, help="of the whole run, the start included")
    p.add_argument("--init", help="weights.safetensors of a run, or a folder of nano.safetensors and nano_metric.safetensors")
    p.add_argument("--seed", type=int, default=1, help="of the scenes: another one for each piece")
    p.add_argument("--devices", type=int, default=torch.cuda.device_count() or 1)
    p.add_argument("--workers", type=int, default=14, help="scene builders per device")
    p.add_argument("--clip-share", type=float, default=0.6, help="part of the built scenes that are clips")
    p.add_argument("--lr", type=float, default=1.2e-3)
    p.add_argument("--head-rate", type=float, default=0.4)
    p.add_argument("--decay", type=float, default=0.3)
    p.add_argument("--clip", type=float, default=5.0)
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--end", type=float, default=0.0, help="the learning rate falls linearly to this part of --lr")
    p.add_argument("--steady", type=float, default=4, help="weight of the temporal losses")
    p.add_argument("--average", type=float, default=0.999)
    p.add_argument("--least", type=int, default=400, help="scenes to wait for before the first step")
    p.add_argument("--every", type=float, default=5)
    p.add_argument("--steps", type=int, default=0)
    p.add_argument("--slow", type=float, default=1e9, help="a first step of more milliseconds is taken apart and the run ends with status 7; 0: all are")
    p.add_argument("--port", type=int, default=29511)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    world = a.devices
    if world > 1: torch.multiprocessing.spawn(work, (world, a), nprocs=world)
    else: work(0, 1, a)


if __name__ == "__main__":
    main()
