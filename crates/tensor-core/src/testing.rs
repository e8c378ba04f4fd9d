//! Gradient checks by central finite differences, for tests.

use crate::error::Result;
use crate::storage::Device;
use crate::tensor::Tensor;
use crate::var::Var;

/// Step of the central difference: near the cube root of the f64 rounding error.
const STEP: f64 = 1e-5;
/// Allowed error, relative to `1 + |gradient|`: truncation and rounding cost about 1e-10 each for
/// functions of order 1, and the sums of the larger shapes are of order 100.
const TOLERANCE: f64 = 1e-7;

/// Compares the gradient of `f` with central finite differences at `inputs`.
///
/// The output is reduced to one number by fixed weights that differ from element to element, so
/// that errors cannot cancel. Inputs are f64; an input of another dtype is held constant.
///
/// # Panics
///
/// When the two gradients differ by more than 1e-7 relative to `1 + |gradient|`, naming the input
/// and the element; when `f` fails.
#[track_caller]
pub(crate) fn gradcheck(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) {
    let weighted = |output: Tensor| -> Result<Tensor> {
        let n = output.elem_count();
        let weights = (0..n).map(|i| 0.3 + ((i * 37 + 11) % 17) as f64 / 17.0).collect();
        let weights = Tensor::from_vec::<f64>(weights, output.shape(), Device::Cpu)?;
        output.mul(&weights)?.sum_all()
    };
    let leaves: Vec<Option<Var>> = inputs
        .iter()
        .map(|input| (input.dtype() == crate::DType::F64).then(|| Var::new(input.clone())))
        .collect();
    let tensors: Vec<Tensor> = leaves
        .iter()
        .zip(inputs)
        .map(|(leaf, input)| leaf.as_ref().map_or_else(|| input.clone(), Var::tensor))
        .collect();
    let gradients = f(&tensors)
        .and_then(weighted)
        .and_then(|value| value.backward())
        .unwrap_or_else(|error| panic!("gradcheck: {error}"));
    for (k, leaf) in leaves.iter().enumerate() {
        let Some(leaf) = leaf else { continue };
        let n = leaf.elem_count();
        let analytic = match gradients.get(leaf) {
            Some(grad) => {
                assert_eq!(grad.shape(), inputs[k].shape(), "gradient shape of input {k}");
                grad.to_vec_f64().unwrap_or_else(|error| panic!("gradcheck: {error}"))
            }
            None => vec![0.0; n],
        };
        let base = inputs[k].to_vec_f64().unwrap_or_else(|error| panic!("gradcheck: {error}"));
        for i in 0..n {
            let at = |delta: f64| {
                let mut moved = base.clone();
                moved[i] += delta;
                let mut values = inputs.to_vec();
                values[k] = Tensor::from_vec(moved, inputs[k].shape(), Device::Cpu)?;
                f(&values).and_then(weighted)?.item()
            };
            let numeric = match (at(STEP), at(-STEP)) {
                (Ok(above), Ok(below)) => (above - below) / (2.0 * STEP),
                (Err(error), _) | (_, Err(error)) => panic!("gradcheck: {error}"),
            };
            let error = (analytic[i] - numeric).abs() / (1.0 + numeric.abs());
            assert!(
                error <= TOLERANCE,
                "input {k}, element {i}: gradient {}, finite difference {numeric}, error {error:e}",
                analytic[i]
            );
        }
    }
}

/// Deterministic f64 values in `[-1, 1]` that avoid kinks and ties, for gradient checks.
pub(crate) fn noise(shape: &[usize], salt: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: usize| {
        let x = ((i * 7919 + salt * 104_729 + 17) % 1009) as f64 / 1009.0;
        2.0 * x - 1.0 + 1e-3
    };
    Tensor::from_vec((0..n).map(value).collect::<Vec<f64>>(), shape, Device::Cpu)
        .expect("the count is the product of the shape")
}
