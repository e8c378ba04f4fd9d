use super::*;
use crate::testing::noise;
use crate::{ErrorKind, Var};

#[test]
fn constructors_fill_what_they_say() -> Result<()> {
    let cpu = Device::Cpu;
    assert_eq!(Tensor::zeros(&[2], DType::U8, cpu)?.to_vec::<u8>()?, [0, 0]);
    assert_eq!(Tensor::ones(&[2], DType::F16, cpu)?.to_vec_f32()?, [1.0, 1.0]);
    assert_eq!(Tensor::full(&[1, 2], -2.5, DType::F64, cpu)?.to_vec::<f64>()?, [-2.5, -2.5]);
    assert_eq!(Tensor::arange(3, cpu)?.to_vec::<i64>()?, [0, 1, 2]);
    let scalar = Tensor::scalar(7.0, DType::U32, cpu)?;
    assert_eq!((scalar.rank(), scalar.elem_count(), scalar.item()?), (0, 1, 7.0));
    Ok(())
}

#[test]
fn random_tensors_are_a_function_of_their_reader() -> Result<()> {
    let normal = |dtype| {
        Tensor::randn(&[3000], 2.0, &mut Philox::new(1, 2), dtype, Device::Cpu)?.to_vec_f64()
    };
    assert_eq!(normal(DType::F32)?, normal(DType::F32)?);
    let values = normal(DType::F64)?;
    let mean = values.iter().sum::<f64>() / 3000.0;
    let deviation = (values.iter().map(|v| v * v).sum::<f64>() / 3000.0).sqrt();
    assert!(mean.abs() < 0.15 && (deviation - 2.0).abs() < 0.1, "{mean} {deviation}");
    let mut rng = Philox::new(1, 3);
    let uniform = Tensor::rand_uniform(&[3000], -1.0, 3.0, &mut rng, DType::F32, Device::Cpu)?;
    let values = uniform.to_vec_f64()?;
    assert!(values.iter().all(|v| (-1.0..3.0).contains(v)));
    assert!((values.iter().sum::<f64>() / 3000.0 - 1.0).abs() < 0.1);
    Ok(())
}

#[test]
fn dimensions_count_from_either_end() -> Result<()> {
    let x = noise(&[2, 3, 5], 1);
    assert_eq!((x.dim(0)?, x.dim(-1)?, x.dim(-3)?), (2, 5, 2));
    assert_eq!(x.dim(3).unwrap_err().to_string(), "dim: dimension 3 of a tensor of rank 3");
    assert!(noise(&[], 1).dim(-1).is_err());
    Ok(())
}

#[test]
fn reading_asks_for_the_right_dtype_and_count() {
    let x = noise(&[2, 3], 1);
    let error = x.to_vec::<f32>().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::DType, "read: dtype is f64, expected f32".into())
    );
    assert_eq!(x.item().unwrap_err().to_string(), "item: 6 elements, expected 1");
}

#[test]
fn counts_that_do_not_fit_are_refused() {
    let error = Tensor::from_vec(vec![1.0f32; 5], &[2, 3], Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "from_vec: 5 values, expected 6 for shape [2, 3]");
    let absurd = [usize::MAX, 3];
    let error = Tensor::zeros(&absurd, DType::F32, Device::Cpu).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.to_string(), format!("full: {absurd:?} has more elements than memory"));
}

#[test]
fn a_device_that_is_not_built_in_is_refused() {
    let error = Tensor::zeros(&[1], DType::F32, Device::Cuda(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    assert_eq!(
        error.to_string(),
        "device: cuda:3 asked for, this build has cpu only (hint: use --device cpu)"
    );
    assert_eq!(noise(&[1], 1).to_device(Device::Cpu).unwrap().device(), Device::Cpu);
}

#[test]
fn a_detached_tensor_shares_elements_but_no_graph() -> Result<()> {
    let leaf = Var::new(noise(&[3], 1));
    let y = leaf.tensor().sqr()?;
    assert!(y.requires_grad() && !y.detach().requires_grad());
    assert_eq!(y.detach().raw::<f64>()?.as_ptr(), y.raw::<f64>()?.as_ptr());
    Ok(())
}

#[test]
fn accumulation_writes_in_place_only_when_nobody_else_looks() -> Result<()> {
    let one = || Tensor::ones(&[4], DType::F32, Device::Cpu);
    let alone = one()?;
    let at = alone.raw::<f32>()?.as_ptr();
    let sum = alone.accumulate(&one()?)?;
    assert_eq!((sum.raw::<f32>()?.as_ptr(), sum.to_vec::<f32>()?), (at, vec![2.0; 4]));
    // A clone, and a view of the same storage, keep what they had.
    let (shared, view) = (sum.clone(), sum.reshape(&[2, 2])?);
    let more = sum.accumulate(&one()?)?;
    assert_eq!(more.to_vec::<f32>()?, [3.0; 4]);
    assert_eq!((shared.to_vec::<f32>()?, view.to_vec::<f32>()?), (vec![2.0; 4], vec![2.0; 4]));
    drop(shared);
    let whole = view.accumulate(&one()?.reshape(&[2, 2])?)?;
    assert_eq!(whole.to_vec::<f32>()?, [3.0; 4]);
    let error = more.accumulate(&Tensor::ones(&[3], DType::F32, Device::Cpu)?).unwrap_err();
    assert_eq!(error.to_string(), "backward: gradients [4] f32 and [3] f32 meet at one tensor");
    Ok(())
}

#[test]
fn values_are_taken_without_a_copy_only_when_nobody_else_looks() -> Result<()> {
    let x = Tensor::ones(&[4], DType::F32, Device::Cpu)?;
    let (at, twin) = (x.raw::<f32>()?.as_ptr(), x.detach());
    let mut copy = x.into_values::<f32>()?;
    assert_ne!(copy.as_ptr(), at);
    copy.fill(0.0);
    assert_eq!(twin.to_vec::<f32>()?, [1.0; 4]);
    let taken = twin.into_values::<f32>()?;
    assert_eq!(taken.as_ptr(), at);
    // A part of a storage is copied out of it.
    let part = Tensor::arange(4, Device::Cpu)?.narrow(0, 1, 2)?;
    assert_eq!(part.into_values::<i64>()?, [1, 2]);
    assert!(noise(&[2], 1).into_values::<f32>().is_err());
    Ok(())
}

#[test]
fn debug_output_shows_a_few_elements() -> Result<()> {
    let x = Tensor::arange(3, Device::Cpu)?;
    assert_eq!(format!("{x:?}"), "Tensor([3], i64, cpu, [0.0, 1.0, 2.0])");
    let many = format!("{:?}", Tensor::zeros(&[9], DType::BF16, Device::Cpu)?);
    assert!(many.starts_with("Tensor([9], bf16, cpu, [0.0,") && many.ends_with("..)"), "{many}");
    Ok(())
}
