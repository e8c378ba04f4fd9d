//! A struct passed by value, a constant table, and variables of the module that outlive a launch.

use ptx_emu::{Arg, LaunchConfig};

use crate::device::{Noise, args, cover, on_each};

const TABLE: [f32; 8] = [0.5, -1.25, 2.0, 3.5, -4.0, 5.75, 6.0, -7.5];
const ORDER: [f32; 4] = [3.0, 1.0, 2.0, 0.0];

#[test]
fn a_struct_and_a_table_are_read_at_run_time_places() {
    on_each("struct_param", |device| {
        let count = 77;
        let x = Noise(28).quarters(count);
        let (origin, weights) = (-2.5_f64, [1.0_f32, -2.0, 0.5, 3.0, -0.25]);
        let (first, sign, knots) = (-300_i16, -1_i8, [7_u8, 0, 250]);

        // The struct `Curve`, with its padding.
        let mut curve = origin.to_le_bytes().to_vec();
        weights.iter().for_each(|weight| curve.extend(weight.to_le_bytes()));
        curve.extend(first.to_le_bytes());
        curve.extend(sign.to_le_bytes());
        curve.extend(knots);
        curve.resize(40, 0);
        curve.extend(device.put(&x).to_le_bytes());
        curve.extend((count as i64).to_le_bytes());
        assert_eq!(curve.len(), 56);

        let y = device.room::<f32>(count);
        for _ in 0..2 {
            let list = [Arg::Bytes(curve.clone()), Arg::from(y)];
            device.launch("curve", cover(count, 32), &list);
        }
        for (at, &got) in device.get::<f32>(y, count).iter().enumerate() {
            // Multiples of 1/16 below 2^12: exact.
            let start = origin as f32 + f32::from(sign) * f32::from(first);
            let entry = TABLE[(at + usize::from(knots[at % 3])) % 8] + ORDER[at % 4];
            assert_eq!(got, start + weights[at % 5] * x[at] + entry, "at {at}");
        }

        // Variables keep their values from launch to launch, from the start that the source gives.
        let out = device.room::<i64>(2);
        device.launch("counters", LaunchConfig::linear(1, 1), &args![out]);
        assert_eq!(device.get::<i64>(out, 2), [41 + 2, 2 * count as i64]);
    });
}
