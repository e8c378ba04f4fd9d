#!/usr/bin/env python3
"""Makes the HuBERT and wav2vec 2.0 golden folders, and the golden CTC alignments.

    pip install torch transformers safetensors numpy
    python make_hubert.py            # rewrites every case and versions.json

Each case is one Hugging Face folder: config.json, model.safetensors (f32) and golden.safetensors. Weights are rounded
to f32, then model and loss run in f64 and the results are rounded to f32 once. The metadata entry `case` of
golden.safetensors is one JSON object of remarks.

input_values (B, S), sample_lengths (B), frame_lengths (B); hidden_states.0 .. hidden_states.L and last_hidden_state
(B, F, D) as `transformers` returns them; mask_time_indices (B, F) where frames were replaced by masked_spec_embed.
With a CTC head: logits (B, F, V), labels (B, U) (-100 = none), loss (sum over the batch). Without one: probe (B, F, D) and
loss = sum(probe * last_hidden_state) over valid frames. `grad.<name>` = d loss / d parameter, under the names of the
model, for every parameter that the loss reaches. Rows of frames beyond frame_lengths hold zeros and do not bind.

Cases with attention masks and layer norms in the feature encoder pass `attention_mask`. Those with the group norm are run
item by item, without padding, where `transformers` has no rule for padding: it normalises over padded time too.

`ctc-*` hold log_probs (T, V), tokens (L) and the path of the trellis of torchaudio's tutorial on forced alignment,
written below from its description: path_tokens and path_scores (T), segment_starts, segment_ends, segment_scores (L).
"""

import json
import math
import pathlib
import platform
import shutil

import numpy as np
import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    HubertConfig,
    HubertForCTC,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
)

HERE = pathlib.Path(__file__).resolve().parent
QUIET = dict(hidden_dropout=0.0, activation_dropout=0.0, attention_dropout=0.0, feat_proj_dropout=0.0,
             final_dropout=0.0, layerdrop=0.0, attn_implementation="eager", ctc_loss_reduction="sum")

