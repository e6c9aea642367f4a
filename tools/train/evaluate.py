"""Quality on the held-out clips: python evaluate.py --model FILE [--sheet sheet.png] [--json table.json]

FILE: a training's weights.safetensors (rounded to fp16, as shipped) or `none` for the baselines only. Clips of 64 frames
at 640x360 from test_seeds.txt go through the pipeline (cubic resize, windows of 32 with step 22, alignment, cross-fade)
and are judged as the reference benchmark does: one least-squares fit per sequence in disparity for relative depth, none
for metric depth; AbsRel, delta1, and TAE (error of the depth carried from frame to frame by the true camera)."""
import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from render import camera, render
from scenes import Clip, KINDS, sub_frames

FRAMES, DMAX = 64, 80.0
HERE = os.path.dirname(os.path.abspath(__file__))


def test_clips():
    for line in open(f"{HERE}/test_seeds.txt"):
        if line.strip() and line[0] != "#":
            seed, kind = line.split()
            yield int(seed), kind


def build(job):
    """The rows of one test clip, and its camera: poses (T,4,4), (focal, cx, cy) in pixels, field of view."""
    seed, kind, frames, width, height = job
    torch.set_num_threads(1)
    c = Clip(seed, kind, duration=2.4)
    parts = [sub_frames(c, np.arange(f, min(f + 16, frames)), 4, height, width) for f in range(0, frames, 16)]
    pos, rot = c.camera(np.arange(frames) / 30)
    P = np.tile(np.eye(4), (frames, 1, 1))
    P[:, :3, :3], P[:, :3, 3] = rot, pos
    return seed, kind, parts, P, (.5 * max(width, height) / math.tan(c.fov / 2), width / 2 - .5, height / 2 - .5), c.fov


def make(seed, parts, height, width, dev):
    """rgb (T,3,H,W) in 0..1 and z (T,H,W)."""
    out = [render(p, height, width, dev)[:2] for p in parts]
    rgb = torch.cat([o[0] for o in out])
    return camera(rgb, seed, len(rgb)), torch.cat([o[1] for o in out])


def network_size(h, w, size):
    if max(h, w) / min(h, w) > 1.78: size = round(int(size * 1.777 / (max(h, w) / min(h, w))) / 14) * 14
    s = max(size / h, size / w)
    def side(x):
        y = 14 * round(s * x / 14)
        return y if y >= size else 14 * math.ceil(s * x / 14)
    return side(h), side(w)


def cubic(x, h, w):
    return F.interpolate(x, size=(h, w), mode="bicubic", align_corners=False)


def upsample(d, h, w):
    return F.interpolate(d[:, None], size=(h, w), mode="bilinear", align_corners=True)[:, 0]


@torch.no_grad()
def infer(net, rgb, size, kind, per_frame=False, half=torch.bfloat16):
    """The pipeline, depth (T,H,W) float32. per_frame: every frame alone (T = 1), no alignment."""
    n, _, h, w = rgb.shape
    dev = rgb.device
    x = cubic(rgb, *network_size(h, w, size))
    mean, std = (torch.tensor(v, device=dev).view(1, 3, 1, 1) for v in ((.485, .456, .406), (.229, .224, .225)))
    x = (x - mean) / std
    def run(v):
        with torch.autocast(dev.type, half or torch.bfloat16, enabled=half is not None): return net(v)[0].float()
    if per_frame: return torch.cat([upsample(run(x[i:i + 16, None])[:, 0], h, w) for i in range(0, n, 16)])
    out, first, last = [], None, None
    for k in range(math.ceil(n / 22)):
        at = list(range(32)) if k == 0 else [0, 22 * k - 10] + list(range(22 * k + 2, 22 * k + 32))
        d = upsample(run(x[[min(i, n - 1) for i in at]][None])[0], h, w)
        if k == 0:
            first, raw12, out = d[0], d[12], [d]
            last = raw12
            continue
        s, t = 1.0, 0.0
        if kind == "relative":
            p, r = torch.stack([d[0], d[1]]).double().flatten(), torch.stack([first, last]).double().flatten()
            pm, rm = p.mean(), r.mean()
            s = float(((p - pm) * (r - rm)).mean() / ((p - pm) ** 2).mean().clamp(min=1e-12))
            t = float(rm - s * pm)
        d = (s * d + t).clamp(min=0)
        all_ = torch.cat(out)
        k8 = torch.linspace(0, 1, 8, device=dev).view(8, 1, 1)
        all_[-8:] = all_[-8:] * (1 - k8) + d[2:10] * k8
        out = [all_, d[10:]]
        last = d[12]
    return torch.cat(out)[:n]


def fit(pred, gt, valid):
    """Least squares in disparity over the sequence; depth in metres."""
    g, p = (1 / (gt[valid] + 1e-8)).double(), pred[valid].clamp(min=1e-3).double()
    pm, gm = p.mean(), g.mean()
    s = ((p - pm) * (g - gm)).mean() / ((p - pm) ** 2).mean().clamp(min=1e-12)
    a = (s * pred.clamp(min=1e-3).double() + (gm - s * pm)).clamp(min=1e-3)
    return (1 / a).clamp(1e-3, DMAX).float()


