use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, Device, ErrorKind};

#[test]
fn gradients_agree_with_finite_differences() {
    let x = [noise(&[2, 3, 5], 1)];
    type View = fn(&Tensor) -> Result<Tensor>;
    let views: [View; 13] = [
        |x| x.reshape(&[5, 6]),
        |x| x.permute(&[2, 0, 1]),
        |x| x.permute(&[2, 0, 1])?.reshape(&[30]),
        |x| x.transpose(0, -1),
        |x| x.flatten(0, 1),
        |x| x.narrow(1, 1, 2),
        |x| x.narrow(-1, 4, 1)?.narrow(0, 0, 1),
        |x| x.narrow(2, 5, 0)?.sum_all(),
        |x| x.select(1, 2),
        |x| x.unsqueeze(0)?.unsqueeze(-1),
        |x| x.select(0, 1)?.unsqueeze(1)?.squeeze(1),
        |x| x.unsqueeze(1)?.broadcast_to(&[4, 2, 7, 3, 5]),
        |x| x.transpose(0, 1)?.contiguous(),
    ];
    for f in views {
        gradcheck(|x| f(&x[0])?.sqr(), &x);
    }
}

#[test]
fn views_read_the_elements_they_name() -> Result<()> {
    let x = Tensor::arange(24, Device::Cpu)?.reshape(&[2, 3, 4])?;
    assert_eq!(x.select(0, 1)?.select(0, 2)?.to_vec::<i64>()?, [20, 21, 22, 23]);
    assert_eq!(x.narrow(1, 1, 1)?.narrow(2, 3, 1)?.to_vec::<i64>()?, [7, 19]);
    assert_eq!(x.permute(&[2, 1, 0])?.narrow(0, 1, 1)?.to_vec::<i64>()?, [1, 13, 5, 17, 9, 21]);
    assert_eq!(x.flatten(1, 2)?.shape(), [2, 12]);
    let row = x.narrow(2, 0, 1)?.broadcast_to(&[2, 3, 2])?;
    assert_eq!(row.to_vec::<i64>()?, [0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20]);
    Ok(())
}

#[test]
fn views_of_nothing_lie_in_their_storage() -> Result<()> {
    // An empty batch of three parts, and cuts of no extent at the far end of two dimensions.
    let empty = Tensor::zeros(&[0, 3, 4], DType::F32, Device::Cpu)?;
    assert!(empty.select(1, 2)?.to_vec::<f32>()?.is_empty());
    let cut = noise(&[2, 3], 1).narrow(0, 2, 0)?.narrow(1, 3, 0)?;
    assert_eq!((cut.shape(), cut.to_vec::<f64>()?), (&[0, 0][..], Vec::new()));
    gradcheck(|x| x[0].narrow(0, 2, 0)?.narrow(1, 1, 2)?.sum_all(), &[noise(&[2, 3], 1)]);
    Ok(())
}

#[test]
fn views_share_their_elements_until_a_copy_is_needed() -> Result<()> {
    let x = noise(&[4, 6], 1);
    let at = |x: &Tensor| x.raw::<f64>().map(<[f64]>::as_ptr);
    for view in [x.reshape(&[3, 8])?, x.transpose(0, 1)?, x.narrow(0, 1, 2)?, x.contiguous()?] {
        assert_eq!(at(&view)?, at(&x)?);
    }
    assert_ne!(at(&x.transpose(0, 1)?.reshape(&[24])?)?, at(&x)?);
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let x = noise(&[2, 3], 1);
    let text = |result: Result<Tensor>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        error.to_string()
    };
    assert_eq!(text(x.reshape(&[4])), "reshape: [2, 3] has 6 elements, asked for [4]");
    assert_eq!(text(x.permute(&[0, 0])), "permute: [0, 0] does not order the 2 dimensions");
    assert_eq!(text(x.permute(&[0, 1, 2])), "permute: [0, 1, 2] does not order the 2 dimensions");
    assert_eq!(
        text(x.narrow(1, usize::MAX, 2)),
        format!("narrow: entries {0}..{0}+2 of dimension 1 with extent 3", usize::MAX)
    );
    assert_eq!(text(x.squeeze(0)), "squeeze: dimension 0 of [2, 3] has extent 2, expected 1");
    assert_eq!(text(x.flatten(1, 0)), "flatten: dimensions 1 to 0");
    assert_eq!(text(x.select(2, 0)), "narrow: dimension 2 of a tensor of rank 2");
    assert_eq!(
        text(x.broadcast_to(&[3, 3])),
        "broadcast_to: cannot broadcast [2, 3] to [3, 3] \
         (hint: extents must be equal or 1, aligned at the last dimension)"
    );
    let absurd = [usize::MAX, 2];
    assert_eq!(
        text(x.reshape(&absurd)),
        format!("reshape: {absurd:?} has more elements than memory")
    );
}
