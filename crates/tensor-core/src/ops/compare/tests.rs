use super::*;
use crate::ErrorKind;
use crate::testing::{gradcheck, noise};

fn mask(values: &[u8], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, Device::Cpu).unwrap()
}

#[test]
fn comparisons_follow_ieee_and_broadcast() -> Result<()> {
    let a = Tensor::from_vec(vec![1.0f32, 2.0, f32::NAN, -0.0], &[4], Device::Cpu)?;
    let b = Tensor::from_vec(vec![2.0f32, 0.0], &[2, 1], Device::Cpu)?;
    let rows = |t: Tensor| t.to_vec::<u8>();
    assert_eq!(a.eq(&b)?.shape(), [2, 4]);
    assert_eq!(rows(a.eq(&b)?)?, [0, 1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(rows(a.lt(&b)?)?, [1, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(rows(a.gt(&b)?)?, [0, 0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(rows(a.le(&b)?)?, [1, 1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(rows(a.ge(&b)?)?, [0, 1, 0, 0, 1, 1, 0, 1]);
    let ids = Tensor::arange(3, Device::Cpu)?;
    assert_eq!(rows(ids.ge(&Tensor::scalar(1.0, DType::I64, Device::Cpu)?)?)?, [0, 1, 1]);
    Ok(())
}

#[test]
fn a_choice_sends_each_gradient_where_it_was_chosen() {
    let inputs = [noise(&[2, 3], 1), noise(&[3], 2)];
    for pick in [mask(&[1, 0, 1, 0, 0, 7], &[2, 3]), mask(&[1, 0], &[2, 1]), mask(&[0], &[1])] {
        gradcheck(|x| Tensor::where_cond(&pick, &x[0], &x[1])?.sqr(), &inputs);
        gradcheck(|x| Tensor::where_cond(&pick, &x[1], &x[0])?.sqr(), &inputs);
        gradcheck(|x| x[0].masked_fill(&pick, -3.0)?.sqr(), &inputs[..1]);
        gradcheck(|x| x[0].transpose(0, 1)?.transpose(0, 1)?.masked_fill(&pick, 0.5), &inputs[..1]);
    }
}

#[test]
fn what_is_not_chosen_is_not_seen() -> Result<()> {
    let x = Tensor::from_vec(vec![f32::NAN, 2.0], &[2], Device::Cpu)?;
    assert_eq!(x.masked_fill(&mask(&[1, 0], &[2]), 0.0)?.to_vec::<f32>()?, [0.0, 2.0]);
    let half = x.to_dtype(DType::F16)?.masked_fill(&mask(&[1, 0], &[2]), 1.0)?;
    assert_eq!((half.dtype(), half.to_vec_f32()?), (DType::F16, vec![1.0, 2.0]));
    Ok(())
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (x, ids) = (noise(&[2], 1), Tensor::arange(2, Device::Cpu).unwrap());
    let error = x.eq(&ids).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::DType, "eq: operands are f64 and i64".into())
    );
    let error = x.masked_fill(&ids, 0.0).unwrap_err();
    assert_eq!(error.to_string(), "where_cond: mask is i64, expected u8");
    assert_eq!(x.lt(&noise(&[3], 1)).unwrap_err().kind(), ErrorKind::Shape);
}
