"""What the peers that torch carries share: the device, the clock, inputs, costs of all pairs."""

import time

import torch
from torch.nn.functional import normalize

HOW = "CUDA events, inputs and results on the device"

_device = "cuda"


def prepare(rehearse):
    global _device
    if rehearse:
        _device = "cpu"
    elif not torch.cuda.is_available():
        raise RuntimeError("torch sees no GPU")
    torch.manual_seed(7)
    # f32 products are taken on tensor cores: it leans towards the peers, whose other way is several times slower.
    torch.backends.cuda.matmul.allow_tf32 = True


def device():
    return _device


def time_call(run):
    """Microseconds of one call, results dropped behind the clock."""
    if _device == "cpu":
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e6
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    result = run()
    end.record()
    end.synchronize()
    del result
    return start.elapsed_time(end) * 1e3


def free():
    if _device == "cuda":
        torch.cuda.empty_cache()


def version():
    return f"torch {torch.__version__}"


def unit(*extents, dtype=torch.float32):
    """Unit vectors, made on the device."""
    return normalize(torch.randn(*extents, device=_device), dim=-1).to(dtype)


def clouds(shape, dtype, gradient):
    """Points of both sides, and the uniform weights of all pairs."""
    x = unit(shape["items"], shape["n"], shape["width"], dtype=dtype).requires_grad_(gradient)
    y = unit(shape["others"], shape["m"], shape["width"], dtype=dtype).requires_grad_(gradient)
    pairs = shape["items"] * shape["others"]
    a, b = (torch.full((pairs, count), 1 / count, device=_device) for count in (shape["n"], shape["m"]))
    return x, y, a, b


def all_pair_costs(x, y):
    """`|x - y|^2 / 2` of all pairs, `(B C, n, m)` in f32, by one product in the format of the points."""
    (items, n, d), (others, m, _) = x.shape, y.shape
    products = (x.reshape(-1, d) @ y.reshape(-1, d).T).float().view(items, n, others, m).transpose(1, 2)
    halves = [side.float().square().sum(2) / 2 for side in (x, y)]
    costs = halves[0][:, None, :, None] + halves[1][None, :, None, :] - products
    return costs.reshape(items * others, n, m)
