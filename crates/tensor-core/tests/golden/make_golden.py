#!/usr/bin/env python3
"""Makes ops.safetensors: f64 results and gradients of PyTorch for operators whose details are easy to get wrong.

    pip install torch transformers safetensors numpy
    python make_golden.py            # rewrites ops.safetensors and versions.json

Tensors are named `<op>.<case>.<field>`. `output` is the forward result; `grad_output` is the upstream gradient (absent
where the output is a scalar: then it is 1); `grad.<input>` is the gradient of each differentiable input. The metadata
entry `<op>.<case>` is a JSON object of the options. Floats are F64, indices and masks I64.

    ctc_loss        logits (B, T, V) before log-softmax, logit_lengths (B), targets (B, S) filled with -1,
                    target_lengths (B); losses (B), +inf where no path exists; losses_zero_infinity (B);
                    grad_output (B); grad.logits for zero_infinity, exactly 0 in padding and infeasible rows.
                    Frames at and after logit_lengths hold NaN: they must not be read.
    group_norm      input (B, C, T), weight (C), bias (C)
    layer_norm      input (.., D), weight (D), bias (D)
    rms_norm        input (.., D), weight (D): x / sqrt(mean(x^2) + norm_eps) * weight
    conv1d          input (B, I, T), weight (O, I / groups, K), bias (O) or absent
    gelu, gelu_tanh, silu, quick_gelu   input of any shape
    attention       q (B, Tq, H, D), k (B, Tk, Hkv, D), v (B, Tk, Hkv, Dv): heads beside time, as our layout has it;
                    key_mask (B, Tk) and bias where the case has them. `causal`: query i sees keys
                    j <= i + Tk - Tq. A query that sees nothing gives zeros and passes no gradient. Keys and values
                    that no query may see hold NaN.
    cross_entropy   logits (N, V), labels (N); output is the sum over rows whose label is not ignore_index
    adamw           p.0 .. p.5 after each step, g.1 .. g.5 given gradients, first_moment and second_moment after the
                    last; the option lr_per_step holds five learning rates
    rotary          input (B, T, H, D), cos and sin (T, D / 2) in the half-split order of `transformers`' LLaMA
"""

import json
import math
import pathlib
import platform

import numpy
import safetensors
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding, apply_rotary_pos_emb

HERE = pathlib.Path(__file__).resolve().parent
GEN = torch.Generator().manual_seed(20)
TENSORS = {}
OPTIONS = {}


def randn(*shape, scale=1.0):
    return scale * torch.randn(shape, generator=GEN, dtype=torch.float64)


def put(op, case, fields, **options):
    """Stores one case; a case may be written once."""
    key = f"{op}.{case}"
    assert key not in OPTIONS, key
    OPTIONS[key] = json.dumps(options)
    for name, t in fields.items():
        t = t.detach()
        TENSORS[f"{key}.{name}"] = (t.double() if t.is_floating_point() else t.long()).clone().contiguous()


def differentiate(op, case, inputs, forward, extra=None, **options):
    """Runs `forward` on the named inputs, backpropagates noise and stores it all."""
    leaves = {n: t.clone().requires_grad_() for n, t in inputs.items()}
    out = forward(**leaves)
    seed = torch.ones_like(out) if out.dim() == 0 else randn(*out.shape)
    grads = torch.autograd.grad(out, list(leaves.values()), seed)
    fields = dict(inputs) | (extra or {}) | {"output": out}
    if out.dim() > 0:
        fields["grad_output"] = seed
    put(op, case, fields | {f"grad.{n}": g for n, g in zip(leaves, grads)}, **options)
    return out


def ctc(case, targets, lengths, vocab, blank=0, frames=None, scale=1.5):
    frames = frames or max(lengths)
    batch, width = len(targets), max(1, max(len(t) for t in targets))
    logits = randn(batch, frames, vocab, scale=scale)
    padded = torch.tensor([t + [-1] * (width - len(t)) for t in targets])
    lens, sizes = torch.tensor(lengths), torch.tensor([len(t) for t in targets])

    def losses(x, zero_infinity):
        return F.ctc_loss(F.log_softmax(x, -1).transpose(0, 1), padded.clamp(min=0), lens, sizes, blank=blank,
                          reduction="none", zero_infinity=zero_infinity)

    leaf = logits.clone().requires_grad_()
    safe = losses(leaf, True)
    seed = randn(batch)
    (grad,) = torch.autograd.grad(safe, leaf, seed)
    assert torch.isfinite(grad).all()
    for b, n in enumerate(lengths):
        grad[b, n:] = 0.0
        logits[b, n:] = math.nan
    clean = torch.nan_to_num(logits)
    put("ctc_loss", case,
        dict(logits=logits, logit_lengths=lens, targets=padded, target_lengths=sizes, losses=losses(clean, False),
             losses_zero_infinity=safe, grad_output=seed, **{"grad.logits": grad}), blank=blank)


