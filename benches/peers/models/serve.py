#!/usr/bin/env python3
"""One library's side of `cargo xtask bench-models`: a server on stdin and stdout.

    serve.py hear|say LIBRARY --model DIR --form FORM --beam N --threads N --converted DIR

LIBRARY is `transformers`, `faster_whisper`, `whisper_cpp` or `openai_whisper` to hear, `transformers` or `llama_cpp` to
say. Each request and each reply is one JSON object on one line. The first request loads the model; weights that a library
wants in a format of its own are converted from the Hugging Face folder once and kept in --converted.

    {}                                      ->  {"version": "..."}
    {"clips": [FILE, ..]}                   ->  {"texts": [..]}             f32 samples at 16 kHz; without times
    {"recording": FILE}                     ->  {"segments": [[START, END, TEXT], ..]}              `openai_whisper` alone
    {"prompt": [ID, ..], "new": N}          ->  {"ids": [..]}               the likeliest tokens, past any end
    {"peak": true}                          ->  {"peak_mb": x, "own_mb": x}
    {"normalize": [TEXT, ..]}               ->  {"texts": [..]}             Whisper's English normaliser; `transformers`
    {"judge": FILE, "texts": [A, B]}        ->  {"sum_logprob": [..], "tokens": [..], "gap": x}    in f64; `transformers`

Replies have "seconds": of the work alone, without reading files; and "cpu_s": of all threads together. An exception is answered by {"error": text}. The end of
stdin ends the process.
"""

import argparse
import importlib
import json
import sys
import time
import traceback
from pathlib import Path


def memory_mb(field):
    """A line of /proc/self/status in MB; None elsewhere than on Linux."""
    try:
        with open("/proc/self/status") as status:
            return next((int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":")), None)
    except OSError:
        return None


def answer(model, request):
    if "peak" in request:
        return dict(peak_mb=memory_mb("VmHWM"), own_mb=memory_mb("RssAnon"))
    if "clips" in request:
        import numpy

        clips = [numpy.fromfile(path, dtype="<f4") for path in request["clips"]]
        start = time.perf_counter()
        texts = model.hear(clips)
        return dict(seconds=time.perf_counter() - start, texts=[text.strip() for text in texts])
    if "recording" in request:
        import numpy

        samples = numpy.fromfile(request["recording"], dtype="<f4")
        start = time.perf_counter()
        segments = model.recording(samples)
        return dict(seconds=time.perf_counter() - start, segments=segments)
    if "prompt" in request:
        start = time.perf_counter()
        ids = model.say(request["prompt"], request["new"])
        return dict(seconds=time.perf_counter() - start, ids=ids)
    if "normalize" in request:
        return dict(texts=model.normalize(request["normalize"]))
    if "judge" in request:
        import numpy

        return model.judge(numpy.fromfile(request["judge"], dtype="<f4"), request["texts"])
    raise ValueError(f"request {request} is none that this side answers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["hear", "say"])
    parser.add_argument("library")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--form", required=True)
    parser.add_argument("--beam", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--converted", type=Path, required=True)
    args = parser.parse_args()
    # Replies have a stream of their own, so that nothing a library prints can get between them.
    replies, sys.stdout = sys.stdout, sys.stderr
    model = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            start, cpu = time.perf_counter(), time.process_time()
            if model is None:
                module = importlib.import_module(f"{args.task}_{args.library}")
                args.converted.mkdir(parents=True, exist_ok=True)
                model = module.Model(args)
                reply = dict(version=module.version())
            else:
                reply = answer(model, request)
            reply.setdefault("seconds", time.perf_counter() - start)
            reply["cpu_s"] = time.process_time() - cpu
        except Exception as error:  # whatever a library raises is for the other side to report
            traceback.print_exc()
            reply = dict(error=f"{type(error).__name__}: {error}")
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
