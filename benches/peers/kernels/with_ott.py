"""OTT-JAX: its Sinkhorn under `vmap` and `jit`, in the log domain and on kernels.

Costs come from one product, as in the other peers. The marginal error is computed once, at the end, which spares OTT
its checks every ten iterations.
"""

import jax
import jax.numpy as jnp
import numpy
import ott
from ott.geometry.geometry import Geometry
from ott.problems.linear.linear_problem import LinearProblem
from ott.solvers.linear.sinkhorn import Sinkhorn


def prepare(_threads):
    # The process may use that many cores: see serve.py.
    jax.config.update("jax_default_matmul_precision", "highest")


def version():
    return f"ott {ott.__version__}, jax {jax.__version__}"


def padded(packed, lengths):
    points = numpy.zeros((len(lengths), max(lengths), packed.shape[1]), dtype=numpy.float32)
    weights = numpy.zeros(points.shape[:2], dtype=numpy.float32)
    at = 0
    for item, length in enumerate(lengths):
        points[item, :length] = packed[at : at + length]
        weights[item, :length] = 1 / length
        at += length
    return jnp.asarray(points), jnp.asarray(weights)


def all_pair_costs(x, y):
    (items, n, d), (others, m, _) = x.shape, y.shape
    products = (x.reshape(-1, d) @ y.reshape(-1, d).T).reshape(items, n, others, m).transpose(0, 2, 1, 3)
    halves = [jnp.square(side).sum(2) / 2 for side in (x, y)]
    costs = halves[0][:, None, :, None] + halves[1][None, :, None, :] - products
    return costs.reshape(items * others, n, m)


def sinkhorn(lse_mode):
    def form(inputs, parameters):
        x, a = padded(inputs["x"], parameters["x_lengths"])
        y, b = padded(inputs["y"], parameters["y_lengths"])
        iterations = parameters["iterations"]
        a, b = jnp.repeat(a, len(y), axis=0), jnp.tile(b, (len(x), 1))
        solver = Sinkhorn(lse_mode=lse_mode, threshold=-1.0, inner_iterations=iterations, min_iterations=iterations,
                          max_iterations=iterations)

        def one(cost, a, b):
            return solver(LinearProblem(Geometry(cost_matrix=cost, epsilon=parameters["eps"]), a, b)).reg_ot_cost

        def total(x, y):
            values = jax.vmap(one)(all_pair_costs(x, y), a, b)
            return values.sum(), values

        if parameters["gradient"]:
            both = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
        else:
            both = jax.jit(lambda x, y: (total(x, y), ()))

        def run():
            (_, values), gradients = jax.block_until_ready(both(x, y))
            return values, list(gradients)

        both(x, y)  # compiles, before any clock runs
        return run

    return form


FORMS = {"lse": sinkhorn(True), "kernel": sinkhorn(False)}