def ctc_cases():
    ctc("lengths", [[1, 2, 3], [4], [2, 4, 1, 3]], [7, 5, 6], 5)
    ctc("repeats", [[1, 1, 2, 2, 2], [3, 3, 3], [1, 2, 1]], [11, 5, 4], 4)
    ctc("empty_target", [[], [2, 1], []], [4, 6, 1], 3)
    # Row 0: repeated labels need a blank between them, 3 frames cannot hold them. Row 1: too many labels.
    ctc("infeasible", [[1, 1, 2], [1, 2, 3, 1], [2]], [3, 3, 3], 4)
    ctc("blank_last", [[0, 1, 1], [3, 0]], [6, 8], 5, blank=4)
    ctc("one_frame", [[2]], [1], 3)
    ctc("long", [[(7 * i * i + i) % 10 + 1 for i in range(17)]], [61], 11, scale=4.0)


def norm_cases():
    for case, shape, groups, norm_eps in [
        ("three_groups", (2, 6, 5), 3, 1e-5), ("one_channel_each", (2, 7, 11), 7, 1e-5), ("one_group", (1, 4, 3), 1, 1e-3),
        ("one_frame", (3, 4, 1), 2, 1e-5),
    ]:
        x = randn(*shape) * 2 + 3
        differentiate("group_norm", case, dict(input=x, weight=1 + 0.3 * randn(shape[1]), bias=randn(shape[1])),
                      lambda input, weight, bias: F.group_norm(input, groups, weight, bias, norm_eps),
                      groups=groups, norm_eps=norm_eps)
    for case, shape, norm_eps in [("wide", (2, 3, 33), 1e-5), ("one_row", (1, 5), 1e-12), ("one_feature", (4, 1), 1e-5),
                                  ("narrow", (17, 3), 1e-3)]:
        x = randn(*shape) * 2 - 5
        differentiate("layer_norm", case, dict(input=x, weight=1 + 0.3 * randn(shape[-1]), bias=randn(shape[-1])),
                      lambda input, weight, bias: F.layer_norm(input, shape[-1:], weight, bias, norm_eps),
                      norm_eps=norm_eps)
        def rms(input, weight):
            # LlamaRMSNorm computes in f32 whatever it is given, so the formula is written out and checked against it.
            return weight * input * torch.rsqrt(input.pow(2).mean(-1, keepdim=True) + norm_eps)
        weight = 1 + 0.3 * randn(shape[-1])
        out = differentiate("rms_norm", case, dict(input=x, weight=weight), rms, norm_eps=norm_eps)
        peer = LlamaRMSNorm(shape[-1], norm_eps)
        peer.weight.data = weight.float()
        assert torch.allclose(peer(x.float()).double(), out, rtol=1e-5, atol=1e-5)


