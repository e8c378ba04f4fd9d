#!/usr/bin/env python3
"""Makes the golden files of the pretraining of a SpeechLLM, with `transformers` and `geomloss` in f64.

    pip install torch transformers safetensors tokenizers numpy geomloss
    python make_speech_llm.py      # rewrites llm/, projector/, cases.safetensors and versions.json

    llm/                a random LLaMA of three layers with two query heads a key head, and a tokenizer of bytes
    projector/          a random Q-Former over windows of 5 frames, as `model-zoo/tests/golden` has it
    cases.safetensors   frames (B, F, E), zeros behind lengths (B): what an encoder found in each recording
                        spans (S, F, E), span_lengths (S): the same of the stretches of speech of mixed sequences
                        per case: `<case>.loss.<part>`, and `<case>.grad.<name>`, the gradient of the sum of the parts
                        by each parameter of the projector (and by `log_temperature` where that is learned)

The metadata entry `<case>` is a JSON object of its options. `f32` in it is what the same formulas in f32 are off by, the
larger one of the losses, relative, and of the gradients, relative to the largest of a tensor or to a hundredth of the
largest of all. `texts` holds transcripts and their tokens, `chat` how a question was put, `mixed` the mixed sequences.

Source: arXiv 2412.15712, eq. (1) and (2), and what its released code decides: no token beside those of the transcript,
positions from 0, losses of layers added, texts pick among recordings, a Sinkhorn divergence a pair on vectors of length
1 by `SamplesLoss("sinkhorn", p=2, blur, scaling=0.5, debias=True)`. Weights and frames are rounded to f32 first.
"""

import copy
import json
import pathlib
import platform
import shutil
import sys
from importlib.metadata import version

import torch
from geomloss import SamplesLoss
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch.nn.functional import cross_entropy, normalize
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[3] / "model-zoo/tests/golden"))
from make_golden import as_golden, randomise, weights_of  # noqa: E402
from make_golden_llama import norm_in_its_dtype  # noqa: E402
from make_golden_projectors import WindowQFormer  # noqa: E402

PROJECTOR = dict(
    encoder_hidden_size=10, window_size=5, num_query_tokens=3, hidden_size=12, num_hidden_layers=2,
    num_attention_heads=3, intermediate_size=17, output_size=16, hidden_act="gelu")
LLM = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=128, rms_norm_eps=1e-5)
MARKS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
# Windows that are full and begun, one recording of a window; a text of one token.
LENGTHS = [13, 5, 17, 8]
TEXTS = ["one", "two men", "no b", "x"]
SPAN_LENGTHS = [6, 4, 11]
# Text as it is, stretches of speech by number.
MIXED = [["on", 0, "e."], [1, " to you", 2]]
SYSTEM, PROMPT = "Be kind.", "What is said?"
LAYERS = {"emb": [0], "last": [3], "all": [0, 2, 3], "2": [2]}

CASES = {
    "cos-emb": dict(objective="contr-cos-emb"),
    "cos-all": dict(objective="contr-cos-all"),
    "cos-2": dict(objective="contr-cos-2"),
    "wasser-emb": dict(objective="contr-wasser-emb"),
    "wasser-all": dict(objective="contr-wasser-all"),
    "wasser-last-soft": dict(objective="contr-wasser-last", blur=0.5),
    "wasser-all-soft": dict(objective="contr-wasser-all", blur=0.5),
    "wasser-all-asr": dict(objective="contr-wasser-all+asr"),
    "speech-to-text": dict(objective="contr-wasser-all", direction="speech-to-text"),
    "symmetric": dict(objective="contr-cos-all", direction="symmetric"),
    "shifted": dict(objective="contr-cos-all", shifts=[3, 0, 41, 7]),
    "learned": dict(objective="contr-wasser-all", blur=0.5, learn_temperature=True, temperature=0.3),
    "cos-all-mixed": dict(objective="contr-cos-all+mixed-nwp"),
}
DEFAULTS = dict(blur=0.05, temperature=0.1, direction="text-to-speech", shifts=[0, 0, 0, 0], learn_temperature=False)


