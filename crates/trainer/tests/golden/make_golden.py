#!/usr/bin/env python3
"""Makes losses.safetensors: the distillation losses of "Teach me with a Whisper", re-implemented in f64 by their text.

    pip install torch safetensors numpy
    python make_golden.py            # rewrites losses.safetensors and versions.json

Everything is written as plainly as the formulas read (explicit pairs, no Gram tricks, no log-sum-exp), gradients come
from autograd, and the shapes are small and odd. Tensors are named `<loss>.<case>.<field>`; `loss` is the scalar and
`grad.<input>` its gradient. The metadata entry `<loss>.<case>` is a JSON object of the options. Floats F64, rest I64.

Sources: NST is Huang and Wang 2017, arXiv 1707.01219; CRD is Tian, Krishnan and Isola 2019, arXiv 1910.10699, and the
memory bank follows the released RepDistiller; both as used by Hasan et al. 2023, arXiv 2311.07014.

    nst_gauss, nst_poly    audio (B, Da), hidden (B, L, Dt), mask (B, L). Every dimension is a neuron with one scalar
        activation: per valid token MMD^2({audio_i}, {hidden_j}) with k = exp(-(x - y)^2 / (2 bandwidth^2)) or (x y)^2,
        all pairs counted, teacher-teacher term kept; averaged over all valid tokens of the batch.
        With the option l2_normalize both vectors are normalised first. `per_token` (n_valid) holds the terms in
        row-major order.
    nst_gram    same inputs. A neuron's activation vector runs over the N valid tokens of the batch: teacher row i is
        audio[clip(token)][i], student row j is hidden[token][j]; rows are L2-normalised (divided by
        max(norm, 1e-12)), k = (x . y)^2, mean over pairs.
    mmd_poly_rows    F (n, N), G (m, N): the same MMD on given rows, normalised first.
    crd_in_batch    audio, hidden, mask as above; teacher.weight (E, Da), teacher.bias (E), student.weight (E, Dt),
        student.bias (E): z = L2-normalised linear map. Anchors are the valid tokens, row-major. negatives
        (n_valid, B - 1): for every other clip, in ascending order, the flat index b * L + l of one valid token of it.
        h(a, s) = x / (x + N / M), x = exp(a . s / temperature) / z_norm, N = B - 1, M = dataset_size.
        audio side:  -ln h(audio_c, token) - sum over negatives k of ln(1 - h(audio_c, token_k))
        token side:  -ln h(audio_c, token) - sum over other clips c' of ln(1 - h(audio_c', token))
        loss = mean over anchors of the sum of both; `audio_side` and `token_side` (n_valid) hold the terms.
        With no other clip N = 0: h = 1 and the loss is 0.
    crd_anchor    the token side of one anchor on given unit vectors: anchor (E), positive (E), negatives (N, E).
    crd_memory    student (B, Ds), teacher (B, Dt), linear maps as above, index (B) own rows, draws (B, K + 1) bank rows
        whose column 0 is the own row, student_bank and teacher_bank (M, E). Score of the student's embedding against
        teacher_bank[draws] (and the reverse), x = exp(dot / temperature) / z, z fixed; with c = K / M,
        -[ln(x_0 / (x_0 + c + 1e-7)) + sum_k ln(c / (x_k + c + 1e-7))] / B, both directions added. z_student and
        z_teacher are the options: null means that this first call sets each to mean(exp(dot / temperature)) * M, a
        constant for autograd, and the results are `z_student`, `z_teacher`, named after the side whose fresh
        embedding is scored. new_student_bank, new_teacher_bank: after the update
        v <- normalise(momentum * v + (1 - momentum) * new).
    crd_memory_tokens    the same with hidden (B, L, Dt) and mask for the student: every valid token is mapped and
        L2-normalised, the clip's embedding is the L2-normalised mean of those.

Padded positions of `hidden` hold NaN and their gradient is exactly 0: padding must not be read.
"""

import json
import math
import pathlib
import platform

import numpy
import safetensors
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
GEN = torch.Generator().manual_seed(14)
TENSORS = {}
OPTIONS = {}


def randn(*shape, scale=1.0):
    return scale * torch.randn(shape, generator=GEN, dtype=torch.float64)


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def normalise(x):
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def put(loss, case, fields, **options):
    key = f"{loss}.{case}"
    assert key not in OPTIONS, key
    OPTIONS[key] = json.dumps(options)
    for name, t in fields.items():
        t = torch.as_tensor(t).detach()
        TENSORS[f"{key}.{name}"] = (t.double() if t.is_floating_point() else t.long()).clone().contiguous()


