//! Given cost matrices on a device against the host.

use align_kernels::device::DeviceCosts;
use align_kernels::sinkhorn::{Options, Weights, sinkhorn_cost};
use gpu_runtime::DeviceBuffer;

use crate::batch::noise;
use crate::case::{annealed, fixed};
use crate::device::stream;

const ROWS: [usize; 5] = [0, 3, 3, 36, 37];
const COLUMNS: [usize; 5] = [0, 40, 42, 46, 47];

#[test]
fn given_costs_are_solved_as_on_the_host() {
    let Some(stream) = stream() else { return };
    let count: usize =
        (0..4).map(|k| (ROWS[k + 1] - ROWS[k]) * (COLUMNS[k + 1] - COLUMNS[k])).sum();
    let mut noise = noise(5);
    let mut costs: Vec<f32> = (0..count).map(|_| 1.5 * noise()).collect();
    costs[1] = f32::INFINITY;
    // A column without weight holds NaN.
    let mut b: Vec<f32> = (0..47).map(|_| 0.1 + noise()).collect();
    b[7] = 0.0;
    (0..3).for_each(|i| costs[40 * i + 7] = f32::NAN);
    for pair in COLUMNS.windows(2) {
        let sum: f32 = b[pair[0]..pair[1]].iter().sum();
        b[pair[0]..pair[1]].iter_mut().for_each(|w| *w /= sum);
    }
    let on_device = DeviceBuffer::from_slice(&stream, &costs).unwrap();
    let weights = Weights { a: None, b: Some(&b) };
    let upstream = [0.5f32, 1.0, -2.0, 3.0];
    for mode in [fixed(0.1, 9, 0.0), annealed(0.3, Some(1.4))] {
        for reach in [None, Some(0.9)] {
            let options = Options { mode, reach, plan: true, ..Options::default() };
            let offsets = (&ROWS[..], &COLUMNS[..]);
            let given = DeviceCosts::new(&stream, &on_device);
            let got = sinkhorn_cost(given, offsets, weights, &options, Some(&upstream)).unwrap();
            let want =
                sinkhorn_cost(&costs[..], offsets, weights, &options, Some(&upstream)).unwrap();
            let close = |what: &str, got: &[f32], want: &[f32]| {
                assert_eq!(got.len(), want.len(), "{what}");
                for (got, want) in got.iter().zip(want) {
                    assert!(
                        (got - want).abs() <= 1e-5 * (1.0 + want.abs()),
                        "{what}: {got} {want}"
                    );
                }
            };
            let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
            close("values", &narrow(&got.0.value), &narrow(&want.0.value));
            close("errors", &narrow(&got.0.marginal_error), &narrow(&want.0.marginal_error));
            close("f", &got.0.f, &want.0.f);
            close("g", &got.0.g, &want.0.g);
            close("plan", &got.0.plan, &want.0.plan);
            let (got, want) = (got.1.unwrap(), want.1.unwrap());
            close("by costs", &got.cost.to_vec().unwrap(), &want.cost);
            close("by rows", &got.a, &want.a);
            close("by columns", &got.b, &want.b);
            assert!((got.eps - want.eps).abs() < 1e-4 * (1.0 + want.eps.abs()));
            let given = DeviceCosts::new(&stream, &on_device);
            assert!(sinkhorn_cost(given, offsets, weights, &options, None).unwrap().1.is_none());
        }
    }
}

/// Rows, columns, options and upstream weights.
type BadCall<'a> = (&'a [usize], &'a [usize], Options, Option<&'a [f32]>);

#[test]
fn bad_calls_are_refused_in_the_words_of_the_host() {
    let Some(stream) = stream() else { return };
    let costs = [0.5f32; 6];
    let on_device = DeviceBuffer::from_slice(&stream, &costs).unwrap();
    let good = Options { mode: fixed(0.1, 3, 0.0), ..Options::default() };
    let table: [BadCall<'_>; 6] = [
        (&[0, 2], &[0, 4], good, None),
        (&[0, 2], &[0, 1, 3], good, None),
        (&[1, 2], &[0, 3], good, None),
        (&[0, 2], &[0, 3], good, Some(&[1.0, 1.0])),
        (&[0, 2], &[0, 3], Options { debias: true, ..good }, None),
        (&[0, 2], &[0, 3], Options { mode: annealed(0.1, None), ..good }, None),
    ];
    for (rows, columns, options, upstream) in table {
        let given = DeviceCosts::new(&stream, &on_device);
        let weights = Weights::default();
        let error = sinkhorn_cost(given, (rows, columns), weights, &options, upstream).unwrap_err();
        let want =
            sinkhorn_cost(&costs[..], (rows, columns), weights, &options, upstream).unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (want.to_string(), want.kind()));
    }
}
