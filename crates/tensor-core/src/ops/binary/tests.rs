use super::*;
use crate::testing::{gradcheck, noise};
use crate::{ErrorKind, Var};

type BinaryFn = fn(&Tensor, &Tensor) -> Result<Tensor>;

const BINARY: [(&str, BinaryFn); 6] = [
    ("add", Tensor::add),
    ("sub", Tensor::sub),
    ("mul", Tensor::mul),
    ("div", Tensor::div),
    ("maximum", Tensor::maximum),
    ("minimum", Tensor::minimum),
];

fn vector(values: &[f64]) -> Tensor {
    Tensor::from_vec(values.to_vec(), &[values.len()], Device::Cpu).unwrap()
}

#[test]
fn binary_gradients_agree_with_finite_differences_under_every_broadcast() {
    for (a, b) in [
        (&[1][..], &[1][..]),
        (&[3, 5], &[3, 5]),
        (&[2, 3, 5], &[5]),
        (&[7], &[3, 1]),
        (&[2, 1, 5], &[3, 1]),
        (&[], &[4]),
    ] {
        // A divisor clear of zero.
        let inputs = [noise(a, 1), noise(b, 4).add_scalar(3.0).unwrap()];
        for (_, f) in BINARY {
            gradcheck(|x| f(&x[0], &x[1]), &inputs);
            gradcheck(|x| f(&x[0], &x[1].sub(&x[0])?.add_scalar(5.0)?), &inputs);
        }
    }
    gradcheck(|x| x[0].transpose(0, 1)?.mul(&x[1]), &[noise(&[4, 3], 1), noise(&[3, 4], 2)]);
}

#[test]
fn the_maximum_takes_the_larger_and_its_gradient_with_it() {
    // Both signs of the difference occur.
    let inputs = [noise(&[3, 17], 1), noise(&[3, 17], 2)];
    gradcheck(|x| x[0].maximum(&x[1]), &inputs);
    gradcheck(|x| x[0].minimum(&x[1]), &inputs);
    let larger = vector(&[1.0, -2.0, f64::NAN, 0.0]).maximum(&vector(&[0.5, 3.0, 1.0, f64::NAN]));
    let larger = larger.unwrap().to_vec_f64().unwrap();
    assert_eq!(larger[..2], [1.0, 3.0]);
    assert!(larger[2..].iter().all(|v| v.is_nan()), "{larger:?}");
}

#[test]
fn on_a_tie_the_gradient_goes_to_the_left() {
    let (a, b) = (Var::new(vector(&[2.0])), Var::new(vector(&[2.0])));
    for f in [Tensor::maximum, Tensor::minimum] {
        let gradients = f(&a.tensor(), &b.tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let grad = |var| gradients.get(var).unwrap().item().unwrap();
        assert_eq!((grad(&a), grad(&b)), (1.0, 0.0));
    }
}

#[test]
fn bf16_computes_in_f32_and_rounds_once() {
    let half = |salt| noise(&[3, 17], salt).to_dtype(DType::BF16).unwrap();
    let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
    let (a, b) = (half(1), half(2));
    for (name, f) in BINARY {
        let got = f(&a, &b).unwrap();
        let want = f(&wide(&a), &wide(&b)).unwrap().to_dtype(DType::BF16).unwrap();
        assert_eq!(got.dtype(), DType::BF16, "{name}");
        assert_eq!(got.to_vec_f32().unwrap(), want.to_vec_f32().unwrap(), "{name}");
    }
}

#[test]
fn bf16_beside_f32_promotes_and_each_gradient_keeps_its_dtype() {
    let a = Var::new(noise(&[2, 3], 1).to_dtype(DType::BF16).unwrap());
    let b = Var::new(noise(&[3], 2).to_dtype(DType::F32).unwrap());
    let y = a.tensor().mul(&b.tensor()).unwrap();
    assert_eq!(y.dtype(), DType::F32);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&a).unwrap().dtype(), DType::BF16);
    assert_eq!(gradients.get(&b).unwrap().dtype(), DType::F32);
    assert_eq!(gradients.get(&b).unwrap().shape(), [3]);
}

#[test]
fn integers_add_and_multiply_but_do_not_divide() {
    let ids = Tensor::arange(3, Device::Cpu).unwrap();
    assert_eq!(ids.add(&ids).unwrap().mul(&ids).unwrap().to_vec::<i64>().unwrap(), [0, 2, 8]);
    let error = ids.div(&ids).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert_eq!(error.to_string(), "div: operands are i64, expected a floating-point dtype");
}

#[test]
fn operands_that_do_not_fit_are_refused_with_both() {
    let text = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert_eq!(
        text(noise(&[2, 3], 1).add(&noise(&[4], 1))),
        "add: [2, 3] and [4] do not broadcast \
         (hint: extents must be equal or 1, aligned at the last dimension)"
    );
    assert_eq!(
        text(noise(&[2], 1).mul(&Tensor::arange(2, Device::Cpu).unwrap())),
        "mul: operands are f64 and i64 (hint: convert one with to_dtype)"
    );
}