def scores(depth, gt, valid):
    """AbsRel and delta1: means over frames."""
    rel = (depth - gt).abs() / gt.clamp(min=1e-6)
    ratio = torch.maximum(depth / gt.clamp(min=1e-6), gt / depth.clamp(min=1e-6))
    n = valid.sum((1, 2)).clamp(min=1)
    keep = valid.any(2).any(1)
    return [float(((v * valid).sum((1, 2)) / n)[keep].mean()) for v in (rel, (ratio < 1.25).float())]


def tae(depth, P, K, valid):
    """Depth k carried into frame k + 1 (and back) by the true camera, against depth k + 1; percent. Pixels outside of `valid` do not count; the
    reference's benchmark and `isobath eval` count all of them."""
    n, h, w = depth.shape
    dev, (f, cx, cy) = depth.device, K
    v, u = torch.meshgrid(torch.arange(h, device=dev), torch.arange(w, device=dev), indexing="ij")
    ray = torch.stack([(u - cx) / f, (v - cy) / f, torch.ones_like(u, dtype=torch.float32)], -1).double()
    depth = torch.where(valid, depth, torch.zeros_like(depth))
    order = torch.arange(h * w, device=dev)
    def errors(a, b, T):
        """a carried by T (k,4,4) against b, both (k,H,W): the mean error of each pair."""
        k = len(a)
        X = torch.einsum("hwj,khw,kij->ikhw", ray, a.double(), T[:, :3, :3]) + T[:, :3, 3].T[:, :, None, None]
        x, y = torch.round(f * X[0] / X[2] + cx), torch.round(f * X[1] / X[2] + cy)
        ok = (a > 0) & (X[2] > 0) & (x >= 0) & (x < w) & (y >= 0) & (y < h)
        dst = torch.where(ok, y * w + x, torch.full_like(x, h * w)).view(k, -1).long()
        winner = torch.full((k, h * w + 1), -1, device=dev).scatter_reduce(1, dst, order.expand(k, -1), "amax")[:, :-1]
        splat = torch.gather(X[2].reshape(k, -1), 1, winner.clamp(min=0)).view(k, h, w)  # the last in row order wins
        m = (winner.view(k, h, w) >= 0) & (b > 0)
        e = (b - splat).abs() / b.clamp(min=1e-6)
        return torch.where(m, e, torch.zeros_like(e)).sum((1, 2)) / m.sum((1, 2)).clamp(min=1)
    total = 0.0
    for s in range(0, n - 1, 16):
        i = np.arange(s, min(s + 16, n - 1))
        T = np.linalg.inv(P[i + 1]) @ P[i]
        a, b = depth[i], depth[i + 1]
        total = total + (errors(a, b, torch.from_numpy(T).to(dev)) + errors(b, a, torch.from_numpy(np.linalg.inv(T)).to(dev))).sum()
    return float(total) / (2 * (n - 1)) * 100


def baselines(gt, valid):
    """Constant depth, and the plane by image row: disparity linear in the row, both fitted to the sequence."""
    rows = torch.arange(gt.shape[1], device=gt.device, dtype=torch.float32).view(1, -1, 1).expand_as(gt)
    g = torch.where(valid, 1 / gt.clamp(min=1e-3), gt)
    med = gt[valid].median()
    flat = scores(med.expand_as(gt), gt, valid)
    best = flat
    for sign in (1, -1):
        r = scores(fit((rows if sign > 0 else gt.shape[1] - 1 - rows) / gt.shape[1] + 0.1, gt, valid), gt, valid)
        if r[1] > best[1] or sign == 1: best = r
    # also each row's own median disparity over the sequence: the best map that knows nothing but the row
    d = torch.zeros(gt.shape[1], device=gt.device)
    for y in range(gt.shape[1]):
        v = g[:, y][valid[:, y]]
        d[y] = v.median() if v.numel() else 0
    own = scores((1 / d.clamp(min=1e-3)).view(1, -1, 1).expand_as(gt).clamp(max=DMAX), gt, valid)
    return flat, best, own


