#!/usr/bin/env python3
"""`vits` on the CPU: isobath beside PyTorch running the reference, ONNX Runtime and OpenVINO, every frame new.

usage: peers_network.py REFERENCE [--bench build/tests/bench_network] [--threads N] [--sizes 518x518,504x280] [--precisions fp32,bf16]
         [--rows isobath,command,fused,channels-last,eager,compile,whole,onnx,openvino] [--repeat 3] [--seconds LIMIT] [--export FOLDER] [--cpu-time]
         [--command build/isobath --clips A.mp4,B.mp4 --weights vits.safetensors --frames 66] [--hold FILE]

REFERENCE: a checkout of Video Depth Anything (with torchvision, einops, tqdm and opencv, which it imports). A window is 32 frames of
which 22 are new (isobath encodes only those; the reference encodes all). Rows of PyTorch: "eager" is the reference as it is; "fused" has
attention by scaled_dot_product_attention, with and without channels-last ("channels-last": only with); "compile": fused and channels-last with the encoder's blocks and the
temporal modules compiled, each kind once (torch.compile, dynamic=False), which takes minutes (TORCHINDUCTOR_CACHE_DIR keeps what was
compiled); "whole": all of it compiled at once, which takes many more. bf16 is autocast. Weights are random.
"command" is the whole of `isobath run` to 16-bit PNG, the process with its loading, on a clip for each size (of which the network's size
follows); tests/isobath_synth makes weights. Prints a line per row (median of the repeats, spread), then how often isobath is as fast as the best of each. A row that would
pass LIMIT is left out, saying so. --cpu-time: one thread and its processor time, for a machine that others use at the same time. --hold: behind
the first call of a row of PyTorch wait until FILE is there, and go on, on the processors that it lists (0,1,2 ...) if it lists any: compile
while the machine is busy, measure when it is not."""
import argparse, json, os, re, resource, signal, statistics, subprocess, sys, tempfile, time

import checkout

p = argparse.ArgumentParser(usage=__doc__)
p.add_argument("reference")
p.add_argument("--bench")
p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
p.add_argument("--sizes", default="518x518,504x280")
p.add_argument("--rows", default="isobath,command,fused,eager,compile,onnx,openvino")
p.add_argument("--precisions", default="fp32,bf16")
p.add_argument("--repeat", type=int, default=3)
p.add_argument("--seconds", type=float, default=1e9)
p.add_argument("--export", default="/tmp")
p.add_argument("--cpu-time", action="store_true")
p.add_argument("--command")
p.add_argument("--clips", default="")
p.add_argument("--weights")
p.add_argument("--frames", type=int, default=66)
p.add_argument("--hold")
o = p.parse_args()
clock = time.process_time if o.cpu_time else time.perf_counter
if o.cpu_time: o.threads = 1
begin = time.time()
rows, sizes, precisions = o.rows.split(","), o.sizes.split(","), o.precisions.split(",")
table = {}  # (size, precision, tool) -> [(frames/s, label)]


def left():
    return o.seconds - (time.time() - begin)


def note(size, precision, tool, label, rates, n=0):
    rate = statistics.median(rates)
    table.setdefault((size, precision, tool), []).append((rate, label))
    print(f"{size:9s} {precision} {label:44s} {rate:8.3f} output frames/s ({min(rates):.3f} .. {max(rates):.3f}, n={n or len(rates)})", flush=True)


def too_long(signum, frame): raise TimeoutError("LIMIT")


signal.signal(signal.SIGALRM, too_long)


def hold():
    while not os.path.exists(o.hold): time.sleep(0.1)
    cpus = [int(c) for c in open(o.hold).read().strip().split(",") if c]
    for thread in os.listdir("/proc/self/task") if cpus else []: os.sched_setaffinity(int(thread), cpus)


