"""Clouds of points as torch tensors, and their costs: shared by the peers that torch carries."""

import torch


def batches(inputs, parameters):
    """`x: (B, n, d)` and `y: (C, m, d)` with weights; ragged items are padded by points of weight 0."""
    sides = []
    for name in "xy":
        packed, lengths = torch.from_numpy(inputs[name]), parameters[f"{name}_lengths"]
        longest = max(lengths)
        points = packed.new_zeros(len(lengths), longest, packed.shape[1])
        weights = packed.new_zeros(len(lengths), longest)
        at = 0
        for item, length in enumerate(lengths):
            points[item, :length] = packed[at : at + length]
            weights[item, :length] = 1 / length
            at += length
        sides.append((points, weights))
    return sides


def all_pairs(inputs, parameters):
    """Both sides' points, leaves of the graph where gradients are wanted, and weights `(B C, n)` and `(B C, m)`."""
    (x, a), (y, b) = batches(inputs, parameters)
    a = a[:, None].expand(-1, b.shape[0], -1).reshape(-1, a.shape[1])
    b = b.repeat(len(a) // len(b), 1)
    for points in (x, y):
        points.requires_grad_(parameters["gradient"])
    return x, y, a.contiguous(), b


def all_pair_costs(x, y):
    """`|x - y|^2 / 2` of all pairs, `(B C, n, m)`, by one product."""
    (items, n, d), (others, m, _) = x.shape, y.shape
    products = (x.reshape(-1, d) @ y.reshape(-1, d).T).view(items, n, others, m).transpose(1, 2)
    halves = [side.square().sum(2) / 2 for side in (x, y)]
    costs = halves[0][:, None, :, None] + halves[1][None, :, None, :] - products
    return costs.reshape(items * others, n, m)


def with_gradients(x, y, values, loss):
    """The values, and where a loss was built, its gradients by the points."""
    if loss is None:
        return values.detach(), []
    return values.detach(), [g.detach() for g in torch.autograd.grad(loss, [x, y])]


def potential_values(log_u, log_v, a, b, eps):
    """`<a, f> + <b, g>` for `P = diag(u) exp(-C / eps) diag(v)` and `u = a exp(f / eps)`; weights of 0 add nothing."""
    one = torch.ones(())
    f = log_u - torch.where(a > 0, a, one).log()
    g = log_v - torch.where(b > 0, b, one).log()
    return eps * (torch.where(a > 0, a * f, 0).sum(1) + torch.where(b > 0, b * g, 0).sum(1))
