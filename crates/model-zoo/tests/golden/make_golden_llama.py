#!/usr/bin/env python3
"""Makes the LLaMA golden folders from tiny random `transformers` models, and the rotary frequencies of known sizes.

    pip install torch transformers safetensors numpy
    python make_golden_llama.py      # rewrites every case; versions.json must name the installed versions

Each `llama-*` case is one Hugging Face folder (config.json as `transformers` writes it, model.safetensors in f32) with
golden.safetensors beside it:

    input_ids (B, T), or inputs_embeds (B, T, D); attention_mask (B, T); position_ids (B, T), as given to the model
    hidden_states.0 (embeddings) .. hidden_states.L (after the final norm), logits (B, T, V)
    labels (B, T), the token after each position (-100 = not scored), and loss, their mean cross-entropy
    grad.<name> = d loss / d parameter for every parameter, and grad_inputs_embeds
    prompt_ids (B, P), prompt_mask (left padding), generated_ids (B, N): greedy `generate` with its cache

Weights are rounded to f32, then model and loss run in f64 and the results are rounded to f32 once, except that cosines
and sines are f32 as in the model. For that the norm is replaced by the same formula without its conversion to f32.
Rows of padded positions are zeros; only positions with attention_mask = 1 bind. The metadata entry `case` is one JSON
object of remarks.

`rope-frequencies/golden.safetensors` holds `inv_freq`, f32, as `transformers` computes it for the configurations in its
metadata entry `case`.
"""

import copy
import dataclasses
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

from make_golden import IGNORED, as_golden, gradients, randomise, versions, weights_of

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Case:
    """One folder: the configuration, the mask of each row and what is special about it."""

    name: str
    why: str
    config: dict
    rows: list  # one string per row, 1 = attend, 0 = padding
    seed: int
    shift: int = 0  # added to all positions
    embeds: bool = False  # vectors instead of tokens
    prompts: tuple = ()  # lengths of the prompts that `generate` continues
    new_tokens: int = 0


CASES = [
    Case(
        "llama-plain", "as many key heads as query heads, untied, right padding",
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, vocab_size=31,
             max_position_embeddings=32, pad_token_id=0),
        ["111111111", "111110000", "100000000"], 11, prompts=(3, 3), new_tokens=9,
    ),
    Case(
        "llama-grouped", "two query heads a key head, tied, left padding, the spelling of older files",
        dict(hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=37, max_position_embeddings=40, tie_word_embeddings=True, rms_norm_eps=1e-5,
             rope_theta=500000.0, eos_token_id=[2, 5]),
        ["0001111111", "1111111111", "0000000001"], 12, prompts=(6, 2, 4), new_tokens=10,
    ),
    Case(
        "llama-four-a-group", "four query heads a key head, a hole in the mask, positions moved by 399",
        dict(hidden_size=16, intermediate_size=18, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
             vocab_size=29, max_position_embeddings=512),
        ["11011111", "00111100"], 13, shift=399,
    ),
    Case(
        "llama-one-key-head", "one key head, heads wider than the model divided by their number, norm_eps 1e-3",
        dict(hidden_size=18, intermediate_size=11, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
             head_dim=8, vocab_size=33, max_position_embeddings=16, rms_norm_eps=1e-3),
        ["1111111", "0111111"], 14,
    ),
    Case(
        "llama-linear", "linear scaling, biases everywhere, positions beyond those trained on",
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=31,
             max_position_embeddings=8, attention_bias=True, mlp_bias=True,
             rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=10000.0)),
        ["1" * 19, "1" * 15 + "0000"], 15, prompts=(10,), new_tokens=8,
    ),
    Case(
        "llama-dynamic", "dynamic scaling beyond the length trained on",
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             vocab_size=31, max_position_embeddings=8,
             rope_parameters=dict(rope_type="dynamic", factor=3.0, rope_theta=10000.0)),
        ["1" * 21, "1" * 21], 16, prompts=(11,), new_tokens=9,
    ),
    Case(
        "llama-dynamic-within", "dynamic scaling within the length trained on",
        dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=23,
             max_position_embeddings=8, rope_parameters=dict(rope_type="dynamic", factor=2.0, rope_theta=10000.0)),
        ["11111111"], 17,
    ),
    Case(
        "llama-3", "llama3 scaling: some frequencies kept, some blended, some divided; positions beyond the original",
        dict(hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             vocab_size=31, max_position_embeddings=128, tie_word_embeddings=True,
             rope_parameters=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                  original_max_position_embeddings=16, rope_theta=500000.0)),
        ["0" * 5 + "1" * 27, "1" * 32], 18, shift=60, prompts=(20, 13), new_tokens=9,
    ),
    Case(
        "llama-vectors", "vectors instead of tokens, padded on both sides, GELU, untied",
        dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             vocab_size=31, max_position_embeddings=32, hidden_act="gelu"),
        ["0011111", "1111100", "1111111"], 19, embeds=True,
    ),
    Case(
        "llama-one-token", "rows of one token, one layer, one head of width 2, odd sizes",
        dict(hidden_size=3, intermediate_size=5, num_hidden_layers=1, num_attention_heads=1, head_dim=2, vocab_size=7,
             max_position_embeddings=1, bos_token_id=1, eos_token_id=2),
        ["1", "1"], 20,
    ),
]