def leaves(**tensors):
    return {n: t.clone().requires_grad_() for n, t in tensors.items()}


def with_gradients(loss, inputs):
    grads = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
    zero = lambda g, t: torch.zeros_like(t) if g is None else g
    return {f"grad.{n}": zero(g, t) for (n, t), g in zip(inputs.items(), grads)}


def with_nan_padding(fields, mask):
    """Checks that padding took no gradient, then fills it with NaN."""
    assert (fields["grad.hidden"][mask == 0] == 0).all()
    hidden = fields["hidden"].detach().clone()
    hidden[mask == 0] = math.nan
    return fields | dict(hidden=hidden)


def mask_of(rows):
    return torch.tensor([[int(c) for c in row] for row in rows])


def valid_tokens(mask):
    return [(b, l) for b in range(mask.shape[0]) for l in range(mask.shape[1]) if mask[b, l]]


def mmd_scalars(x, y, kernel):
    mean = lambda p, q: kernel(p[:, None], q[None, :]).mean()
    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def gauss(bandwidth):
    return lambda x, y: torch.exp(-((x - y) ** 2) / (2 * bandwidth**2))


def poly(x, y):
    return (x * y) ** 2


def mmd_rows(f, g):
    mean = lambda p, q: ((p @ q.T) ** 2).mean()
    f, g = normalise(f), normalise(g)
    return mean(f, f) + mean(g, g) - 2 * mean(f, g)


def nst_per_token(loss, case, audio, hidden, rows, kernel, l2_normalize=False, expected=None, **options):
    mask, inputs = mask_of(rows), leaves(audio=audio, hidden=hidden)
    unit = normalise if l2_normalize else lambda v: v
    terms = torch.stack([mmd_scalars(unit(inputs["audio"][b]), unit(inputs["hidden"][b, l]), kernel)
                         for b, l in valid_tokens(mask)])
    value = terms.mean()
    if expected is not None:
        assert abs(value.item() - expected) < 1e-12, (case, value.item())
    fields = dict(inputs) | dict(mask=mask, loss=value, per_token=terms) | with_gradients(value, inputs)
    put(loss, case, with_nan_padding(fields, mask), l2_normalize=l2_normalize, **options)


def nst_gram(case, audio, hidden, rows):
    mask, inputs = mask_of(rows), leaves(audio=audio, hidden=hidden)
    tokens = valid_tokens(mask)
    teacher = torch.stack([inputs["audio"][b] for b, _ in tokens], 1)
    student = torch.stack([inputs["hidden"][b, l] for b, l in tokens], 1)
    value = mmd_rows(teacher, student)
    # The Gram form over positions, whatever the two widths, is the identity the fast path rests on.
    f, g = normalise(teacher), normalise(student)
    gram = (f.T @ f / f.shape[0] - g.T @ g / g.shape[0]).square().sum()
    assert torch.allclose(value, gram, rtol=1e-10, atol=1e-14)
    fields = dict(inputs) | dict(mask=mask, loss=value) | with_gradients(value, inputs)
    put("nst_gram", case, with_nan_padding(fields, mask))


