//! What is refused, by kind and text.

use align_kernels::ErrorKind;
use align_kernels::info_nce::{Block, Options, info_nce, info_nce_given_lse};

use crate::case::{Case, Form, send};
use crate::device::stream;

#[test]
fn wrong_shapes_and_options_are_named() {
    let Some(stream) = stream() else { return };
    let case = Case::new((4, 5, 3), Form::Tight, 1);
    let (x, y) = (send(&stream, &case.x, case.form), send(&stream, &case.y, case.form));
    let wide = Case::new((4, 5, 2), Form::Tight, 1);
    let wide = send(&stream, &wide.y, wide.form);
    let plain = Options::default();
    let error = info_nce(x.points(), wide.points(), &plain).unwrap_err();
    let text = "info_nce: x is (4, 3) and y is (5, 2), expected one width above 0";
    assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::Shape));
    let cold = Options { temperature: 0.0, ..plain };
    let error = info_nce(x.points(), y.points(), &cold).unwrap_err();
    let text = "info_nce: temperature is 0, expected > 0 and finite \
                (hint: 0.05 to 0.1 is usual for cosine)";
    assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::Option));
    let shifted = Options { positive_offset: 2, ..plain };
    let error = info_nce(x.points(), y.points(), &shifted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let block = Block { row_lse: &[0.0; 4], column_lse: &[], positives: &[0.0; 3], pairs: 4 };
    let error = info_nce_given_lse(x.points(), y.points(), &block, &plain).unwrap_err();
    let text = "info_nce_given_lse: positives has 3 values, expected 4";
    assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::Shape));
}
