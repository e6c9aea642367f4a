"""The held-out clips through the program itself: python through_program.py --isobath PATH [--device cuda:0] [--baseline FILE]

Renders the clips of test_seeds.txt as evaluate.py does, feeds them to `isobath` as raw video, and prints a table of `isobath
eval`: offline (run), streaming with each --lags, every frame by itself (run --cuts at each frame), and with --baseline the
network that was trained without temporal modules (weights.safetensors of train.py --no-temporal, or what export.py makes of
it), and with --metric-model metres. Then what each way costs, alone on the machine."""
import argparse
import concurrent.futures
import json
import math
import os
import shutil
import subprocess
import tempfile
import time

import numpy as np
import torch

import export
from evaluate import build, make, test_clips
from scenes import KINDS


def write_clip(folder, rgb, z, P, K, fov):
    """clip.rgb (raw video), truth.npz, camera.jsonl, cuts.txt, hfov (degrees)."""
    os.makedirs(folder)
    (rgb.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy().tofile(f"{folder}/clip.rgb")
    np.savez(f"{folder}/truth.npz", depths=z.cpu().numpy().astype(np.float32))
    with open(f"{folder}/camera.jsonl", "w") as f:
        for i, M in enumerate(P):
            f.write(json.dumps(dict(frame=i, fx=K[0], fy=K[0], cx=K[1], cy=K[2], world_from_camera=[float(v) for v in M.reshape(-1)])) + "\n")
    with open(f"{folder}/hfov", "w") as f: f.write(f"{math.degrees(fov):.4f}")
    with open(f"{folder}/cuts.txt", "w") as f: f.write("".join(f"{i}\n" for i in range(1, len(P))))


def command(a, way, folder, out, threads):
    common = ["-", "--raw", f"{a.width}x{a.height}:rgb24:30", "-o", out, "--name", way, "--format", "npz", "--npz-level", "0", "--overwrite",
              "--json", "--devices", a.device, "--threads", str(threads)]
    common += ["--model", a.baseline if way == "untemporal" else a.metric_model if way == "metric" else a.model]
    if way == "metric": common += ["--metric", "--hfov", open(f"{folder}/hfov").read()]
    if a.input_size: common += ["--input-size", str(a.input_size)]
    if a.precision: common += ["--precision", a.precision]
    if way.startswith("lag"): return [a.isobath, "stream", *common, "--lag", way[3:]]
    return [a.isobath, "run", *common] + (["--cuts", f"{folder}/cuts.txt"] if way == "single" else [])


def run(a, way, folder, threads, clip):
    """One clip one way: the events it printed, by name, with the seconds of CPU time in `cpu_s`."""
    out = f"{folder}/{way}"
    with open(clip, "rb") as f, open(f"{out}.err", "wb") as err, open(f"{out}.events", "wb") as events:
        p = subprocess.Popen(command(a, way, folder, out, threads), stdin=f, stdout=events, stderr=err)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode: raise SystemExit(f"{way}: status {p.returncode}: {open(out + '.err').read()[-600:].strip()}")
    found = {e["event"]: e for e in map(json.loads, open(f"{out}.events"))}
    return found | dict(cpu_s=used.ru_utime + used.ru_stime)


def score(a, way, folder):
    """(delta1, AbsRel, TAE) of one clip one way."""
    run(a, way, folder, a.threads, f"{folder}/clip.rgb")
    text = subprocess.run([a.isobath, "eval", f"{folder}/{way}/{way}_depths.npz", f"{folder}/truth.npz", "--camera", f"{folder}/camera.jsonl",
                           "--json"], check=True, capture_output=True, text=True).stdout
    shutil.rmtree(f"{folder}/{way}")
    r = json.loads(text)
    return r["delta1"], r["abs_rel"], r["tae"]


def cost(a, way, folder, long):
    """GFLOP, ms of CPU time and frames/s of the whole command for a longer clip, nothing else running."""
    e = run(a, way, folder, a.cores, long)
    n = e["done"].get("frames", e["done"].get("frames_done"))
    shutil.rmtree(f"{folder}/{way}")
    return e["plan"]["flops_per_frame"] / 1e9, e["cpu_s"] / n * 1e3, n / e["done"]["elapsed_s"], e["plan"]["device"]


def clips_of(a, root):
    """(seed, kind, folder) of the held-out clips as they are rendered, or of those that --render-to has left in `root`."""
    if a.clips_at:
        for seed, kind, folder in json.load(open(f"{root}/clips.json")): yield seed, kind, f"{root}/{folder}"
        return
    clips, done = list(test_clips())[:a.clips or None], []
    with torch.multiprocessing.get_context("fork").Pool(min(a.cores, 8, len(clips))) as pool:
        built = pool.imap(build, [(seed, kind, a.frames, a.width, a.height) for seed, kind in clips])
        dev = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for seed, kind, parts, P, K, fov in built:
            rgb, z = make(seed, parts, a.height, a.width, dev)
            write_clip(f"{root}/{seed}", rgb, z, P, K, fov)
            done.append((seed, kind, str(seed)))
            yield seed, kind, f"{root}/{seed}"
    with open(f"{root}/clips.json", "w") as f: json.dump(done, f)


def table(ways, results, costs):
    """Markdown, of the clips that every way has so far."""
    have = {(s, k) for s, k, w in results}
    have = [c for c in have if all((*c, w) in results for w in ways)]
    kinds = [k for k in KINDS if any(k == c[1] for c in have)]
    mean = lambda way, i, kind=None: float(np.mean([results[s, k, way][i] for s, k in have if kind in (None, k)]))
    print("| | delta1: " + " | ".join(kinds) + " | **all** | AbsRel | TAE, % | GFLOP a frame | CPU ms a frame | frames/s |\n|" + "---|" * (len(kinds) + 7))
    for way in ways:
        c = "%.1f | %.1f | %.0f" % costs[way][:3] if way in costs else " | | "
        print(f"| {way} | " + " | ".join(f"{mean(way, 0, k):.3f}" for k in kinds) +
              f" | {mean(way, 0):.3f} | {mean(way, 1):.3f} | {mean(way, 2):.2f} | {c} |")
    print(f"{len(have)} clips", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--isobath", default="isobath")
    p.add_argument("--weights", help="weights.safetensors of a training; default: --model and --metric-model")
    p.add_argument("--model", default="nano")
    p.add_argument("--metric-model", help="also in metres without a fit, the field of view given")
    p.add_argument("--baseline", help="weights of the network trained without temporal modules")
    p.add_argument("--device", default="cpu")
    p.add_argument("--input-size", type=int, default=0, help="default: the model's")
    p.add_argument("--precision", help="default: the program's choice")
    p.add_argument("--lags", default="0,4,8,16")
    p.add_argument("--no-single", action="store_true", help="not every frame by itself (32 times the work)")
    p.add_argument("--clips", type=int, default=0)
    p.add_argument("--frames", type=int, default=64)
    p.add_argument("--width", type=int, default=640)
    p.add_argument("--height", type=int, default=360)
    p.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--jobs", type=int, default=0, help="programs at once; default: one for each core")
    p.add_argument("--scratch", help="folder for clips and depth, some 200 MB a clip")
    p.add_argument("--render-to", metavar="FOLDER", help="only render the clips")
    p.add_argument("--clips-at", metavar="FOLDER", help="clips that --render-to has rendered")
    p.add_argument("--json")
    a = p.parse_args()
    a.jobs = a.jobs or a.cores
    a.threads = max(a.cores // a.jobs, 1)
    started = time.time()
    say = lambda what: print(f"{what}: {time.time() - started:.0f} s", flush=True)
    if a.render_to:
        os.makedirs(a.render_to, exist_ok=True)
        say(f"{len(list(clips_of(a, a.render_to)))} clips rendered")
        return
    root = tempfile.mkdtemp(prefix="isobath-clips-", dir=a.scratch)
    threads = concurrent.futures.ThreadPoolExecutor(a.jobs)
    try:
        if a.weights:
            export.main(a.weights, root)
            a.model, a.metric_model = f"{root}/nano.safetensors", f"{root}/nano_metric.safetensors"
        if a.baseline: a.baseline = export.frame_by_frame(a.baseline, f"{root}/untemporal.safetensors")
        ways = ["run"] + [f"lag{v}" for v in a.lags.split(",")]
        if a.baseline: ways.append("untemporal")
        if a.metric_model: ways.append("metric")
        if not a.no_single: ways.append("single")
        clips, waiting, results, costs = list(clips_of(a, a.clips_at or root)), {}, {}, {}
        say(f"{len(clips)} clips")
        for way in ways:
            for seed, kind, folder in clips: waiting[threads.submit(score, a, way, folder)] = seed, kind, way
        done = []
        for f in concurrent.futures.as_completed(waiting):
            way = waiting[f][2]
            try: results[waiting[f]] = f.result()
            except SystemExit as e:
                if way == "run": raise
                if way in ways: print(f"left out: {e}", flush=True)
                ways = [w for w in ways if w != way]
                continue
            while len(done) < len(ways) and all((s, k, ways[len(done)]) in results for s, k, _ in clips):
                done.append(ways[len(done)])
                say(done[-1])
                table(done, results, costs)
        first = clips[0][2]
        with open(f"{root}/long.rgb", "wb") as f:
            for _ in range(4): f.write(open(f"{first}/clip.rgb", "rb").read())
        for way in ways:
            if way not in ("single", "metric"): costs[way] = cost(a, way, first, f"{root}/long.rgb")
        table(ways, results, costs)
        say(f"{costs['run'][3]}; clips of {a.frames} frames {a.width}x{a.height}; in all")
        if a.json:
            with open(a.json, "w") as f:
                json.dump([dict(seed=s, kind=k, way=w, delta1=v[0], abs_rel=v[1], tae=v[2]) for (s, k, w), v in results.items()], f, indent=0)
    finally:
        threads.shutdown(cancel_futures=True)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
