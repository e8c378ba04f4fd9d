"""Exported folders in `transformers`: no tensor missing or left over, and the same hidden states.

    python check_exports.py --trainer target/release/trainer --audio FILE.ogg --text TEXT FOLDER...

For each folder the trainer's `encode` writes the hidden states of the clip or the text, the class that
the config names computes them again from the same folder, and the largest difference over the largest
value is printed, a JSON object a folder. Ends with 1 when a folder does not load whole or differs.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import safetensors
import torch
import transformers
from safetensors.torch import load_file

LARGEST_DIFFERENCE = 2e-4


def encode(trainer, folder, arguments, work):
    output = work / "encoded.safetensors"
    command = [trainer, "encode", "--model", folder, "--layers", "all", "--output", output, *arguments]
    subprocess.run([str(part) for part in command], check=True, stderr=subprocess.DEVNULL)
    return load_file(output)


def samples_of(audio):
    import soundfile

    samples, rate = soundfile.read(audio, dtype="float32")
    assert rate == 16000, f"{audio}: {rate} Hz, expected 16000"
    return torch.from_numpy(samples)


def with_whole_window(folder, work):
    """A copy whose clips are padded, since `transformers` reads whole windows alone."""
    copy = work / "whole-window"
    shutil.copytree(folder, copy)
    path = copy / "preprocessor_config.json"
    written = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(written | {"pad_to_window": True}))
    return copy


def states(kind, model, folder, options, work):
    """Ours and theirs, layer by layer."""
    if kind == "whisper":
        copy = with_whole_window(folder, work)
        ours = encode(options.trainer, copy, ["--input", options.audio, "--features"], work)
        theirs = model.model.encoder(ours["input_features"], output_hidden_states=True)
    elif kind in ("hubert", "wav2vec2"):
        ours = encode(options.trainer, folder, ["--input", options.audio], work)
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
        values = extractor(samples_of(options.audio).numpy(), sampling_rate=16000, return_tensors="pt")
        theirs = getattr(model, model.base_model_prefix)(values.input_values, output_hidden_states=True)
    else:
        ours = encode(options.trainer, folder, ["--text", options.text], work)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        ids = tokenizer(options.text, return_tensors="pt").input_ids
        theirs = model.base_model(ids, output_hidden_states=True)
    for layer, state in enumerate(theirs.hidden_states):
        yield layer, ours[f"hidden_states.{layer}"], state


def check(folder, options):
    config = json.loads((folder / "config.json").read_text())
    (name,) = config["architectures"]
    model, info = getattr(transformers, name).from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    model.eval()
    left = {key: sorted(map(str, found)) for key, found in info.items() if found}
    largest, layers = 0.0, 0
    with tempfile.TemporaryDirectory() as work, torch.no_grad():
        for layer, ours, theirs in states(config["model_type"], model, folder, options, pathlib.Path(work)):
            assert ours.shape == theirs.shape, f"layer {layer}: {ours.shape}, expected {theirs.shape}"
            difference = (ours.float() - theirs).abs().max() / theirs.abs().max()
            largest, layers = max(largest, difference.item()), layers + 1
    good = not left and layers > 1 and largest <= LARGEST_DIFFERENCE
    return {
        "folder": folder.name,
        "class": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "hidden_states": layers,
        "largest_difference": float(f"{largest:.2g}"),
        "not_loaded": left,
        "good": good,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--audio", required=True)
    parser.add_argument("--text", default="Where does Carla Novak live?")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    found = [check(folder, options) for folder in options.folders]
    versions = {module.__name__: module.__version__ for module in (torch, transformers, safetensors)}
    for row in found:
        print(json.dumps(row | versions))
    sys.exit(not all(row["good"] for row in found))


main()
