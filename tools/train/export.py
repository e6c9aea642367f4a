"""Writes the two fp16 checkpoints of a training: python export.py WEIGHTS.safetensors OUT_FOLDER"""
import json
import os
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

METRIC_SCALE = 8.0  # as in train.py
INPUT_SIZE = 280


def read(path):
    """A weights.safetensors: (weights by name, metadata)."""
    with safe_open(path, "pt") as f: return load_file(path), f.metadata()


def convert(state):
    """The weights of both checkpoints, float16: {"relative": {...}, "metric": {...}}."""
    base = {k: v for k, v in state.items() if not k.startswith("metric.")}
    metric = dict(base)
    for k, v in state.items():
        if k.startswith("metric."):
            name = "head.scratch." + k[len("metric."):]
            metric[name] = v * METRIC_SCALE if "output_conv2.2." in name else v
    half = lambda d: {k: v.half().contiguous() for k, v in d.items()}
    return dict(relative=half(base), metric=half(metric))


def frame_by_frame(path, out):
    """The relative checkpoint of a training without temporal modules, named as Depth Anything V2 names its tensors, so that the
    program runs it frame by frame. What is one already stays. Its path."""
    state, _ = read(path)
    if "depth_head.projects.0.weight" in state: return path
    weights = {("depth_" + k if k.startswith("head.") else k): v for k, v in convert(state)["relative"].items() if ".motion_modules." not in k}
    save_file(weights, out, {"isobath.name": "nano-frames", "isobath.kind": "relative", "isobath.licence": "Apache-2.0",
                             "isobath.input_size": str(INPUT_SIZE)})
    return out


def main(path, out):
    os.makedirs(out, exist_ok=True)
    state, meta = read(path)
    t = json.loads(meta["isobath.training"])
    for kind, weights in convert(state).items():
        assert all(torch.isfinite(v).all() for v in weights.values())
        path = f"{out}/nano.safetensors" if kind == "relative" else f"{out}/nano_metric.safetensors"
        meta = {"isobath.name": "nano" if kind == "relative" else "nano-metric", "isobath.kind": kind, "isobath.licence": "Apache-2.0",
                "isobath.input_size": str(INPUT_SIZE),
                "isobath.training": f"{t['steps']} steps, {t['frames']} frames, {t['gpu_seconds'] / 60:.1f} GPU-minutes"}
        if kind == "metric": meta["isobath.canonical_fov_deg"] = "60"
        save_file(weights, path, meta)
        print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
