//! Scaled dot-product attention.

use crate::autograd::Backward;
use crate::cpu::attention::{
    AttentionInputs, AttentionShape, Bias, Items, attention_backward, attention_forward,
};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::ops::promote::{promoted, ready};
use crate::philox::DropoutKey;
use crate::storage::{Device, real_dispatch};
use crate::tensor::Tensor;
use cpu_math::real::Real;

/// Options of [`attention`].
#[derive(Debug, Clone)]
pub struct AttentionOptions {
    /// Multiplies the products `q . k`; 1 by default, since some models scale their queries.
    pub scale: f64,
    /// Query `i` sees keys `j <= i + (Tk - Tq)` alone: the last query sees all of them, so new
    /// queries against a cache of older keys need nothing else.
    pub causal: bool,
    /// `(B, Tk)`, any dtype: zero hides the key from every query.
    pub key_mask: Option<Tensor>,
    /// Added to the scaled products; broadcast to `(B, H, Tq, Tk)`. Differentiable.
    pub bias: Option<Tensor>,
    /// Probability in `[0, 1)` of dropping each attention probability, and the mask's name:
    /// probability `(b, h, i, j)` uses element `((b H + h) Tq + i) Tk + j`.
    pub dropout: Option<(f64, DropoutKey)>,
}

impl AttentionOptions {
    /// The usual scale, `1 / sqrt(D)`, and nothing else.
    pub fn for_head_dim(head_dim: usize) -> Self {
        Self { scale: 1.0 / (head_dim as f64).sqrt(), ..Self::default() }
    }
}

impl Default for AttentionOptions {
    fn default() -> Self {
        Self { scale: 1.0, causal: false, key_mask: None, bias: None, dropout: None }
    }
}

/// Attends every query to the keys it may see and returns the weighted means of their values.
///
/// ```text
/// out_i = sum_j dropout(p_ij) v_j,   p_i = softmax_j(scale q_i . k_j + bias_ij)
/// ```
///
/// # Shapes
///
/// | argument | shape            | dtype          | meaning                            |
/// |----------|------------------|----------------|------------------------------------|
/// | `q`      | `(B, Tq, H, D)`  | float          | queries                            |
/// | `k`      | `(B, Tk, Hkv, D)`| float          | keys; `Hkv` divides `H`            |
/// | `v`      | `(B, Tk, Hkv, Dv)`| float         | values                             |
/// | result   | `(B, Tq, H, Dv)` | the widest     |                                    |
///
/// Query head `h` reads key head `h / (H / Hkv)`, as grouped-query attention lays them out.
///
/// # Errors
///
/// [`Shape`](crate::ErrorKind::Shape) when the extents disagree; [`DType`](crate::ErrorKind::DType)
/// when the dtypes do not mix; [`Option`](crate::ErrorKind::Option) when the dropout probability is
/// outside `[0, 1)`.
///
/// # Numerics
///
/// Scores are formed in tiles and never kept as a whole, forward or backward; memory grows with
/// `Tq + Tk`. bf16 and f16 compute in f32. Keys hidden by `key_mask` are never read, so NaN there
/// changes nothing, and their gradients are zero. A query that sees no key gives zeros and takes
/// no gradient. A bias of `-inf` removes a key's weight, but its value is still read, as are
/// the values that the causal rule hides.
///
/// # Source
///
/// Vaswani et al. 2017, arXiv:1706.03762, equation 1; tiles as in Dao et al. 2022,
/// arXiv:2205.14135; grouped heads as in Ainslie et al. 2023, arXiv:2305.13245.
///
/// # Examples
///
/// ```
/// use tensor_core::{AttentionOptions, DType, Device, Tensor, attention};
///
/// # fn main() -> tensor_core::Result<()> {
/// let q = Tensor::ones(&[1, 5, 4, 8], DType::F32, Device::Cpu)?;
/// let kv = Tensor::ones(&[1, 7, 2, 8], DType::F32, Device::Cpu)?;
/// let options = AttentionOptions { causal: true, ..AttentionOptions::for_head_dim(8) };
/// assert_eq!(attention(&q, &kv, &kv, &options)?.shape(), [1, 5, 4, 8]);
/// # Ok(())
/// # }
/// ```
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, options: &AttentionOptions) -> Result<Tensor> {
    let shape = checked_shape(q, k, v)?;
    if let Some((p, _)) = options.dropout
        && !(0.0..1.0).contains(&p)
    {
        let text = format!("dropout probability is {p}, expected at least 0 and under 1");
        return Err(Error::option("attention", text));
    }
    let dtype = promoted("attention", &[q, k, v])?;
    let (q, k, v) = (ready(q, dtype)?, ready_items(k, dtype)?, ready_items(v, dtype)?);
    let bias = options.bias.as_ref().map(|bias| ready(bias, dtype)).transpose()?;
    let bias_dims = bias.as_ref().map(|bias| checked_bias(bias, &shape)).transpose()?;
    let call = Call {
        shape,
        scale: options.scale,
        causal: options.causal,
        key_mask: options.key_mask.as_ref().map(|mask| checked_mask(mask, &shape)).transpose()?,
        bias_dims,
        dropout: options.dropout.filter(|&(p, _)| p > 0.0),
        q: q.detach(),
        k: k.detach(),
        v: v.detach(),
        bias: bias.as_ref().map(Tensor::detach),
    };
    let (output, lse) = real_dispatch!(q.dtype(), "attention", T => call.with::<T, _>(|inputs| {
        let result = attention_forward(&inputs);
        let extents = [shape.batch, shape.q_len, shape.heads, shape.value_dim];
        let rows = [shape.batch, shape.heads, shape.q_len];
        Ok((
            Tensor::from_vec(result.output, &extents, Device::Cpu)?,
            Tensor::from_vec(result.lse, &rows, Device::Cpu)?,
        ))
    }))?;
    let mut parents = vec![&q, &k, &v];
    parents.extend(&bias);
    let saved_output = output.clone();
    let wants_bias = bias.as_ref().is_some_and(Tensor::requires_grad);
    output
        .with_node(&parents, || {
            Box::new(AttentionBackward { call, output: saved_output, lse, wants_bias })
        })
        .to_dtype(dtype)
}

