"""LLaMA by llama.cpp through llama-cpp-python, with f16 weights, greedy."""

import importlib.metadata
import itertools
from pathlib import Path

from ggml import made, write_llama
from llama_cpp import Llama


def version():
    return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"


class Model:
    def __init__(self, args):
        file = args.converted / f"{Path(args.model).name}-f16.gguf"
        made(file, lambda part: write_llama(args.model, part))
        threads = dict(n_threads=args.threads, n_threads_batch=args.threads)
        self.model = Llama(str(file), n_ctx=1024, n_batch=512, n_ubatch=512, n_gpu_layers=0, verbose=False, **threads)

    def say(self, prompt, new):
        # Nothing of an earlier prompt is reused.
        self.model.reset()
        tokens = self.model.generate(prompt, temp=0.0, repeat_penalty=1.0, reset=True)
        return list(itertools.islice(tokens, new))
