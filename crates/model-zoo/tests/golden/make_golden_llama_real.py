#!/usr/bin/env python3
"""Makes `real-llama/golden.safetensors`: what `transformers` computes on published LLaMA weights.

    python make_golden_llama_real.py DATA      # DATA/models holds stories260K, stories15M and smollm2-135m

For each model NAME, in f32 arithmetic on the CPU: NAME.ids (T,) of a prompt, NAME.generated (N,) greedy continuation
by `generate`, for stories260K also NAME.logits (T, V) of the prompt. The prompts stand in the metadata entry `case`.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from make_golden import versions

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = {
    "stories260K": ("Once upon a time, there was a little", 120),
    "stories15M": ("Lily and Ben went to the sea", 120),
    "smollm2-135m": ("The three states of matter are", 48),
}


def main():
    data = pathlib.Path(sys.argv[1])
    assert json.loads((HERE / "versions.json").read_text()) == versions(), "other versions are installed"
    tensors = {}
    for name, (prompt, steps) in PROMPTS.items():
        folder = data / "models" / name
        ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(prompt).ids
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
            out = model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64), do_sample=False,
                num_beams=1, max_new_tokens=steps, eos_token_id=2, pad_token_id=0, output_scores=True,
                return_dict_in_generate=True)
        tops = torch.cat(out.scores).topk(2).values
        print(name, "smallest margin", float((tops[:, 0] - tops[:, 1]).min()))
        tensors[f"{name}.ids"] = torch.tensor(ids)
        tensors[f"{name}.generated"] = out.sequences[0, len(ids):].clone()
        if name == "stories260K":
            tensors[f"{name}.logits"] = logits.clone()
    folder = HERE / "real-llama"
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "golden.safetensors", metadata={"case": json.dumps(PROMPTS)})
    print((folder / "golden.safetensors").stat().st_size)


if __name__ == "__main__":
    main()