/// As [`ready`], where only each item must be row-major: a cache is read without a copy.
fn ready_items(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let x = x.to_dtype(dtype.widened())?;
    match x.layout().item_stride() {
        Some(_) => Ok(x),
        None => x.contiguous(),
    }
}

/// The elements of `(B, ..)` tensors that [`ready_items`] made.
fn items<T: Element>(x: &Tensor) -> Result<Items<'_, T>> {
    let layout = x.layout();
    let count: usize = layout.shape[1..].iter().product();
    // Empty views may begin anywhere, and no item of them is read.
    let stride = if count == 0 { 0 } else { layout.item_stride().unwrap_or(count) };
    Ok(Items { values: &x.raw::<T>()?[layout.offset..], stride })
}

fn checked_shape(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<AttentionShape> {
    let fits = match (q.shape(), k.shape(), v.shape()) {
        (&[b, q_len, heads, d], &[bk, kv_len, kv_heads, dk], &[bv, tv, hv, dv]) => {
            let agree = (b, kv_len, kv_heads) == (bv, tv, hv) && (b, d) == (bk, dk);
            let shape = AttentionShape {
                batch: b,
                q_len,
                kv_len,
                heads,
                kv_heads,
                head_dim: d,
                value_dim: dv,
            };
            (agree && d > 0 && kv_heads > 0 && heads > 0 && heads % kv_heads == 0).then_some(shape)
        }
        _ => None,
    };
    fits.ok_or_else(|| {
        Error::shape(
            "attention",
            format!(
                "q {:?}, k {:?}, v {:?}, expected (B, Tq, H, D), (B, Tk, Hkv, D), (B, Tk, Hkv, Dv) \
                 with H a multiple of Hkv",
                q.shape(),
                k.shape(),
                v.shape()
            ),
        )
    })
}

/// Extents of the bias over `(B, H, Tq, Tk)`, 1 where it broadcasts.
fn checked_bias(bias: &Tensor, shape: &AttentionShape) -> Result<[usize; 4]> {
    let full = [shape.batch, shape.heads, shape.q_len, shape.kv_len];
    let mut dims = [1; 4];
    let fits = bias.rank() <= 4 && {
        dims[4 - bias.rank()..].copy_from_slice(bias.shape());
        dims.iter().zip(full).all(|(&dim, full)| dim == 1 || dim == full)
    };
    if fits {
        Ok(dims)
    } else {
        let text = format!("bias {:?}, expected to broadcast to {full:?}", bias.shape());
        Err(Error::shape("attention", text))
    }
}

fn checked_mask(mask: &Tensor, shape: &AttentionShape) -> Result<Vec<bool>> {
    if mask.shape() != [shape.batch, shape.kv_len] {
        return Err(Error::shape(
            "attention",
            format!("key mask {:?}, expected ({}, {})", mask.shape(), shape.batch, shape.kv_len),
        ));
    }
    Ok(mask.to_vec_f64()?.into_iter().map(|x| x != 0.0).collect())
}

/// One call's operands, off the graph, and its options.
struct Call {
    shape: AttentionShape,
    scale: f64,
    causal: bool,
    key_mask: Option<Vec<bool>>,
    bias_dims: Option<[usize; 4]>,
    dropout: Option<(f64, DropoutKey)>,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Option<Tensor>,
}

impl Call {
    /// Lends the operands as slices to a kernel.
    fn with<T: Real + Element, R>(
        &self,
        run: impl FnOnce(AttentionInputs<'_, T>) -> Result<R>,
    ) -> Result<R> {
        let q = self.q.cpu_slice::<T>()?;
        let (k, v) = (items(&self.k)?, items(&self.v)?);
        let bias = self.bias.as_ref().map(Tensor::cpu_slice::<T>).transpose()?;
        run(AttentionInputs {
            shape: self.shape,
            q: &q,
            k,
            v,
            scale: T::from_f64(self.scale),
            causal: self.causal,
            key_mask: self.key_mask.as_deref(),
            bias: bias.as_deref().zip(self.bias_dims).map(|(values, dims)| Bias { values, dims }),
            dropout: self.dropout,
        })
    }
}

struct AttentionBackward {
    call: Call,
    output: Tensor,
    /// `(B, H, Tq)`.
    lse: Tensor,
    wants_bias: bool,
}

impl Backward for AttentionBackward {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let call = &self.call;
        real_dispatch!(call.q.dtype(), "attention", T => call.with::<T, _>(|inputs| {
            let (output, lse) = (self.output.cpu_slice::<T>()?, self.lse.cpu_slice::<T>()?);
            let grad = grad.cpu_slice::<T>()?;
            let grads = attention_backward(&inputs, &output, &lse, &grad, self.wants_bias);
            let like = |values: Vec<T>, x: &Tensor| {
                Tensor::from_vec(values, x.shape(), Device::Cpu).map(Some)
            };
            let mut all =
                vec![like(grads.q, &call.q)?, like(grads.k, &call.k)?, like(grads.v, &call.v)?];
            if let Some(bias) = &call.bias {
                all.push(match grads.bias {
                    Some(values) => like(values, bias)?,
                    None => None,
                });
            }
            Ok(all)
        }))
    }
}

#[cfg(test)]
mod tests;
