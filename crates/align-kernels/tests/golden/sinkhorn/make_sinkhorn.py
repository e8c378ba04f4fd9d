"""Makes sinkhorn.json: what GeomLoss, POT and OTT-JAX compute in float64 on generated clouds.

    pip install numpy torch geomloss pot ott-jax
    python make_sinkhorn.py

Inputs are not stored but generated, here and in the tests, by one small generator whose numbers are exact
in f32. Of long arrays every k-th element is stored. Versions used go to versions.json.
"""

import json
import math
import pathlib
import warnings
from importlib.metadata import version

import jax

jax.config.update("jax_enable_x64", True)

import geomloss
import jax.numpy as jnp
import numpy as np
import ot
import torch
from ott.geometry import geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import sinkhorn

LONGEST = 24  # stored elements of one array


class Generator:
    """A 64-bit congruential generator (Knuth's MMIX constants) that gives its 20 top bits."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 44

    def uniform(self):
        return self.bits() / 2.0**19 - 1.0

    def points(self, count, width):
        return [[self.uniform() for _ in range(width)] for _ in range(count)]


def clouds(kind, n, m, width, seed):
    make = Generator(seed)
    if kind == "clustered":
        centres = make.points(3, width)
        near = lambda i: [c + make.uniform() / 16.0 for c in centres[i % 3]]
        x = [near(i) for i in range(n)]
        y = [near(j + 1) for j in range(m)]
    else:
        x, y = make.points(n, width), make.points(m, width)
        if kind == "duplicates":
            x = [x[0] if i % 3 == 2 else row for i, row in enumerate(x)]
            y = [x[(j // 2) % n] if j % 2 == 0 else row for j, row in enumerate(y)]
    return np.array(x), np.array(y), make


def weights(kind, count, make):
    if kind == "uniform":
        return np.full(count, 1.0 / count)
    whole = [1 + make.bits() % 16 for _ in range(count)]
    if kind == "zeros":
        whole = [0 if k % 3 == 1 else w for k, w in enumerate(whole)]
    return np.array(whole) / float(sum(whole))


def problem(case):
    x, y, make = clouds(case["clouds"], case["n"], case["m"], case["width"], case["seed"])
    a = weights(case["weights"], case["n"], make)
    b = weights(case["weights"], case["m"], make)
    return x, y, a, b


def stored(array):
    flat = np.asarray(array, dtype=np.float64).ravel()
    step = max(1, math.ceil(flat.size / LONGEST))
    return [float(f"{v:.13g}") for v in flat[::step]]


def unit(points, library):
    return points / library.sqrt((points**2).sum(-1, keepdims=True))


def cost_matrix(case, x, y, library):
    if case["cost"] == "cosine":
        return 1.0 - unit(x, library) @ unit(y, library).T
    squared = ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)
    if case["cost"] == "euclidean":
        return library.sqrt(library.maximum(squared, 1e-8))
    return squared / 2.0


def by_geomloss(case):
    x, y, a, b = (torch.from_numpy(v) for v in problem(case))
    leaves = [v.clone().requires_grad_(True) for v in (x, y, a, b)]
    x, y, a, b = leaves
    power = 1 if case["cost"] == "euclidean" else 2
    from_x, from_y = (unit(x, torch), unit(y, torch)) if case["cost"] == "cosine" else (x, y)
    diameter = None
    if case["weights"] == "zeros":  # only points with mass count
        seen = torch.cat((from_x[a > 0], from_y[b > 0])).detach()
        diameter = float((seen.max(0)[0] - seen.min(0)[0]).norm())
    options = {k: case[k] for k in ("blur", "scaling", "reach", "debias")}
    loss = lambda **more: geomloss.SamplesLoss(
        "sinkhorn", p=power, diameter=diameter, backend="tensorized", **options, **more
    )
    value = loss()(a, from_x, b, from_y)
    value.backward()
    f, g = loss(potentials=True)(a, from_x, b, from_y)
    names = ("grad_x", "grad_y", "grad_a", "grad_b")
    gradients = {name: stored(v.grad.numpy()) for name, v in zip(names, leaves)}
    return {"value": value.item(), "f": stored(f.detach()), "g": stored(g.detach()), **gradients}


def by_pot(case):
    x, y, a, b = problem(case)
    cost = cost_matrix(case, x, y, np)
    eps, rho, iterations = case["eps"], case["rho"], case["iterations"]
    if rho is None:
        # A threshold of 0 runs exactly so many iterations; 1e-15 stops where rounding does.
        threshold = 0.0 if iterations else 1e-15
        plan = ot.bregman.sinkhorn_log(
            a, b, cost, eps, numItermax=iterations or 300_000, stopThr=threshold, warn=False
        )
    else:
        plan = ot.unbalanced.sinkhorn_unbalanced(
            a, b, cost, eps, rho, reg_type="kl", numItermax=300_000, stopThr=1e-15
        )
    expected = {"plan": stored(plan)}
    if not iterations:
        expected["value"] = objective(plan, cost, a, b, eps, rho)
    return expected


def kl(p, q):
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(p > 0, p * np.log(p / q), 0.0).sum() - p.sum() + q.sum())


def objective(plan, cost, a, b, eps, rho):
    value = float((plan * cost).sum()) + eps * kl(plan, np.outer(a, b))
    if rho is not None:
        value += rho * (kl(plan.sum(1), a) + kl(plan.sum(0), b))
    return value


def by_ott(case):
    x, y, a, b = (jnp.asarray(v) for v in problem(case))
    eps, rho = case["eps"], case["rho"]
    tau = 1.0 if rho is None else rho / (rho + eps)
    solver = sinkhorn.Sinkhorn(threshold=1e-13, max_iterations=300_000, inner_iterations=10)

    def value(x, y):
        cost = cost_matrix(case, x, y, jnp)
        if rho is not None:
            # OTT regularises by -eps H(P), which is eps KL(P | ab) only where the marginals are given.
            cost = cost - eps * (jnp.log(a)[:, None] + jnp.log(b)[None, :])
        geom = geometry.Geometry(cost_matrix=cost, epsilon=eps)
        out = solver(linear_problem.LinearProblem(geom, a=a, b=b, tau_a=tau, tau_b=tau))
        return out.reg_ot_cost, out.matrix

    (got, plan), gradients = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(x, y)
    if rho is not None:
        got = objective(np.asarray(plan), cost_matrix(case, x, y, np), np.asarray(a), np.asarray(b), eps, rho)
    return {
        "value": float(got),
        "plan": stored(plan),
        "grad_x": stored(gradients[0]),
        "grad_y": stored(gradients[1]),
    }


def case(library, clouds, shape, **more):
    n, m, width = shape
    made = {"library": library, "clouds": clouds, "n": n, "m": m, "width": width, "weights": "uniform"}
    made["cost"] = "sqeuclidean"
    if library == "geomloss":
        made.update(blur=0.05, scaling=0.5, reach=None, debias=True)
    else:
        made.update(eps=0.05, rho=None, iterations=0)
    made.update(more)
    return made


def geomloss_cases():
    # Scales whose eps run from 1 to 0.002.
    for blur in (1.0, 0.5, 0.2, 0.05, math.sqrt(0.002)):
        yield case("geomloss", "random", (17, 13, 3), blur=blur)
        yield case("geomloss", "clustered", (33, 20, 5), blur=blur, weights="random")
    for eps in (1.0, 0.1, 0.002):
        yield case("geomloss", "random", (9, 14, 3), blur=eps, cost="euclidean", weights="random")
    for shape in ((1, 1, 3), (1, 7, 2), (5, 1, 4), (2, 129, 3), (1, 300, 2), (300, 170, 3), (48, 160, 64)):
        yield case("geomloss", "random", shape, blur=0.1)
    for cost in ("sqeuclidean", "euclidean", "cosine"):
        yield case("geomloss", "duplicates", (11, 8, 3), cost=cost, blur=0.1)
        yield case("geomloss", "random", (13, 16, 4), cost=cost, blur=0.3, weights="zeros")
        for reach in (0.3, 2.0):
            for debias in (True, False):
                more = {"reach": reach, "debias": debias, "weights": "random"}
                yield case("geomloss", "clustered", (7, 9, 4), cost=cost, blur=0.2, **more)
    yield case("geomloss", "random", (12, 10, 16), cost="cosine", blur=0.5)
    yield case("geomloss", "random", (12, 10, 16), cost="cosine", blur=0.05, debias=False)
    yield case("geomloss", "random", (10, 9, 2), blur=20.0)  # wider than the clouds
    yield case("geomloss", "random", (10, 9, 2), blur=0.1, scaling=0.9, weights="zeros")


def fixed_cases():
    for library in ("pot", "ott"):
        for eps in (1.0, 0.3, 0.05, 0.01):
            yield case(library, "random", (17, 13, 3), eps=eps)
            yield case(library, "clustered", (16, 12, 4), eps=eps, weights="random")
        # Few points converge at any temperature.
        yield case(library, "random", (1, 300, 2), eps=0.002)
        yield case(library, "random", (2, 129, 3), eps=0.002, weights="random")
        yield case(library, "random", (6, 5, 2), eps=0.002)
        yield case(library, "random", (120, 211, 3), eps=0.3)
        yield case(library, "duplicates", (11, 8, 3), eps=0.1)
        yield case(library, "random", (13, 16, 4), eps=0.1, weights="zeros")
        for cost in ("cosine", "euclidean"):
            yield case(library, "random", (9, 14, 3), eps=0.1, cost=cost, weights="random")
        for rho in (0.1, 1.0):
            yield case(library, "clustered", (9, 7, 3), eps=0.1, rho=rho, weights="random")
    # POT starts from equal scalings, not from a potential of 0: the same only for equal weights.
    for iterations in (1, 5, 40):
        yield case("pot", "random", (17, 13, 3), eps=0.02, iterations=iterations)
        yield case("pot", "clustered", (16, 12, 4), eps=0.01, iterations=iterations)


def main():
    warnings.simplefilter("ignore")
    here = pathlib.Path(__file__).parent
    solve = {"geomloss": by_geomloss, "pot": by_pot, "ott": by_ott}
    lines = []
    for k, made in enumerate([*geomloss_cases(), *fixed_cases()]):
        made["seed"] = 1000 + 7919 * k
        made["expected"] = solve[made["library"]](made)
        assert all(np.isfinite(v).all() for v in made["expected"].values()), made
        lines.append(json.dumps(made))
    (here / "sinkhorn.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    names = ("geomloss", "jax", "numpy", "ott-jax", "POT", "torch")
    versions = {name.lower(): version(name) for name in names}
    (here / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
