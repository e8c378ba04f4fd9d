#!/usr/bin/env python3
"""Makes the BERT and Whisper golden folders from tiny random `transformers` models.

    pip install torch transformers safetensors numpy
    python make_golden.py            # rewrites every case and versions.json

Each case is one Hugging Face folder:

    config.json             as `transformers` writes it (defaults of the base class left out)
    model.safetensors       f32 weights under the names of `transformers`
    generation_config.json  Whisper only
    golden.safetensors      inputs, expected outputs, gradients (below)

Weights are rounded to f32, then model and loss run in f64 and the results are rounded to f32 once: the golden
numbers carry no rounding of their own, so a test's tolerance is the tested code's error alone. Integer tensors are
I64. The metadata entry `case` of golden.safetensors is one JSON object of options and of remarks.

BERT (`bert-*`): input_ids, attention_mask, token_type_ids (B, T); hidden_states.0 (embeddings) .. hidden_states.L,
last_hidden_state (B, T, D); pooler_output (B, D); mlm_logits (B, T, V), mlm_labels (-100 = not scored), mlm_loss;
class_logits (B, num_labels), class_labels (I64 classes, or F32 scores where num_labels = 1), class_loss (cross-entropy
or mean squared error). `grad.<name>` is d mlm_loss / d parameter for every parameter the MLM loss reaches;
`grad_class.<name>` is d class_loss / d parameter for the classifier, the pooler and the word embeddings.
Rows of padded positions hold what `transformers` computes there; only positions with attention_mask = 1 bind.
`bert-bare` is a plain encoder with unprefixed names and no heads: its `grad.<name>` belong to
probe_loss = sum(probe * last_hidden_state).

Whisper (`whisper-*`): input_features (B, n_mels, 2 * max_source_positions); hidden_states.N and last_hidden_state of
the encoder, where the last hidden_states.N is after the final layer norm; decoder_input_ids, decoder_hidden_states.N,
decoder_last_hidden_state, logits, labels (-100 = not scored), loss (mean cross-entropy over scored labels),
`grad.<name>` = d loss / d parameter (none for the encoder's positions: `transformers` freezes them);
prompt_ids (B, P), generated_ids (B, P + steps) with the prompt in front, rows that ended filled with pad_token_id, and
generated_lengths (B), prompt and end token included. Greedy decoding is a plain loop over full forward passes with
generation_config.json's suppress lists, and is asserted equal to `generate` (with its KV cache). Dropping either suppress list changes generated_ids.

Gradients of key biases are zero up to rounding (softmax ignores a shift), here about 1e-17: compare gradients to the
largest gradient of the case, never to the tensor's own.
"""

import dataclasses
import json
import math
import pathlib
import platform
import shutil

import numpy
import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)
from transformers.generation import GenerationMixin

HERE = pathlib.Path(__file__).resolve().parent
IGNORED = -100


@dataclasses.dataclass(frozen=True)
class BertCase:
    """One BERT folder: the configuration, the mask of each row and what is special about it."""

    name: str
    why: str
    config: dict
    rows: list  # one string per row, 1 = attend, 0 = padding
    seed: int
    bare: bool = False


@dataclasses.dataclass(frozen=True)
class WhisperCase:
    """One Whisper folder: the configuration, what is decoded and how the greedy loop is steered."""

    name: str
    why: str
    config: dict
    batch: int
    label_lengths: list
    prompt: list
    suppress: list
    begin_suppress: list
    max_new_tokens: int
    ends: bool  # at least one row must meet the end token before max_new_tokens
    seed: int


