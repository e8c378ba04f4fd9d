"""POT: its batched solvers on torch tensors, and a loop of its plain one over the pairs on numpy arrays."""

import math

import numpy
import ot
import ot.batch
import torch

from clouds import all_pair_costs, all_pairs, with_gradients


def prepare(threads):
    torch.set_num_threads(threads)


def version():
    return f"POT {ot.__version__}, torch {torch.__version__}"


def batched(method):
    def form(inputs, parameters):
        x, y, a, b = all_pairs(inputs, parameters)
        eps, wants_gradient = parameters["eps"], parameters["gradient"]
        # Its value has the entropy of the plan where ours has the divergence from uniform weights.
        constant = eps * math.log(a.shape[1] * b.shape[1])

        def run():
            result = ot.batch.solve_batch(all_pair_costs(x, y), eps, a, b, max_iter=parameters["iterations"], tol=0.0,
                                          method=method, grad="envelope" if wants_gradient else "detach")
            values = result.value
            return with_gradients(x, y, values + constant, values.sum() if wants_gradient else None)

        return run

    return form


def loop(inputs, parameters):
    """`ot.sinkhorn` pair by pair, values alone; all costs by one product before."""
    sides = []
    for name in "xy":
        ends = numpy.cumsum([0] + parameters[f"{name}_lengths"])
        sides.append((inputs[name], list(zip(ends[:-1], ends[1:]))))
    (x, x_items), (y, y_items) = sides
    eps = parameters["eps"]
    weights = {n: numpy.full(n, 1 / n, dtype=numpy.float32)
               for n in parameters["x_lengths"] + parameters["y_lengths"]}

    def run():
        halves = [numpy.square(side).sum(1) / 2 for side in (x, y)]
        costs = halves[0][:, None] + halves[1][None, :] - x @ y.T
        values = []
        for top, bottom in x_items:
            for left, right in y_items:
                a, b = weights[bottom - top], weights[right - left]
                cost = numpy.ascontiguousarray(costs[top:bottom, left:right])
                _, log = ot.sinkhorn(a, b, cost, eps, method="sinkhorn", numItermax=parameters["iterations"],
                                     stopThr=0.0, warn=False, log=True)
                values.append(eps * (a @ numpy.log(log["u"] / a) + b @ numpy.log(log["v"] / b)))
        return values, []

    return run


FORMS = {"batch_log": batched("log_sinkhorn"), "batch_exp": batched("sinkhorn"), "loop": loop}