FREQUENCIES = {
    "llama-1-and-2": dict(head_dim=128, rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    "llama-3-8b": dict(head_dim=128, rope_parameters=dict(rope_type="default", rope_theta=500000.0)),
    "llama-3.1-8b": dict(head_dim=128, max_position_embeddings=131072, rope_parameters=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192, rope_theta=500000.0)),
    "llama-3.2-1b": dict(head_dim=64, max_position_embeddings=131072, rope_parameters=dict(
        rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192, rope_theta=500000.0)),
    "smollm2": dict(head_dim=64, rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
    "stories": dict(head_dim=48, rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    "linear": dict(head_dim=128, rope_parameters=dict(rope_type="linear", factor=2.5, rope_theta=10000.0)),
}


def norm_in_its_dtype(self, hidden_states):
    """`LlamaRMSNorm.forward` without the conversion to f32."""
    variance = hidden_states.pow(2).mean(-1, keepdim=True)
    return self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))


def positions_of(mask, shift):
    """As `generate` counts them: attended tokens from 0."""
    return (mask.cumsum(-1) - 1).clamp(min=0) + shift


def make(case):
    gen = torch.Generator().manual_seed(case.seed)
    config = LlamaConfig(**case.config, attn_implementation="sdpa")
    model = LlamaForCausalLM(config).double().eval()
    randomise(model, gen)
    fresh = copy.deepcopy(model)
    mask = torch.tensor([[int(c) for c in row] for row in case.rows])
    batch, length = mask.shape
    positions = positions_of(mask, case.shift)
    golden = dict(attention_mask=mask, position_ids=positions)
    if case.embeds:
        inputs = torch.randn((batch, length, config.hidden_size), generator=gen, dtype=torch.float64).float().double()
        inputs = (inputs * mask[..., None]).requires_grad_()
        golden["inputs_embeds"] = inputs
        given = dict(inputs_embeds=inputs)
    else:
        golden["input_ids"] = torch.randint(3, config.vocab_size, mask.shape, generator=gen) * mask
        given = dict(input_ids=golden["input_ids"])
    out = model(**given, attention_mask=mask, position_ids=positions, output_hidden_states=True, use_cache=False)
    assert len(out.hidden_states) == config.num_hidden_layers + 1
    seen = mask[..., None].double()
    labels = torch.where(mask == 1, torch.randint(0, config.vocab_size, mask.shape, generator=gen), IGNORED)
    loss = torch.nn.functional.cross_entropy(
        out.logits.reshape(-1, config.vocab_size), labels.reshape(-1), ignore_index=IGNORED)
    golden |= dict(logits=out.logits * seen, labels=labels, loss=loss)
    golden |= {f"hidden_states.{k}": h * seen for k, h in enumerate(out.hidden_states)}
    golden |= gradients(loss, model.named_parameters(), "grad")
    if case.embeds:
        golden["grad_inputs_embeds"] = torch.autograd.grad(loss, inputs)[0]
    if case.prompts:
        golden |= generate(case, config, fresh, gen)

    folder = HERE / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = "float32"
    config.save_pretrained(folder)
    if case.name == "llama-grouped":
        # As a file of transformers 4 has it.
        path = folder / "config.json"
        fields = json.loads(path.read_text())
        rope = fields.pop("rope_parameters")
        assert rope == dict(rope_theta=500000.0, rope_type="default"), rope
        fields |= dict(rope_theta=rope["rope_theta"], rope_scaling=None)
        path.write_text(json.dumps(fields, indent=2) + "\n")
    save_file(weights_of(model), folder / "model.safetensors", metadata={"format": "pt"})
    remarks = dict(name=case.name, why=case.why, seed=case.seed)
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def generate(case, config, model, gen):
    """Greedy continuations of prompts padded on the left; prompts are drawn until no choice is close."""
    width = max(case.prompts)
    mask = torch.tensor([[0] * (width - n) + [1] * n for n in case.prompts])
    for _ in range(2000):
        ids = torch.randint(3, config.vocab_size, mask.shape, generator=gen) * mask
        # A copy: with dynamic scaling a model remembers the longest input it has seen.
        out = copy.deepcopy(model).generate(
            ids, attention_mask=mask, do_sample=False, num_beams=1, max_new_tokens=case.new_tokens, eos_token_id=None,
            pad_token_id=0, output_scores=True, return_dict_in_generate=True)
        tops = torch.stack(out.scores).topk(2).values
        fresh = out.sequences[:, width:]
        margin = float((tops[..., 0] - tops[..., 1]).min())
        if margin > 0.05 and min(len(set(row.tolist())) for row in fresh) > 3:
            return dict(prompt_ids=ids, prompt_mask=mask, generated_ids=fresh)
    raise RuntimeError(f"{case.name}: no prompts give a continuation worth testing")


def make_frequencies():
    tensors = {}
    for name, fields in FREQUENCIES.items():
        config = LlamaConfig(hidden_size=fields["head_dim"], num_attention_heads=1, **fields)
        tensors[name] = modeling_llama.LlamaRotaryEmbedding(config).inv_freq.clone()
        assert tensors[name].dtype == torch.float32
    folder = HERE / "rope-frequencies"
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "golden.safetensors", metadata={"case": json.dumps(FREQUENCIES)})


def main():
    torch.set_num_threads(1)
    assert json.loads((HERE / "versions.json").read_text()) == versions(), "other versions are installed"
    make_frequencies()
    modeling_llama.LlamaRMSNorm.forward = norm_in_its_dtype
    total = 0
    for case in CASES:
        make(case)
        size = sum(f.stat().st_size for f in (HERE / case.name).iterdir())
        total += size
        print(case.name, size)
    print("total", total)
    assert total < 1_500_000


if __name__ == "__main__":
    main()