BERT_CASES = [
    BertCase(
        "bert-gelu", "exact GELU, tied head, right padding",
        dict(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=64, vocab_size=99,
             max_position_embeddings=24, type_vocab_size=2, hidden_act="gelu", num_labels=3),
        ["11111111111", "11111110000", "11000000000"], 11,
    ),
    BertCase(
        "bert-gelu-new", "tanh GELU, three layers, norm_eps 1e-5, regression",
        dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=3, intermediate_size=40, vocab_size=61,
             max_position_embeddings=9, type_vocab_size=2, hidden_act="gelu_new", layer_norm_eps=1e-5, num_labels=1),
        ["1111111", "1111100"], 12,
    ),
    BertCase(
        "bert-relu-untied", "ReLU, one layer, three token types, MLM decoder with a weight of its own",
        dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=72, vocab_size=120,
             max_position_embeddings=12, type_vocab_size=3, hidden_act="relu", tie_word_embeddings=False,
             num_labels=3),
        ["11111", "11110", "10000", "11100"], 13,
    ),
    BertCase(
        "bert-silu-one-head", "SiLU, a single head, norm_eps 1e-3, every position used, nothing padded",
        dict(hidden_size=20, num_attention_heads=1, num_hidden_layers=2, intermediate_size=28, vocab_size=67,
             max_position_embeddings=17, type_vocab_size=2, hidden_act="silu", layer_norm_eps=1e-3, num_labels=2),
        ["1" * 17], 14,
    ),
    BertCase(
        "bert-one-token", "sequences of length one, feed-forward narrower than the model, regression",
        dict(hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=9, vocab_size=60,
             max_position_embeddings=3, type_vocab_size=2, hidden_act="gelu", num_labels=1),
        ["1", "1"], 15,
    ),
    BertCase(
        "bert-holes", "left padding and holes in the mask, six heads, one token type",
        dict(hidden_size=48, num_attention_heads=6, num_hidden_layers=2, intermediate_size=40, vocab_size=60,
             max_position_embeddings=16, type_vocab_size=1, hidden_act="gelu", num_labels=3),
        ["0001111111111", "1101011110110", "0000000000001"], 16,
    ),
    BertCase(
        "bert-bare", "plain BertModel: names without the `bert.` prefix, no MLM head, no classifier",
        dict(hidden_size=24, num_attention_heads=2, num_hidden_layers=2, intermediate_size=33, vocab_size=64,
             max_position_embeddings=11, type_vocab_size=2, hidden_act="gelu"),
        ["111111111", "111100000"], 17, bare=True,
    ),
]


