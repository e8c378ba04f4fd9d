"""LLaMA by `generate` of `transformers`, greedy."""

import torch
import transformers
from transformers import LlamaForCausalLM


def version():
    return f"transformers {transformers.__version__}, torch {torch.__version__}"


class Model:
    def __init__(self, args):
        torch.set_num_threads(args.threads)
        transformers.logging.set_verbosity_error()
        self.model = LlamaForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.form)).eval()

    @torch.inference_mode()
    def say(self, prompt, new):
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        # An end that is never reached: every side writes as many tokens.
        said = self.model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=new, eos_token_id=-1, pad_token_id=0
        )
        return said[0, len(prompt) :].tolist()
