//! One AdamW step on the elements of one parameter.

use rayon::prelude::*;

use cpu_math::parallel::CHUNK;
use cpu_math::real::Real;
use cpu_math::simd_dispatch;

/// Everything about a step that is the same for every element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamWStep {
    pub(crate) lr: f64,
    /// Decay rates of the first and second moment.
    pub(crate) betas: (f64, f64),
    /// Added to the root of the second moment.
    pub(crate) eps: f64,
    pub(crate) weight_decay: f64,
    /// Number of this step, from 1.
    pub(crate) step: u64,
    /// Factor on the gradient first: the clipping factor, or 1.
    pub(crate) grad_scale: f64,
}

/// The slices that a step reads and writes, one length.
#[derive(Debug)]
pub(crate) struct AdamWSlices<'a, T> {
    pub(crate) param: &'a mut [T],
    pub(crate) grad: &'a [T],
    pub(crate) first_moment: &'a mut [T],
    pub(crate) second_moment: &'a mut [T],
}

/// Coefficients in the elements' precision.
#[derive(Clone, Copy)]
struct Coefficients<T> {
    decay: T,
    beta1: T,
    beta2: T,
    grad_scale: T,
    step_size: T,
    root_scale: T,
    eps: T,
}

simd_dispatch! {
    fn step_chunk<T: Real>(c: Coefficients<T>, slices: AdamWSlices<'_, T>) {
        let AdamWSlices { param, grad, first_moment, second_moment } = slices;
        let (keep1, keep2) = (T::ONE - c.beta1, T::ONE - c.beta2);
        let moments = first_moment.iter_mut().zip(second_moment);
        for ((p, &g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
            let g = g * c.grad_scale;
            *m = Real::mul_add(g - *m, keep1, *m);
            *v = Real::mul_add(g * g, keep2, *v * c.beta2);
            let root = Real::mul_add(Real::sqrt(*v), c.root_scale, c.eps);
            *p = *p * c.decay - c.step_size * *m / root;
        }
    }
}

/// Updates a parameter and its moments in place.
///
/// ```text
/// g = grad_scale grad
/// p = (1 - lr weight_decay) p
/// m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
/// p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
/// ```
///
/// Source: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2, in the form of PyTorch's AdamW.
///
/// # Panics
///
/// When the slices differ in length.
pub(crate) fn step<T: Real>(options: AdamWStep, slices: AdamWSlices<'_, T>) {
    let AdamWSlices { param, grad, first_moment, second_moment } = slices;
    let len = param.len();
    assert!(
        grad.len() == len && first_moment.len() == len && second_moment.len() == len,
        "gradient and moments have the length of the parameter"
    );
    let (beta1, beta2) = options.betas;
    let power = |beta: f64| libm::pow(beta, options.step as f64);
    let c = Coefficients {
        decay: T::from_f64(1.0 - options.lr * options.weight_decay),
        beta1: T::from_f64(beta1),
        beta2: T::from_f64(beta2),
        grad_scale: T::from_f64(options.grad_scale),
        step_size: T::from_f64(options.lr / (1.0 - power(beta1))),
        root_scale: T::from_f64(1.0 / (1.0 - power(beta2)).sqrt()),
        eps: T::from_f64(options.eps),
    };
    if len <= CHUNK {
        return step_chunk(c, AdamWSlices { param, grad, first_moment, second_moment });
    }
    param
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(first_moment.par_chunks_mut(CHUNK).zip(second_moment.par_chunks_mut(CHUNK)))
        .for_each(|((param, grad), (first_moment, second_moment))| {
            step_chunk(c, AdamWSlices { param, grad, first_moment, second_moment });
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu_math::testing::{ramp, same_bits_on_one_and_two_threads};

    const OPTIONS: AdamWStep = AdamWStep {
        lr: 0.1,
        betas: (0.9, 0.98),
        eps: 1e-8,
        weight_decay: 0.01,
        step: 1,
        grad_scale: 1.0,
    };

    fn run<T: Real>(n: usize, steps: u64, grad_scale: f64) -> Vec<T> {
        let (mut param, grad) = (ramp::<T>(n, 1), ramp::<T>(n, 2));
        let (mut m, mut v) = (vec![T::ZERO; n], vec![T::ZERO; n]);
        for step_number in 1..=steps {
            step(
                AdamWStep { step: step_number, grad_scale, ..OPTIONS },
                AdamWSlices {
                    param: &mut param,
                    grad: &grad,
                    first_moment: &mut m,
                    second_moment: &mut v,
                },
            );
        }
        param
    }

    #[test]
    fn steps_follow_the_formula() {
        for n in [1, 3, 17, 129, CHUNK + 5] {
            let got = run::<f32>(n, 3, 0.5);
            for ((&got, p), g) in got.iter().zip(ramp::<f64>(n, 1)).zip(ramp::<f64>(n, 2)) {
                let (mut p, g, mut m, mut v) = (p, 0.5 * g, 0.0, 0.0);
                for t in 1..=3 {
                    p -= OPTIONS.lr * OPTIONS.weight_decay * p;
                    m = 0.9 * m + 0.1 * g;
                    v = 0.98 * v + 0.02 * g * g;
                    let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.98f64.powi(t)));
                    p -= OPTIONS.lr * m_hat / (v_hat.sqrt() + OPTIONS.eps);
                }
                assert!((f64::from(got) - p).abs() < 2e-6, "{got} {p}");
            }
        }
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate_against_the_gradient() {
        let options = AdamWStep { weight_decay: 0.0, ..OPTIONS };
        let (mut param, mut m, mut v) = ([0.0f64; 2], [0.0; 2], [0.0; 2]);
        step(
            options,
            AdamWSlices {
                param: &mut param,
                grad: &[1e3, -1e-3],
                first_moment: &mut m,
                second_moment: &mut v,
            },
        );
        assert!((param[0] + 0.1).abs() < 1e-6 && (param[1] - 0.1).abs() < 2e-6, "{param:?}");
    }

    #[test]
    fn thread_count_changes_no_bit() {
        same_bits_on_one_and_two_threads(|| run::<f32>(3 * CHUNK + 7, 2, 1.0));
    }
}
