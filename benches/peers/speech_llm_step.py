#!/usr/bin/env python3
"""Times one step of contr-wasser-all: the trainer's, and the same by `transformers` with GeomLoss.

    pip install torch transformers geomloss tokenizers safetensors numpy
    cargo build --release -p trainer
    python speech_llm_step.py --trainer target/release/trainer [--record]

The workload: 10 recordings of 160 vectors and transcripts of 48 tokens; a LLaMA of width 2048, 6 layers as those of
Llama-3.2-1B, random f32 weights, frozen; the Q-Former of arXiv 2412.15712 before it, trained by AdamW; a Sinkhorn divergence
a pair in each of 7 layers. Both sides read one folder of the language model. What the encoder finds in the recordings is
kept in memory by both and in nobody's time.

`torch-pairs` calls GeomLoss for each pair, as the published code does; `torch-loop` gives its loop all pairs of all layers at
once, the fastest that was found. A side is a process of its own and starts anew for each turn; its first two steps are not
counted. Times are of whole steps, medians over the steps of all turns; peak memory is of the process.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import string
import subprocess
import sys
import tempfile
import time
import wave

ITEMS, TOKENS, VECTORS, WINDOW, QUERIES = 10, 48, 160, 17, 4
FRAMES = VECTORS // QUERIES * WINDOW
WIDTH, LAYERS, ENCODER_WIDTH = 2048, 6, 128
TEMPERATURE, BLUR, LR, CLIP = 0.1, 0.05, 5e-4, 1.0
UNCOUNTED = 2
HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parents[1]

RECIPE = f"""
task = "speech-llm"
seed = 1
[encoder]
dir = "{REPO}/assets/nano-hubert"
[projector]
kind = "q-former"
window_size = {WINDOW}
num_query_tokens = {QUERIES}
[llm]
dir = "llm"
[data]
train = ["manifest.jsonl"]
dev = []
test = []
[pretrain]
objective = "contr-wasser-all"
layers = {list(range(LAYERS + 1))}
temperature = {TEMPERATURE}
blur = {BLUR}
[batch]
max_items = {ITEMS}
bucket_count = 1
[optim]
lr = {LR}
weight_decay = 0.0
clip_norm = {CLIP}
[schedule]
warmup_steps = 1
max_steps = 1000
[train]
log_every = 1
"""


def make_workload(folder):
    """The language model, the recordings, their manifest and the recipe."""
    import numpy
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sys.path.append(str(REPO / "crates/trainer/tests/golden/speech_llm"))
    from make_speech_llm import make_tokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=32, num_key_value_heads=8, intermediate_size=8192,
        vocab_size=tokenizer.get_vocab_size(), bos_token_id=tokenizer.token_to_id("<|begin_of_text|>"),
        eos_token_id=tokenizer.token_to_id("<|eot_id|>"), tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(folder / "llm")
    tokenizer.save(str(folder / "llm/tokenizer.json"))
    random = numpy.random.default_rng(0)
    lines = []
    for item in range(ITEMS):
        with wave.open(str(folder / f"{item}.wav"), "wb") as sound:
            sound.setnchannels(1), sound.setsampwidth(2), sound.setframerate(16000)
            samples = (FRAMES - 1) * 320 + 400
            sound.writeframes(random.normal(0, 1000, samples).astype("<i2").tobytes())
        text = "".join(random.choice(list(string.ascii_lowercase), TOKENS))
        lines.append(dict(id=str(item), audio=f"{item}.wav", duration=samples / 16000, text=text))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.toml").write_text(RECIPE)


def peak_mb(pid="self"):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def ours(args, folder):
    """Seconds of each step, the first loss and the peak memory of the trainer, which is stopped after enough steps."""
    run = pathlib.Path(tempfile.mkdtemp(dir=folder))
    command = [args.trainer.resolve(), "train", "recipe.toml", "--out", run / "out", "--quiet", "--set",
               f"train.threads={args.threads}"]
    with open(run / "log", "wb") as log:
        trainer = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=os.environ | {"XDG_CACHE_HOME": str(run)})
    wanted = args.steps + UNCOUNTED
    while trainer.poll() is None and len(steps_of(run)) < wanted:
        time.sleep(0.2)
    if trainer.poll() is not None:
        sys.exit((run / "log").read_text())
    peak = peak_mb(trainer.pid)
    trainer.kill()
    trainer.wait()
    lines = steps_of(run)[:wanted]
    ends = [line["elapsed_s"] for line in lines]
    return dict(seconds=[b - a for a, b in zip(ends[UNCOUNTED - 1:], ends[UNCOUNTED:])], loss=lines[0]["loss"], peak_mb=peak)


def steps_of(run):
    """What the trainer has logged, whole lines alone."""
    lines = [line for path in run.rglob("metrics.jsonl") for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n") and "grad_norm" in line]


def theirs(args, folder, form):
    """The same of PyTorch, in this process."""
    import torch
    from tokenizers import Tokenizer
    from torch.nn.functional import cross_entropy, normalize
    from transformers import LlamaForCausalLM

    sys.path += [str(HERE / "kernels"), str(REPO / "crates/model-zoo/tests/golden")]
    import with_geomloss
    from make_golden_projectors import WindowQFormer

    divergences = dict(pairs=with_geomloss.pair_by_pair, loop=with_geomloss.all_at_once)[form]
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    llm = LlamaForCausalLM.from_pretrained(folder / "llm", dtype=torch.float32).eval().requires_grad_(False)
    projector = WindowQFormer(dict(
        encoder_hidden_size=ENCODER_WIDTH, window_size=WINDOW, num_query_tokens=QUERIES, hidden_size=768, num_hidden_layers=4,
        num_attention_heads=12, intermediate_size=3072, output_size=WIDTH, hidden_act="gelu"))
    parameters = list(projector.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)
    tokenizer = Tokenizer.from_file(str(folder / "llm/tokenizer.json"))
    texts = [json.loads(line)["text"] for line in open(folder / "manifest.jsonl")]
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False).ids for text in texts])
    frames = torch.randn(ITEMS, FRAMES, ENCODER_WIDTH)
    lengths = torch.full((ITEMS,), FRAMES)

    def layers(**inputs):
        states = llm.model(**inputs, output_hidden_states=True, use_cache=False).hidden_states
        return [list(normalize(state, dim=2)) for state in states]

    def step():
        with torch.no_grad():
            of_text = layers(input_ids=ids)
        of_speech = layers(inputs_embeds=projector(frames, lengths))
        values = divergences(of_text, of_speech, BLUR)
        loss = sum(cross_entropy(-value / TEMPERATURE, torch.arange(ITEMS)) for value in values)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        return float(loss.detach())

    seconds, losses = [], []
    for _ in range(args.steps + UNCOUNTED):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    return dict(seconds=seconds[UNCOUNTED:], loss=losses[0], peak_mb=peak_mb())


def turn(args, side, folder):
    if side == "ours":
        return ours(args, folder)
    command = [sys.executable, __file__, "--side", side, "--folder", folder, "--threads", str(args.threads), "--steps",
               str(args.steps)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def versions():
    from importlib.metadata import version

    return dict(python=platform.python_version()) | {name: version(name) for name in ["torch", "transformers", "geomloss"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trainer", type=pathlib.Path, default=REPO / "target/release/trainer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2, help="times that each side starts (default: 2)")
    parser.add_argument("--steps", type=int, default=4, help="counted steps of a turn (default: 4)")
    parser.add_argument("--sides", nargs="*", default=["ours", "torch-pairs", "torch-loop"])
    parser.add_argument("--record", action="store_true", help="write benches/record/DATE_speech-llm-step.json")
    parser.add_argument("--note", default="", help="where and how this was measured, for the record")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(theirs(args, args.folder, args.side.removeprefix("torch-"))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_workload(folder)
        found = {side: [] for side in args.sides}
        for _ in range(args.turns):
            for side in args.sides:
                found[side].append(turn(args, side, folder))
                print(side, json.dumps(found[side][-1]), flush=True)
    rows = []
    for side, turns in found.items():
        seconds = [s for one in turns for s in one["seconds"]]
        rows.append(dict(side=side, median_s=round(statistics.median(seconds), 3), min_s=round(min(seconds), 3),
                         max_s=round(max(seconds), 3), steps=len(seconds), first_loss=round(turns[0]["loss"], 3),
                         peak_mb=round(max(one["peak_mb"] for one in turns))))
    for row in rows:
        ratio = row["median_s"] / rows[0]["median_s"]
        print(f"{row['side']:12} {row['median_s']:8.2f} s a step ({ratio:.2f} x {rows[0]['side']})  peak {row['peak_mb']} MB")
    if args.record:
        today = datetime.date.today().isoformat()
        path = REPO / f"benches/record/{today}_speech-llm-step.json"
        what = dict(items=ITEMS, text_tokens=TOKENS, speech_vectors=VECTORS, width=WIDTH, llm_layers=LAYERS, loss_layers=LAYERS + 1)
        with open(path, "x") as record:
            json.dump(dict(date=today, note=args.note, threads=args.threads, versions=versions(), workload=what, sides=rows),
                      record, indent=2)
            record.write("\n")
        print("record:", path)


if __name__ == "__main__":
    main()