# name, why, class, config, samples of each item, labels of each item, options
CASES = [
    ("hubert-group", "group norm, norms after each part, nothing padded, the form of hubert-base", HubertForCTC,
     dict(hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=24, conv_dim=[8, 6, 7],
          conv_kernel=[5, 3, 2], conv_stride=[3, 2, 2], num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
          vocab_size=9),
     [200, 200], [5, 3], {}),
    ("hubert-group-ragged", "group norm, clips of unequal lengths, one head, convolutions with biases", HubertForCTC,
     dict(hidden_size=12, num_attention_heads=1, num_hidden_layers=2, intermediate_size=20, conv_dim=[6, 5],
          conv_kernel=[7, 4], conv_stride=[4, 3], conv_bias=True, num_conv_pos_embeddings=5,
          num_conv_pos_embedding_groups=3, vocab_size=7, hidden_act="relu"),
     [150, 97, 41], [4, 2, 1], {}),
    ("hubert-layer-stable", "layer norm, biases, norms before each part, masks, the form of hubert-large", HubertForCTC,
     dict(hidden_size=18, num_attention_heads=3, num_hidden_layers=3, intermediate_size=22, conv_dim=[7, 7, 9],
          conv_kernel=[6, 3, 2], conv_stride=[3, 2, 2], conv_bias=True, feat_extract_norm="layer",
          do_stable_layer_norm=True, num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=2, vocab_size=8),
     [240, 171, 60], [6, 4, 2], dict(mask=True)),
    ("hubert-layer-old-names", "layer norm, norms after each part, masks, tanh GELU, weight_g and weight_v in the file",
     HubertForCTC,
     dict(hidden_size=12, num_attention_heads=2, num_hidden_layers=1, intermediate_size=30, conv_dim=[5, 8],
          conv_kernel=[4, 3], conv_stride=[2, 3], feat_extract_norm="layer", num_conv_pos_embeddings=7,
          num_conv_pos_embedding_groups=1, vocab_size=6, hidden_act="gelu_new", feat_extract_activation="silu",
          layer_norm_eps=1e-3),
     [60, 83], [2, 5], dict(mask=True, old=True)),
    ("hubert-group-stable", "group norm with norms before each part, features projected as they are, frames replaced",
     HubertForCTC,
     dict(hidden_size=20, num_attention_heads=5, num_hidden_layers=2, intermediate_size=16, conv_dim=[9],
          conv_kernel=[10], conv_stride=[5], feat_proj_layer_norm=False, do_stable_layer_norm=True,
          num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=10, vocab_size=11),
     [111, 111], [3, 7], dict(replace=True)),
    ("hubert-one-frame", "one frame: as many samples as the receptive field", HubertModel,
     dict(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=9, conv_dim=[4, 4],
          conv_kernel=[5, 2], conv_stride=[3, 2], feat_extract_norm="layer", num_conv_pos_embeddings=6,
          num_conv_pos_embedding_groups=2, mask_time_prob=0.0),
     [8], None, {}),
    ("wav2vec2-layer-stable", "wav2vec 2.0 with masks and replaced frames, the form of large-960h-lv60-self",
     Wav2Vec2ForCTC,
     dict(hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=28, conv_dim=[6, 8],
          conv_kernel=[8, 3], conv_stride=[4, 2], conv_bias=True, feat_extract_norm="layer",
          do_stable_layer_norm=True, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, vocab_size=10),
     [180, 100], [8, 3], dict(mask=True, replace=True)),
    ("wav2vec2-pretraining", "a checkpoint of pre-training: its quantiser and projections stay unread; old names",
     Wav2Vec2ForPreTraining,
     dict(hidden_size=12, num_attention_heads=2, num_hidden_layers=2, intermediate_size=16, conv_dim=[6, 6],
          conv_kernel=[6, 3], conv_stride=[3, 2], num_conv_pos_embeddings=5, num_conv_pos_embedding_groups=2,
          codevector_dim=8, proj_codevector_dim=6, num_codevectors_per_group=5),
     [90, 90], None, dict(old=True)),
]


