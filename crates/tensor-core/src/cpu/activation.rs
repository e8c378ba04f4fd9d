//! Activation functions and their derivatives, element by element.

use cpu_math::parallel::{CHUNK, for_each_chunk};
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// The functions of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x Phi(x)` with the normal distribution function, by `erf`.
    Gelu,
    /// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// Exponential.
    Exp,
}

/// Sharpness of the logistic approximation of GELU (Hendrycks and Gimpel, arXiv:1606.08415).
const QUICK: f64 = 1.702;
/// Cubic coefficient of its tanh approximation, in the same paper.
const CUBIC: f64 = 0.044715;
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

impl Activation {
    /// Whether the derivative is taken from the output rather than the input.
    pub(crate) fn saves_output(self) -> bool {
        matches!(self, Self::Tanh | Self::Sigmoid | Self::Relu | Self::Exp)
    }
}

#[inline(always)]
fn map<T: Real>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f(x);
    }
}

#[inline(always)]
fn map2<T: Real>(x: &mut [T], dy: &[T], f: impl Fn(T, T) -> T) {
    for (x, &dy) in x.iter_mut().zip(dy) {
        *x = f(*x, dy);
    }
}

/// Argument of the tanh in GELU's approximation.
#[inline(always)]
fn gelu_tanh_argument<T: Real>(x: T) -> T {
    T::from_f64(SQRT_2_OVER_PI) * x * Real::mul_add(T::from_f64(CUBIC), x * x, T::ONE)
}

/// The normal distribution function.
#[inline(always)]
fn phi<T: Real>(x: T) -> T {
    T::HALF + T::HALF * Real::erf(x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2))
}

simd_dispatch! {
    fn apply<T: Real>(kind: Activation, x: &[T], out: &mut [T]) {
        match kind {
            Activation::Gelu => map(x, out, |x| x * phi(x)),
            Activation::GeluTanh => map(x, out, |x| {
                T::HALF * x * (T::ONE + Real::tanh(gelu_tanh_argument(x)))
            }),
            Activation::QuickGelu => {
                map(x, out, |x| x * Real::sigmoid(T::from_f64(QUICK) * x));
            }
            Activation::Silu => map(x, out, |x| x * Real::sigmoid(x)),
            Activation::Tanh => map(x, out, |x| Real::tanh(x)),
            Activation::Sigmoid => map(x, out, |x| Real::sigmoid(x)),
            Activation::Relu => map(x, out, |x| if x < T::ZERO { T::ZERO } else { x }),
            Activation::Exp => map(x, out, |x| Real::exp(x)),
        }
    }

    /// Replaces `saved`, the input or the output, by `dy f'(x)`.
    fn apply_backward<T: Real>(kind: Activation, saved: &mut [T], dy: &[T]) {
        match kind {
            Activation::Gelu => map2(saved, dy, |x, dy| {
                let density = T::from_f64(INV_SQRT_2PI) * Real::exp(-T::HALF * x * x);
                dy * Real::mul_add(x, density, phi(x))
            }),
            Activation::GeluTanh => map2(saved, dy, |x, dy| {
                let t = Real::tanh(gelu_tanh_argument(x));
                let slope = T::from_f64(SQRT_2_OVER_PI)
                    * Real::mul_add(T::from_f64(3.0 * CUBIC), x * x, T::ONE);
                dy * T::HALF * Real::mul_add(x * (T::ONE - t * t), slope, T::ONE + t)
            }),
            Activation::QuickGelu => map2(saved, dy, |x, dy| {
                let s = Real::sigmoid(T::from_f64(QUICK) * x);
                dy * s * Real::mul_add(T::from_f64(QUICK) * x, T::ONE - s, T::ONE)
            }),
            Activation::Silu => map2(saved, dy, |x, dy| {
                let s = Real::sigmoid(x);
                dy * s * Real::mul_add(x, T::ONE - s, T::ONE)
            }),
            Activation::Tanh => map2(saved, dy, |y, dy| dy * (T::ONE - y * y)),
            Activation::Sigmoid => map2(saved, dy, |y, dy| dy * y * (T::ONE - y)),
            Activation::Relu => {
                map2(saved, dy, |y, dy| if y > T::ZERO { dy } else { T::ZERO });
            }
            Activation::Exp => map2(saved, dy, |y, dy| dy * y),
        }
    }
}

/// `f(x)` for every element.
pub(crate) fn forward<T: Real>(kind: Activation, x: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; x.len()];
    for_each_chunk(&mut out, CHUNK, |at, out| apply(kind, &x[at..][..out.len()], out));
    out
}

/// Replaces every element of `saved` by `dy f'(x)`; `saved` is the output where
/// [`Activation::saves_output`] says so, else the input.
pub(crate) fn backward<T: Real>(kind: Activation, saved: &mut [T], dy: &[T]) {
    for_each_chunk(saved, CHUNK, |at, saved| {
        apply_backward(kind, saved, &dy[at..][..saved.len()]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 8] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Relu,
        Activation::Exp,
    ];

    fn twin(kind: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match kind {
            Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + CUBIC * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::QuickGelu => x * sigmoid(QUICK * x),
            Activation::Silu => x * sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
            Activation::Relu => x.max(0.0),
            Activation::Exp => x.exp(),
        }
    }

    #[test]
    fn values_agree_with_f64() {
        let x: Vec<f32> = (0..2001).map(|i| (i as f32 - 1000.0) * 0.0117).collect();
        for kind in ALL {
            for (&x, got) in x.iter().zip(forward(kind, &x)) {
                let want = twin(kind, f64::from(x));
                // Cancellation in 1 + tanh and 1 + erf leaves an absolute error.
                let bound = 4e-7 * want.abs() + 3e-7 * f64::from(x.abs());
                assert!((f64::from(got) - want).abs() <= bound + 1e-9, "{kind:?} at {x}");
            }
        }
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        // Clear of 0, where relu has a corner.
        let x: Vec<f64> = (0..129).map(|i| (f64::from(i) - 64.3) * 0.11).collect();
        let dy = vec![2.0; x.len()];
        for kind in ALL {
            let mut dx = if kind.saves_output() { forward(kind, &x) } else { x.clone() };
            backward(kind, &mut dx, &dy);
            for (&x, got) in x.iter().zip(dx) {
                let want = (twin(kind, x + 1e-6) - twin(kind, x - 1e-6)) / 1e-6;
                assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{kind:?} at {x}");
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        for kind in ALL {
            assert!(forward(kind, &[f32::NAN; 17]).iter().all(|y| y.is_nan()), "{kind:?}");
        }
    }
}
