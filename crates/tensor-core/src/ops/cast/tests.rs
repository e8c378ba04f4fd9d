use super::*;
use crate::Var;
use crate::testing::{gradcheck, noise};

const ALL: [DType; 7] =
    [DType::F64, DType::F32, DType::BF16, DType::F16, DType::I64, DType::U32, DType::U8];

#[test]
fn small_integers_survive_every_pair_of_dtypes() -> Result<()> {
    let want: Vec<f64> = (0..100).map(f64::from).collect();
    let x = Tensor::from_vec(want.clone(), &[4, 25], Device::Cpu)?;
    for first in ALL {
        for second in ALL {
            let y = x.to_dtype(first)?.to_dtype(second)?;
            assert_eq!((y.dtype(), y.shape()), (second, &[4, 25][..]));
            assert_eq!(y.to_vec_f64()?, want, "{first} to {second}");
        }
    }
    Ok(())
}

#[test]
fn halves_round_to_the_nearest_even() -> Result<()> {
    // Both lie halfway between two bf16 values.
    let (low, high) = (1.0 + 2f32.powi(-8), 1.0 + 3.0 * 2f32.powi(-8));
    let x = Tensor::from_vec(vec![low, high, 3e38, f32::NAN], &[4], Device::Cpu)?;
    let y = x.to_dtype(DType::BF16)?.to_vec_f32()?;
    assert_eq!(y[..2], [1.0, 1.0 + 2f32.powi(-6)]);
    assert!(y[3].is_nan());
    assert_eq!(x.to_dtype(DType::F16)?.to_vec_f32()?[2], f32::INFINITY);
    Ok(())
}

#[test]
fn a_transposed_view_is_cast_in_its_own_order() -> Result<()> {
    let x = Tensor::arange(6, Device::Cpu)?.reshape(&[2, 3])?.to_dtype(DType::F32)?;
    let y = x.transpose(0, 1)?.to_dtype(DType::BF16)?;
    assert_eq!((y.shape(), y.to_vec_f32()?), (&[3, 2][..], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    Ok(())
}

#[test]
fn gradients_pass_between_floats_in_the_dtype_of_each_side() -> Result<()> {
    gradcheck(|x| x[0].sqr()?.to_dtype(DType::F64), &[noise(&[3], 1)]);
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let leaf = Var::new(noise(&[2, 3], 1).to_dtype(dtype)?);
        let wide = leaf.tensor().to_dtype(DType::F64)?.mul_scalar(0.5)?.sum_all()?;
        let grad = wide.backward()?.remove(&leaf).unwrap();
        assert_eq!((grad.dtype(), grad.to_vec_f64()?), (dtype, vec![0.5; 6]));
        let leaf = Var::new(noise(&[2, 3], 1));
        let narrow = leaf.tensor().to_dtype(dtype)?.to_dtype(DType::F64)?.sum_all()?;
        assert_eq!(narrow.backward()?.get(&leaf).unwrap().dtype(), DType::F64);
    }
    // Integers carry none.
    let leaf = Var::new(noise(&[2], 1));
    assert!(!leaf.tensor().to_dtype(DType::I64)?.requires_grad());
    Ok(())
}
