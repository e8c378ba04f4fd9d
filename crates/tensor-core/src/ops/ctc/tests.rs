use super::*;
use crate::ErrorKind;
use crate::testing::{gradcheck, noise};

#[test]
fn gradients_agree_with_finite_differences() {
    let targets = [vec![1, 1, 2], vec![], vec![3]];
    for zero_infinity in [false, true] {
        let run = |x: &[Tensor]| ctc_loss(&x[0], &[6, 3, 5], &targets, 0, zero_infinity);
        gradcheck(run, &[noise(&[3, 6, 4], 1)]);
    }
    // The second item has no path: zero loss, zero gradient.
    let targets = [vec![0, 2], vec![0, 0]];
    gradcheck(|x| ctc_loss(&x[0], &[3, 2], &targets, 1, true), &[noise(&[2, 3, 3], 2)]);
}

#[test]
fn one_frame_and_one_label_is_a_log_softmax() {
    let logits = noise(&[1, 1, 5], 3);
    let loss = ctc_loss(&logits, &[1], &[vec![3]], 0, false).unwrap().item().unwrap();
    let log_probs = logits.log_softmax().unwrap().to_vec_f64().unwrap();
    assert!((loss + log_probs[3]).abs() < 1e-14);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let logits = noise(&[1, 4, 3], 1);
    let kind = |lens: &[usize], target: Vec<u32>, blank| {
        ctc_loss(&logits, lens, &[target], blank, false).unwrap_err().kind()
    };
    assert_eq!(kind(&[5], vec![1], 0), ErrorKind::Shape);
    assert_eq!(kind(&[4, 4], vec![1], 0), ErrorKind::Shape);
    assert_eq!(kind(&[4], vec![3], 0), ErrorKind::Option);
    assert_eq!(kind(&[4], vec![0], 0), ErrorKind::Option);
    assert_eq!(kind(&[4], vec![1], 3), ErrorKind::Option);
}
