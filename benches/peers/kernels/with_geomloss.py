"""GeomLoss, its tensorized backend: `SamplesLoss` as published, its loop at one temperature, and contr-wasser.

`SamplesLoss` can fix neither the temperature nor the number of updates; for a comparison at equal ones, the loop that
it runs is called with a list of equal temperatures.
"""

from importlib.metadata import version as version_of

import numpy as np
import torch
from geomloss import SamplesLoss
from geomloss._legacy.sinkhorn_divergence import epsilon_schedule, sinkhorn_cost, sinkhorn_loop
from geomloss._legacy.sinkhorn_samples import softmin_tensorized
from torch.nn.functional import cross_entropy, normalize

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


def info_nce(divergences):
    """InfoNCE of negated divergences over layers, texts as anchors; gradients by the recordings, texts being constants.

    `divergences` takes unit vectors of a layer, or of all, as lists of items, and the blur.
    """

    def form(inputs, parameters):
        layers, lengths = range(parameters["layers"]), [parameters[f"{side}_lengths"] for side in "xy"]
        texts = [torch.from_numpy(inputs[f"x{layer}"]) for layer in layers]
        speeches = [torch.from_numpy(inputs[f"y{layer}"]).requires_grad_() for layer in layers]
        partners = torch.arange(len(lengths[0]))

        def run():
            units = [[normalize(points, dim=1).split(of) for points in side]
                     for side, of in zip((texts, speeches), lengths)]
            values = divergences(*units, parameters["blur"])
            loss = sum(cross_entropy(-value / parameters["temperature"], partners) for value in values)
            return loss.detach(), torch.autograd.grad(loss, speeches)

        return run

    return form


def pair_by_pair(texts, speeches, blur):
    """A call a pair, as the code of arXiv:2412.15712 does."""
    loss = SamplesLoss("sinkhorn", p=2, blur=blur, backend="tensorized")
    rows = lambda layer: [torch.stack([loss(text, speech) for speech in speeches[layer]]) for text in texts[layer]]
    return [torch.stack(rows(layer)) for layer in range(len(texts))]


def layer_by_layer(texts, speeches, blur):
    """A call a layer, on copies of both clouds for each pair. Items of one length; the schedule is that of the whole
    layer's diameter, so values are near those of pairs, not equal."""
    loss = SamplesLoss("sinkhorn", p=2, blur=blur, backend="tensorized")
    values = []
    for text, speech in zip(map(torch.stack, texts), map(torch.stack, speeches)):
        (items, n, d), (others, m, _) = text.shape, speech.shape
        left = text[:, None].expand(-1, others, -1, -1).reshape(-1, n, d)
        right = speech[None].expand(items, -1, -1, -1).reshape(-1, m, d)
        values.append(loss(left, right).view(items, others))
    return values


def all_at_once(texts, speeches, blur):
    """GeomLoss's loop on all pairs of all layers, each at temperatures of its own: as few products as there can be.
    Items of one length; a shorter schedule repeats its first temperature."""
    x, y = (torch.stack([torch.stack(layer) for layer in side]) for side in (texts, speeches))
    (layers, items, n, d), (_, others, m, _) = x.shape, y.shape
    pairs = layers * items * others
    flat_x, flat_y = x.reshape(layers, -1, d), y.reshape(layers, -1, d)

    def cost(product):
        # Of unit vectors, |x - y|^2 / 2.
        return 1 - product

    turned = cost(flat_y @ flat_x.transpose(1, 2)).view(layers, others, m, items, n)
    of_y = turned.permute(0, 3, 1, 2, 4).reshape(pairs, m, n)
    of_x = of_y.detach().transpose(1, 2).contiguous()
    own = lambda side: cost(side @ side.detach().transpose(2, 3))
    own_x = own(x)[:, :, None].expand(-1, -1, others, -1, -1).reshape(pairs, n, n)
    own_y = own(y)[:, None].expand(-1, items, -1, -1, -1).reshape(pairs, m, m)
    with torch.no_grad():
        low = torch.minimum(x.amin(2)[:, :, None], y.amin(2)[:, None])
        high = torch.maximum(x.amax(2)[:, :, None], y.amax(2)[:, None])
        diameters = (high - low).norm(dim=3).reshape(-1).double().numpy()
    schedules = [epsilon_schedule(2, diameter, blur, 0.5) for diameter in diameters]
    longest = max(map(len, schedules))
    schedules = np.array([[own[0]] * (longest - len(own)) + list(own) for own in schedules], dtype="float32")
    temperatures = [torch.from_numpy(column.copy())[:, None] for column in schedules.T]

    def softmin(eps, costs, h):
        return -eps * (h[:, None] - costs / eps[:, :, None]).logsumexp(2)

    a, b = torch.full((pairs, n), 1 / n), torch.full((pairs, m), 1 / m)
    potentials = sinkhorn_loop(softmin, [a.log()], [b.log()], [own_x], [own_y], [of_x], [of_y], temperatures, None,
                               debias=True)
    values = sinkhorn_cost(blur**2, None, a, b, *potentials, batch=True, debias=True)
    return values.view(layers, items, others)


FORMS = {
    "samples_loss": samples_loss,
    "fixed": fixed_temperature,
    "info_nce_pairs": info_nce(pair_by_pair),
    "info_nce_layers": info_nce(layer_by_layer),
    "info_nce_loop": info_nce(all_at_once),
}
