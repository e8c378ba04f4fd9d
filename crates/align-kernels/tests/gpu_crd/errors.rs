//! What is refused, and how.

use align_kernels::ErrorKind;
use align_kernels::crd::{Bank, crd_in_batch};

use crate::batch::Form;
use crate::device::stream;
use crate::plain::{indices, points, send, unit};

#[test]
fn wrong_extents_are_named() {
    let Some(stream) = stream() else { return };
    let error = Bank::on_device(&stream, &[0.0; 6], 2, 4).unwrap_err();
    assert_eq!(error.to_string(), "memory bank: 6 values, expected (2, 4)");
    let error = Bank::on_device(&stream, &[], 0, 4).unwrap_err();
    assert_eq!(error.to_string(), "memory bank: rows are (0, 4), expected (M, P) above 0");
    let bank = Bank::on_device(&stream, &[0.5; 12], 4, 3).unwrap();
    let wrong = send(&unit(2, 5, 1, Form::Tight), &stream, Form::Tight);
    let error =
        bank.contrast(points(&wrong), &indices(&stream, &[0, 1, 2, 3]), 0.1, &mut 1.0).unwrap_err();
    assert_eq!(error.to_string(), "memory bank: anchors are (2, 5), expected (B, 3), B dividing 4");
    let error = crd_in_batch(points(&wrong), points(&wrong), &[0, 7], &[], 0.1, 9).unwrap_err();
    assert_eq!(error.to_string(), "crd: a token of clip 7, expected below 2");
}

#[test]
fn an_index_past_the_bank_is_found_by_the_kernel() {
    let Some(stream) = stream() else { return };
    let sent = send(&unit(1, 3, 1, Form::Tight), &stream, Form::Tight);
    // A dense table, then row by row.
    for (n_data, rows) in [(4, vec![0, 1, 4, 2, 1]), (90, vec![0, 90])] {
        let mut bank = Bank::on_device(&stream, &vec![0.5; n_data * 3], n_data, 3).unwrap();
        let text = format!(
            "memory bank: {} rows an anchor, expected 2 or more below {n_data}",
            rows.len()
        );
        for mut z in [0.0, 3.0] {
            let error =
                bank.contrast(points(&sent), &indices(&stream, &rows), 0.1, &mut z).unwrap_err();
            assert_eq!((error.to_string(), error.kind()), (text.clone(), ErrorKind::Shape));
        }
        let error = bank.update(&indices(&stream, &[n_data]), points(&sent), 0.5).unwrap_err();
        let text =
            format!("memory bank: fresh rows are (1, 3), expected (1, 3) for rows below {n_data}");
        assert_eq!(error.to_string(), text);
        assert_eq!(bank.values().to_vec().unwrap(), vec![0.5; n_data * 3]);
    }
}