def conv_cases():
    for case, (b, i, o, t, k), stride, padding, dilation, groups, has_bias in [
        ("whisper_conv1", (2, 5, 4, 9, 3), 1, 1, 1, 1, True),
        ("whisper_conv2", (2, 4, 4, 9, 3), 2, 1, 1, 1, True),
        ("hubert_first", (1, 1, 6, 37, 10), 5, 0, 1, 1, False),
        ("hubert_positions", (2, 8, 8, 7, 6), 1, 3, 1, 4, True),
        ("depthwise", (2, 5, 5, 11, 3), 1, 2, 2, 5, True),
        ("depthwise_multiplier", (1, 3, 6, 8, 2), 3, 1, 1, 3, False),
        ("dilated_strided", (1, 4, 6, 17, 3), 2, 3, 3, 2, True),
        ("kernel_one", (3, 7, 2, 5, 1), 1, 0, 1, 1, True),
        ("shorter_than_kernel", (1, 2, 3, 2, 5), 1, 2, 1, 1, True),
    ]:
        inputs = dict(input=randn(b, i, t), weight=randn(o, i // groups, k))
        if has_bias:
            inputs["bias"] = randn(o)
        differentiate("conv1d", case, inputs,
                      lambda input, weight, bias=None: F.conv1d(input, weight, bias, stride, padding, dilation, groups),
                      stride=stride, padding=padding, dilation=dilation, groups=groups)


def activation_cases():
    x = torch.cat([torch.linspace(-9, 9, 73, dtype=torch.float64), torch.tensor([0.0, -0.0, 1e-8, -40.0, 40.0]).double()])
    differentiate("gelu", "ramp", dict(input=x), lambda input: F.gelu(input))
    differentiate("gelu_tanh", "ramp", dict(input=x), lambda input: F.gelu(input, approximate="tanh"))
    differentiate("silu", "ramp", dict(input=x), lambda input: F.silu(input))
    differentiate("quick_gelu", "ramp", dict(input=x), lambda input: input * torch.sigmoid(1.702 * input))


def attention(q, k, v, scale, visible, bias):
    """Softmax attention written out; `visible` (B, 1, Tq, Tk) says which keys a query sees."""
    heads, kv_heads = q.shape[2], k.shape[2]
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
    scores = scale * q @ k.transpose(-1, -2) + (0 if bias is None else bias)
    scores = scores.masked_fill(~visible, -math.inf)
    some = visible.any(-1, keepdim=True)
    weights = torch.where(some, torch.softmax(scores.masked_fill(~some, 0.0), -1), 0.0)
    return (weights @ v).transpose(1, 2)


def attention_cases():
    for case, (b, tq, tk, h, hkv, d, dv), causal, mask, bias_shape, scale in [
        ("plain", (2, 5, 7, 3, 3, 4, 4), False, None, None, None),
        ("one_by_one", (1, 1, 1, 1, 1, 1, 1), False, None, None, None),
        ("key_mask", (3, 4, 6, 2, 2, 5, 3), False, ["111111", "111000", "010110"], None, None),
        ("causal", (2, 7, 7, 2, 2, 3, 3), True, None, None, None),
        ("causal_with_cache", (1, 3, 8, 4, 2, 4, 4), True, None, None, 0.3),
        ("causal_key_mask_grouped", (2, 6, 6, 6, 2, 4, 4), True, ["111111", "001111"], None, None),
        ("one_kv_head", (2, 4, 9, 5, 1, 3, 2), False, ["111111111", "111100000"], None, None),
        ("bias_per_head", (2, 3, 5, 2, 2, 4, 4), False, None, (1, 2, 3, 5), None),
        ("bias_per_item", (2, 3, 5, 2, 2, 4, 4), True, ["11111", "11011"], (2, 1, 1, 5), None),
        ("nothing_to_see", (2, 3, 4, 2, 2, 3, 3), False, ["1111", "0000"], None, None),
        ("large_scores", (1, 4, 65, 1, 1, 2, 2), True, None, None, 60.0),
    ]:
        scale = 1 / math.sqrt(d) if scale is None else scale
        visible = torch.ones(b, 1, tq, tk, dtype=torch.bool)
        extra = {}
        if mask:
            extra["key_mask"] = torch.tensor([[int(c) for c in row] for row in mask])
            visible &= extra["key_mask"].bool()[:, None, None, :]
        if causal:
            visible &= torch.arange(tk) <= torch.arange(tq)[:, None] + tk - tq
        inputs = dict(q=randn(b, tq, h, d), k=randn(b, tk, hkv, d), v=randn(b, tk, hkv, dv))
        if bias_shape:
            inputs["bias"] = randn(*bias_shape)
        out = differentiate("attention", case, inputs,
                            lambda q, k, v, bias=None: attention(q, k, v, scale, visible, bias),
                            extra=extra, scale=scale, causal=causal)
        # The mask must be f64 too: PyTorch's fused CPU kernel misreads an f32 mask beside f64 queries.
        full = torch.where(visible, 0.0, -math.inf).double().expand(b, h, tq, tk) + inputs.get("bias", 0)
        peer = F.scaled_dot_product_attention(*(inputs[n].transpose(1, 2) for n in "qkv"), attn_mask=full, scale=scale,
                                              enable_gqa=True).transpose(1, 2)
        seen = visible.any(-1).expand(b, h, tq).transpose(1, 2)
        assert torch.allclose(peer[seen], out[seen], rtol=1e-9, atol=1e-9), case
        # Keys that no query sees are padding: their content must not matter.
        unseen = ~visible.any(2)[:, 0]
        for name in "kv":
            TENSORS[f"attention.{case}.{name}"][unseen] = math.nan
            assert (TENSORS[f"attention.{case}.grad.{name}"][unseen] == 0).all()


def cross_entropy_cases():
    for case, (n, v), ignore, smoothing, ignored, scale in [
        ("plain", (5, 7), -100, 0.0, [], 2.0),
        ("ignored", (6, 3), -100, 0.0, [0, 3, 5], 2.0),
        ("smoothed", (4, 9), -100, 0.1, [2], 2.0),
        ("ignore_zero", (5, 4), 0, 0.3, [1, 4], 2.0),
        ("all_ignored", (3, 5), -100, 0.1, [0, 1, 2], 2.0),
        ("one_class", (3, 1), -100, 0.2, [1], 2.0),
        ("large_logits", (3, 129), -100, 0.1, [], 4e3),
    ]:
        labels = torch.randint(1 if ignore == 0 else 0, v, (n,), generator=GEN)
        labels[ignored] = ignore
        differentiate("cross_entropy", case, dict(logits=randn(n, v, scale=scale)),
                      lambda logits: F.cross_entropy(logits, labels, reduction="sum", ignore_index=ignore,
                                                     label_smoothing=smoothing),
                      extra=dict(labels=labels), ignore_index=ignore, label_smoothing=smoothing)


def adamw_cases():
    for case, shape, options, rates in [
        ("default", (3, 5), dict(lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01), None),
        ("no_decay", (7,), dict(lr=0.05, betas=[0.9, 0.98], eps=1e-6, weight_decay=0.0), None),
        ("strong_decay", (2, 3), dict(lr=0.1, betas=[0.5, 0.6], eps=1e-3, weight_decay=0.5), None),
        ("schedule", (4,), dict(lr=0.1, betas=[0.9, 0.95], eps=1e-8, weight_decay=0.1), [0.02, 0.04, 0.1, 0.05, 0.0]),
    ]:
        p = torch.nn.Parameter(randn(*shape))
        optimiser = torch.optim.AdamW([p], **(options | dict(betas=tuple(options["betas"]))), foreach=False)
        fields = {"p.0": p.clone()}
        for step in range(1, 6):
            # The third gradient is zero: the moments still move the parameter.
            p.grad = torch.zeros(shape, dtype=torch.float64) if step == 3 else randn(*shape)
            if rates:
                optimiser.param_groups[0]["lr"] = rates[step - 1]
            optimiser.step()
            fields |= {f"g.{step}": p.grad.clone(), f"p.{step}": p.clone()}
        state = optimiser.state[p]
        fields |= dict(first_moment=state["exp_avg"], second_moment=state["exp_avg_sq"])
        put("adamw", case, fields, **options, lr_per_step=rates or [options["lr"]] * 5)


def rotary_cases():
    for case, (b, t, h, d), theta, offset in [("start", (2, 5, 3, 8), 10000.0, 0), ("offset", (1, 3, 2, 6), 500000.0, 117),
                                              ("smallest", (1, 1, 1, 2), 10000.0, 1)]:
        config = LlamaConfig(hidden_size=h * d, num_attention_heads=h, head_dim=d, max_position_embeddings=256,
                             rope_parameters=dict(rope_type="default", rope_theta=theta))
        half = torch.arange(d // 2, dtype=torch.float64)
        angles = torch.outer(torch.arange(offset, offset + t, dtype=torch.float64), theta ** (-2 * half / d))
        cos, sin = angles.cos(), angles.sin()
        wide_cos, wide_sin = (torch.cat([a, a], -1)[None] for a in (cos, sin))
        # The library's own table is f32; ours must agree to that precision.
        peer_cos, peer_sin = LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(offset, offset + t)[None])
        assert torch.allclose(peer_cos.double(), wide_cos, atol=2e-5) and torch.allclose(peer_sin.double(), wide_sin, atol=2e-5)

        def rotate(input):
            q = input.transpose(1, 2)
            return apply_rotary_pos_emb(q, q, wide_cos, wide_sin)[0].transpose(1, 2)

        differentiate("rotary", case, dict(input=randn(b, t, h, d)), rotate, extra=dict(cos=cos, sin=sin), theta=theta,
                      offset=offset)


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
    ctc_cases()
    norm_cases()
    conv_cases()
    activation_cases()
    attention_cases()
    cross_entropy_cases()
    adamw_cases()
    rotary_cases()
    save_file(TENSORS, HERE / "ops.safetensors", metadata=OPTIONS)
    sort_metadata(HERE / "ops.safetensors")
    versions = dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                    transformers=transformers.__version__, safetensors=safetensors.__version__, numpy=numpy.__version__)
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    size = (HERE / "ops.safetensors").stat().st_size
    print(len(OPTIONS), "cases,", len(TENSORS), "tensors,", size, "bytes")
    assert size < 300_000


if __name__ == "__main__":
    main()
