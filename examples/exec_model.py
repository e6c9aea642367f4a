#!/usr/bin/env python3
"""A depth program for isobath run --model "exec:python3 exec_model.py" (docs/EXEC.md). Replace estimate() by your model."""
import json, struct, sys
import numpy as np

def estimate(rgb):                                # uint8 (H,W,3) -> float32 (h,w), larger is nearer
    return rgb[::2, ::2].mean(axis=2, dtype=np.float32)

def receive():
    head = sys.stdin.buffer.read(16)
    if len(head) < 16: sys.exit(0)
    _, kind, size = struct.unpack("<4sIQ", head)
    return kind, sys.stdin.buffer.read(size)

def send(kind, payload):
    sys.stdout.buffer.write(struct.pack("<4sIQ", b"IBX1", kind, len(payload)) + payload)
    sys.stdout.buffer.flush()

hello = json.loads(receive()[1])
shape = hello["height"], hello["width"], 3
h, w = estimate(np.zeros(shape, np.uint8)).shape  # load the model here: CUDA_VISIBLE_DEVICES is set already
send(1, json.dumps({"name": "example", "width": w, "height": h, "kind": "disparity"}).encode())
while True:
    kind, data = receive()
    if kind != 2: break
    depth = estimate(np.frombuffer(data, np.uint8, offset=16).reshape(shape))
    send(3, data[:8] + np.ascontiguousarray(depth, "<f4").tobytes())
