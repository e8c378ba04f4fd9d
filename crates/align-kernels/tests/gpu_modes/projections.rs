//! Projections against the reference.

use align_kernels::pairwise_cost::{Cost, Pairing};
use align_kernels::reference::sinkhorn as twin;
use align_kernels::sinkhorn::{Options, sinkhorn};

use crate::batch::wide;
use crate::case::{Case, annealed, fixed};
use crate::device::stream;

#[test]
fn points_are_means_of_their_partners() {
    let Some(stream) = stream() else { return };
    let lengths: [&[usize]; 2] = [&[5, 0, 66, 1], &[33, 4, 3]];
    for mode in [fixed(0.1, 5, 0.0), annealed(0.3, None)] {
        let (pairing, plan) = (Pairing::AllPairs, true);
        let both =
            Options { pairing, mode, plan, project_x: true, project_y: true, ..Options::default() };
        for cost in [Cost::SqEuclidean, Cost::Euclidean] {
            let case = Case::new("projected", lengths, 65, Options { cost, ..both });
            let (x, y) = (case.x.send(&stream, case.form), case.y.send(&stream, case.form));
            let got = sinkhorn(&x.ragged(), &y.ragged(), case.weights(), &case.options).unwrap();
            let (width, mut at_x, mut at_y) = (case.x.width(), 0, 0);
            for k in 0..case.pairs() {
                let (i, j) = case.items(k);
                let (x, y) = (wide(case.x.item(i)), wide(case.y.item(j)));
                let plan = wide(got.plan_of(k));
                let (n, m) = (got.f_of(k).len(), got.g_of(k).len());
                let want_x = twin::project_onto_rows(&plan, &y, n, width).unwrap();
                let want_y = twin::project_onto_columns(&plan, &x, m, width).unwrap();
                let close = |got: &[f32], want: &[f64]| {
                    for (got, want) in got.iter().zip(want) {
                        let error = (f64::from(*got) - want).abs();
                        assert!(error <= 1e-6, "{}, {k}: {got} {want}", case.name);
                    }
                };
                close(&got.projected_x[at_x..at_x + n * width], &want_x);
                close(&got.projected_y[at_y..at_y + m * width], &want_y);
                (at_x, at_y) = (at_x + n * width, at_y + m * width);
            }
            assert_eq!((got.projected_x.len(), got.projected_y.len()), (at_x, at_y));
        }
    }
}
