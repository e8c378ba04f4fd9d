use super::*;
use crate::testing::{gradcheck, noise};
use crate::{ErrorKind, Var};

#[test]
fn gradients_agree_with_finite_differences_in_every_layout() {
    for (a, b) in [
        (&[1, 1][..], &[1, 1][..]),
        (&[3, 5], &[5, 2]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[3, 4], &[2, 4, 1]),
        (&[2, 1, 3, 2], &[3, 2, 2]),
    ] {
        let inputs = [noise(a, 1), noise(b, 2)];
        gradcheck(|x| x[0].matmul(&x[1]), &inputs);
        // The same product through transposed views.
        gradcheck(
            |x| x[1].transpose(-1, -2)?.matmul(&x[0].transpose(-1, -2)?)?.transpose(-1, -2),
            &inputs,
        );
    }
    gradcheck(|x| x[0].matmul(&x[0].transpose(0, 1)?), &[noise(&[3, 4], 1)]);
}

#[test]
fn linear_gradients_agree_with_finite_differences() {
    for (x, outputs) in [(&[1][..], 1), (&[3, 5], 2), (&[2, 3, 4], 7)] {
        let width = x[x.len() - 1];
        let inputs = [noise(x, 1), noise(&[outputs, width], 2), noise(&[outputs], 3)];
        gradcheck(|x| x[0].linear(&x[1], Some(&x[2])), &inputs);
        gradcheck(|x| x[0].linear(&x[1], None), &inputs[..2]);
    }
    let inputs = [noise(&[4, 3], 1), noise(&[4, 2], 2)];
    gradcheck(|x| x[0].transpose(0, 1)?.linear(&x[1].transpose(0, 1)?, None), &inputs);
}

#[test]
fn products_agree_with_plain_loops() -> Result<()> {
    let (a, b) = (noise(&[2, 3, 4], 1), noise(&[4, 5], 2));
    let (x, y) = (a.to_vec_f64()?, b.to_vec_f64()?);
    let out = a.matmul(&b)?;
    assert_eq!(out.shape(), [2, 3, 5]);
    for (at, got) in out.to_vec_f64()?.into_iter().enumerate() {
        let (row, col) = (at / 5, at % 5);
        let want: f64 = (0..4).map(|k| x[row * 4 + k] * y[k * 5 + col]).sum();
        assert!((got - want).abs() < 1e-14);
    }
    let bias = noise(&[5], 3);
    let affine = a.linear(&b.transpose(0, 1)?, Some(&bias))?.sub(&out.add(&bias)?)?;
    assert!(affine.to_vec_f64()?.iter().all(|d| d.abs() < 1e-14));
    Ok(())
}

#[test]
fn frozen_operands_get_no_gradient() -> Result<()> {
    let (x, w, b) =
        (Var::new(noise(&[2, 3], 1)), Var::new(noise(&[4, 3], 2)), Var::new(noise(&[4], 3)));
    for frozen in [&x, &w, &b] {
        frozen.set_trainable(false);
        let y = x.tensor().linear(&w.tensor(), Some(&b.tensor()))?;
        let gradients = y.sum_all()?.backward()?;
        assert!(gradients.get(frozen).is_none());
        assert_eq!(gradients.len(), 2);
        frozen.set_trainable(true);
    }
    Ok(())
}

#[test]
fn mixed_dtypes_meet_in_the_wider_one() -> Result<()> {
    // One rounding to the result's dtype, half a unit in its last place.
    for (left, right, out, rounding) in [
        (DType::BF16, DType::BF16, DType::BF16, 2f64.powi(-9)),
        (DType::BF16, DType::F32, DType::F32, 0.0),
        (DType::F16, DType::F16, DType::F16, 2f64.powi(-12)),
        (DType::F16, DType::F32, DType::F32, 0.0),
        (DType::F32, DType::F16, DType::F32, 0.0),
        (DType::F32, DType::F32, DType::F32, 0.0),
    ] {
        let (a, b) = (noise(&[5, 33], 1).to_dtype(left)?, noise(&[33, 7], 2).to_dtype(right)?);
        let want = a.to_dtype(DType::F64)?.matmul(&b.to_dtype(DType::F64)?)?.to_vec_f64()?;
        for got in [a.matmul(&b)?, a.linear(&b.transpose(0, 1)?, None)?] {
            assert_eq!(got.dtype(), out, "{left} x {right}");
            for (got, want) in got.to_vec_f64()?.iter().zip(&want) {
                // Sums of 33 terms up to 1 in f32; a sum on the edge of a binade rounds by a
                // whole unit of the lower one.
                let bound = 33.0 * 2f64.powi(-24) * 33.0 + 2.0 * rounding * want.abs();
                assert!((got - want).abs() <= bound, "{left} x {right}: {got} {want}");
            }
        }
    }
    Ok(())
}

