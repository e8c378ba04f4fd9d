#!/usr/bin/env python3
"""Makes the golden folders of LoRA: PEFT's adapters beside the tiny LLaMAs of make_golden_llama.py.

    pip install torch transformers safetensors numpy peft==0.17.1 accelerate
    python make_golden_lora.py      # rewrites every case; versions.json must name the installed versions

Each `lora-*` folder holds adapter_config.json and adapter_model.safetensors as PEFT saves them, beside the model that
the entry `base` of the metadata `case` names, and golden.safetensors:

    input_ids, attention_mask, position_ids, labels (B, T); logits (B, T, V) and loss, their mean cross-entropy
    grad.<name> = d loss / d parameter for every A and B, under the names of adapter_model.safetensors
    merged.<name>: the weights of the base that merging changes

Weights are rounded to f32, then model and loss run in f64 and the results are rounded to f32 once, with the norm of
make_golden_llama.py. Rows of padded positions are zeros.
"""

import dataclasses
import json
import pathlib
import tempfile

import torch
import transformers

# PEFT 0.17 imports a class that transformers 5 no longer has; nothing here uses it.
type(transformers).HybridCache = object

from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import LlamaForCausalLM  # noqa: E402
from transformers.models.llama import modeling_llama  # noqa: E402

from make_golden import IGNORED, as_golden, fresh_folder, versions  # noqa: E402
from make_golden_llama import norm_in_its_dtype  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Case:
    """One folder: the model, the adapter, the mask of each row and what is special about it."""

    name: str
    why: str
    base: str
    adapter: dict
    rows: list
    seed: int


CASES = [
    Case(
        "lora-attention", "queries and values, as by default", "llama-grouped",
        dict(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"]), ["0001111111", "1111111111"], 41,
    ),
    Case(
        "lora-all", "every linear layer, its output projection too, rank 1, scaled by the root of the rank", "llama-plain",
        dict(r=1, lora_alpha=2, use_rslora=True,
             target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]),
        ["1111111", "1110000"], 42,
    ),
    Case(
        "lora-one-layer", "layers with biases, one of them alone, rank above the width of keys", "llama-linear",
        dict(r=9, lora_alpha=4, use_rslora=True, target_modules=["1.self_attn.k_proj", "mlp.down_proj"]),
        ["11111"], 43,
    ),
]


def run(model, golden, vocab):
    out = model(input_ids=golden["input_ids"], attention_mask=golden["attention_mask"],
                position_ids=golden["position_ids"], use_cache=False)
    loss = torch.nn.functional.cross_entropy(
        out.logits.reshape(-1, vocab), golden["labels"].reshape(-1), ignore_index=IGNORED)
    return out.logits, loss


def make(case):
    gen = torch.Generator().manual_seed(case.seed)
    base = LlamaForCausalLM.from_pretrained(HERE / case.base, dtype=torch.float64, attn_implementation="sdpa")
    vocab = base.config.vocab_size
    adapter = LoraConfig(task_type="CAUSAL_LM", base_model_name_or_path=case.base, **case.adapter)
    model = get_peft_model(base, adapter, autocast_adapter_dtype=False).double().eval()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, p in trained.items():
            # B is zero when it is fresh, which would hide the gradient of A.
            p.copy_((0.3 * torch.randn(p.shape, generator=gen, dtype=torch.float64)).float().double())
    mask = torch.tensor([[int(c) for c in row] for row in case.rows])
    golden = dict(attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))
    golden["input_ids"] = torch.randint(3, vocab, mask.shape, generator=gen) * mask
    golden["labels"] = torch.where(mask == 1, torch.randint(0, vocab, mask.shape, generator=gen), IGNORED)
    logits, loss = run(model, golden, vocab)
    golden |= dict(logits=logits * mask[..., None], loss=loss)
    grads = torch.autograd.grad(loss, list(trained.values()))

    folder = fresh_folder(case.name)
    with tempfile.TemporaryDirectory() as saved:
        model.float().save_pretrained(saved, save_embedding_layers=False)
        config = json.loads((pathlib.Path(saved) / "adapter_config.json").read_text())
        weights = load_file(pathlib.Path(saved) / "adapter_model.safetensors")
    # PEFT orders targets by chance and names the folder that it read.
    config |= dict(target_modules=sorted(config["target_modules"]), base_model_name_or_path=case.base)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    golden |= {f"grad.{n.replace('.default', '')}": g for n, g in zip(trained, grads)}
    assert {n[5:] for n in golden if n.startswith("grad.")} == set(weights)

    before = {n: p.detach().clone() for n, p in base.double().state_dict().items() if "lora" not in n}
    merged = PeftModel.from_pretrained(
        LlamaForCausalLM.from_pretrained(HERE / case.base, dtype=torch.float64), folder,
        autocast_adapter_dtype=False).double().merge_and_unload()
    again, _ = run(merged.eval(), golden, vocab)
    assert float(((again - logits) * mask[..., None]).abs().max()) < 1e-9
    old = {n.replace(".base_layer", ""): p for n, p in before.items()}
    changed = {f"merged.{n}": p for n, p in merged.named_parameters() if not torch.equal(p, old[n])}
    assert changed
    golden |= changed
    remarks = dict(name=case.name, why=case.why, seed=case.seed, base=case.base)
    save_file(as_golden(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def main():
    torch.set_num_threads(1)
    assert json.loads((HERE / "versions.json").read_text()) == versions(), "other versions are installed"
    modeling_llama.LlamaRMSNorm.forward = norm_in_its_dtype
    for case in CASES:
        make(case)
        print(case.name, sum(f.stat().st_size for f in (HERE / case.name).iterdir()))


if __name__ == "__main__":
    main()
