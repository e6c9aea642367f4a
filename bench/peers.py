#!/usr/bin/env python3
"""OpenCV's PNG and NumPy's savez_compressed on the depth that `bench_sinks DEPTH --keep FOLDER > FOLDER/ours.jsonl` left in FOLDER,
beside isobath's figures. Skips what is not installed. usage: peers.py FOLDER"""
import glob, json, os, statistics, sys, time

folder = sys.argv[1]
ours = {}
for line in open(os.path.join(folder, "ours.jsonl")):
    if line.startswith("{"):
        row = json.loads(line)
        ours[row["name"]] = row


def median(work, clock, rounds=3):
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)


try:
    import cv2
    cv2.setNumThreads(1)
    files = sorted(glob.glob(os.path.join(folder, "bench_depths_png16", "*.png")))
    pictures = [cv2.imread(f, cv2.IMREAD_UNCHANGED) for f in files]
    out = os.path.join(folder, "opencv.png")
    sizes = []

    def write():
        sizes.clear()
        for p in pictures:
            cv2.imwrite(out, p)
            sizes.append(os.path.getsize(out))
    seconds = median(write, time.process_time)
    for name in ("png16, encoder alone", "png16"):  # the sink also quantises and hashes
        mine = ours[name]
        print(f"{name}, {pictures[0].shape[1]}x{pictures[0].shape[0]}: isobath {len(files) / mine['cpu_s']:.1f}, OpenCV {cv2.__version__} "
              f"{len(files) / seconds:.1f} frames/s a core: {seconds / mine['cpu_s']:.1f} times at {mine['bytes'] / sum(sizes):.3f} of its size")
except ImportError:
    print("png16: skipped, no cv2")
try:
    import numpy
    depths = numpy.load(os.path.join(folder, "bench_depths.npz"))["depths"]
    out = os.path.join(folder, "numpy.npz")
    before = time.process_time()
    seconds = median(lambda: numpy.savez_compressed(out, depths=depths), time.perf_counter, 1)
    cpu = time.process_time() - before
    mine = ours["npz"]
    print(f"npz {depths.shape}: isobath {mine['wall_s']:.2f} s on {mine['threads']} threads, numpy {numpy.__version__} {seconds:.2f} s: "
          f"{seconds / mine['wall_s']:.1f} times at {mine['bytes'] / os.path.getsize(out):.3f} of its size; processor time "
          f"{mine['cpu_s']:.2f} and {cpu:.2f} s (a machine that others use says more by that): {cpu / mine['cpu_s']:.1f} times")
except ImportError:
    print("npz: skipped, no numpy")
