"""Renders the sample clip of assets/sample with its ground truth: python make_sample.py [OUT_FOLDER]

walk.mp4          640x360 H.264, 30 frames/s          walk_depth.npz    `depths` float32, metres along the optical axis,
walk_camera.jsonl one camera a line                                     0 where there is only sky, at DEPTH_SIZE
walk_depth_camera.jsonl  the same in pixels of walk_depth.npz
walk_tracks.txt   MOT boxes with true 3-D positions   walk_truth.json   figures and positions in the world
"""
import json
import os
import subprocess
import sys

import numpy as np
import torch

from render import camera, render
from scenes import Clip, TEST_SEEDS, sub_frames

SEED, KIND, FRAMES, WIDTH, HEIGHT, DEPTH_SIZE = TEST_SEEDS + 910404, "crowd", 150, 640, 360, (160, 90)


def only_walker(batch, k):
    """The batch with nothing but figure k: what of it would be seen if nothing stood before it."""
    keep = batch["prims"][0, 0, :, 18] == k
    g = batch["groups"].copy()
    first = int(np.argmax(keep))
    g[..., 0, 3], g[..., 0, 4], g[..., 0, 5] = -1, first, keep.sum()
    v = batch["views"].copy()
    v[..., 50] = 1
    return dict(batch, groups=g, views=v)


def main(out):
    os.makedirs(out, exist_ok=True)
    clip = Clip(SEED, KIND, duration=FRAMES / 30 + .2, fov=60)
    enc = subprocess.Popen(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "30",
                            "-i", "-", "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-c:v", "libx264", "-preset", "slow",
                            "-crf", "25", "-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
                            "-color_range", "tv", "-movflags", "+faststart", "-map_metadata", "-1", "-fflags", "+bitexact",
                            "-flags:v", "+bitexact", f"{out}/walk.mp4"], stdin=subprocess.PIPE)
    depths, tracks, truth = [], [], []
    gen = torch.Generator().manual_seed(SEED)
    with open(f"{out}/walk_camera.jsonl", "w") as cam, open(f"{out}/walk_depth_camera.jsonl", "w") as small:
        for f0 in range(0, FRAMES, 10):
            frames = np.arange(f0, min(f0 + 10, FRAMES))
            batch = sub_frames(clip, frames, 8, HEIGHT, WIDTH)
            rgb, _, ids = render(batch, HEIGHT, WIDTH, "cpu")
            rgb = (rgb + .012 * torch.randn(rgb.shape, generator=gen)).clamp(0, 1)
            enc.stdin.write((rgb.permute(0, 2, 3, 1).numpy() * 255 + .5).astype(np.uint8).tobytes())
            depths.append(render(sub_frames(clip, frames, 1, DEPTH_SIZE[1], DEPTH_SIZE[0]), DEPTH_SIZE[1], DEPTH_SIZE[0], "cpu")[1].numpy())
            pos, rot = clip.camera(frames / 30)
            fx = float(batch["views"][0, 0, 12])
            one = sub_frames(clip, frames, 1, HEIGHT, WIDTH)
            alone = [render(only_walker(one, k + 1), HEIGHT, WIDTH, "cpu")[2].numpy() for k in range(len(clip.walkers))]
            for i, f in enumerate(frames):
                M = np.eye(4)
                M[:3, :3], M[:3, 3] = rot[i], pos[i]
                for file, w, h in ((cam, WIDTH, HEIGHT), (small, *DEPTH_SIZE)):
                    focal = round(fx * w / WIDTH, 6)
                    file.write(json.dumps(dict(frame=int(f), fx=focal, fy=focal, cx=w / 2 - .5, cy=h / 2 - .5,
                                               world_from_camera=[round(float(v), 7) for v in M.reshape(-1)])) + "\n")
                for k, w in enumerate(clip.walkers):
                    seen, whole = ids[i].numpy() == k + 1, alone[k][i] == k + 1
                    cut = whole[0].any() or whole[-1].any() or whole[:, 0].any() or whole[:, -1].any()
                    if seen.sum() < 150 or seen.sum() < .6 * whole.sum() or cut: continue
                    ground = w.path(np.array([f / 30]))[0][0]
                    p = ground + [0, -.5 * w.height, 0]
                    to = pos[i] - p
                    p = p + to / np.linalg.norm(to) * .11 * w.k  # the front of the body, not its axis
                    c = rot[i].T @ (p - pos[i])
                    y, x = np.nonzero(seen)
                    l, t, r, b = x.min(), y.min(), x.max() + 1, y.max() + 1
                    tracks.append(f"{f + 1},{k + 1},{l},{t},{r - l},{b - t},1,{c[0]:.4f},{c[1]:.4f},{c[2]:.4f}")
                    truth.append(dict(frame=int(f), id=k + 1, world=[round(float(v), 4) for v in p],
                                      visible=round(float(seen.sum() / whole.sum()), 3)))
            print(f"{f0 + len(frames)} of {FRAMES} frames", flush=True)
    enc.stdin.close()
    if enc.wait(): sys.exit("ffmpeg failed")
    with open(f"{out}/walk_tracks.txt", "w") as f: f.write("\n".join(tracks) + "\n")
    used = sorted({t["id"] for t in truth})
    with open(f"{out}/walk_truth.json", "w") as f:
        f.write(json.dumps(dict(seed=SEED, kind=KIND, frames=FRAMES, fps=30, figures=[dict(id=k, height_m=round(float(clip.walkers[k - 1].height), 3)) for k in used]))[:-1])
        f.write(', "positions": [\n' + ",\n".join(json.dumps(t) for t in truth) + "\n]}\n")
    d = np.concatenate(depths).astype(np.float32)
    bits = d.view(np.uint32)
    d = ((bits + np.uint32(0x1000)) & np.uint32(0xffffe000)).view(np.float32)  # 10 bits of mantissa: within 0.05%, deflates well
    np.savez_compressed(f"{out}/walk_depth.npz", depths=d)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../assets/sample"))
