"""Makes wasserstein_info_nce.json: contr-wasser over layers by torch and GeomLoss in float64.

    pip install numpy torch geomloss
    python make_wasserstein_info_nce.py

As the code of arXiv:2412.15712 has it: one call of GeomLoss a pair, vectors of length 1, InfoNCE of the
negated divergences with texts as anchors, layers added up. The symmetric form is the mean of both
directions. Inputs are not stored but generated, here and in the test, by one small generator whose
numbers are exact in f32. Versions used go to versions.json.
"""

import json
import pathlib
from importlib.metadata import version

import geomloss
import torch

WIDTH = 4
# Points of each text and of each recording, a layer each.
LAYERS = [([3, 1, 4], [5, 2, 3]), ([2, 2, 1], [1, 6, 4])]
TEMPERATURES = [0.1, 0.25]


class Generator:
    """A 64-bit congruential generator (Knuth's MMIX constants) that gives its 20 top bits."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 44) / 2.0**19 - 1.0

    def cloud(self, count):
        points = [[self.uniform() for _ in range(WIDTH)] for _ in range(count)]
        return torch.tensor(points, dtype=torch.float64, requires_grad=True)


def case(blur, symmetric, seed):
    make = Generator(seed)
    sinkhorn = geomloss.SamplesLoss("sinkhorn", p=2, blur=blur, backend="tensorized")
    unit = lambda points: points / points.norm(dim=-1, keepdim=True)
    layers, total = [], 0.0
    for (texts, speeches), temperature in zip(LAYERS, TEMPERATURES):
        text, speech = [make.cloud(n) for n in texts], [make.cloud(m) for m in speeches]
        temperature = torch.tensor(temperature, dtype=torch.float64, requires_grad=True)
        divergence = torch.stack([torch.stack([sinkhorn(unit(t), unit(s)) for s in speech]) for t in text])
        logits = -divergence / temperature
        partners = torch.arange(len(text))
        loss = torch.nn.functional.cross_entropy(logits, partners)
        if symmetric:
            loss = (loss + torch.nn.functional.cross_entropy(logits.T, partners)) / 2
        layers.append((loss, divergence, text, speech, temperature))
        total = total + loss
    total.backward()
    numbers = lambda tensors: [float(f"{v:.12g}") for t in tensors for v in t.ravel().tolist()]
    expected = [
        {
            "value": loss.item(),
            "divergence": numbers([divergence.detach()]),
            "grad_x": numbers([t.grad for t in text]),
            "grad_y": numbers([s.grad for s in speech]),
            "grad_temperature": temperature.grad.item(),
        }
        for loss, divergence, text, speech, temperature in layers
    ]
    return {"blur": blur, "symmetric": symmetric, "seed": seed, "value": total.item(), "layers": expected}


def main():
    here = pathlib.Path(__file__).parent
    cases = [case(0.05, False, 1), case(0.5, False, 2), case(0.05, True, 3)]
    made = {"width": WIDTH, "layers": LAYERS, "temperatures": TEMPERATURES, "cases": cases}
    (here / "wasserstein_info_nce.json").write_text(json.dumps(made) + "\n")
    versions = {name: version(name) for name in ("geomloss", "torch")}
    (here / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