def make_tokenizer():
    """A token a byte, and those of the chat format of Llama 3.1."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: k for k, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    return tokenizer


class Pretraining:
    """The loss of a batch, in the dtype of its models."""

    def __init__(self, projector, llm, frames, spans, tokenizer):
        self.projector, self.llm, self.frames, self.spans = projector, llm, frames, spans
        self.ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        self.tokenizer = tokenizer

    def tokens(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def embed(self, ids):
        return self.llm.model.embed_tokens(torch.tensor(ids))

    def project(self, frames, lengths):
        """Vectors of each recording, without padding."""
        out = self.projector(frames, torch.tensor(lengths))
        return [row[:self.projector.count(n)] for row, n in zip(out, lengths)]

    def states(self, row, layers, shift):
        """Hidden states of one sequence of vectors."""
        if layers == [0]:
            return [row]
        positions = torch.arange(len(row))[None] + shift
        out = self.llm.model(
            inputs_embeds=row[None], position_ids=positions, output_hidden_states=True, use_cache=False)
        return [out.hidden_states[layer][0] for layer in layers]

    def contrast(self, case, texts, rows, temperature, kept=None):
        likeness, place = case["objective"].split("+")[0].removeprefix("contr-").split("-")
        layers = LAYERS[place]
        with torch.no_grad():
            text = [self.states(self.embed(ids), layers, shift) for ids, shift in zip(texts, case["shifts"])]
        speech = [self.states(row, layers, shift) for row, shift in zip(rows, case["shifts"])]
        total = 0
        for k, layer in enumerate(layers):
            of_text = [states[k] for states in text]
            of_speech = [states[k] for states in speech]
            if kept and layer > 0:
                of_speech = [states[own] for states, own in zip(of_speech, kept)]
            total += self.info_nce(case, self.similarities(case, likeness, of_text, of_speech) / temperature)
        return total

    def similarities(self, case, likeness, of_text, of_speech):
        if likeness == "cos":
            unit = lambda side: torch.stack([normalize(states.mean(0), dim=0) for states in side])
            return unit(of_text) @ unit(of_speech).T
        cost = SamplesLoss("sinkhorn", p=2, blur=case["blur"], scaling=0.5, debias=True, backend="tensorized")
        rows = [torch.stack([-cost(normalize(t, dim=1), normalize(s, dim=1)) for s in of_speech]) for t in of_text]
        return torch.stack(rows)

    def info_nce(self, case, logits):
        own = torch.arange(len(logits))
        match case["direction"]:
            case "text-to-speech":
                return cross_entropy(logits, own)
            case "speech-to-text":
                return cross_entropy(logits.T, own)
            case "symmetric":
                return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    def chat(self):
        before = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" + SYSTEM + "<|eot_id|>" \
            "<|start_header_id|>user<|end_header_id|>\n\n"
        after = "\n" + PROMPT + "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        return self.tokens(before), self.tokens(after)

    def foretold(self, sequences):
        """Mean cross-entropy over the labelled tokens of all sequences of vectors, each from the position before it."""
        logits, labels = [], []
        for row, own in sequences:
            out = self.llm(inputs_embeds=row[None], use_cache=False).logits[0]
            logits += [out[at - 1] for at, _ in own]
            labels += [token for _, token in own]
        return cross_entropy(torch.stack(logits), torch.tensor(labels))

    def asr(self):
        before, after = self.chat()
        end = self.tokens("<|eot_id|>")
        sequences = []
        for ids, row in zip(self.ids, self.project(self.frames, LENGTHS)):
            start = len(before) + len(row) + len(after)
            vectors = torch.cat([self.embed(before), row, self.embed(after), self.embed(ids + end)])
            sequences.append((vectors, list(enumerate(ids + end, start))))
        return self.foretold(sequences)

    def mixed(self):
        """Sequences with their labels: tokens of text and the end."""
        spans = self.project(self.spans, SPAN_LENGTHS)
        begin, end = self.tokens("<|begin_of_text|>"), self.tokens("<|eot_id|>")
        sequences = []
        for pieces in MIXED:
            rows, labels, at = [self.embed(begin)], [], 1
            for piece in pieces + ["<|eot_id|>"]:
                if isinstance(piece, int):
                    rows.append(spans[piece])
                else:
                    ids = self.tokens(piece)
                    rows.append(self.embed(ids))
                    labels += list(enumerate(ids, at))
                at += len(rows[-1])
            sequences.append((torch.cat(rows), labels))
        return sequences, [begin + ids + end for ids in self.ids[:len(MIXED)]]

    def parts(self, case, temperature):
        parts = {}
        if "mixed" in case["objective"]:
            sequences, texts = self.mixed()
            kept = [[at for at, _ in labels] for _, labels in sequences]
            parts["contrast"] = self.contrast(case, texts, [row for row, _ in sequences], temperature, kept)
            parts["nwp"] = self.foretold(sequences)
        else:
            rows = self.project(self.frames, LENGTHS)
            parts["contrast"] = self.contrast(case, self.ids, rows, temperature)
        if "asr" in case["objective"]:
            parts["asr"] = self.asr()
        return parts

    def golden(self, case):
        log_temperature = torch.tensor(case["temperature"], dtype=self.frames.dtype).log().requires_grad_()
        parts = self.parts(case, log_temperature.exp())
        named = dict(self.projector.named_parameters())
        if case["learn_temperature"]:
            named["log_temperature"] = log_temperature
        found = torch.autograd.grad(sum(parts.values()), named.values())
        tensors = {f"loss.{part}": loss for part, loss in parts.items()}
        return tensors | {f"grad.{name}": gradient for name, gradient in zip(named, found)}


def worst(got, want):
    """As `f32` is said to be above."""
    largest = max(float(t.abs().max()) for name, t in want.items() if name.startswith("grad."))
    errors = {}
    for name, t in want.items():
        scale = float(t.abs().max())
        if name.startswith("grad."):
            scale = max(scale, largest / 100)
        errors[name] = float((got[name].double() - t).abs().max()) / scale
    return max(errors.values())


def versions():
    names = ["torch", "transformers", "safetensors", "tokenizers", "numpy", "geomloss"]
    return dict(python=platform.python_version()) | {name: version(name) for name in names}


def main():
    torch.set_num_threads(1)
    modeling_llama.LlamaRMSNorm.forward = norm_in_its_dtype
    (HERE / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n")
    gen = torch.Generator().manual_seed(41)
    tokenizer = make_tokenizer()
    eot, begin = tokenizer.token_to_id("<|eot_id|>"), tokenizer.token_to_id("<|begin_of_text|>")
    config = LlamaConfig(
        **LLM, vocab_size=tokenizer.get_vocab_size(), bos_token_id=begin, eos_token_id=eot, attn_implementation="eager",
        tie_word_embeddings=True)
    llm, projector = LlamaForCausalLM(config).double().eval(), WindowQFormer(PROJECTOR).double().eval()
    randomise(llm, gen)
    randomise(projector, gen)
    # The vectors are about as long as those of tokens.
    with torch.no_grad():
        projector.language_projection.weight.copy_((projector.language_projection.weight / 2).float())
    llm.requires_grad_(False)

    def frames(lengths):
        shape = (len(lengths), max(lengths), PROJECTOR["encoder_hidden_size"])
        drawn = torch.randn(shape, generator=gen, dtype=torch.float64).float().double()
        return drawn * (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])[..., None]

    exact = Pretraining(projector, llm, frames(LENGTHS), frames(SPAN_LENGTHS), tokenizer)
    plain = Pretraining(
        copy.deepcopy(projector).float(), copy.deepcopy(llm).float(), exact.frames.float(), exact.spans.float(),
        tokenizer)
    tensors = dict(
        frames=exact.frames, lengths=torch.tensor(LENGTHS), spans=exact.spans, span_lengths=torch.tensor(SPAN_LENGTHS))
    before, after = exact.chat()
    mixed = [[piece if isinstance(piece, int) else exact.tokens(piece) for piece in own] for own in MIXED]
    metadata = dict(
        texts=json.dumps([dict(text=text, ids=ids) for text, ids in zip(TEXTS, exact.ids)]),
        chat=json.dumps(dict(system=SYSTEM, prompt=PROMPT, before=before, question=after, end=eot)),
        mixed=json.dumps(mixed), layers=json.dumps(LAYERS["all"]))
    for name, options in CASES.items():
        case = DEFAULTS | options
        golden = exact.golden(case)
        f32 = worst(plain.golden(case), golden)
        print(f"{name}: {f32:.1e}", {key: round(float(t), 4) for key, t in golden.items() if key.startswith("loss.")})
        metadata[name] = json.dumps(case | dict(f32=float(f"{f32:.2e}")))
        tensors |= {f"{name}.{key}": t for key, t in golden.items()}
    save_file(as_golden(tensors), HERE / "cases.safetensors", metadata=metadata)

    for name in ["llm", "projector"]:
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
    config.architectures, config.dtype = ["LlamaForCausalLM"], "float32"
    config.save_pretrained(HERE / "llm")
    save_file(weights_of(llm), HERE / "llm/model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(HERE / "llm/tokenizer.json"), pretty=False)
    fields = dict(model_type="window_q_former", **PROJECTOR)
    (HERE / "projector/config.json").write_text(json.dumps(fields, indent=2) + "\n")
    save_file(weights_of(projector), HERE / "projector/model.safetensors", metadata={"format": "pt"})
    print("bytes", sum(f.stat().st_size for f in HERE.rglob("*") if f.is_file()))


if __name__ == "__main__":
    main()
