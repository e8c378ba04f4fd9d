"""GeomLoss, its tensorized backend: `SamplesLoss` as published, and its loop at one temperature.

`SamplesLoss` can fix neither the temperature nor the number of updates; for a comparison at equal ones, the loop that
it runs is called with a list of equal temperatures.
"""

from importlib.metadata import version as version_of

import torch
from geomloss import SamplesLoss
from geomloss._legacy.sinkhorn_divergence import sinkhorn_cost, sinkhorn_loop
from geomloss._legacy.sinkhorn_samples import softmin_tensorized

from clouds import all_pair_costs, all_pairs, batches


def prepare(threads):
    torch.set_num_threads(threads)


def version():
    return f"geomloss {version_of('geomloss')}, torch {torch.__version__}"


def samples_loss(inputs, parameters):
    """The divergence of all pairs, which it takes as copies of both clouds for each pair."""
    (x, _), (y, _) = batches(inputs, parameters)
    x.requires_grad_()
    y.requires_grad_()
    (items, n, d), (others, m, _) = x.shape, y.shape
    loss = SamplesLoss("sinkhorn", p=2, blur=parameters["blur"], scaling=parameters["scaling"],
                       diameter=parameters["diameter"], debias=True, backend="tensorized")

    def run():
        left = x[:, None].expand(-1, others, -1, -1).reshape(-1, n, d)
        right = y[None].expand(items, -1, -1, -1).reshape(-1, m, d)
        values = loss(left, right)
        return values.detach(), torch.autograd.grad(values.sum(), [x, y])

    return run


def fixed_temperature(inputs, parameters):
    """Values alone. Costs come from one product, cheaper than GeomLoss's own on copies."""
    x, y, a, b = all_pairs(inputs, parameters)
    eps = parameters["eps"]

    def run():
        costs = all_pair_costs(x, y)
        turned = costs.transpose(1, 2).contiguous()
        weights = a.log(), b.log()
        temperatures = [eps] * parameters["iterations"]
        # One resolution alone, so each argument is a list of one.
        potentials = sinkhorn_loop(softmin_tensorized, [weights[0]], [weights[1]], [None], [None], [costs], [turned],
                                   temperatures, None, debias=False)
        return sinkhorn_cost(eps, None, a, b, *potentials, batch=True, debias=False), []

    return run


FORMS = {"samples_loss": samples_loss, "fixed": fixed_temperature}
