use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, ErrorKind};

#[test]
fn gradients_agree_with_finite_differences() {
    for (x, weight, options) in [
        ([2, 3, 7], [4, 3, 3], Conv1dOptions { padding: 1, ..Default::default() }),
        ([1, 4, 9], [6, 2, 3], Conv1dOptions { stride: 2, groups: 2, ..Default::default() }),
        ([2, 3, 8], [3, 1, 2], Conv1dOptions { dilation: 3, groups: 3, ..Default::default() }),
    ] {
        let inputs = [noise(&x, 1), noise(&weight, 2), noise(&weight[..1], 3)];
        gradcheck(|x| x[0].conv1d(&x[1], Some(&x[2]), options), &inputs);
        gradcheck(|x| x[0].conv1d(&x[1], None, options), &inputs[..2]);
    }
}

#[test]
fn channels_last_in_gives_channels_last_out_and_the_same_gradients() {
    let options = Conv1dOptions { stride: 2, ..Default::default() };
    let run = |transposed: bool| {
        let rows = noise(&[2, 311, 9], 1);
        let columns = rows.transpose(1, 2).unwrap().contiguous().unwrap();
        let vars =
            [if transposed { rows } else { columns }, noise(&[33, 9, 7], 2), noise(&[33], 3)];
        let vars = vars.map(crate::Var::new);
        let x = vars[0].tensor();
        let x = if transposed { x.transpose(1, 2).unwrap() } else { x };
        let y = x.conv1d(&vars[1].tensor(), Some(&vars[2].tensor()), options).unwrap();
        assert_eq!(y.is_contiguous(), !transposed);
        let probe = noise(y.shape(), 4);
        let gradients = y.mul(&probe).unwrap().sum_all().unwrap().backward().unwrap();
        let mut values: Vec<Tensor> =
            vars.iter().map(|var| gradients.get(var).unwrap().clone()).collect();
        if transposed {
            values[0] = values[0].transpose(1, 2).unwrap();
        }
        values.push(y.detach());
        values
    };
    for (a, b) in run(true).iter().zip(run(false)) {
        assert_eq!(a.shape(), b.shape());
        for (a, b) in a.to_vec_f64().unwrap().iter().zip(b.to_vec_f64().unwrap()) {
            assert!((a - b).abs() < 1e-11, "{a} and {b}");
        }
    }
}

#[test]
fn a_kernel_of_one_is_a_linear_layer() {
    let (x, weight, bias) = (noise(&[2, 3, 5], 1), noise(&[4, 3, 1], 2), noise(&[4], 3));
    let conv = x.conv1d(&weight, Some(&bias), Conv1dOptions::default()).unwrap();
    let rows = x.transpose(1, 2).unwrap();
    let linear = rows.linear(&weight.reshape(&[4, 3]).unwrap(), Some(&bias)).unwrap();
    let linear = linear.transpose(1, 2).unwrap().to_vec_f64().unwrap();
    for (a, b) in conv.to_vec_f64().unwrap().iter().zip(linear) {
        assert!((a - b).abs() < 1e-14);
    }
}

#[test]
fn mixed_dtypes_widen() {
    let x = noise(&[1, 2, 5], 1).to_dtype(DType::F32).unwrap();
    let weight = noise(&[3, 2, 2], 2).to_dtype(DType::BF16).unwrap();
    let y = x.conv1d(&weight, None, Conv1dOptions::default()).unwrap();
    assert_eq!((y.dtype(), y.shape()), (DType::F32, &[1, 3, 4][..]));
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let kind = |x: &[usize], weight: &[usize], options| {
        noise(x, 1).conv1d(&noise(weight, 2), None, options).unwrap_err().kind()
    };
    let plain = Conv1dOptions::default();
    assert_eq!(kind(&[1, 2, 3], &[4, 3, 3], plain), ErrorKind::Shape);
    assert_eq!(kind(&[1, 2, 3], &[4, 2, 4], plain), ErrorKind::Shape);
    assert_eq!(
        kind(&[1, 4, 3], &[3, 2, 1], Conv1dOptions { groups: 2, ..plain }),
        ErrorKind::Shape
    );
    assert_eq!(
        kind(&[1, 2, 3], &[4, 2, 3], Conv1dOptions { stride: 0, ..plain }),
        ErrorKind::Option
    );
    assert_eq!(kind(&[2, 3], &[4, 2, 3], plain), ErrorKind::Shape);
    // Extents that overflow.
    for options in [
        Conv1dOptions { dilation: usize::MAX, ..plain },
        Conv1dOptions { padding: usize::MAX / 2 + 1, ..plain },
        Conv1dOptions { groups: usize::MAX, ..plain },
    ] {
        assert_eq!(kind(&[1, 2, 5], &[4, 2, 3], options), ErrorKind::Shape);
    }
}
