use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, ErrorKind, Var};

fn labels(values: &[i64]) -> Tensor {
    Tensor::from_vec(values.to_vec(), &[values.len()], Device::Cpu).unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    for label_smoothing in [0.0, 0.15] {
        let options = CrossEntropyOptions { ignore_index: -1, label_smoothing };
        let labels = labels(&[3, -1, 0, 6]);
        gradcheck(|x| cross_entropy(&x[0], &labels, options), &[noise(&[4, 7], 1)]);
    }
}

#[test]
fn the_loss_is_the_gathered_log_softmax() {
    let logits = noise(&[5, 11], 2);
    let labels = labels(&[0, 10, 4, 4, 7]);
    let fused = cross_entropy(&logits, &labels, Default::default()).unwrap().item().unwrap();
    let picked = logits.log_softmax().unwrap().gather(1, &labels.unsqueeze(1).unwrap()).unwrap();
    assert!((fused + picked.sum_all().unwrap().item().unwrap()).abs() < 1e-13);
}

#[test]
fn half_precision_logits_give_an_f32_loss_and_their_own_gradients() {
    let leaf = Var::new(noise(&[3, 5], 3).to_dtype(DType::BF16).unwrap());
    let loss = cross_entropy(&leaf.tensor(), &labels(&[1, 2, 3]), Default::default()).unwrap();
    assert_eq!(loss.dtype(), DType::F32);
    let gradients = loss.backward().unwrap();
    assert_eq!(gradients.get(&leaf).unwrap().dtype(), DType::BF16);
}

#[test]
fn a_label_outside_the_vocabulary_names_its_row() {
    for bad in [5, -2] {
        let error = cross_entropy(&noise(&[3, 5], 1), &labels(&[0, -100, bad]), Default::default())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Option);
        assert!(error.to_string().contains(&format!("row 2 is {bad}")), "{error}");
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let logits = noise(&[3, 5], 1);
    let kind =
        |labels: &Tensor, options| cross_entropy(&logits, labels, options).unwrap_err().kind();
    let plain = CrossEntropyOptions::default();
    assert_eq!(kind(&labels(&[0, 1]), plain), ErrorKind::Shape);
    assert_eq!(kind(&noise(&[3], 1), plain), ErrorKind::DType);
    let options = CrossEntropyOptions { label_smoothing: f64::NAN, ..plain };
    assert_eq!(kind(&labels(&[0, 1, 2]), options), ErrorKind::Option);
}
