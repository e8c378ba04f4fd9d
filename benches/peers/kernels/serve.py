#!/usr/bin/env python3
"""One library's side of `cargo xtask bench-kernels --peers`: a server on stdin and stdout.

    serve.py LIBRARY --threads N          LIBRARY is one of torch, geomloss, pot, ott

Each request and each reply is one JSON object on one line. The first request makes a case ready and runs it once:

    {"form": NAME, "inputs": {NAME: FILE.npy}, "parameters": {...}}
    {"values": [...], "grad_norm": x or null, "extra_mb": x or null, "ms": x, "version": "..."}

Every further one times it:

    {"warm": runs before the clock starts, "samples": timed runs}     ->     {"ms": [...]}

An exception is answered by {"error": text}. The end of stdin ends the process. What was imported, loaded or compiled
before a timed run is not in its time; turning results into numbers is not either.
"""

import argparse
import gc
import importlib
import json
import os
import sys
import time
import traceback

LIBRARIES = ["torch", "geomloss", "pot", "ott"]


def memory_kb(field):
    """A line of /proc/self/status in kB; None elsewhere than on Linux."""
    try:
        with open("/proc/self/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith(field + ":")), None)
    except OSError:
        return None


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
        return True
    except OSError:
        return False


class Case:
    def __init__(self, library, request):
        import numpy

        self.numpy = numpy
        inputs = {name: numpy.load(path) for name, path in request["inputs"].items()}
        self.run = library.FORMS[request["form"]](inputs, request["parameters"])

    def first(self):
        """Runs once, and says what came out and what it took."""
        gc.collect()
        before = memory_kb("VmRSS") if forget_peak() else None
        start = time.perf_counter()
        values, gradients = self.run()
        ms = (time.perf_counter() - start) * 1e3
        extra = (memory_kb("VmHWM") - before) / 1024 if before is not None else None
        numbers = [float(v) for v in self.numpy.asarray(values, dtype="float64").ravel()]
        norm = None
        if gradients:
            squares = [self.numpy.square(self.numpy.asarray(g, dtype="float64")).sum() for g in gradients]
            norm = float(sum(squares) ** 0.5)
        return dict(values=numbers, grad_norm=norm, extra_mb=extra, ms=ms)

    def timed(self, warm, samples):
        times = []
        for turn in range(warm + samples):
            start = time.perf_counter()
            result = self.run()
            times.append((time.perf_counter() - start) * 1e3)
            del result
        return dict(ms=times[warm:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    # jax has no setting for its threads: it makes one for each core that the process may use.
    if args.library == "ott" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    # Replies have a stream of their own, so that nothing a library prints can get between them.
    replies, sys.stdout = sys.stdout, sys.stderr
    case = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if case is None:
                library = importlib.import_module(f"with_{args.library}")
                library.prepare(args.threads)
                case = Case(library, request)
                reply = case.first() | dict(version=library.version())
            else:
                reply = case.timed(request["warm"], request["samples"])
        except Exception as error:  # whatever a library raises is for the other side to report
            traceback.print_exc()
            reply = dict(error=f"{type(error).__name__}: {error}")
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
