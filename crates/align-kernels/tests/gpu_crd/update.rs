//! Rows of a bank move towards fresh vectors.

use align_kernels::crd::Bank;

use crate::batch::{FORMS, Form};
use crate::device::stream;
use crate::plain::{indices, points, send, unit};

#[test]
fn rows_move_as_on_the_host_one_after_another() {
    let Some(stream) = stream() else { return };
    for (form, width) in FORMS.into_iter().zip([1, 33, 128, 70]) {
        let rows = unit(50, width, 1, Form::Tight);
        // Rows that occur again, next to each other and beyond a warp's lanes.
        let index: Vec<usize> =
            (0..45).map(|i| [7, 2, 7, 49, 0][i % 5] + i / 40).map(|i| i % 50).collect();
        let fresh = unit(index.len(), width, 2, form);
        let mut host = Bank::new(rows.clone()).unwrap();
        host.update(&index, fresh.view().into(), 0.75).unwrap();
        let mut bank = Bank::on_device(&stream, rows.as_slice().unwrap(), 50, width).unwrap();
        let sent = send(&fresh, &stream, form);
        bank.update(&indices(&stream, &index), points(&sent), 0.75).unwrap();
        let got = bank.values().to_vec().unwrap();
        for (at, (got, want)) in got.iter().zip(host.rows()).enumerate() {
            // Rounding of each of the moves.
            assert!((got - want).abs() <= 4e-7, "width {width}, {at}: {got} {want}");
        }
        let moved = |row: usize| {
            got[row * width..(row + 1) * width]
                != rows.as_slice().unwrap()[row * width..(row + 1) * width]
        };
        assert!(!moved(5) && (width == 1 || moved(7)));
    }
}
