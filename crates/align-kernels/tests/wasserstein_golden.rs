//! InfoNCE between clouds over layers, and its f64 reference, against torch and GeomLoss.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failed call should panic")]

mod sinkhorn_cases;

use align_kernels::info_nce::Options;
use align_kernels::reference::sinkhorn::{GeomlossOptions, PointCost};
use align_kernels::reference::wasserstein_info_nce as twin;
use align_kernels::sinkhorn::Weights;
use align_kernels::wasserstein_info_nce::{Layer, contr_wasser, wasserstein_info_nce_layers};
use align_kernels::{Points, Ragged};
use ndarray::Array2;
use serde_json::Value;
use sinkhorn_cases::Generator;

/// One side of a layer.
struct Side {
    offsets: Vec<usize>,
    points: Vec<f64>,
    width: usize,
}

impl Side {
    fn new(lens: &Value, width: usize, make: &mut Generator) -> Self {
        let mut offsets = vec![0];
        for n in lens.as_array().unwrap() {
            offsets.push(offsets[offsets.len() - 1] + n.as_u64().unwrap() as usize);
        }
        let points = make.points(offsets[offsets.len() - 1], width);
        Self { offsets, points, width }
    }

    fn single(&self) -> Array2<f32> {
        let rows = self.points.len() / self.width;
        Array2::from_shape_fn((rows, self.width), |(i, d)| self.points[i * self.width + d] as f32)
    }

    /// Points and uniform weights of each item.
    fn items(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        let item = |pair: &[usize]| {
            let n = pair[1] - pair[0];
            let points = &self.points[pair[0] * self.width..pair[1] * self.width];
            (points.to_vec(), vec![1.0 / n as f64; n])
        };
        self.offsets.windows(2).map(item).collect()
    }
}

fn clouds(items: &[(Vec<f64>, Vec<f64>)]) -> Vec<twin::Cloud<'_>> {
    items.iter().map(|(points, weights)| (&points[..], &weights[..])).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(got: &[f64], want: &Value, bound: f64, at: &str) {
    let want = numbers(want);
    assert_eq!(got.len(), want.len(), "{at}");
    for (k, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= bound, "{at}: element {k} is {got}, expected {want}");
    }
}

#[test]
fn layers_agree_with_torch_and_geomloss_in_values_and_gradients() {
    let golden: Value =
        serde_json::from_str(include_str!("golden/wasserstein_info_nce/wasserstein_info_nce.json"))
            .unwrap();
    let (width, temperatures) =
        (golden["width"].as_u64().unwrap() as usize, numbers(&golden["temperatures"]));
    for case in golden["cases"].as_array().unwrap() {
        let (blur, symmetric) =
            (case["blur"].as_f64().unwrap(), case["symmetric"].as_bool().unwrap());
        let mut make = Generator::new(case["seed"].as_u64().unwrap());
        let sides: Vec<[Side; 2]> = golden["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|lens| [0, 1].map(|s| Side::new(&lens[s], width, &mut make)))
            .collect();
        let contrast = Options { symmetric, ..Options::default() };

        let single: Vec<_> = sides.iter().map(|pair| pair.each_ref().map(Side::single)).collect();
        let layer = |l: usize| {
            let [x, y] = [0, 1].map(|s| {
                Ragged::new(Points::from(single[l][s].view()), &sides[l][s].offsets).unwrap()
            });
            let temperature = temperatures[l];
            Layer { x, y, weights: Weights::default(), temperature, weight: 1.0 }
        };
        let layers: Vec<_> = (0..sides.len()).map(layer).collect();
        let got = wasserstein_info_nce_layers(&layers, &contr_wasser(blur), &contrast).unwrap();
        // Costs of unit vectors in f32, over the temperature and, in gradients, over the lengths.
        assert!((got.value - case["value"].as_f64().unwrap()).abs() < 5e-6, "{}", got.value);
        for ((l, got), want) in
            got.layers.iter().enumerate().zip(case["layers"].as_array().unwrap())
        {
            let at = format!("blur {blur}, symmetric {symmetric}, layer {l}");
            let wide =
                |grad: &Array2<f32>| grad.iter().map(|&g| f64::from(g)).collect::<Vec<f64>>();
            assert!((got.value - want["value"].as_f64().unwrap()).abs() < 5e-6, "{at}");
            let divergence: Vec<f64> = got.divergence.iter().copied().collect();
            close(&divergence, &want["divergence"], 1e-6, &at);
            close(&wide(&got.gradients.x), &want["grad_x"], 1e-4, &at);
            close(&wide(&got.gradients.y), &want["grad_y"], 1e-4, &at);
            let by_temperature = want["grad_temperature"].as_f64().unwrap();
            assert!((got.grad_temperature - by_temperature).abs() < 1e-4, "{at}");

            let [x, y] = &sides[l];
            let (x, y) = (x.items(), y.items());
            let (x, y) = (clouds(&x), clouds(&y));
            let geomloss = GeomlossOptions { cost: PointCost::Cosine, blur, ..Default::default() };
            let contrast = Options { temperature: temperatures[l], ..contrast };
            let transport = twin::Transport::GeomLoss(geomloss);
            let twin = twin::wasserstein_info_nce(&x, &y, width, transport, &contrast).unwrap();
            assert!((twin.value - want["value"].as_f64().unwrap()).abs() < 1e-9, "{at}");
            close(&twin.divergence, &want["divergence"], 1e-9, &at);
            close(&twin.grad_x.concat(), &want["grad_x"], 1e-8, &at);
            close(&twin.grad_y.concat(), &want["grad_y"], 1e-8, &at);
            assert!((twin.grad_temperature - by_temperature).abs() < 1e-8, "{at}");
        }
    }
}
