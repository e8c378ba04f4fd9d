use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, ErrorKind};

/// `(T, D/2)` tables of the usual angles.
fn tables(len: usize, head_dim: usize) -> (Tensor, Tensor) {
    let half = head_dim / 2;
    let angle = |i: usize| {
        let (t, d) = ((i / half) as f64, (i % half) as f64);
        t / 10_000f64.powf(2.0 * d / head_dim as f64)
    };
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f64> = (0..len * half).map(|i| f(angle(i))).collect();
        Tensor::from_vec(values, &[len, half], Device::Cpu).unwrap()
    };
    (table(f64::cos), table(f64::sin))
}

#[test]
fn each_pair_is_rotated_as_the_formula_says() {
    let (len, heads, d) = (5, 3, 6);
    let (cos, sin) = tables(len, d);
    let x = noise(&[2, len, heads, d], 1);
    let (got, x) = (x.rotary(&cos, &sin).unwrap().to_vec_f64().unwrap(), x.to_vec_f64().unwrap());
    let (cos, sin) = (cos.to_vec_f64().unwrap(), sin.to_vec_f64().unwrap());
    for at in 0..x.len() {
        let (feature, t) = (at % d, at / d / heads % len);
        let angle = t * 3 + feature % 3;
        let want = if feature < 3 {
            x[at] * cos[angle] - x[at + 3] * sin[angle]
        } else {
            x[at] * cos[angle] + x[at - 3] * sin[angle]
        };
        assert!((got[at] - want).abs() < 1e-15);
    }
}

#[test]
fn products_depend_on_the_distance_of_positions_alone() {
    let (cos, sin) = tables(9, 4);
    let (q, k) = (noise(&[1, 1, 1, 4], 1), noise(&[1, 1, 1, 4], 2));
    let at = |x: &Tensor, t: usize| {
        let row = |table: &Tensor| table.narrow(0, t, 1).unwrap();
        x.rotary(&row(&cos), &row(&sin)).unwrap()
    };
    let product = |i, j| at(&q, i).mul(&at(&k, j)).unwrap().sum_all().unwrap().item().unwrap();
    assert!((product(2, 5) - product(4, 7)).abs() < 1e-14);
    assert!((product(2, 5) - product(4, 8)).abs() > 1e-3);
}

#[test]
fn items_with_tables_of_their_own_are_rotated_as_alone() {
    let (cos, sin) = tables(7, 6);
    let x = noise(&[3, 2, 5, 6], 1);
    let starts = [4, 0, 5];
    let rows = |table: &Tensor, start: usize| table.narrow(0, start, 2).unwrap();
    let stacked = |table: &Tensor| {
        let parts = starts.map(|start| rows(table, start));
        Tensor::stack(&parts.iter().collect::<Vec<_>>(), 0).unwrap()
    };
    let got = x.rotary(&stacked(&cos), &stacked(&sin)).unwrap();
    for (b, start) in starts.into_iter().enumerate() {
        let alone = x.narrow(0, b, 1).unwrap();
        let want = alone.rotary(&rows(&cos, start), &rows(&sin, start)).unwrap();
        let got = got.narrow(0, b, 1).unwrap();
        assert_eq!(got.to_vec_f64().unwrap(), want.to_vec_f64().unwrap(), "item {b}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (cos, sin) = tables(6, 4);
    let of_all = |table: &Tensor| table.narrow(0, 1, 3).unwrap();
    gradcheck(|x| x[0].rotary(&of_all(&cos), &of_all(&sin)), &[noise(&[2, 3, 2, 4], 1)]);
    let of_each = |table: &Tensor| table.reshape(&[2, 3, 2]).unwrap();
    gradcheck(|x| x[0].rotary(&of_each(&cos), &of_each(&sin)), &[noise(&[2, 3, 2, 4], 1)]);
}

#[test]
fn tables_of_another_dtype_are_converted() {
    let (cos, sin) = tables(3, 4);
    let x = noise(&[1, 3, 1, 4], 1).to_dtype(DType::BF16).unwrap();
    assert_eq!(x.rotary(&cos, &sin).unwrap().dtype(), DType::BF16);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (cos, sin) = tables(3, 4);
    for shape in [&[1, 2, 1, 4][..], &[1, 3, 1, 6], &[1, 3, 1, 5], &[3, 1, 4]] {
        assert_eq!(noise(shape, 1).rotary(&cos, &sin).unwrap_err().kind(), ErrorKind::Shape);
    }
    let (cos, sin) = (cos.unsqueeze(0).unwrap(), sin.unsqueeze(0).unwrap());
    let text = noise(&[2, 3, 1, 4], 1).rotary(&cos, &sin).unwrap_err().to_string();
    let told = "expected (B, T, H, D) with D even and two tables (T, D/2) or (B, T, D/2)";
    assert!(text.ends_with(told), "{text}");
}