#[test]
fn operands_that_do_not_fit_are_refused_with_their_shapes() {
    let text = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert_eq!(
        text(noise(&[2, 3], 1).matmul(&noise(&[4, 2], 1))),
        "matmul: [2, 3] x [4, 2], expected (.., M, K) x (.., K, N)"
    );
    assert_eq!(
        text(noise(&[2, 3], 1).linear(&noise(&[4, 2], 1), None)),
        "linear: input [2, 3], weight [4, 2], bias None, expected (.., I), (O, I), (O)"
    );
    let ids = Tensor::arange(4, Device::Cpu).unwrap().reshape(&[2, 2]).unwrap();
    assert_eq!(
        text(noise(&[2, 2], 1).matmul(&ids)),
        "matmul: operands are f64, i64, expected floats that mix (hint: convert with to_dtype)"
    );
    let narrow = |shape: &[usize]| noise(shape, 1).to_dtype(DType::F32).unwrap();
    let error = narrow(&[2, 3]).linear(&narrow(&[4, 3]), Some(&noise(&[4], 1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DType);
    assert_eq!(ids.matmul(&ids).unwrap_err().kind(), ErrorKind::DType);
}

#[test]
fn an_empty_inner_extent_gives_the_bias() -> Result<()> {
    let empty = |shape: &[usize]| Tensor::zeros(shape, DType::F32, Device::Cpu);
    let bias = Tensor::ones(&[2], DType::F32, Device::Cpu)?;
    assert_eq!(empty(&[3, 0])?.matmul(&empty(&[0, 2])?)?.to_vec::<f32>()?, [0.0; 6]);
    let y = empty(&[3, 0])?.linear(&empty(&[2, 0])?, Some(&bias))?;
    assert_eq!(y.to_vec::<f32>()?, [1.0; 6]);
    Ok(())
}

#[test]
fn empty_products_take_any_view() -> Result<()> {
    for dtype in [DType::F64, DType::BF16] {
        // Two heads against no keys: the second head starts past the end of the storage.
        let q = noise(&[1, 2, 3, 8], 1).to_dtype(dtype)?;
        let keys = Tensor::zeros(&[1, 0, 2, 8], dtype, Device::Cpu)?.permute(&[0, 2, 3, 1])?;
        let scores = q.matmul(&keys)?;
        assert_eq!((scores.dtype(), scores.shape()), (dtype, &[1, 2, 3, 0][..]));
        let values = keys.transpose(2, 3)?;
        assert_eq!(scores.matmul(&values)?.to_vec_f64()?, [0.0; 48]);
    }
    Ok(())
}

#[test]
fn half_weights_beside_an_f32_input_are_used_as_they_are_stored() -> Result<()> {
    for rows in [1, 5, 40] {
        let (x, w) = (noise(&[rows, 70], 1).to_dtype(DType::F32)?, noise(&[9, 70], 2));
        let bias = noise(&[9], 3).to_dtype(DType::BF16)?;
        for dtype in [DType::BF16, DType::F16] {
            let half = w.to_dtype(dtype)?;
            let (x, half) = (Var::new(x.clone()), Var::new(half));
            let wide = Var::new(half.value().to_dtype(DType::F32)?);
            let run = |weight: &Var| -> Result<_> {
                let y = x.tensor().linear(&weight.tensor(), Some(&bias))?;
                let gradients = y.sqr()?.sum_all()?.backward()?;
                let of = |var: &Var| gradients.get(var).expect("the loss depends on it").clone();
                Ok((y.detach(), of(&x), of(weight)))
            };
            let ((y, dx, dw), (want_y, want_dx, want_dw)) = (run(&half)?, run(&wide)?);
            assert_eq!((y.dtype(), dx.dtype(), dw.dtype()), (DType::F32, DType::F32, dtype));
            let close = |got: &Tensor, want: &Tensor, room: f64| -> Result<()> {
                for (got, want) in got.to_vec_f64()?.into_iter().zip(want.to_vec_f64()?) {
                    assert!((got - want).abs() <= room * (1.0 + want.abs()), "{got} {want}");
                }
                Ok(())
            };
            // The same products in another order at most; the weight's gradient is rounded to it.
            close(&y, &want_y, 1e-5)?;
            close(&dx, &want_dx, 1e-5)?;
            close(&dw, &want_dw, 5e-3)?;
            if rows <= 32 {
                assert_eq!(y.to_vec::<f32>()?, want_y.to_vec::<f32>()?);
            }
        }
    }
    Ok(())
}

#[test]
fn a_row_of_a_linear_map_has_the_same_bits_beside_any_others() -> Result<()> {
    let (x, w) = (noise(&[7, 300], 1).to_dtype(DType::F32)?, noise(&[33, 300], 2));
    for dtype in [DType::F32, DType::BF16] {
        let w = w.to_dtype(dtype)?;
        let together = x.linear(&w, None)?.to_vec::<f32>()?;
        for row in 0..7 {
            let alone = x.narrow(0, row, 1)?.linear(&w, None)?.to_vec::<f32>()?;
            assert_eq!(alone, together[row * 33..][..33]);
        }
    }
    Ok(())
}

#[test]
fn strided_half_weights_are_read_through_their_strides() -> Result<()> {
    let (x, w) = (noise(&[3, 4], 1).to_dtype(DType::F32)?, noise(&[6, 5], 2));
    let w = w.to_dtype(DType::BF16)?.narrow(0, 1, 4)?.transpose(0, 1)?;
    let want = x.linear(&w.to_dtype(DType::F32)?.contiguous()?, None)?.to_vec::<f32>()?;
    assert_eq!(x.linear(&w, None)?.to_vec::<f32>()?, want);
    Ok(())
}