def whisper_config(**fields):
    base = dict(pad_token_id=1, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
    return base | fields


WHISPER_CASES = [
    WhisperCase(
        "whisper-gelu", "80 mel bands, as many encoder as decoder layers, tied output",
        whisper_config(num_mel_bins=80, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
                       decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=71,
                       max_source_positions=10, max_target_positions=24, activation_function="gelu"),
        2, [7, 4], [3, 5, 6, 7], [0, 1, 8, 9], [2, 10], 12, True, 456021,
    ),
    WhisperCase(
        "whisper-lopsided", "heads, layers and feed-forward widths of encoder and decoder all differ; ReLU (the "
        "convolutions stay GELU)",
        whisper_config(num_mel_bins=8, d_model=24, encoder_layers=1, decoder_layers=3, encoder_attention_heads=3,
                       decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=56, vocab_size=60,
                       max_source_positions=7, max_target_positions=19, activation_function="relu"),
        3, [5, 9, 1], [3], [], [2], 9, False, 82022,
    ),
    WhisperCase(
        "whisper-mels128", "128 mel bands, deeper encoder than decoder, tanh GELU, a single decoder head",
        whisper_config(num_mel_bins=128, d_model=16, encoder_layers=3, decoder_layers=1, encoder_attention_heads=4,
                       decoder_attention_heads=1, encoder_ffn_dim=24, decoder_ffn_dim=48, vocab_size=83,
                       max_source_positions=13, max_target_positions=16, activation_function="gelu_new"),
        1, [6], [3, 4, 5], [0, 1], [], 13, True, 3023,
    ),
    WhisperCase(
        "whisper-one-position", "one encoder position (two frames), one decoder token, quick GELU, 4 mel bands",
        whisper_config(num_mel_bins=4, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                       decoder_attention_heads=4, encoder_ffn_dim=17, decoder_ffn_dim=19, vocab_size=61,
                       max_source_positions=1, max_target_positions=8, activation_function="quick_gelu"),
        1, [1], [3, 9], [1], [2], 5, False, 24,
    ),
    WhisperCase(
        "whisper-untied", "output projection with a weight of its own, SiLU, scale_embedding true (which "
        "`transformers` reads and ignores)",
        whisper_config(num_mel_bins=16, d_model=20, encoder_layers=2, decoder_layers=2, encoder_attention_heads=5,
                       decoder_attention_heads=2, encoder_ffn_dim=31, decoder_ffn_dim=37, vocab_size=65,
                       max_source_positions=6, max_target_positions=17, activation_function="silu",
                       scale_embedding=True, tie_word_embeddings=False),
        2, [3, 8], [3, 60], [0, 1, 64], [2, 5, 7], 11, True, 207025,
    ),
    WhisperCase(
        "whisper-long", "66 frames, 19 labels, eight encoder heads of width 4, random stored encoder positions, "
        "scale_embedding true",
        whisper_config(num_mel_bins=9, d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=8,
                       decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=97,
                       max_source_positions=33, max_target_positions=40, activation_function="gelu",
                       scale_embedding=True),
        3, [19, 12, 2], [3, 11], [1, 4], [2], 21, True, 83026,
    ),
]


def randomise(model, gen):
    """Fills every parameter so that no layer is near zero, near identity or saturated."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=gen, dtype=torch.float64)
            if "norm" in name.lower() and name.endswith("weight"):
                value = 1.0 + 0.3 * noise
            elif p.dim() == 1:
                value = 0.3 * noise
            elif "embed" in name:
                value = 0.5 * noise
            else:
                value = 1.3 / math.sqrt(p[0].numel()) * noise
            # Round to f32: the file must hold exactly what the model computed with.
            p.copy_(value.to(torch.float32).to(p.dtype))


def as_golden(tensors):
    """f32 for floats, I64 for the rest, contiguous and unshared."""
    out = {}
    for name, t in tensors.items():
        t = t.detach()
        t = t.to(torch.float32) if t.is_floating_point() else t.to(torch.int64)
        if not torch.isfinite(t.double()).all():
            raise ValueError(f"{name} is not finite")
        out[name] = t.clone().contiguous()
    return out


def gradients(loss, named_parameters, prefix):
    names, params = zip(*[(n, p) for n, p in named_parameters if p.requires_grad])
    grads = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return {f"{prefix}.{n}": g for n, g in zip(names, grads) if g is not None}


def weights_of(model):
    # `named_parameters` lists a tied tensor once, under its first name, as `save_pretrained` stores it.
    return {n: p.detach().to(torch.float32).clone().contiguous() for n, p in model.named_parameters()}


def fresh_folder(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def write_case(folder, config, architecture, weights, golden, remarks):
    config.architectures = [architecture]
    config.dtype = "float32"
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def make_bert(case):
    gen = torch.Generator().manual_seed(case.seed)
    fields = dict(case.config)
    labels = fields.pop("num_labels", None)
    config = BertConfig(
        **fields, **({} if labels is None else {"num_labels": labels}), pad_token_id=0, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, classifier_dropout=0.0, attn_implementation="eager",
    )
    mask = torch.tensor([[int(c) for c in row] for row in case.rows])
    batch, length = mask.shape
    ids = torch.randint(1, config.vocab_size, mask.shape, generator=gen) * mask
    types = torch.randint(0, config.type_vocab_size, mask.shape, generator=gen) * mask
    inputs = dict(input_ids=ids, attention_mask=mask, token_type_ids=types)
    golden = dict(inputs)

    if case.bare:
        model = BertModel(config).double().eval()
        randomise(model, gen)
        out = model(**inputs, output_hidden_states=True)
        probe = torch.randn(out.last_hidden_state.shape, generator=gen, dtype=torch.float64)
        probe = (probe * mask[..., None]).float().double()
        loss = (probe * out.last_hidden_state).sum()
        golden |= dict(probe=probe, probe_loss=loss, pooler_output=out.pooler_output)
        golden |= gradients(loss, model.named_parameters(), "grad")
        weights, architecture = weights_of(model), "BertModel"
    else:
        # The two heads share one encoder, and one file holds both, as a pre-training checkpoint would.
        classifier = BertForSequenceClassification(config).double().eval()
        randomise(classifier, gen)
        model = BertForMaskedLM(config).double().eval()
        randomise(model, gen)
        model.bert = classifier.bert
        if config.tie_word_embeddings:
            model.tie_weights()
            assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
            assert model.cls.predictions.decoder.bias is model.cls.predictions.bias
        else:
            # Untied, only decoder.bias is read. Older files store it as `bias`: keep both, equal.
            with torch.no_grad():
                model.cls.predictions.bias.copy_(model.cls.predictions.decoder.bias)

        scored = (torch.rand(mask.shape, generator=gen) < 0.5) & (mask == 1)
        scored[0, int(mask[0].nonzero()[0])] = True
        mlm_labels = torch.where(scored, torch.randint(0, config.vocab_size, mask.shape, generator=gen), IGNORED)
        out = model(**inputs, labels=mlm_labels, output_hidden_states=True)
        golden |= dict(mlm_labels=mlm_labels, mlm_logits=out.logits, mlm_loss=out.loss)
        golden |= gradients(out.loss, model.named_parameters(), "grad")
        if not config.tie_word_embeddings:
            golden["grad.cls.predictions.bias"] = golden["grad.cls.predictions.decoder.bias"]

        if labels == 1:
            class_labels = torch.randn(batch, generator=gen, dtype=torch.float64).float().double()
        else:
            class_labels = torch.randint(0, labels, (batch,), generator=gen)
        head = classifier(**inputs, labels=class_labels)
        golden |= dict(class_labels=class_labels, class_logits=head.logits, class_loss=head.loss)
        for name, grad in gradients(head.loss, classifier.named_parameters(), "grad_class").items():
            if name.split(".")[1] == "classifier" or ".pooler." in name or "word_embeddings" in name:
                golden[name] = grad
        golden["pooler_output"] = classifier.bert(**inputs).pooler_output
        weights, architecture = weights_of(model) | weights_of(classifier), "BertForMaskedLM"

    hidden = out.hidden_states
    golden |= {f"hidden_states.{k}": h for k, h in enumerate(hidden)}
    golden["last_hidden_state"] = out.last_hidden_state if case.bare else hidden[-1]
    assert len(hidden) == config.num_hidden_layers + 1
    remarks = dict(name=case.name, why=case.why, seed=case.seed, problem_type=None if labels is None else
                   "regression" if labels == 1 else "single_label_classification")
    write_case(fresh_folder(case.name), config, architecture, weights, golden, remarks)


def build_whisper(case, seed):
    gen = torch.Generator().manual_seed(seed)
    config = WhisperConfig(**case.config, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
                           attn_implementation="eager")
    model = WhisperForConditionalGeneration(config).double().eval()
    positions = model.model.encoder.embed_positions.weight.detach().float().double()
    randomise(model, gen)
    if case.name != "whisper-long":
        # The published checkpoints store sinusoids; a reader must take what the file holds.
        with torch.no_grad():
            model.model.encoder.embed_positions.weight.copy_(positions)
    shape = (case.batch, config.num_mel_bins, 2 * config.max_source_positions)
    features = torch.randn(shape, generator=gen, dtype=torch.float64).float().double()
    return gen, config, model, features


@dataclasses.dataclass
class Rules:
    """The tokens greedy decoding may never choose, and those it may not choose first."""

    suppress: list
    begin_suppress: list


def greedy(model, features, case, rules):
    """Greedy decoding of one utterance by full forward passes; also the smallest winning margin."""
    config, ids, margin = model.config, list(case.prompt), math.inf
    for step in range(case.max_new_tokens):
        with torch.no_grad():
            scores = model(input_features=features, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
        scores[rules.suppress] = -math.inf
        if step == 0:
            scores[rules.begin_suppress] = -math.inf
        top = scores.topk(2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
        if ids[-1] == config.eos_token_id:
            break
    return ids, margin


def binding_rules(case, model, features):
    """The case's lists plus tokens this model would choose, so that ignoring a list changes the result."""
    rules = Rules(list(case.suppress), list(case.begin_suppress))
    first, late = len(case.prompt), len(case.prompt) + 1
    if case.begin_suppress:
        ids, _ = greedy(model, features[:1], case, rules)
        rules.begin_suppress = sorted({*rules.begin_suppress, ids[first]})
    if case.suppress:
        ids, _ = greedy(model, features[-1:], case, rules)
        if len(ids) <= late or ids[late] == model.config.eos_token_id:
            return None
        rules.suppress = sorted({*rules.suppress, ids[late]})
    return rules


def decode_whisper(case, config, model, features):
    """Greedy ids of the batch, or None where this seed's decoding is dull or too close to a tie."""
    rules = binding_rules(case, model, features)
    if rules is None:
        return None
    rows = [greedy(model, features[b : b + 1], case, rules) for b in range(case.batch)]
    ids = [r[0] for r in rows]
    margin = min(r[1] for r in rows)
    ended = any(r[-1] == config.eos_token_id for r in ids)
    distinct = min(len(set(r[len(case.prompt) :])) for r in ids)
    if margin < 0.05 or ended != case.ends or distinct < min(3, case.max_new_tokens):
        return None
    if ended and case.batch > 1 and len({len(r) for r in ids}) == 1:
        return None
    for weaker in (Rules([], rules.begin_suppress), Rules(rules.suppress, [])):
        changed = [greedy(model, features[b : b + 1], case, weaker)[0] for b in range(case.batch)] != ids
        if not changed and weaker != rules:
            return None
    lengths = torch.tensor([len(r) for r in ids])
    width = int(lengths.max())
    padded = torch.tensor([r + [config.pad_token_id] * (width - len(r)) for r in ids])
    peer = GenerationMixin.generate(
        model, input_features=features, decoder_input_ids=torch.tensor([case.prompt] * case.batch), do_sample=False,
        num_beams=1, max_new_tokens=case.max_new_tokens, suppress_tokens=rules.suppress or None,
        begin_suppress_tokens=rules.begin_suppress or None, eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    assert peer.tolist() == padded.tolist(), f"{case.name}: generate disagrees: {peer.tolist()} {padded.tolist()}"
    return padded, lengths, margin, rules


def make_whisper(case):
    # The seeds above are ones this search found, so that it ends at once.
    for attempt in range(1000):
        seed = case.seed + 1000 * attempt
        gen, config, model, features = build_whisper(case, seed)
        decoded = decode_whisper(case, config, model, features)
        if decoded is not None:
            break
    else:
        raise RuntimeError(f"{case.name}: no seed gives a decoding worth testing")
    generated, lengths, margin, rules = decoded

    width = max(case.label_lengths)
    labels = torch.randint(4, config.vocab_size, (case.batch, width), generator=gen)
    for b, n in enumerate(case.label_lengths):
        labels[b, n:] = IGNORED
    # `labels` alone: the model shifts them right itself, so decoder_input_ids document that rule.
    start = torch.full((case.batch, 1), config.decoder_start_token_id)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    shifted = torch.where(shifted == IGNORED, config.pad_token_id, shifted)
    out = model(input_features=features, labels=labels, output_hidden_states=True)
    same = model(input_features=features, decoder_input_ids=shifted)
    assert torch.equal(out.logits, same.logits)

    golden = dict(
        input_features=features, decoder_input_ids=shifted, labels=labels, logits=out.logits, loss=out.loss,
        last_hidden_state=out.encoder_last_hidden_state, prompt_ids=torch.tensor([case.prompt] * case.batch),
        generated_ids=generated, generated_lengths=lengths,
        decoder_last_hidden_state=out.decoder_hidden_states[-1],
    )
    golden |= {f"hidden_states.{k}": h for k, h in enumerate(out.encoder_hidden_states)}
    golden |= {f"decoder_hidden_states.{k}": h for k, h in enumerate(out.decoder_hidden_states)}
    assert len(out.encoder_hidden_states) == config.encoder_layers + 1
    assert len(out.decoder_hidden_states) == config.decoder_layers + 1
    assert torch.equal(out.encoder_hidden_states[-1], out.encoder_last_hidden_state)
    golden |= gradients(out.loss, model.named_parameters(), "grad")

    generation = dict(
        bos_token_id=config.bos_token_id, decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id, suppress_tokens=rules.suppress,
        begin_suppress_tokens=rules.begin_suppress, is_multilingual=False, max_length=config.max_target_positions,
        forced_decoder_ids=[[k, t] for k, t in enumerate(case.prompt) if k > 0],
    )
    remarks = dict(name=case.name, why=case.why, seed=seed, max_new_tokens=case.max_new_tokens,
                   suppress_tokens=rules.suppress, begin_suppress_tokens=rules.begin_suppress,
                   smallest_margin=round(margin, 4))
    # The configuration's defaults name tokens of the full vocabulary.
    config.suppress_tokens, config.begin_suppress_tokens = rules.suppress, rules.begin_suppress
    folder = fresh_folder(case.name)
    write_case(folder, config, "WhisperForConditionalGeneration", weights_of(model), golden, remarks)
    # `save_pretrained` of the config writes none of this; published folders carry exactly such a file.
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def versions():
    return dict(
        python=platform.python_version(), torch=torch.__version__.split("+")[0], transformers=transformers.__version__,
        safetensors=safetensors.__version__, tokenizers=tokenizers.__version__, numpy=numpy.__version__,
    )


def main():
    torch.set_num_threads(1)
    for case in BERT_CASES:
        make_bert(case)
    for case in WHISPER_CASES:
        make_whisper(case)
    (HERE / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")
    total = 0
    # Other families have scripts of their own.
    for folder in sorted(p for p in HERE.iterdir() if p.name.startswith(("bert-", "whisper-"))):
        sizes = {f.name: f.stat().st_size for f in sorted(folder.iterdir())}
        total += sum(sizes.values())
        print(folder.name, sizes)
        assert max(sizes.values()) < 300_000, folder
    print("total", total)
    assert total < 3_000_000


if __name__ == "__main__":
    main()