def randomise(model, gen):
    """Fills every parameter so that no layer is near zero, near identity or saturated."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=gen, dtype=torch.float64)
            if name.endswith("original0") or ("norm" in name.lower() and name.endswith("weight")):
                value = 1.0 + 0.3 * noise
            elif p.dim() == 1:
                value = 0.3 * noise
            elif "conv_layers" in name:
                value = 1.5 / math.sqrt(p[0].numel()) * noise
            else:
                value = 1.3 / math.sqrt(p[0].numel()) * noise
            # Round to f32: the file must hold exactly what the model computed with.
            p.copy_(value.to(torch.float32).to(p.dtype))


def as_golden(tensors):
    """f32 for floats, I64 for the rest, contiguous and unshared."""
    out = {}
    for name, t in tensors.items():
        t = t.detach() if isinstance(t, torch.Tensor) else torch.tensor(t)
        t = t.to(torch.float32) if t.is_floating_point() else t.to(torch.int64)
        if not torch.isfinite(t.double()).all():
            raise ValueError(f"{name} is not finite")
        out[name] = t.clone().contiguous()
    return out


def fresh_folder(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def run(model, base, clips, labels, replaced, mask, probe):
    """States, logits and loss of a batch of clips (equal lengths, or masked)."""
    lengths = torch.tensor([len(c) for c in clips])
    values = torch.zeros(len(clips), int(lengths.max()), dtype=torch.float64)
    for row, clip in zip(values, clips):
        row[: len(clip)] = clip
    attention = (torch.arange(values.shape[1])[None] < lengths[:, None]).long() if mask else None
    out = base(values, attention_mask=attention, mask_time_indices=replaced, output_hidden_states=True)
    frames = base._get_feat_extract_output_lengths(lengths)
    if labels is None:
        logits, loss = None, (probe * out.last_hidden_state).sum()
    else:
        logits = model.lm_head(out.last_hidden_state)
        scored = [label for label in labels]
        # In f64; the model's own loss, which takes no mask, goes through f32.
        peer = torch.nn.functional.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1), torch.cat(scored), frames, torch.tensor([len(s) for s in scored]),
            blank=model.config.pad_token_id, reduction="sum",
        )
        if replaced is None:
            padded = torch.nn.utils.rnn.pad_sequence(scored, batch_first=True, padding_value=-100)
            own = model(values, attention_mask=attention, labels=padded)
            assert torch.allclose(own.loss.double(), peer, rtol=1e-5) and torch.allclose(own.logits, logits)
        loss = peer
    return out, logits, loss, frames


def joined(parts, frames):
    """Items of unequal numbers of frames, padded with zeros."""
    rows = [part[k] for part in parts for k in range(part.shape[0])]
    out = torch.zeros(len(rows), max(frames), rows[0].shape[-1], dtype=torch.float64)
    for k, (value, n) in enumerate(zip(rows, frames)):
        out[k, :n] = value[:n].detach()
    return out


def make_case(index, case):
    name, why, cls, fields, samples, labels, options = case
    gen = torch.Generator().manual_seed(100 + index)
    config_class = Wav2Vec2Config if cls.__name__.startswith("Wav2Vec2") else HubertConfig
    config = config_class(**fields, **QUIET)
    model = cls(config).double().eval()
    randomise(model, gen)
    base = model if cls is HubertModel else getattr(model, config.model_type)
    clips = [torch.randn(n, generator=gen, dtype=torch.float64).float().double() for n in samples]
    frames = [int(base._get_feat_extract_output_lengths(n)) for n in samples]
    targets = None if labels is None else [
        torch.randint(1, config.vocab_size, (n,), generator=gen) for n in labels
    ]
    replaced = None
    if options.get("replace"):
        replaced = torch.rand(len(samples), max(frames), generator=gen) < 0.4
        for row, n in zip(replaced, frames):
            row[n:] = False
    probe = None
    if targets is None:
        probe = torch.randn(len(samples), max(frames), config.hidden_size, generator=gen, dtype=torch.float64)
        probe = probe.float().double()

    alone = len(set(samples)) > 1 and not options.get("mask")
    groups = [[k] for k in range(len(samples))] if alone else [list(range(len(samples)))]
    outs, loss = [], 0.0
    for group in groups:
        out, logits, part, _ = run(
            model, base, [clips[k] for k in group], None if targets is None else [targets[k] for k in group],
            replaced, options.get("mask", False), probe,
        )
        outs.append((out, logits))
        loss = loss + part

    golden = dict(
        input_values=torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), sample_lengths=samples,
        frame_lengths=frames, loss=loss,
        last_hidden_state=joined([o.last_hidden_state for o, _ in outs], frames),
    )
    states = len(outs[0][0].hidden_states)
    assert states == config.num_hidden_layers + 1
    for k in range(states):
        golden[f"hidden_states.{k}"] = joined([o.hidden_states[k] for o, _ in outs], frames)
    if targets is None:
        golden["probe"] = probe
    else:
        golden["logits"] = joined([logits for _, logits in outs], frames)
        golden["labels"] = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
    if replaced is not None:
        golden["mask_time_indices"] = replaced
    names, params = zip(*model.named_parameters())
    for n, g in zip(names, torch.autograd.grad(loss, params, allow_unused=True)):
        if g is not None:
            golden[f"grad.{n}"] = g

    weights = {n: p.detach().float().clone().contiguous() for n, p in model.named_parameters()}
    if options.get("old"):
        for part, old in (("original0", "weight_g"), ("original1", "weight_v")):
            found = next(n for n in weights if n.endswith(f"conv.parametrizations.weight.{part}"))
            weights[found.replace(f"parametrizations.weight.{part}", old)] = weights.pop(found)
    folder = fresh_folder(name)
    config.architectures = [cls.__name__]
    config.dtype = "float32"
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    remarks = dict(name=name, why=why, seed=100 + index, normed_at_the_end=not torch.equal(
        outs[0][0].hidden_states[-1], outs[0][0].last_hidden_state))
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def trellis_path(log_probs, tokens, blank):
    """Frame by frame: the index of the last token begun, and the log-probability taken there."""
    frames, last = len(log_probs), len(tokens) - 1
    trellis = np.full((frames, len(tokens)), -np.inf)
    # The first token counts as begun before the first frame, and waits in blanks.
    trellis[0, 0] = 0.0
    for t in range(1, frames):
        trellis[t, 0] = trellis[t - 1, 0] + log_probs[t, blank]
    if last > 0:
        # Whoever still waits so late cannot finish, and must not look cheap.
        trellis[frames - last :, 0] = np.inf
    for t in range(frames - 1):
        for j in range(1, last + 1):
            stay = trellis[t, j] + log_probs[t, blank]
            change = trellis[t, j - 1] + log_probs[t, tokens[j]]
            trellis[t + 1, j] = max(stay, change)
    t, j = frames - 1, last
    path = [(j, log_probs[t, blank])]
    while j > 0:
        stay = trellis[t - 1, j] + log_probs[t - 1, blank]
        change = trellis[t - 1, j - 1] + log_probs[t - 1, tokens[j]]
        t -= 1
        score = log_probs[t, blank]
        if change > stay:
            score = log_probs[t, tokens[j]]
            j -= 1
        path.append((j, score))
    while t > 0:
        t -= 1
        path.append((0, log_probs[t, blank]))
    path.reverse()
    return path


def make_trellis(index, frames, vocab, tokens, blank):
    rng = np.random.default_rng(50 + index)
    logits = 2.0 * rng.standard_normal((frames, vocab))
    # Rounded before use: the file must hold exactly what the path was found on.
    log_probs = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32).astype(np.float64)
    path = trellis_path(log_probs, tokens, blank)
    at = [j for j, _ in path]
    assert len(path) == frames and sorted(set(at)) == list(range(len(tokens)))
    starts = [at.index(j) for j in range(len(tokens))]
    ends = [frames - at[::-1].index(j) for j in range(len(tokens))]
    scores = [float(np.mean([np.exp(s) for k, s in path if k == j])) for j in range(len(tokens))]
    golden = dict(log_probs=torch.from_numpy(log_probs), tokens=tokens, blank=[blank], path_tokens=at,
                  path_scores=torch.tensor([s for _, s in path]), segment_starts=starts, segment_ends=ends,
                  segment_scores=torch.tensor(scores))
    folder = fresh_folder(f"ctc-trellis-{index}")
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": "{}"})


def versions():
    return dict(
        python=platform.python_version(), torch=torch.__version__.split("+")[0], transformers=transformers.__version__,
        safetensors=safetensors.__version__, numpy=np.__version__,
    )


def main():
    torch.set_num_threads(1)
    for index, case in enumerate(CASES):
        make_case(index, case)
    make_trellis(0, 40, 9, [1, 4, 4, 7, 1, 2, 8, 1], 0)
    make_trellis(1, 6, 5, [3, 1, 2], 4)
    make_trellis(2, 23, 6, [2, 2, 2, 1], 0)
    (HERE / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")
    total = 0
    for folder in sorted(p for p in HERE.iterdir() if p.is_dir()):
        sizes = {f.name: f.stat().st_size for f in sorted(folder.iterdir())}
        total += sum(sizes.values())
        print(folder.name, sizes)
    print("total", total)
    assert total < 1_500_000


if __name__ == "__main__":
    main()
