use super::*;
use crate::testing::{gradcheck, noise};
use crate::{ErrorKind, Var};

#[test]
fn pointwise_gradients_agree_with_finite_differences() {
    type Unary = fn(&Tensor) -> Result<Tensor>;
    let functions: [Unary; 12] = [
        |x| x.add_scalar(0.7),
        |x| x.mul_scalar(-1.3),
        Tensor::neg,
        Tensor::sqr,
        Tensor::abs,
        |x| x.clamp(-0.4, 0.6),
        |x| x.abs()?.add_scalar(0.5)?.log(),
        |x| x.abs()?.add_scalar(0.5)?.sqrt(),
        |x| x.abs()?.add_scalar(0.5)?.recip(),
        |x| x.abs()?.add_scalar(0.5)?.powf(-1.5),
        |x| x.powf(3.0),
        |x| x.powf(0.0),
    ];
    for f in functions {
        for shape in [&[][..], &[1], &[3, 5], &[2, 1, 17]] {
            gradcheck(|x| f(&x[0]), &[noise(shape, 1)]);
        }
        gradcheck(|x| f(&x[0].transpose(0, 1)?), &[noise(&[4, 3], 2)]);
        gradcheck(|x| f(&x[0].broadcast_to(&[3, 4])?), &[noise(&[1, 4], 2)]);
    }
}

#[test]
fn corners_have_the_documented_gradient() {
    let x = Var::new(Tensor::zeros(&[2], DType::F64, Device::Cpu).unwrap());
    let grad = |y: Result<Tensor>| {
        y.unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec_f64().unwrap()
    };
    assert_eq!(grad(x.tensor().abs()), [0.0, 0.0]);
    assert_eq!(grad(x.tensor().powf(0.0)), [0.0, 0.0]);
    assert_eq!(grad(x.tensor().clamp(0.0, 1.0)), [1.0, 1.0]);
}

#[test]
fn integers_take_offsets_and_factors_alone() {
    let ids = Tensor::arange(3, Device::Cpu).unwrap();
    let odd = ids.mul_scalar(2.0).unwrap().add_scalar(1.0).unwrap();
    assert_eq!(odd.to_vec::<i64>().unwrap(), [1, 3, 5]);
    let error = ids.log().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert_eq!(error.to_string(), "log: dtype is i64, expected a floating-point one");
}
