"""The named shapes, as in `benches/src/device/cases/shapes.rs`."""

# Items and points of each side, and the width of a point: every item of one side meets every item of the other.
SHAPES = {
    "S1": dict(items=10, n=48, others=10, m=160, width=4096),
    "S2": dict(items=64, n=64, others=64, m=256, width=1024),
    "single": dict(items=1, n=4096, others=1, m=4096, width=64),
    "B8192": dict(batch=8192, width=1024),
    "B16384": dict(batch=16384, width=1024),
    "B32768": dict(batch=32768, width=1024),
    "B65536": dict(batch=65536, width=1024),
    "n8192": dict(count=8192, width=1024),
    "CRD": dict(batch=64, negatives=16384, rows=50000, width=128),
}

EPS, ITERATIONS = 0.25, 100
# Squares a factor of two apart around the typical squared distance of unit vectors, 2.
BANDWIDTHS = [0.5**0.5, 1.0, 2**0.5, 2.0, 2 * 2**0.5]
TEMPERATURE = 0.07
# The blur of GeomLoss, whose square is EPS, and its step between temperatures.
BLUR, SCALING = 0.5, 0.5


def small(shape):
    """Of the same form, for a rehearsal on the CPU."""
    least = dict(items=1, others=1, n=8, m=16, width=16, batch=8, count=16, negatives=32, rows=64)
    return {name: min(extent, least.get(name, extent)) for name, extent in shape.items()}
