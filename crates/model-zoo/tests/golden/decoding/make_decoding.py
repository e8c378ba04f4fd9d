#!/usr/bin/env python3
"""Makes the golden files of decoding from `transformers` and openai-whisper.

    pip install torch transformers safetensors numpy openai-whisper
    python make_decoding.py          # rewrites the files below and versions.json

beams.json       for each folder `../whisper-*` and each setting: the n-best lists of
                 `generate(num_beams=..., num_return_sequences=num_beams)`, ids without prompt and padding, with the
                 end token, and `sequences_scores`
patience.json    beam search of openai-whisper over a toy model whose logits depend on the last two tokens: the
                 model's table, and for each setting the candidates with their sums and the best one; the end token
                 may not come first
timestamps.json  rows, scores before, and scores after openai-whisper's `ApplyTimestampRules`, which
                 `WhisperTimeStampLogitsProcessor` of `transformers` is asserted to equal; null is minus infinity
sampling.json    scores and the probabilities that tokens are drawn with after `transformers`' warpers

Models run in f64; `generate` sums log-probabilities in f32.
"""

import importlib.metadata
import json
import math
import pathlib
import platform
import types

import torch
import transformers
from transformers import GenerationConfig, WhisperForConditionalGeneration
from transformers.generation import GenerationMixin
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    WhisperTimeStampLogitsProcessor,
)
from safetensors.torch import load_file
from whisper.decoding import ApplyTimestampRules, BeamSearchDecoder, MaximumLikelihoodRanker

HERE = pathlib.Path(__file__).resolve().parent

BEAM_SETTINGS = [
    dict(num_beams=2),
    dict(num_beams=3, length_penalty=0.0),
    dict(num_beams=4, length_penalty=2.0, early_stopping="never"),
    dict(num_beams=5, length_penalty=-0.5, early_stopping=True),
    dict(num_beams=3, early_stopping=True, renormalize_logits=True),
    dict(num_beams=3, repetition_penalty=1.4, no_repeat_ngram_size=2),
    dict(num_beams=1),
]


def rounded(values, digits=7):
    return [None if math.isinf(v) else float(f"%.{digits}g" % v) for v in values]


def make_beams():
    cases = []
    for folder in sorted(HERE.parent.glob("whisper-*")):
        model = WhisperForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").double().eval()
        golden = load_file(folder / "golden.safetensors")
        constants = json.loads((folder / "generation_config.json").read_text())
        prompt, features = golden["prompt_ids"], golden["input_features"].double()
        room = model.config.max_target_positions - prompt.shape[1]
        for setting in BEAM_SETTINGS:
            for ends in ([model.config.eos_token_id], [model.config.eos_token_id, 11, 12, 13, 14, 15]):
                out = GenerationMixin.generate(
                    model, input_features=features, decoder_input_ids=prompt, do_sample=False,
                    max_new_tokens=min(10, room), suppress_tokens=constants["suppress_tokens"] or None,
                    begin_suppress_tokens=constants["begin_suppress_tokens"] or None, eos_token_id=ends,
                    pad_token_id=model.config.pad_token_id, num_return_sequences=setting["num_beams"],
                    return_dict_in_generate=True, output_scores=True, **setting,
                )
                lists = []
                for k, row in enumerate(out.sequences.tolist()):
                    ids = row[prompt.shape[1]:]
                    end = next((i for i, t in enumerate(ids) if t in ends), None)
                    if k % setting["num_beams"] == 0:
                        lists.append([])
                    score = None if setting["num_beams"] == 1 else rounded([out.sequences_scores[k].item()])[0]
                    lists[-1].append(dict(ids=ids if end is None else ids[: end + 1], score=score))
                cases.append(dict(folder=folder.name, setting=setting, eos_token_ids=ends,
                                  max_new_tokens=min(10, room), hypotheses=lists))
    assert len({len(h["ids"]) for c in cases for n in c["hypotheses"] for h in n}) > 5
    (HERE / "beams.json").write_text(one_case_a_line(cases))