def timed(size, precision, tool, label, call, once=False):
    """`once`: a slow variant, for which the first call will do"""
    if left() <= 0: return print(f"{size:9s} {precision} {label}: no time left")
    signal.setitimer(signal.ITIMER_REAL, min(left(), 1e6))
    try:
        start, rates = clock(), []
        if not o.cpu_time: call() # the first call prepares: little of the minutes that it takes on one thread
        first = clock() - start
        if first > 20 or "ompiled" in label: print(f"# {label}: the first call took {first:.1f} s", flush=True)
        if o.hold and tool == "PyTorch":
            hold()
            call() # its threads have moved
        if once and not o.cpu_time and not o.hold: rates.append(22 / first)
        while len(rates) < (1 if once else o.repeat) and left() > (0 if o.hold else first):
            start = clock()
            call()
            rates.append(22 / (clock() - start))
        if rates: note(size, precision, tool, label, rates)
        else: print(f"{size:9s} {precision} {label}: only a first call of {first:.2f} s, left out")
    except Exception as e:
        print(f"{size:9s} {precision} {label}: failed: {repr(e)[:300]}", flush=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def bench(size, precision, windows, repeat):
    """(rate, lowest, highest) and the processor time of a call of bench_network"""
    w, h = map(int, size.split("x"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([o.bench, "--model", "vits", "--windows", str(windows), "--repeat", str(repeat), "--threads", str(o.threads), "--act",
                          "f32" if precision == "fp32" else "bf16", "--source", size, "--input-size", str(min(w, h))],
                         capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    m = re.search(r"vits\s+(\S+)\s+(.*?)\s+([\d.]+) output frames/s \(([\d.]+) \.\. ([\d.]+)\)", out.stdout)
    if not m or m[1] != size: sys.exit(f"bench_network: {out.stdout}{out.stderr}")
    return m[2], [float(m[4]), float(m[3]), float(m[5])], after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if "isobath" in rows and o.bench:
    for size in sizes:
        for precision in precisions:
            kind, rates, least = bench(size, precision, 1, 1 if o.cpu_time else o.repeat)
            if o.cpu_time: rates = [2 * 22 / (bench(size, precision, 3, 1)[2] - least)]
            note(size, precision, "isobath", "isobath " + kind, rates, 1 if o.cpu_time else o.repeat)

if "command" in rows and o.command:
    for size, clip in zip(sizes, o.clips.split(",")):
        for precision in precisions:
            rates = []
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(o.repeat):
                    start = time.time()
                    done = subprocess.run([o.command, "run", clip, "-o", folder, "--overwrite", "--model", o.weights, "--input-size", str(min(map(int, size.split("x")))),
                                           "--precision", precision, "--max-frames", str(o.frames), "--format", "png16", "--devices", "cpu",
                                           "--threads", str(o.threads), "--json"], capture_output=True, text=True)
                    rates.append(o.frames / (time.time() - start))
                    if done.returncode: sys.exit(done.stderr)
            note(size, precision, "isobath run", f"isobath run, {o.frames} frames to png16", rates)
            line = [l for l in done.stdout.splitlines() if '"event":"done"' in l][-1]
            print("# of the last run's time: " + ", ".join(f"{k} {v:.1%}" for k, v in json.loads(line).items() if k in ("decode", "network", "align", "write")), flush=True)

checkout.use(o.reference)
import numpy, torch
import torch.nn.functional as F
from video_depth_anything import video_depth
from video_depth_anything.dinov2_layers import attention, block
from video_depth_anything.motion_module import attention as temporal, motion_module
torch.set_num_threads(o.threads)
torch.manual_seed(0)
PARTS = (block.Block, motion_module.TemporalTransformer3DModel)
plain = attention.MemEffAttention.forward, temporal.CrossAttention._attention


def fused_attention(self, x, attn_bias=None):
    b, n, c = x.shape
    q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4).unbind(0)
    return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


def fused_temporal(self, q, k, v, attention_mask=None):
    return self.reshape_batch_dim_to_heads(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0])


def fuse(on):
    attention.MemEffAttention.forward, temporal.CrossAttention._attention = (fused_attention, fused_temporal) if on else plain


def network(channels_last):
    m = video_depth.VideoDepthAnything(encoder="vits", features=64, out_channels=[48, 96, 192, 384]).eval()
    for w in m.parameters():
        if w.dim() > 1 and w.abs().sum() == 0: torch.nn.init.normal_(w, std=0.02)
    return m.to(memory_format=torch.channels_last) if channels_last else m


def caller(m, x, precision):
    def call():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"): return m(x)
    return call


print(f"# torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads", flush=True)
nets = {False: network(False), True: network(True)}
for size in sizes:
    w, h = map(int, size.split("x"))
    x = torch.randn(1, 32, 3, h, w)
    for precision in precisions:
        fuse(True)
        for last in (True, False):
            if "fused" in rows or last and "channels-last" in rows:
                timed(size, precision, "PyTorch", f"torch, fused attention{', channels-last' if last else ''}", caller(nets[last], x, precision))
        for row in ("compile", "whole"):
            if row not in rows: continue
            torch._dynamo.reset()
            torch._dynamo.config.cache_size_limit = 64
            m, label = network(True), f"torch, fused attention, channels-last, {'compiled' if row == 'whole' else 'blocks compiled'}"
            if row == "whole": m.compile(dynamic=False)
            else:
                for part in m.modules():
                    if isinstance(part, PARTS): part.compile(dynamic=False)
            timed(size, precision, "PyTorch", label, caller(m, x, precision))
        if "eager" in rows:
            fuse(False)
            timed(size, precision, "PyTorch", "torch, eager", caller(nets[False], x, precision), once=True)
    if "onnx" not in rows and "openvino" not in rows: continue
    fuse(True)
    path = os.path.join(o.export, f"vits_{size}.onnx")
    if not os.path.exists(path):
        with torch.no_grad(): torch.onnx.export(nets[False], (x,), path, opset_version=17, dynamo=False)
    a, expected = x.numpy(), caller(nets[False], x, "fp32")().numpy()

    def same(tool, y):
        print(f"# {tool} {size}: largest difference to torch {numpy.abs(y - expected).max() / numpy.abs(expected).max():.1e} of the range", flush=True)

    if "onnx" in rows:
        try:
            import onnxruntime
            s = onnxruntime.SessionOptions()
            s.intra_op_num_threads = o.threads
            s = onnxruntime.InferenceSession(path, s, providers=["CPUExecutionProvider"])
            name = s.get_inputs()[0].name
            same("onnxruntime " + onnxruntime.__version__, s.run(None, {name: a})[0])
            timed(size, "fp32", "ONNX Runtime", f"onnxruntime {onnxruntime.__version__}", lambda: s.run(None, {name: a}))
            del s
        except ImportError: print("onnxruntime: not installed, left out")
    if "openvino" in rows:
        try:
            import openvino
            for precision in precisions:
                m = openvino.Core().compile_model(path, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(o.threads),
                                                                "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16"})
                same(f"openvino {openvino.__version__.split('-')[0]} {precision}", m(a)[0])
                timed(size, precision, "OpenVINO", f"openvino {openvino.__version__.split('-')[0]}", lambda: m(a))
                del m
        except ImportError: print("openvino: not installed, left out")

for size in sizes:
    for precision in precisions:
        for name in ("isobath", "isobath run"):
            ours = table.get((size, precision, name))
            for tool in ("PyTorch", "ONNX Runtime", "OpenVINO"):
                for against in dict.fromkeys((precision, "fp32")):
                    if ours and (size, against, tool) in table:
                        rate, label = max(table[size, against, tool])
                        print(f"{size} {name} {precision} {ours[0][0]:.2f}: {ours[0][0] / rate:.2f} times {tool} {against} {rate:.2f} ({label})")
