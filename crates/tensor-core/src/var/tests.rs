use super::*;
use crate::testing::noise;
use crate::{Context, DType, Device, ErrorKind};

#[test]
fn clones_share_value_identity_and_trainability() -> Result<()> {
    let var = Var::new(noise(&[2], 1));
    let twin = var.clone();
    twin.set(&Tensor::full(&[2], 3.0, DType::F64, Device::Cpu)?)?;
    twin.set_trainable(false);
    assert_eq!((var.value().to_vec_f64()?, var.trainable()), (vec![3.0, 3.0], false));
    assert_eq!(var.id(), twin.id());
    assert_ne!(var.id(), Var::new(var.value()).id());
    assert_eq!((var.shape(), var.elem_count()), (vec![2], 2));
    Ok(())
}

#[test]
fn an_update_in_place_leaves_tensors_that_share_the_value_alone() -> Result<()> {
    let var = Var::new(Tensor::ones(&[3], DType::F32, Device::Cpu)?);
    let before = var.value();
    let leaf = var.tensor();
    var.update::<f32>(|values| values.fill(5.0))?;
    assert_eq!(before.to_vec::<f32>()?, [1.0; 3]);
    assert_eq!(leaf.to_vec::<f32>()?, [1.0; 3]);
    assert_eq!(var.value().to_vec::<f32>()?, [5.0; 3]);
    // Nobody shares it now: the same memory is written.
    let at = || var.value().raw::<f32>().map(<[f32]>::as_ptr);
    let place = at()?;
    var.update::<f32>(|values| values.fill(7.0))?;
    assert_eq!((at()?, var.value().to_vec::<f32>()?), (place, vec![7.0; 3]));
    Ok(())
}

#[test]
fn an_update_of_a_view_does_not_write_what_the_view_is_of() -> Result<()> {
    let whole = Tensor::ones(&[2, 2], DType::F32, Device::Cpu)?;
    let var = Var::new(whole.select(0, 1)?);
    var.update::<f32>(|values| values.fill(0.0))?;
    assert_eq!(whole.to_vec::<f32>()?, [1.0; 4]);
    let var = Var::new(whole.transpose(0, 1)?);
    drop(whole);
    var.update::<f32>(|values| values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]))?;
    assert_eq!(var.value().to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[test]
fn frozen_and_evaluated_leaves_stay_out_of_the_graph() -> Result<()> {
    let (a, b) = (Var::new(noise(&[2], 1)), Var::new(noise(&[2], 2)));
    b.set_trainable(false);
    let ctx = Context::grad();
    let gradients = ctx.param(&a).mul(&ctx.param(&b))?.sum_all()?.backward()?;
    assert!(gradients.get(&a).is_some() && gradients.get(&b).is_none());
    assert!(!Context::eval().param(&a).requires_grad());
    // A value that came out of a graph is cut off from it.
    assert!(!Var::new(a.tensor().sqr()?).value().requires_grad());
    Ok(())
}

#[test]
fn a_value_of_another_shape_or_dtype_is_refused() {
    let var = Var::new(noise(&[2], 1));
    let error = var.set(&noise(&[3], 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.to_string(), "set: value is [3] f64, expected [2] f64");
    let half = noise(&[2], 1).to_dtype(DType::BF16).unwrap();
    assert_eq!(var.set(&half).unwrap_err().to_string(), "set: value is [2] bf16, expected [2] f64");
    assert!(var.update::<f32>(|_| {}).is_err());
}