def make_patience():
    vocab, eot = 9, 4
    gen = torch.Generator().manual_seed(7)
    table = (torch.randn((vocab, vocab, vocab), generator=gen) * 1.5).mul(100).round().div(100)
    cases = []
    for beam_size, patience, length_penalty, sample_len in [
        (1, None, None, 6), (2, None, None, 7), (3, 2.0, None, 8), (3, 0.5, 0.6, 8), (5, 1.0, 1.0, 5), (4, 1.6, 0.0, 9),
        (5, 1.5, 0.8, 2),
    ]:
        reordered = types.SimpleNamespace(rearrange_kv_cache=lambda sources: None)
        decoder = BeamSearchDecoder(beam_size, eot, reordered, patience)
        prompts = [[1, 2], [3, 0], [8, 8]]
        lists = []
        for prompt in prompts:
            decoder.reset()
            tokens = torch.tensor([prompt] * beam_size)
            sums = torch.zeros(beam_size, dtype=torch.float64)
            for step in range(sample_len):
                logits = table[tokens[:, -2], tokens[:, -1]].clone()
                if step == 0:
                    logits[:, eot] = -math.inf  # an empty candidate has no mean to be ranked by
                tokens, completed = decoder.update(tokens, logits.double(), sums)
                if completed:
                    break
            found, found_sums = decoder.finalize(tokens.reshape(1, beam_size, -1), sums.reshape(1, beam_size))
            ids = [[t.tolist()[len(prompt): t.tolist().index(eot, len(prompt))] for t in found[0]]]
            ids = [[torch.tensor(t) for t in ids[0]]]
            best = MaximumLikelihoodRanker(length_penalty).rank(ids, found_sums)[0]
            lists.append(dict(ids=[t.tolist() for t in ids[0]], sums=rounded(found_sums[0]), best=int(best)))
        cases.append(dict(beam_size=beam_size, patience=patience, length_penalty=length_penalty,
                          max_new_tokens=sample_len, items=lists))
    golden = dict(vocab_size=vocab, eot=eot, prompts=prompts, table=rounded(table.flatten().tolist()), cases=cases)
    (HERE / "patience.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def make_timestamps():
    eot, no_timestamps, begin, vocab = 12, 17, 18, 40
    gen = torch.Generator().manual_seed(3)
    tokenizer = types.SimpleNamespace(eot=eot, no_timestamps=no_timestamps, timestamp_begin=begin)
    prompt = [13, 14]
    rows = [[], [18], [20], [20, 3], [20, 3, 4, 25], [20, 3, 4, 25, 25], [20, 3, 25, 26, 5], [3, 4], [39, 2],
            [18, 1, 39], [18, 1, 39, 39], [5, 25], [18, 18]]
    cases = []
    for row in rows:
        for limit in (None, 0, 5):
            for scale in (0.3, 3.0):
                scores = (torch.randn((1, vocab), generator=gen) * scale).mul(1000).round().div(1000)
                scores[0, 7] = -math.inf
                tokens = torch.tensor([prompt + row])
                ours = scores.clone()
                ApplyTimestampRules(tokenizer, len(prompt), limit).apply(ours, tokens)
                config = GenerationConfig(eos_token_id=eot, no_timestamps_token_id=no_timestamps)
                config.max_initial_timestamp_index = limit
                theirs = WhisperTimeStampLogitsProcessor(config, begin_index=len(prompt))(tokens, scores)
                assert torch.equal(ours, theirs), (row, limit)
                cases.append(dict(row=row, max_initial_timestamp_index=limit, scores=rounded(scores[0].tolist()),
                                  allowed=[k for k, v in enumerate(ours[0].tolist()) if not math.isinf(v)]))
    golden = dict(eot=eot, no_timestamps=no_timestamps, prompt=prompt, cases=cases)
    (HERE / "timestamps.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def make_sampling():
    gen = torch.Generator().manual_seed(5)
    cases = []
    for temperature, top_k, top_p, min_p in [
        (1.0, 0, 1.0, 0.0), (0.7, 0, 1.0, 0.0), (1.3, 4, 1.0, 0.0), (1.0, 0, 0.8, 0.0), (1.0, 0, 1.0, 0.2),
        (0.9, 6, 0.7, 0.1), (2.0, 1, 0.5, 0.5), (1.0, 0, 0.01, 0.0),
    ]:
        scores = torch.randn((1, 14), generator=gen).mul(2000).round().div(1000)
        scores[0, 3] = -math.inf
        warpers = [TemperatureLogitsWarper(temperature)]
        warpers += [TopKLogitsWarper(top_k)] if top_k else []
        warpers += [TopPLogitsWarper(top_p)] if top_p < 1 else []
        warpers += [MinPLogitsWarper(min_p)] if min_p else []
        warped = scores.clone()
        for warper in warpers:
            warped = warper(None, warped)
        cases.append(dict(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                          scores=rounded(scores[0].tolist()), probabilities=rounded(warped[0].softmax(-1).tolist())))
    (HERE / "sampling.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def one_case_a_line(cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    return f"[\n{lines}\n]\n"


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    make_beams()
    make_patience()
    make_timestamps()
    make_sampling()
    packages = ["torch", "transformers", "safetensors", "numpy", "openai-whisper"]
    versions = {"python": platform.python_version()} | {p: importlib.metadata.version(p).split("+")[0] for p in packages}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
