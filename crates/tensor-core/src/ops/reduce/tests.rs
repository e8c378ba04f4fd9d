use super::*;
use crate::testing::{gradcheck, noise};
use crate::{ErrorKind, Var};

#[test]
fn gradients_agree_with_finite_differences_for_every_set_of_dimensions() {
    let x = [noise(&[2, 3, 5], 1)];
    for dims in [&[][..], &[0], &[1], &[-1], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        for keepdim in [false, true] {
            gradcheck(|x| x[0].sum(dims, keepdim)?.sqr(), &x);
            gradcheck(|x| x[0].mean(dims, keepdim)?.sqr(), &x);
            gradcheck(|x| x[0].permute(&[2, 0, 1])?.sum(dims, keepdim)?.sqr(), &x);
        }
    }
    gradcheck(|x| x[0].sum_all()?.sqr(), &x);
    gradcheck(|x| x[0].mean_all()?.sqr(), &x);
    gradcheck(|x| x[0].sum_all(), &[noise(&[], 1)]);
}

#[test]
fn sums_agree_with_plain_loops() -> Result<()> {
    let x = noise(&[2, 3, 5], 1);
    let values = x.to_vec_f64()?;
    let at = |i: usize, j: usize, k: usize| values[(i * 3 + j) * 5 + k];
    let got = x.sum(&[0, 2], false)?;
    assert_eq!(got.shape(), [3]);
    for (j, got) in got.to_vec_f64()?.into_iter().enumerate() {
        let want: f64 = (0..2).flat_map(|i| (0..5).map(move |k| at(i, j, k))).sum();
        assert!((got - want).abs() < 1e-14);
    }
    assert_eq!(x.mean(&[1], true)?.shape(), [2, 1, 5]);
    Ok(())
}

#[test]
fn the_largest_element_takes_the_gradient() -> Result<()> {
    for dim in [0, 1, -1] {
        gradcheck(|x| x[0].max(dim, true)?.sqr(), &[noise(&[3, 4, 5], 1)]);
        gradcheck(|x| x[0].max(dim, false)?.sqr(), &[noise(&[3, 4, 5], 2)]);
    }
    let tied = Var::new(Tensor::from_vec(vec![1.0f64, 7.0, 7.0], &[3], Device::Cpu)?);
    let gradients = tied.tensor().max(0, false)?.backward()?;
    assert_eq!(gradients.get(&tied).unwrap().to_vec_f64()?, [0.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn argmax_takes_the_first_of_equals_and_sees_nan() -> Result<()> {
    let nan = f32::NAN;
    let x = Tensor::from_vec(vec![3.0, 3.0, 1.0, 0.0, nan, 9.0f32], &[2, 3], Device::Cpu)?;
    assert_eq!(x.argmax(1)?.to_vec::<i64>()?, [0, 1]);
    assert_eq!(x.argmax(0)?.to_vec::<i64>()?, [0, 1, 1]);
    let error = Tensor::zeros(&[2, 0], DType::F32, Device::Cpu)?.argmax(1).unwrap_err();
    assert_eq!(error.to_string(), "argmax: dimension 1 of [2, 0] is empty");
    Ok(())
}

#[test]
fn normalised_rows_have_length_one_and_zero_rows_stay_zero() -> Result<()> {
    for shape in [&[1][..], &[3, 5], &[2, 3, 17]] {
        for dim in 0..shape.len() as isize {
            gradcheck(|x| x[0].l2_normalize(dim, 1e-12), &[noise(shape, 1)]);
        }
    }
    let x = Var::new(Tensor::from_vec(vec![3.0f32, 4.0, 0.0, 0.0], &[2, 2], Device::Cpu)?);
    let y = x.tensor().l2_normalize(1, 1e-6)?;
    for (got, want) in y.to_vec::<f32>()?.into_iter().zip([0.6, 0.8, 0.0, 0.0]) {
        assert!((got - want).abs() < 1e-6);
    }
    let gradients = y.sum_all()?.backward()?;
    assert!(gradients.get(&x).unwrap().to_vec_f32()?.iter().all(|g| g.is_finite()));
    Ok(())
}

#[test]
fn bf16_means_and_norms_round_once() -> Result<()> {
    let x = noise(&[3, 129], 1).to_dtype(DType::BF16)?;
    let wide = x.to_dtype(DType::F32)?;
    let functions: [fn(&Tensor) -> Result<Tensor>; 2] =
        [|x| x.mean(&[1], false), |x| x.l2_normalize(1, 1e-6)];
    for f in functions {
        let (got, want) = (f(&x)?, f(&wide)?.to_dtype(DType::BF16)?);
        assert_eq!((got.dtype(), got.to_vec_f32()?), (DType::BF16, want.to_vec_f32()?));
    }
    Ok(())
}

#[test]
fn integers_have_sums_but_no_means() -> Result<()> {
    let ids = Tensor::arange(6, Device::Cpu)?.reshape(&[2, 3])?;
    assert_eq!(ids.sum(&[0], false)?.to_vec::<i64>()?, [3, 5, 7]);
    assert_eq!(ids.sum_all()?.item()?, 15.0);
    let error = ids.mean_all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert_eq!(error.to_string(), "mean: dtype is i64, expected a floating-point one");
    assert_eq!(
        ids.sum(&[2], false).unwrap_err().to_string(),
        "sum: dimension 2 of a tensor of rank 2"
    );
    Ok(())
}

#[test]
fn empty_sums_are_zero_and_empty_means_are_nan() -> Result<()> {
    let empty = Tensor::zeros(&[0, 3], DType::F32, Device::Cpu)?;
    assert_eq!(empty.sum_all()?.item()?, 0.0);
    assert_eq!(empty.sum(&[0], false)?.to_vec::<f32>()?, [0.0; 3]);
    assert!(empty.mean_all()?.item()?.is_nan());
    Ok(())
}