def nst_cases():
    a, b = f64(0.1, -0.2, 0.3, 0.4), f64(0.5, 0.1, -0.3, 0.2)
    # Vectors NST-1 and NST-2 of the project's reference notes, as one clip of one token.
    for kernel, name, raw, unit in [(gauss(1.0), "nst_gauss", 0.001024074526, 0.004137720009),
                                    (poly, "nst_poly", 0.00050625, 0.0)]:
        for case, l2, expected, student in [("vector_1", False, raw, b), ("vector_1_reversed", False, raw, b.flip(0)),
                                            ("vector_2", True, unit, b)]:
            options = dict(bandwidth=1.0) if name == "nst_gauss" else {}
            nst_per_token(name, case, a[None], student[None, None], ["1"], kernel, l2, expected, **options)
    for case, (b_, l_, da, dt), rows, bandwidth in [
        ("padded", (3, 5, 7, 7), ["11111", "11100", "10000"], 1.0),
        ("holes", (2, 4, 5, 5), ["0110", "1011"], 1.0),
        ("widths_differ", (2, 3, 6, 4), ["111", "110"], 0.5),
        ("one_clip_one_token", (1, 1, 3, 3), ["1"], 2.0),
        ("one_neuron", (2, 2, 1, 1), ["11", "10"], 1.0),
        ("clip_without_tokens", (3, 2, 4, 4), ["11", "00", "10"], 1.0),
        ("wide", (2, 3, 129, 129), ["111", "100"], 1.0),
    ]:
        audio, hidden = randn(b_, da), randn(b_, l_, dt, scale=1.2)
        nst_per_token("nst_gauss", case, audio, hidden, rows, gauss(bandwidth), bandwidth=bandwidth)
        nst_per_token("nst_poly", case, audio, hidden, rows, poly)
        nst_gram(case, audio, hidden, rows)
    f, g = f64((1, 0), (1, 1), (0, 2)), f64((0.5, 0.5), (1, -1), (2, 1))
    inputs = leaves(F=f, G=g)
    value = mmd_rows(inputs["F"], inputs["G"])
    assert abs(value.item() - 0.022222222222) < 1e-11
    put("mmd_poly_rows", "vector_3", dict(inputs) | dict(loss=value) | with_gradients(value, inputs))
    inputs = leaves(F=randn(5, 3), G=randn(2, 3))
    value = mmd_rows(inputs["F"], inputs["G"])
    put("mmd_poly_rows", "counts_differ", dict(inputs) | dict(loss=value) | with_gradients(value, inputs))


def heads(width, teacher_dim, student_dim):
    return {"teacher.weight": randn(width, teacher_dim, scale=teacher_dim**-0.5), "teacher.bias": randn(width, scale=0.2),
            "student.weight": randn(width, student_dim, scale=student_dim**-0.5), "student.bias": randn(width, scale=0.2)}


def embed(p, side, x):
    return normalise(x @ p[f"{side}.weight"].T + p[f"{side}.bias"])


def crd_in_batch(case, sizes, rows, width, temperature, dataset_size, z_norm=1.0):
    b_, l_, da, dt = sizes
    mask = mask_of(rows)
    tokens = valid_tokens(mask)
    of_clip = [[b * l_ + l for b, l in tokens if b == c] for c in range(b_)]
    pick = lambda c: of_clip[c][int(torch.randint(0, len(of_clip[c]), (1,), generator=GEN))]
    negatives = torch.tensor([[pick(c) for c in range(b_) if c != b] for b, _ in tokens]).reshape(len(tokens), b_ - 1)
    p = leaves(audio=randn(b_, da), hidden=randn(b_, l_, dt), **heads(width, da, dt))
    audio, hidden = embed(p, "teacher", p["audio"]), embed(p, "student", p["hidden"])
    hidden = hidden.reshape(b_ * l_, width)
    ratio = (b_ - 1) / dataset_size

    def h(a, s):
        x = torch.exp((a * s).sum() / temperature) / z_norm
        return x / (x + ratio)

    audio_side, token_side = [], []
    for anchor, (b, l) in enumerate(tokens):
        token = hidden[b * l_ + l]
        positive = -torch.log(h(audio[b], token))
        audio_side.append(positive - sum(torch.log(1 - h(audio[b], hidden[k])) for k in negatives[anchor].tolist()))
        token_side.append(positive - sum(torch.log(1 - h(audio[c], token)) for c in range(b_) if c != b))
    audio_side, token_side = torch.stack(audio_side), torch.stack(token_side)
    value = (audio_side + token_side).mean()
    fields = dict(p) | dict(mask=mask, negatives=negatives, loss=value, audio_side=audio_side, token_side=token_side)
    put("crd_in_batch", case, with_nan_padding(fields | with_gradients(value, p), mask), temperature=temperature,
        dataset_size=dataset_size, z_norm=z_norm)


def crd_vector():
    """Vector CRD of the reference notes: one anchor, embeddings given, no heads."""
    anchor, positive = normalise(f64(1, 2)), normalise(f64(1, 1))
    negatives = normalise(f64((-1, 0.5), (0.3, -1)))
    p = leaves(anchor=anchor, positive=positive, negatives=negatives)
    h = lambda s: torch.exp(p["anchor"] @ s / 0.07) / (torch.exp(p["anchor"] @ s / 0.07) + 0.2)
    value = -torch.log(h(p["positive"])) - sum(torch.log(1 - h(s)) for s in p["negatives"])
    assert abs(value.item() - 1.791911446157) < 1e-11
    put("crd_anchor", "vector", dict(p) | dict(loss=value) | with_gradients(value, p), temperature=0.07, dataset_size=10)


