#!/usr/bin/env python3
"""Times matrix products of PyTorch's CPU backend, f32 and bf16, output preallocated.

1024 x 1024 x 1024 is the customary size; 1500 x 384 x 384 is a projection in Whisper-tiny's encoder. bf16 products
accumulate in f32 and return bf16.
"""

import torch

from timing import arguments, measure, prepare

SHAPES = [(1024, 1024, 1024), (1500, 384, 384)]


def main():
    args = prepare(arguments(__doc__.splitlines()[0]))
    for m, n, k in SHAPES:
        for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
            a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
            out = torch.empty(m, n, dtype=dtype)
            # About 0.1 s of work for each sample, so that the clock's grain and a stray interrupt do not count.
            repeats = max(1, int(1e10 / (2 * m * n * k)))
            with torch.inference_mode():
                measure(args, "gemm", f"{m}x{n}x{k}", name, lambda: torch.mm(a, b, out=out), flops=2 * m * n * k,
                        per_sample=repeats)


if __name__ == "__main__":
    main()
