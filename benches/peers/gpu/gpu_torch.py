"""Losses as people write them in PyTorch; gradients by autograd, of transport with the plan held."""

import torch
from torch.nn.functional import cross_entropy, normalize

from on_device import HOW, all_pair_costs, clouds, device, free, prepare, time_call, unit, version  # noqa: F401
from shapes import BANDWIDTHS, EPS, ITERATIONS, TEMPERATURE
from with_torch import exp_domain, log_domain, product_mean_square


def sinkhorn(iterate, dtype, gradient):
    def make(shape):
        x, y, a, b = clouds(shape, dtype, gradient)

        def run():
            costs = all_pair_costs(x, y)
            with torch.no_grad():
                values, plans = iterate(costs, a, b, EPS, ITERATIONS, gradient)
            return (values, *torch.autograd.grad((plans * costs).sum(), [x, y])) if gradient else values

        return run

    return make


def in_graph(make):
    """One CUDA graph of all launches, which spares the host: the best that torch can do where pairs are few."""

    def made(shape):
        run = make(shape)
        if device() == "cpu":
            return run
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            run()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run()
        return lambda: (graph.replay(), result)[1]

    return made


def cost_product(shape):
    """The product that every cost needs and nothing else: a yardstick, no rival."""
    d = shape["width"]
    x = unit(shape["items"] * shape["n"], d, dtype=torch.bfloat16)
    y = unit(shape["others"] * shape["m"], d, dtype=torch.bfloat16).T
    return lambda: x @ y


def costs(dtype):
    def make(shape):
        x, y, _, _ = clouds(shape, dtype, False)
        return lambda: all_pair_costs(x, y)

    return make


def info_nce(shape):
    """Logits of both directions by a product each, two cross-entropies, a learned scale: open_clip's loss on bf16."""
    x, y = (unit(shape["batch"], shape["width"], dtype=torch.bfloat16).requires_grad_() for _ in range(2))
    scale = torch.tensor(1 / TEMPERATURE, device=device(), requires_grad=True)
    labels = torch.arange(shape["batch"], device=device())

    def run():
        loss = (cross_entropy((scale * x @ y.T).float(), labels) + cross_entropy((scale * y @ x.T).float(), labels)) / 2
        return loss.detach(), *torch.autograd.grad(loss, [x, y, scale])

    return run


def mmd_gaussian(shape):
    """A `2n x 2n` matrix of distances, an exponential for each bandwidth, and its three blocks."""
    x, y = (unit(shape["count"], shape["width"]).requires_grad_() for _ in range(2))
    n = shape["count"]

    def run():
        z = torch.cat([x, y])
        squares = z.square().sum(1)
        distances = (squares[:, None] + squares[None, :] - 2 * z @ z.T).clamp_min(0)
        kernel = sum((distances * (-0.5 / s**2)).exp() for s in BANDWIDTHS)
        value = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
        return value.detach(), *torch.autograd.grad(value, [x, y])

    return run


def nst(shape):
    """Rows of length 1, kernel `<x, y>^2` by products; the teacher's own term is held."""
    x, teacher = unit(shape["count"], shape["width"]).requires_grad_(), unit(shape["count"], shape["width"])

    def run():
        s, t = normalize(x, dim=1), normalize(teacher, dim=1)
        with torch.no_grad():
            held = product_mean_square(t, t)
        value = held + product_mean_square(s, s) - 2 * product_mean_square(s, t)
        return value.detach(), *torch.autograd.grad(value, [x])

    return run


def crd(shape):
    """Gathered rows of both banks, their scores, the noise-contrastive loss and the update: RepDistiller's steps."""
    batch, count, width = shape["batch"], shape["rows"], shape["width"]
    slots = shape["negatives"] + 1
    anchors = [unit(batch, width).requires_grad_() for _ in range(2)]
    banks = [unit(count, width) for _ in range(2)]
    rows = torch.randint(count, (batch, slots), device=device())
    own, noise, momentum = rows[:, 0].contiguous(), (slots - 1) / count, 0.5
    z = [None, None]

    def run():
        loss = 0
        for side, (anchor, bank) in enumerate(zip(anchors, banks)):
            gathered = bank.index_select(0, rows.view(-1)).view(batch, slots, -1)
            scores = (torch.bmm(gathered, anchor[:, :, None]).squeeze(2) / TEMPERATURE).exp()
            if z[side] is None:
                z[side] = scores.detach().mean() * count
            p = scores / z[side]
            positives = (p[:, 0] / (p[:, 0] + noise + 1e-7)).log().sum()
            loss = loss - positives - (noise / (p[:, 1:] + noise + 1e-7)).log().sum()
        gradients = torch.autograd.grad(loss, anchors)
        with torch.no_grad():
            for anchor, bank in zip(reversed(anchors), banks):
                moved = bank.index_select(0, own) * momentum + anchor * (1 - momentum)
                bank.index_copy_(0, own, normalize(moved, dim=1))
        return loss.detach(), gradients

    return run


BF16, F32 = torch.bfloat16, torch.float32
PLAIN, GRADIENTS = f"bf16, {ITERATIONS} iterations", f"bf16, {ITERATIONS} iterations, gradients"
LARGE = f"f32, {ITERATIONS} iterations"
FORMS = [
    ("torch exp", "sinkhorn", PLAIN, ["S2"], sinkhorn(exp_domain, BF16, False)),
    ("torch exp, CUDA graph", "sinkhorn", PLAIN, ["S1"], in_graph(sinkhorn(exp_domain, BF16, False))),
    ("torch product alone", "pairwise-cost", "bf16", ["S2", "S1"], cost_product),
    ("torch", "pairwise-cost", "bf16", ["S2", "S1"], costs(BF16)),
    ("torch TF32", "pairwise-cost", "f32", ["S2", "S1"], costs(F32)),
    ("torch exp", "sinkhorn", GRADIENTS, ["S2", "S1"], sinkhorn(exp_domain, BF16, True)),
    ("open_clip form", "info-nce", "bf16, gradients", ["B8192", "B16384", "B32768", "B65536"], info_nce),
    ("torch", "mmd", "TF32, 5 Gaussians, gradients", ["n8192"], mmd_gaussian),
    ("torch product form", "nst", "TF32, gradients", ["n8192"], nst),
    ("RepDistiller form", "crd", "f32, step", ["CRD"], crd),
    ("torch exp", "sinkhorn", LARGE, ["single"], sinkhorn(exp_domain, F32, False)),
    ("torch log", "sinkhorn", PLAIN, ["S2", "S1"], sinkhorn(log_domain, BF16, False)),
    ("torch log", "sinkhorn", LARGE, ["single"], sinkhorn(log_domain, F32, False)),
    ("torch exp", "sinkhorn", PLAIN, ["S1"], sinkhorn(exp_domain, BF16, False)),
]
