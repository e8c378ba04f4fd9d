"""GeomLoss, its tensorized backend: its loop at one temperature, and `SamplesLoss` as published."""

from importlib.metadata import version as version_of

import torch
from geomloss import SamplesLoss
from geomloss._legacy.sinkhorn_divergence import sinkhorn_cost, sinkhorn_loop
from geomloss._legacy.sinkhorn_samples import softmin_tensorized

from on_device import HOW, all_pair_costs, clouds, free, prepare, time_call  # noqa: F401
from shapes import BLUR, EPS, ITERATIONS, SCALING


def version():
    return f"geomloss {version_of('geomloss')}, torch {torch.__version__}"


def fixed_temperature(shape):
    """Costs come from one product, cheaper than GeomLoss's own on copies."""
    x, y, a, b = clouds(shape, torch.bfloat16, False)
    weights = a.log(), b.log()

    def run():
        costs = all_pair_costs(x, y)
        turned = costs.transpose(1, 2).contiguous()
        # One resolution alone, so each argument is a list of one.
        potentials = sinkhorn_loop(softmin_tensorized, [weights[0]], [weights[1]], [None], [None], [costs], [turned],
                                   [EPS] * ITERATIONS, None, debias=False)
        return sinkhorn_cost(EPS, None, a, b, *potentials, batch=True, debias=False)

    return run


def samples_loss(shape):
    """The debiased divergence of all pairs with gradients, which it takes as copies of both clouds for each pair."""
    x, y, _, _ = clouds(shape, torch.float32, True)
    (items, n, d), (others, m, _) = x.shape, y.shape
    loss = SamplesLoss("sinkhorn", p=2, blur=BLUR, scaling=SCALING, diameter=2.0, debias=True, backend="tensorized")

    def run():
        left = x[:, None].expand(-1, others, -1, -1).reshape(-1, n, d)
        right = y[None].expand(items, -1, -1, -1).reshape(-1, m, d)
        values = loss(left, right)
        return values.detach(), *torch.autograd.grad(values.sum(), [x, y])

    return run


FORMS = [
    ("GeomLoss loop", "sinkhorn", f"bf16, {ITERATIONS} iterations", ["S2", "S1"], fixed_temperature),
    ("GeomLoss", "sinkhorn", f"f32, blur {BLUR}, debiased, gradients", ["S2", "S1"], samples_loss),
]
