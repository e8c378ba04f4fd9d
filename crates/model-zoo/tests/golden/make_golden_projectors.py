#!/usr/bin/env python3
"""Makes the golden folders of the projectors: the Q-Former of `transformers` over windows, and two of SLAM-LLM's form.

    pip install torch transformers safetensors numpy
    python make_golden_projectors.py      # rewrites every case; versions.json must name the installed versions

Each folder holds config.json and model.safetensors as this crate writes them, and golden.safetensors:

    frames (B, F, E), zeros behind lengths (B); vectors (B, N, D), zeros behind vector_lengths (B)
    probe (B, N, D), zeros likewise; loss = sum(probe * vectors)
    grad.<name> = d loss / d parameter for every parameter, and grad_frames

`q-former-*`: `Blip2QFormerModel` reads each window (cross-attention in every layer), under its own names below
`qformer.`; beside it stand input_norm, query_tokens and language_projection. `linear-*` and `conv1d-*` are written out
below from the formulas. Weights are rounded to f32, then all runs in f64 and is rounded to f32 once.
"""

import dataclasses
import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Blip2QFormerConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel

from make_golden import as_golden, fresh_folder, gradients, randomise, versions, weights_of

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Case:
    """One folder: the configuration, the frames of each item and what is special about it."""

    name: str
    why: str
    config: dict
    lengths: list
    seed: int


CASES = [
    Case(
        "q-former-ragged", "windows that are full, begun and padded as a whole; three heads",
        dict(encoder_hidden_size=10, window_size=5, num_query_tokens=3, hidden_size=12, num_hidden_layers=2,
             num_attention_heads=3, intermediate_size=17, output_size=7, hidden_act="gelu"),
        [13, 5, 1, 10], 31,
    ),
    Case(
        "q-former-one-query", "one query, one head, windows of one frame, ReLU, norm_eps 1e-3, three layers",
        dict(encoder_hidden_size=5, window_size=1, num_query_tokens=1, hidden_size=8, num_hidden_layers=3,
             num_attention_heads=1, intermediate_size=6, output_size=9, hidden_act="relu", layer_norm_eps=1e-3),
        [4, 2], 32,
    ),
    Case(
        "q-former-short", "one item shorter than its window, as many layers as in the paper",
        dict(encoder_hidden_size=6, window_size=17, num_query_tokens=4, hidden_size=8, num_hidden_layers=4,
             num_attention_heads=2, intermediate_size=10, output_size=5, hidden_act="gelu"),
        [11], 33,
    ),
    Case(
        "linear-ragged", "three frames a vector, rests dropped",
        dict(encoder_dim=5, encoder_projector_ds_rate=3, hidden_size=8, output_size=7), [11, 6, 2], 34,
    ),
    Case(
        "conv1d-ragged", "four frames a vector, rests dropped",
        dict(encoder_dim=6, encoder_projector_ds_rate=4, hidden_size=9, output_size=5), [13, 8, 3], 35,
    ),
]


class WindowQFormer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        own = ("window_size", "num_query_tokens", "output_size")
        config = Blip2QFormerConfig(
            **{k: v for k, v in c.items() if k not in own}, cross_attention_frequency=1, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, attn_implementation="eager")
        self.input_norm = nn.LayerNorm(c["encoder_hidden_size"])
        self.query_tokens = nn.Parameter(torch.zeros(1, c["num_query_tokens"], c["hidden_size"]))
        self.qformer = Blip2QFormerModel(config)
        self.language_projection = nn.Linear(c["hidden_size"], c["output_size"])

    def count(self, frames):
        return -(-frames // self.c["window_size"]) * self.c["num_query_tokens"]

    def forward(self, frames, lengths):
        size = self.c["window_size"]
        batch, time, width = frames.shape
        windows = -(-time // size)
        frames = nn.functional.pad(self.input_norm(frames), (0, 0, 0, windows * size - time))
        seen = (torch.arange(windows * size) < lengths[:, None]).long().view(batch * windows, size)
        out = self.qformer(
            query_embeds=self.query_tokens.expand(batch * windows, -1, -1),
            encoder_hidden_states=frames.view(batch * windows, size, width), encoder_attention_mask=seen)
        return self.language_projection(out.last_hidden_state).reshape(batch, -1, self.c["output_size"])


class Stacked(nn.Module):
    def __init__(self, c, conv):
        super().__init__()
        self.k = c["encoder_projector_ds_rate"]
        width = c["encoder_dim"]
        if conv:
            self.conv1d = nn.Conv1d(width, width, self.k, stride=self.k)
        self.linear1 = nn.Linear(width if conv else width * self.k, c["hidden_size"])
        self.linear2 = nn.Linear(c["hidden_size"], c["output_size"])
        self.conv = conv

    def count(self, frames):
        return frames // self.k

    def forward(self, frames, lengths):
        stacks = [frames[:, i * self.k:(i + 1) * self.k] for i in range(frames.shape[1] // self.k)]
        if self.conv:
            # The convolution as a sum over its taps, without an operator for it.
            taps = [sum(s[:, j] @ self.conv1d.weight[:, :, j].T for j in range(self.k)) for s in stacks]
            x = (torch.stack(taps, 1) + self.conv1d.bias).clamp(min=0)
        else:
            x = torch.stack([s.flatten(1) for s in stacks], 1)
        return self.linear2(self.linear1(x).clamp(min=0))


def build(case):
    match case.name.split("-")[0]:
        case "q":
            return WindowQFormer(case.config), "window_q_former"
        case "linear":
            return Stacked(case.config, False), "linear_projector"
        case _:
            return Stacked(case.config, True), "conv1d_projector"


def make(case):
    gen = torch.Generator().manual_seed(case.seed)
    model, model_type = build(case)
    model = model.double().eval()
    randomise(model, gen)
    lengths = torch.tensor(case.lengths)
    time = int(lengths.max())
    width = case.config.get("encoder_hidden_size", case.config.get("encoder_dim"))
    frames = torch.randn((len(lengths), time, width), generator=gen, dtype=torch.float64).float().double()
    frames = (frames * (torch.arange(time) < lengths[:, None])[..., None]).requires_grad_()
    vectors = model(frames, lengths)
    counts = torch.tensor([model.count(n) for n in case.lengths])
    assert vectors.shape[1] == model.count(time)
    valid = (torch.arange(vectors.shape[1]) < counts[:, None])[..., None]
    probe = torch.randn(vectors.shape, generator=gen, dtype=torch.float64).float().double() * valid
    loss = (vectors * probe).sum()
    golden = dict(frames=frames, lengths=lengths, vectors=vectors * valid, vector_lengths=counts, probe=probe, loss=loss)
    golden |= gradients(loss, model.named_parameters(), "grad")
    golden["grad_frames"] = torch.autograd.grad(loss, frames)[0]

    folder = fresh_folder(case.name)
    fields = dict(model_type=model_type, **case.config)
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
    save_file(weights_of(model), folder / "model.safetensors", metadata={"format": "pt"})
    remarks = dict(name=case.name, why=case.why, seed=case.seed)
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def main():
    torch.set_num_threads(1)
    assert json.loads((HERE / "versions.json").read_text()) == versions(), "other versions are installed"
    for case in CASES:
        make(case)
        print(case.name, sum(f.stat().st_size for f in (HERE / case.name).iterdir()))


if __name__ == "__main__":
    main()
