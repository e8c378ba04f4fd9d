#!/usr/bin/env python3
"""One library on a GPU, at the shapes of `gpu-check`: a line of JSON for each form and shape.

    time_peers.py LIBRARY --seconds S [--rehearse]          LIBRARY is one of torch, ott, geomloss, pot

    {"op", "shape", "variant", "extents", "form", "us": [...], "how", "version"}      timed
    {"form", "shape", "left_out": why}                                                 not timed

`--rehearse` runs a small shape once on the CPU, to show that the script works where there is no GPU; its times mean
nothing, and who asks for them marks them. A module `gpu_LIBRARY` has `prepare(rehearse)`, `version()`,
`time_call(run)` in microseconds, `free()`, and `FORMS`: `(form, op, variant, shapes, make)`.
"""

import argparse
import importlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# Forms that do not care where their tensors are stand beside the peers of the CPU.
sys.path[:0] = [HERE, os.path.join(HERE, "..", "kernels")]

LIBRARIES = ["torch", "ott", "geomloss", "pot"]
WARM_UP, MOST_SAMPLES, LEAST_SAMPLES = 3, 50, 5
# Of a form at one shape, for its samples alone.
MOST_SECONDS = 4


def say(**line):
    print(json.dumps(line), flush=True)


def samples_of(library, run, left, rehearse):
    """Microseconds of repeated calls: as many as fit, or none where a first call shows that few would."""
    if rehearse:
        return [library.time_call(run)]
    first = library.time_call(run)  # compiles, allocates
    second = library.time_call(run)
    allowed = min(left, MOST_SECONDS) * 1e6
    if second * LEAST_SAMPLES > left * 1e6:
        raise TimeoutError(f"a call takes {second / 1e3:.0f} ms, the first {first / 1e3:.0f}: too long for what is left")
    for _ in range(WARM_UP - 2):
        library.time_call(run)
    count = max(LEAST_SAMPLES, min(MOST_SAMPLES, int(allowed / max(second, 1))))
    return [library.time_call(run) for _ in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rehearse", action="store_true")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    try:
        library = importlib.import_module(f"gpu_{args.library}")
        library.prepare(args.rehearse)
    except Exception as error:  # not installed, or no GPU for it: the reason is the answer
        say(form=args.library, left_out=f"{type(error).__name__}: {error}")
        return
    from shapes import SHAPES, small

    for form, op, variant, shapes, make in library.FORMS:
        for name in shapes:
            left = end - time.monotonic()
            if left <= 0:
                say(form=form, shape=name, left_out="time was up")
                continue
            shape = small(SHAPES[name]) if args.rehearse else SHAPES[name]
            run = None
            try:
                run = make(shape)
                us = samples_of(library, run, left, args.rehearse)
                extents = ", ".join(f"{what} {extent}" for what, extent in shape.items())
                how = "a rehearsal on the CPU" if args.rehearse else library.HOW
                say(op=op, shape=name, variant=variant, extents=extents, form=form, us=us, how=how,
                    version=library.version())
            except Exception as error:  # whatever a library raises, such as being out of memory
                say(form=form, shape=name, left_out=f"{type(error).__name__}: {error}"[:300])
            del run
            library.free()


if __name__ == "__main__":
    main()
