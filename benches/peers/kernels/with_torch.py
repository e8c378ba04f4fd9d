"""Losses as people write them in PyTorch, by hand; gradients by autograd.

The Sinkhorn forms iterate without a graph and differentiate `<P, C>` with the plan held, which is exact at convergence
and the cheapest that autograd can do; kept graphs of all iterations would be slower by far.
"""

import torch
from torch.nn.functional import cross_entropy, normalize

from clouds import all_pair_costs, all_pairs, potential_values, with_gradients


def prepare(threads):
    torch.set_num_threads(threads)


def version():
    return f"torch {torch.__version__}"


def sinkhorn_gemm(inputs, parameters):
    """The product that every cost needs and nothing else: a yardstick, no rival."""
    x, y = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"]).T
    out = torch.empty(x.shape[0], y.shape[1])

    def run():
        torch.mm(x, y, out=out)
        return [], []

    return run


def sinkhorn(iterate):
    def form(inputs, parameters):
        x, y, a, b = all_pairs(inputs, parameters)
        eps, wants_gradient = parameters["eps"], parameters["gradient"]

        def run():
            costs = all_pair_costs(x, y)
            with torch.no_grad():
                values, plans = iterate(costs, a, b, eps, parameters["iterations"], wants_gradient)
            return with_gradients(x, y, values, (plans * costs).sum() if wants_gradient else None)

        return run

    return form


def log_domain(costs, a, b, eps, iterations, wants_plan):
    """Potentials by log-sum-exp, the form of SuperGlue's matching layer. All weights above 0."""
    scores, log_a, log_b = -costs / eps, a.log(), b.log()
    v = torch.zeros_like(b)
    for _ in range(iterations):
        u = log_a - torch.logsumexp(scores + v[:, None, :], 2)
        v = log_b - torch.logsumexp(scores + u[:, :, None], 1)
    values = potential_values(u, v, a, b, eps)
    return values, (scores + u[:, :, None] + v[:, None, :]).exp() if wants_plan else None


def exp_domain(costs, a, b, eps, iterations, wants_plan):
    """Scalings by batched matrix-vector products. Safe at this eps; points of weight 0 have scaling 0."""
    kernel = (-costs / eps).exp()
    turned = kernel.transpose(1, 2)
    v = torch.ones_like(b)[:, :, None]
    a, b = a[:, :, None], b[:, :, None]
    for _ in range(iterations):
        u = a / torch.bmm(kernel, v)
        v = b / torch.bmm(turned, u)
    logs = [torch.where(w > 0, w, 1).log().squeeze(2) for w in (u, v)]
    values = potential_values(*logs, a.squeeze(2), b.squeeze(2), eps)
    return values, u * kernel * v.transpose(1, 2) if wants_plan else None


def mmd_gaussian(inputs, parameters):
    """A `2n x 2n` matrix of distances, an exponential for each bandwidth, and its three blocks."""
    x, y = (torch.from_numpy(inputs[name]).requires_grad_() for name in "xy")
    n = len(x)

    def run():
        z = torch.cat([x, y])
        squares = z.square().sum(1)
        distances = (squares[:, None] + squares[None, :] - 2 * z @ z.T).clamp_min(0)
        kernel = sum((distances * (-0.5 / s**2)).exp() for s in parameters["bandwidths"])
        value = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
        return value.detach(), torch.autograd.grad(value, [x, y])

    return run


def nst(mean_square):
    """Rows of length 1, kernel `<x, y>^2`; the teacher's own term is held, as in RepDistiller, and `x` learns."""

    def form(inputs, parameters):
        x = torch.from_numpy(inputs["x"]).requires_grad_()
        teacher = torch.from_numpy(inputs["y"])

        def run():
            s, t = normalize(x, dim=1), normalize(teacher, dim=1)
            with torch.no_grad():
                held = mean_square(t, t)
            value = held + mean_square(s, s) - 2 * mean_square(s, t)
            return value.detach(), torch.autograd.grad(value, [x])

        return run

    return form


def broadcast_mean_square(p, q):
    """All products of all coordinates at once, `(n, m, d)`: what RepDistiller's loss does."""
    return (p[:, None, :] * q[None, :, :]).sum(2).square().mean()


def product_mean_square(p, q):
    return torch.matmul(p, q.T).square().mean()


def info_nce_open_clip(inputs, parameters):
    """Logits of both directions by a product each, two cross-entropies and a learned scale: open_clip's loss."""
    layers = range(parameters["layers"])
    pairs = [[torch.from_numpy(inputs[f"{side}{layer}"]).requires_grad_() for side in "xy"] for layer in layers]
    scales = [torch.tensor(1 / parameters["temperature"], requires_grad=True) for _ in layers]
    labels = torch.arange(parameters["batch"])

    def run():
        loss = 0
        for (x, y), scale in zip(pairs, scales):
            of_x, of_y = scale * x @ y.T, scale * y @ x.T
            loss = loss + (cross_entropy(of_x, labels) + cross_entropy(of_y, labels)) / 2
        leaves = [leaf for pair in pairs for leaf in pair]
        gradients = torch.autograd.grad(loss, leaves + scales)
        return loss.detach(), gradients[: len(leaves)]

    return run


def crd(inputs, parameters):
    """Gathered rows of both banks, their scores, the noise-contrastive loss, and the momentum update: RepDistiller's
    steps. Which rows to gather is given to both sides, so drawing them is in nobody's time."""
    anchors = [torch.from_numpy(inputs[name]).requires_grad_() for name in ("student", "teacher")]
    # The student meets the teacher's rows and the other way round.
    banks = [torch.from_numpy(inputs[name]).clone() for name in ("teacher_bank", "student_bank")]
    rows = torch.from_numpy(inputs["rows"])
    batch, slots = rows.shape
    n_data, noise = len(banks[0]), (slots - 1) / len(banks[0])
    own, z = rows[:, 0].contiguous(), [None, None]

    def run():
        loss = 0
        for side, (anchor, bank) in enumerate(zip(anchors, banks)):
            gathered = bank.index_select(0, rows.view(-1)).view(batch, slots, -1)
            scores = (torch.bmm(gathered, anchor[:, :, None]).squeeze(2) / parameters["temperature"]).exp()
            if z[side] is None:
                z[side] = scores.detach().mean() * n_data
            p = scores / z[side]
            positives = (p[:, 0] / (p[:, 0] + noise + 1e-7)).log().sum()
            negatives = (noise / (p[:, 1:] + noise + 1e-7)).log().sum()
            loss = loss - positives - negatives
        gradients = torch.autograd.grad(loss, anchors)
        with torch.no_grad():
            for anchor, bank in zip(reversed(anchors), banks):
                moved = bank.index_select(0, own) * parameters["momentum"] + anchor * (1 - parameters["momentum"])
                bank.index_copy_(0, own, normalize(moved, dim=1))
        return loss.detach(), gradients

    return run


FORMS = {
    "sinkhorn_gemm": sinkhorn_gemm,
    "sinkhorn_log": sinkhorn(log_domain),
    "sinkhorn_exp": sinkhorn(exp_domain),
    "mmd_gaussian": mmd_gaussian,
    "nst_broadcast": nst(broadcast_mean_square),
    "nst_product": nst(product_mean_square),
    "info_nce": info_nce_open_clip,
    "crd": crd,
}
