"""Where a training step's time goes on this device, per stage of the curriculum: python step_times.py"""
import time

import torch

import losses
from model import VideoDepth
from render import camera, render
from train import METRIC_SCALE, STAGES, Batches, Optimiser


def main():
    dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = VideoDepth("nano", metric_head=True).initialise().to(dev)
    net.leak = 0.1
    opt = Optimiser(net, 1e-3, 0.5, 0.1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    def now():
        if dev.type == "cuda": torch.cuda.synchronize()
        return time.time()
    for stage in STAGES:
        class P: value = stage[0] - 0.01
        item = Batches(0, 1, 0, P, [(2.0, stage[1], [(stage[2][0][0], 1.0)], [(8, 1.0)])]).make(1)
        h, w = item["size"]
        b, n = item["clips"], item["prims"].shape[0]
        best = None
        for _ in range(4):
            t = [now()]
            rgb, z, _ = render({k: item[k] for k in ("prims", "groups", "mats", "views")}, h, w, dev)
            t.append(now())
            x = camera(rgb, 1, n // b).view(b, n // b, 3, h, w)
            z = z.view(b, n // b, h, w)
            t.append(now())
            with torch.autocast(dev.type, torch.bfloat16):
                taps = net.pretrained(x.view(n, 3, h, w))
                t.append(now())
                f = net.head.trunk(taps, n // b, torch.arange(n // b, device=dev))
                t.append(now())
            del taps, f
            with torch.autocast(dev.type, torch.bfloat16): d, m = net(x, which=("relative", "metric"))
            t.append(now())
            loss = losses.relative(d.float(), z, {}) + losses.metric(m.float() * METRIC_SCALE, z, {})
            t.append(now())
            loss.backward()
            t.append(now())
            opt.step(0.1, {p: torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()})
            for p in net.parameters(): p.grad = None
            t.append(now())
            ms = [round(1e3 * (q - p), 1) for p, q in zip(t, t[1:])]
            best = ms if best is None else [min(u, v) for u, v in zip(best, ms)]
        names = "render camera encoder trunk forward loss backward optimiser".split()
        print(f"{n} frames {h}x{w}, T {n // b}:", dict(zip(names, best)), "ms", flush=True)


if __name__ == "__main__":
    main()
