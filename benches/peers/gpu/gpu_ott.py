"""OTT-JAX: its Sinkhorn under `vmap` and `jit`, in the log domain and on kernels, without checks on the way."""

import time

import jax
import jax.numpy as jnp
import ott
from ott.geometry.geometry import Geometry
from ott.problems.linear.linear_problem import LinearProblem
from ott.solvers.linear.sinkhorn import Sinkhorn

from shapes import EPS, ITERATIONS

HOW = "host clock until the results are ready, inputs and results on the device"


def prepare(rehearse):
    if not rehearse and jax.default_backend() != "gpu":
        raise RuntimeError("jax sees no GPU")


def version():
    return f"ott {ott.__version__}, jax {jax.__version__}"


def time_call(run):
    start = time.perf_counter()
    result = jax.block_until_ready(run())
    us = (time.perf_counter() - start) * 1e6
    del result
    return us


def free():
    jax.clear_caches()


def points(key, items, count, width, dtype):
    drawn = jax.random.normal(jax.random.key(key), (items, count, width))
    return (drawn / jnp.linalg.norm(drawn, axis=2, keepdims=True)).astype(dtype)


def all_pair_costs(x, y):
    (items, n, d), (others, m, _) = x.shape, y.shape
    products = jnp.matmul(x.reshape(-1, d), y.reshape(-1, d).T, preferred_element_type=jnp.float32)
    products = products.reshape(items, n, others, m).transpose(0, 2, 1, 3)
    halves = [jnp.square(side.astype(jnp.float32)).sum(2) / 2 for side in (x, y)]
    costs = halves[0][:, None, :, None] + halves[1][None, :, None, :] - products
    return costs.reshape(items * others, n, m)


def sinkhorn(lse_mode, dtype, gradient):
    solver = Sinkhorn(lse_mode=lse_mode, threshold=-1.0, inner_iterations=ITERATIONS, min_iterations=ITERATIONS,
                      max_iterations=ITERATIONS)

    def value(cost):
        return solver(LinearProblem(Geometry(cost_matrix=cost, epsilon=EPS))).reg_ot_cost

    def total(x, y):
        values = jax.vmap(value)(all_pair_costs(x, y))
        return values.sum(), values

    def make(shape):
        x = points(1, shape["items"], shape["n"], shape["width"], dtype)
        y = points(2, shape["others"], shape["m"], shape["width"], dtype)
        if gradient:
            compiled = jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))
        else:
            compiled = jax.jit(total)
        return lambda: compiled(x, y)

    return make


BF16, F32 = jnp.bfloat16, jnp.float32
PLAIN, LARGE = f"bf16, {ITERATIONS} iterations", f"f32, {ITERATIONS} iterations"
FORMS = [
    ("OTT kernel", "sinkhorn", PLAIN, ["S2", "S1"], sinkhorn(False, BF16, False)),
    ("OTT lse", "sinkhorn", PLAIN, ["S2", "S1"], sinkhorn(True, BF16, False)),
    ("OTT kernel", "sinkhorn", PLAIN + ", gradients", ["S2", "S1"], sinkhorn(False, BF16, True)),
    ("OTT lse", "sinkhorn", PLAIN + ", gradients", ["S2", "S1"], sinkhorn(True, BF16, True)),
    ("OTT kernel", "sinkhorn", LARGE, ["single"], sinkhorn(False, F32, False)),
    ("OTT lse", "sinkhorn", LARGE, ["single"], sinkhorn(True, F32, False)),
]
