"""What the peer benchmarks share: threads, repeated timing, one JSON object per line.

A line holds `bench`, `shape`, `dtype`, `threads`, `samples`, `p20_ms`, `p50_ms`, `p80_ms`, where known `gflop_per_s`
at the median, and the versions that ran.
"""

import argparse
import json
import platform
import time

import numpy
import torch


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's compute threads (default: 2)")
    parser.add_argument("--samples", type=int, default=20, help="timed runs of each measurement, at least 10 (default: 20)")
    parser.add_argument("--warm-up", type=int, default=3, help="runs before timing starts (default: 3)")
    parser.add_argument("--only", default="", help="run only the measurements whose name contains this")
    return parser


def prepare(parser):
    args = parser.parse_args()
    if args.samples < 10:
        parser.error(f"--samples: expected at least 10, got {args.samples}")
    if args.threads < 1:
        parser.error(f"--threads: expected at least 1, got {args.threads}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    return args


def measure(args, bench, shape, dtype, run, flops=None, per_sample=1, **extra):
    """Times `run` and prints one line; `per_sample` calls of a short `run` make one sample."""
    if args.only not in bench:
        return
    for _ in range(args.warm_up * per_sample):
        run()
    times = []
    for _ in range(args.samples):
        start = time.perf_counter()
        for _ in range(per_sample):
            run()
        times.append((time.perf_counter() - start) * 1e3 / per_sample)
    p20, p50, p80 = (float(p) for p in numpy.percentile(times, [20, 50, 80]))
    line = dict(bench=bench, shape=shape, dtype=dtype, threads=torch.get_num_threads(), samples=args.samples,
                p20_ms=round(p20, 4), p50_ms=round(p50, 4), p80_ms=round(p80, 4))
    if flops:
        line["gflop_per_s"] = round(flops / p50 / 1e6, 1)
    line |= extra
    line |= dict(peer="pytorch", torch=torch.__version__, python=platform.python_version())
    print(json.dumps(line), flush=True)
