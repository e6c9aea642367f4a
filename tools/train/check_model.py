"""Is this network the published one? Compares its taps with an expected-value file (strided samples in safetensors)
computed by the reference with synthetic weights: python check_model.py ORACLE_FOLDER [CASE]"""
import json
import os
import sys

import numpy as np
import torch
from safetensors import safe_open

from model import SIZES, VideoDepth


def main(folder, case="tiny_1_50_120_160_98_ckpt"):
    sys.path.insert(0, folder)
    import synth
    size, seed = case.split("_")[0], int(case.split("_")[1])
    shapes = json.load(open(f"{folder}/manifest_{size}.json"))
    if size == "vits": SIZES["vits"] = dict(width=384, depth=12, features=64, out_channels=(48, 96, 192, 384), grid=37)
    net = VideoDepth(size).eval()
    mine = {k: list(v.shape) for k, v in net.state_dict().items()}
    assert mine == {k: list(v) for k, v in shapes.items()}, set(mine.items() if 0 else mine) ^ set(shapes)
    net.load_state_dict({k: torch.from_numpy(synth.tensor(k, tuple(v), seed)) if not k.endswith(".pe") else net.state_dict()[k] for k, v in shapes.items()})
    f = safe_open(f"{folder}/{case}.safetensors", "pt")
    meta = f.metadata()
    def sample(name, x):
        st = int(meta[f"stride.{name}"])
        return x.contiguous().view(-1)[::st][:f.get_tensor(name).numel()]
    got = {}
    s, m = net.head.scratch, net.head.motion_modules
    hooks = [("tap.layer1_rn", s.layer1_rn), ("tap.layer4_rn", s.layer4_rn), ("tap.refinenet4", s.refinenet4), ("tap.refinenet3", s.refinenet3)]
    hooks += [(f"tap.motion{i}", m[i]) for i in range(4)] + [("tap.block0", net.pretrained.blocks[0])]
    for name, mod in hooks: mod.register_forward_hook(lambda _, __, out, name=name: got.__setitem__(name, out))
    shape = json.loads(meta["shape.tap.network_input"])
    import cv2
    frames = synth.frames(*(int(v) for v in case.split("_")[2:5]), seed)
    frames = frames[np.minimum(np.arange(32), len(frames) - 1)]  # a short clip repeats its last frame
    H, W = shape[-2:]
    mean, std = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)
    x = np.stack([(cv2.resize(fr.astype(np.float32) / 255, (W, H), interpolation=cv2.INTER_CUBIC) - mean) / std for fr in frames])
    x = torch.from_numpy(x).permute(0, 3, 1, 2)[None]
    with torch.no_grad(): d = net(x)[0]
    got["tap.network_input"], got["raw_windows"] = x, d
    worst = 0
    for name in ["tap.network_input"] + [h[0] for h in hooks][::-1] + ["raw_windows"]:
        want = f.get_tensor(name).float()
        v = got[name]
        if name.startswith("tap.motion"): v = v.view(1, 32, *v.shape[1:]).transpose(1, 2)
        v = sample(name, v)
        want = want[:len(v)]  # raw_windows: the first window
        err = float((v - want).abs().max() / want.abs().max())
        worst = max(worst, err)
        print(f"{name:20s} {err:.2e}")
    print("worst", worst)
    return 0 if worst < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
