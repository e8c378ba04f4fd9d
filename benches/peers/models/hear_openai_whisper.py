"""Whisper by openai-whisper: recordings of any length, window after window, by its own defaults."""

import importlib.metadata
import json
import re

import torch
from ggml import WHISPER_NAMES
from safetensors.torch import load_file
from whisper.model import ModelDimensions, Whisper


def version():
    return f"openai-whisper {importlib.metadata.version('openai-whisper')}, torch {torch.__version__}"


class Model:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        config = json.loads((args.model / "config.json").read_text())
        sides = [("audio", "source", "encoder"), ("text", "target", "decoder")]
        extents = dict(n_mels=config["num_mel_bins"], n_vocab=config["vocab_size"])
        for part, longest, stack in sides:
            extents[f"n_{part}_ctx"] = config[f"max_{longest}_positions"]
            extents[f"n_{part}_state"] = config["d_model"]
            extents[f"n_{part}_head"] = config[f"{stack}_attention_heads"]
            extents[f"n_{part}_layer"] = config[f"{stack}_layers"]
        self.model = Whisper(ModelDimensions(**extents)).eval()
        weights = {}
        for name, x in load_file(args.model / "model.safetensors").items():
            for pattern, new in WHISPER_NAMES:
                name = re.sub(pattern, new, name)
            weights[name] = x.float()
        weights.pop("proj_out.weight", None)
        self.model.load_state_dict(weights)
        self.beam = args.beam

    def recording(self, samples):
        beam = self.beam if self.beam > 1 else None
        heard = self.model.transcribe(samples, language="en", beam_size=beam, fp16=False)
        return [[s["start"], s["end"], s["text"].strip()] for s in heard["segments"]]