def crd_memory(case, b_, dims, width, bank, draws_per_anchor, temperature, momentum, z=None, rows=None):
    ds, dt = dims
    index = torch.randperm(bank, generator=GEN)[:b_]
    draws = torch.randint(0, bank, (b_, draws_per_anchor + 1), generator=GEN)
    draws[:, 0] = index
    half_width = (3 / width) ** 0.5
    uniform = lambda: (2 * torch.rand(bank, width, generator=GEN, dtype=torch.float64) - 1) * half_width
    banks = dict(student_bank=uniform(), teacher_bank=uniform())
    if rows is None:
        p = leaves(student=randn(b_, ds), teacher=randn(b_, dt), **heads(width, dt, ds))
        student = embed(p, "student", p["student"])
    else:
        mask = mask_of(rows)
        p = leaves(hidden=randn(b_, len(rows[0]), ds), teacher=randn(b_, dt), **heads(width, dt, ds))
        tokens = embed(p, "student", p["hidden"])
        student = normalise(torch.stack([tokens[b][mask[b] == 1].mean(0) for b in range(b_)]))
    teacher = embed(p, "teacher", p["teacher"])
    c, eps, value, found = draws_per_anchor / bank, 1e-7, 0.0, {}
    for side, fresh, other in [("student", student, "teacher_bank"), ("teacher", teacher, "student_bank")]:
        x = torch.exp((banks[other][draws] * fresh[:, None, :]).sum(-1) / temperature)
        z_side = float(x.detach().mean()) * bank if z is None else z[side]
        found[f"z_{side}"] = f64(z_side)[0]
        x = x / z_side
        loss = -(torch.log(x[:, 0] / (x[:, 0] + c + eps)).sum() + torch.log(c / (x[:, 1:] + c + eps)).sum()) / b_
        found[f"{side}_side"] = loss
        value = value + loss
    fields = dict(p) | banks | found | dict(index=index, draws=draws, loss=value) | with_gradients(value, p)
    for side, fresh in [("student", student), ("teacher", teacher)]:
        new = banks[f"{side}_bank"].clone()
        new[index] = normalise(momentum * new[index] + (1 - momentum) * fresh.detach())
        fields[f"new_{side}_bank"] = new
    name = "crd_memory"
    if rows is not None:
        name, fields = "crd_memory_tokens", with_nan_padding(fields | dict(mask=mask), mask)
    put(name, case, fields, temperature=temperature, momentum=momentum,
        z_student=None if z is None else z["student"], z_teacher=None if z is None else z["teacher"])


def crd_cases():
    crd_vector()
    crd_in_batch("padded", (3, 5, 7, 6), ["11111", "11100", "10000"], 4, 0.07, 50)
    crd_in_batch("holes_and_z", (4, 3, 5, 5), ["011", "111", "100", "010"], 3, 0.1, 880, z_norm=37.5)
    crd_in_batch("two_clips", (2, 1, 3, 8), ["1", "1"], 2, 0.5, 2)
    crd_in_batch("one_clip", (1, 2, 3, 3), ["11"], 4, 0.07, 10)
    crd_memory("first_call", 3, (7, 5), 4, 11, 6, 0.07, 0.5)
    crd_memory("fixed_z", 2, (3, 6), 5, 17, 9, 0.1, 0.5, z=dict(student=41.0, teacher=29.5))
    crd_memory("one_anchor", 1, (2, 2), 3, 5, 4, 0.2, 0.9)
    crd_memory("padded", 3, (6, 5), 4, 8, 5, 0.07, 0.5, rows=["11100", "10110", "00001"])


def sort_metadata(path):
    """`save_file` writes metadata in hash order: sort it, so that a rerun gives the same bytes."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[end:])


def main():
    torch.set_num_threads(1)
    nst_cases()
    crd_cases()
    target = HERE / "losses.safetensors"
    save_file(TENSORS, target, metadata=OPTIONS)
    sort_metadata(target)
    versions = dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                    safetensors=safetensors.__version__, numpy=numpy.__version__)
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    print(len(OPTIONS), "cases,", len(TENSORS), "tensors,", target.stat().st_size, "bytes")
    assert target.stat().st_size < 300_000


if __name__ == "__main__":
    main()