def colour(d):
    import cv2
    return cv2.applyColorMap((np.clip(d, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)


def strip(rgb, gt, depth):
    """Input / truth / prediction of one frame as a picture (BGR), disparity on the truth's scale."""
    import cv2
    g = np.where(gt > 0, 1 / np.maximum(gt, .1), 0)
    top = np.percentile(g, 99.5)
    parts = [(rgb.transpose(1, 2, 0)[..., ::-1] * 255).astype(np.uint8), colour((g / top) ** .75), colour((np.clip(1 / depth / top, 0, 1)) ** .75)]
    return np.hstack([cv2.resize(p, (256, 144), interpolation=cv2.INTER_AREA) for p in parts])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", required=True)
    p.add_argument("--baseline", help="a second weights.safetensors, of the network trained without temporal modules")
    p.add_argument("--size", type=int, default=280)
    p.add_argument("--sizes", default="", help="further input sizes for the relative depth, such as 140,252")
    p.add_argument("--kinds-of-number", action="store_true", help="also in float16 and float32")
    p.add_argument("--sheet")
    p.add_argument("--json")
    p.add_argument("--clips", type=int, default=0)
    p.add_argument("--frames", type=int, default=FRAMES)
    p.add_argument("--width", type=int, default=640)
    p.add_argument("--height", type=int, default=360)
    p.add_argument("--workers", type=int, default=14)
    p.add_argument("--quick", action="store_true", help="no TAE, no single frames")
    a = p.parse_args()
    jobs = [(seed, kind, a.frames, a.width, a.height) for seed, kind in test_clips()][:a.clips or None]
    pool = torch.multiprocessing.get_context("fork").Pool(a.workers)
    clips = pool.imap(build, jobs)
    dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    nets = {}
    def load(path, temporal):
        from export import convert, read
        from model import VideoDepth
        state, meta = read(path)
        for kind, w in convert(state).items():
            n = VideoDepth(meta["isobath.net"], temporal=temporal).to(dev).eval()
            n.load_state_dict({k: v.float() for k, v in w.items()})
            yield kind, n.to(memory_format=torch.channels_last)
    if a.model != "none": nets = dict(load(a.model, True))
    flatnet = dict(load(a.baseline, False))["relative"] if a.baseline else None
    rows, sheet, t0 = [], {}, time.time()
    for seed, kind, parts, P, K, fov in clips:
        rgb, gt = make(seed, parts, a.height, a.width, dev)
        valid = (gt > 1e-3) & (gt < DMAX)
        r = dict(seed=seed, kind=kind, fov=round(math.degrees(fov), 1))
        for name, s in zip(("constant", "row_plane", "row_own"), baselines(gt, valid)): r[name + "_abs_rel"], r[name + "_delta1"] = s
        if nets:
            half = torch.bfloat16 if dev.type == "cuda" else None
            d = fit(infer(nets["relative"], rgb, a.size, "relative", half=half), gt, valid)
            r["rel_abs_rel"], r["rel_delta1"] = scores(d, gt, valid)
            m = infer(nets["metric"], rgb, a.size, "metric", half=half)
            k = math.tan(math.radians(30)) / math.tan(fov / 2)
            r["metric_abs_rel"], r["metric_delta1"] = scores((m * k).clamp(1e-3, DMAX), gt, valid)
            _, r["metric_delta1_fov_unknown"] = scores(m.clamp(1e-3, DMAX), gt, valid)
            for size in filter(None, a.sizes.split(",")):
                one = fit(infer(nets["relative"], rgb, int(size), "relative", half=half), gt, valid)
                r[f"rel_delta1_{size}"] = scores(one, gt, valid)[1]
            if a.kinds_of_number:
                for name, number in (("fp16", torch.float16), ("fp32", None)):
                    one = fit(infer(nets["relative"], rgb, a.size, "relative", half=number), gt, valid)
                    r[f"rel_delta1_{name}"] = scores(one, gt, valid)[1]
            if not a.quick:
                r["tae"], r["tae_truth"] = tae(d, P, K, valid), tae(gt, P, K, valid)
                r["tae_all"] = tae(d, P, K, torch.ones_like(valid))
                one = fit(infer(nets["relative"], rgb, a.size, "relative", True, half), gt, valid)
                r["single_delta1"], r["tae_single"] = scores(one, gt, valid)[1], tae(one, P, K, valid)
                if flatnet is not None:
                    one = fit(infer(flatnet, rgb, a.size, "relative", True, half), gt, valid)
                    r["flat_delta1"], r["tae_flat"] = scores(one, gt, valid)[1], tae(one, P, K, valid)
            if kind not in sheet: sheet[kind] = strip(*(v[a.frames // 2].cpu().numpy() for v in (rgb, gt, d)))
        rows.append(r)
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in r.items()}), flush=True)
    keys = [k for k in rows[0] if k not in ("seed", "kind", "fov")]
    table = {kind: {k: float(np.mean([r[k] for r in rows if r["kind"] == kind])) for k in keys} for kind in KINDS if any(r["kind"] == kind for r in rows)}
    table["all"] = {k: float(np.mean([r[k] for r in rows])) for k in keys}
    print("| kind | " + " | ".join(keys) + " |\n|" + "---|" * (len(keys) + 1))
    for kind, t in table.items(): print(f"| {kind} | " + " | ".join(f"{t[k]:.3f}" for k in keys) + " |")
    print(f"{len(rows)} clips, {time.time() - t0:.0f} s", flush=True)
    if a.json: json.dump(dict(clips=rows, table=table), open(a.json, "w"), indent=0)
    if a.sheet and sheet:
        import cv2
        cv2.imwrite(a.sheet, np.vstack(list(sheet.values())), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
