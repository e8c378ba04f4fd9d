"""POT: its batched solvers on torch tensors."""

import ot
import ot.batch
import torch

from on_device import HOW, all_pair_costs, clouds, free, prepare, time_call  # noqa: F401
from shapes import EPS, ITERATIONS


def version():
    return f"POT {ot.__version__}, torch {torch.__version__}"


def batched(method, gradient):
    def make(shape):
        x, y, a, b = clouds(shape, torch.bfloat16, gradient)

        def run():
            result = ot.batch.solve_batch(all_pair_costs(x, y), EPS, a, b, max_iter=ITERATIONS, tol=0.0, method=method,
                                          grad="envelope" if gradient else "detach")
            if not gradient:
                return result.value
            return result.value.detach(), *torch.autograd.grad(result.value.sum(), [x, y])

        return run

    return make


PLAIN = f"bf16, {ITERATIONS} iterations"
FORMS = [
    ("POT batch exp", "sinkhorn", PLAIN, ["S2", "S1"], batched("sinkhorn", False)),
    ("POT batch log", "sinkhorn", PLAIN, ["S2", "S1"], batched("log_sinkhorn", False)),
    ("POT batch exp", "sinkhorn", PLAIN + ", gradients", ["S2", "S1"], batched("sinkhorn", True)),
]
