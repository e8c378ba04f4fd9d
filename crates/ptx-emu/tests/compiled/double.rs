//! Double precision.

use ptx_emu::LaunchConfig;

use crate::device::{Noise, args, assert_near, cover, on_each};

#[test]
fn a_dot_product_adds_up_across_warps() {
    on_each("double_dot", |device| {
        for count in [1, 1003] {
            let mut noise = Noise(24);
            let x: Vec<f64> = (0..count).map(|_| noise.real(-1.0, 1.0)).collect();
            let y: Vec<f64> = (0..count).map(|_| noise.real(-1.0, 1.0)).collect();
            let out = device.put(&[0.0_f64]);
            let list = args![device.put(&x), device.put(&y), out, count];
            device.launch("double_dot", LaunchConfig::linear(2, 96), &list);
            let exact: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            let size: f64 = x.iter().zip(&y).map(|(x, y)| (x * y).abs()).sum();
            // Both sums round at each addition, at most `count` of them.
            let allowed = 2.0 * f64::from(count) * f64::EPSILON / 2.0 * size;
            assert_near(device.get::<f64>(out, 1)[0], exact, allowed, "dot product");
        }
    });
}

#[test]
fn double_functions_keep_their_documented_bounds() {
    on_each("double_dot", |device| {
        let mut noise = Noise(25);
        let mut x: Vec<f64> = (0..75).map(|_| noise.real(-300.0, 300.0).exp2()).collect();
        let mut y: Vec<f64> = x.iter().map(|_| noise.real(-30.0, 30.0)).collect();
        x.extend([0.5, 1.5, 5e9, 1e-310, f64::INFINITY]);
        y.extend([-2.5, 1e4, -1e4, 0.25, 3.0]);
        let out = device.room::<f64>(8 * x.len());
        let list = args![device.put(&x), device.put(&y), out, x.len() as i32];
        device.launch("double_ops", cover(x.len(), 32), &list);
        for (at, got) in device.get::<f64>(out, 8 * x.len()).chunks(8).enumerate() {
            let (a, b) = (x[at], y[at]);
            assert_eq!(got[0], b / a, "{b:e} / {a:e}");
            assert_eq!(got[1], a.sqrt(), "sqrt {a:e}");
            // One ulp of CUDA's function, one of the platform's.
            assert_near(got[2], b.exp(), 2.0 * f64::EPSILON * b.exp().min(f64::MAX), "exp");
            assert_near(got[3], a.ln(), 2.0 * f64::EPSILON * a.ln().abs().min(f64::MAX), "log");
            assert_eq!(got[4], f64::from(b as f32) + (b * 1e6) as i64 as f64, "conversions of {b}");
            assert_eq!(got[5], b.floor() + b.abs(), "floor and size of {b}");
            assert_eq!(got[6], a.min(b) - a.max(b), "extremes of {a:e} and {b:e}");
            let last = if a < b { 1.0 / a } else { f64::from(a.round_ties_even() as u32) };
            assert_eq!(got[7], last, "reciprocal or whole of {a:e}");
        }
    });
}
