use super::*;
use cpu_math::testing::same_bits_on_one_and_two_threads;

/// One problem with every option, owned.
#[derive(Clone)]
struct Problem {
    shape: AttentionShape,
    q: Vec<f64>,
    k: Vec<f64>,
    v: Vec<f64>,
    causal: bool,
    mask: Option<Vec<bool>>,
    bias: Option<(Vec<f64>, [usize; 4])>,
    dropout: Option<(f64, DropoutKey)>,
}

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed * 77 + 5);
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
        })
        .collect()
}

impl Problem {
    /// `(B, Tq, Tk, H, Hkv, D, Dv)`.
    fn new(dims: [usize; 7]) -> Self {
        let [batch, q_len, kv_len, heads, kv_heads, head_dim, value_dim] = dims;
        Self {
            shape: AttentionShape { batch, q_len, kv_len, heads, kv_heads, head_dim, value_dim },
            q: noise(batch * q_len * heads * head_dim, 1),
            k: noise(batch * kv_len * kv_heads * head_dim, 2),
            v: noise(batch * kv_len * kv_heads * value_dim, 3),
            causal: false,
            mask: None,
            bias: None,
            dropout: None,
        }
    }

    /// The same problem with some keys of every item masked, all of the last item's if it is not
    /// the only one.
    fn masked(mut self) -> Self {
        let AttentionShape { batch, kv_len, .. } = self.shape;
        let keep = |b: usize, j: usize| (batch == 1 || b + 1 < batch) && (j + b) % 3 != 1;
        self.mask = Some((0..batch * kv_len).map(|x| keep(x / kv_len, x % kv_len)).collect());
        self
    }

    fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    fn biased(mut self, dims: [usize; 4]) -> Self {
        self.bias = Some((noise(dims.iter().product(), 4), dims));
        self
    }

    fn dropped(mut self) -> Self {
        self.dropout = Some((0.3, DropoutKey { seed: 5, stream: 9 }));
        self
    }

    fn inputs(&self) -> AttentionInputs<'_, f64> {
        AttentionInputs {
            shape: self.shape,
            q: &self.q,
            k: packed(&self.k, self.shape.batch),
            v: packed(&self.v, self.shape.batch),
            scale: 0.7,
            causal: self.causal,
            key_mask: self.mask.as_deref(),
            bias: self.bias.as_ref().map(|(values, dims)| Bias { values, dims: *dims }),
            dropout: self.dropout,
        }
    }

    /// The definition, one query at a time.
    fn plain(&self) -> Vec<f64> {
        let AttentionShape { batch, q_len, kv_len, heads, kv_heads, head_dim, value_dim } =
            self.shape;
        let mut output = Vec::new();
        for b in 0..batch {
            for i in 0..q_len {
                for h in 0..heads {
                    let kv_head = h / (heads / kv_heads);
                    let seen: Vec<usize> = (0..kv_len)
                        .filter(|&j| !self.causal || j + q_len <= i + kv_len)
                        .filter(|&j| self.mask.as_ref().is_none_or(|m| m[b * kv_len + j]))
                        .collect();
                    let weights: Vec<f64> = seen
                        .iter()
                        .map(|&j| {
                            let q = &self.q[((b * q_len + i) * heads + h) * head_dim..];
                            let k = &self.k[((b * kv_len + j) * kv_heads + kv_head) * head_dim..];
                            let dot: f64 = (0..head_dim).map(|d| q[d] * k[d]).sum();
                            let bias = self.bias.as_ref().map_or(0.0, |(values, dims)| {
                                let at = [b, h, i, j];
                                let place = (0..4)
                                    .fold(0, |place, d| place * dims[d] + at[d].min(dims[d] - 1));
                                values[place]
                            });
                            (0.7 * dot + bias).exp()
                        })
                        .collect();
                    let total: f64 = weights.iter().sum();
                    let mut mean = vec![0.0; value_dim];
                    for (&j, w) in seen.iter().zip(weights) {
                        let factor = self.dropout.map_or(1.0, |(p, key)| {
                            let counter = ((b * heads + h) * q_len + i) * kv_len + j;
                            let mut factor = [0.0];
                            key.fill_factors(p, counter as u64, &mut factor);
                            factor[0]
                        });
                        let v = &self.v[((b * kv_len + j) * kv_heads + kv_head) * value_dim..];
                        for (m, x) in mean.iter_mut().zip(v) {
                            *m += factor * w / total * x;
                        }
                    }
                    output.extend(mean);
                }
            }
        }
        output
    }

    fn operands(&mut self) -> Vec<&mut Vec<f64>> {
        let mut all = vec![&mut self.q, &mut self.k, &mut self.v];
        all.extend(self.bias.as_mut().map(|(values, _)| values));
        all
    }
}

/// Items without room between them.
fn packed(values: &[f64], batch: usize) -> Items<'_, f64> {
    Items { values, stride: values.len() / batch }
}

/// Every option on small, odd and lopsided extents, and some that need several tiles.
fn problems() -> Vec<Problem> {
    vec![
        Problem::new([1, 1, 1, 1, 1, 1, 1]),
        Problem::new([2, 3, 5, 2, 2, 4, 3]).masked(),
        Problem::new([1, 1, 7, 6, 2, 5, 5]),
        Problem::new([3, 129, 1, 2, 1, 3, 4]).masked(),
        Problem::new([2, 129, 129, 2, 2, 8, 8]).causal(),
        Problem::new([1, 70, 300, 4, 2, 5, 6]).causal().masked(),
        Problem::new([1, 9, 4, 2, 1, 3, 3]).causal(),
        Problem::new([2, 17, 513, 3, 1, 7, 2]).masked().dropped(),
        Problem::new([1, 2, 300, 1, 1, 3, 0]),
        Problem::new([2, 5, 270, 4, 2, 3, 3]).masked().biased([2, 4, 5, 270]),
        Problem::new([2, 5, 9, 4, 2, 3, 3]).biased([1, 4, 5, 9]).causal(),
        Problem::new([2, 5, 9, 4, 2, 3, 3]).biased([2, 1, 1, 9]).dropped(),
        Problem::new([2, 5, 9, 4, 2, 3, 3]).biased([1, 1, 5, 1]).masked(),
    ]
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (k, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "element {k}: got {g}, expected {w}");
    }
}

#[test]
fn tiles_agree_with_the_definition() {
    for problem in problems() {
        let got = attention_forward(&problem.inputs());
        assert_close(&got.output, &problem.plain(), 1e-13);
    }
}

#[test]
fn gradients_are_directional_slopes_of_the_definition() {
    for problem in problems() {
        let forward = attention_forward(&problem.inputs());
        let upstream = noise(forward.output.len(), 6);
        let inputs = problem.inputs();
        let grads = attention_backward(&inputs, &forward.output, &forward.lse, &upstream, true);
        let grads: Vec<Vec<f64>> = [Some(grads.q), Some(grads.k), Some(grads.v), grads.bias]
            .into_iter()
            .flatten()
            .collect();
        let value =
            |p: &Problem| -> f64 { p.plain().iter().zip(&upstream).map(|(o, g)| o * g).sum() };
        for (which, grad) in grads.iter().enumerate() {
            let direction = noise(grad.len(), 7 + which as u64);
            let slope = |step: f64| {
                let mut moved = problem.clone();
                for (x, d) in moved.operands()[which].iter_mut().zip(&direction) {
                    *x += step * d;
                }
                value(&moved)
            };
            let want = (slope(1e-5) - slope(-1e-5)) / 2e-5;
            let got: f64 = grad.iter().zip(&direction).map(|(g, d)| g * d).sum();
            assert!(
                (got - want).abs() < 1e-7 * (1.0 + want.abs()),
                "{:?} operand {which}: {got} vs {want}",
                problem.shape
            );
        }
    }
}

#[test]
fn masked_keys_are_never_read() {
    let clean = Problem::new([3, 5, 270, 4, 2, 3, 2]).masked().causal();
    let mut dirty = clean.clone();
    let mask = clean.mask.clone().unwrap();
    for (j, _) in mask.iter().enumerate().filter(|(_, keep)| !**keep) {
        dirty.k[j * 6..][..6].fill(f64::NAN);
        dirty.v[j * 4..][..4].fill(f64::NAN);
    }
    let want = attention_forward(&clean.inputs());
    let got = attention_forward(&dirty.inputs());
    assert_eq!(got.output, want.output);
    let upstream = noise(want.output.len(), 8);
    let run =
        |p: &Problem| attention_backward(&p.inputs(), &want.output, &want.lse, &upstream, false);
    let (clean_grads, grads) = (run(&clean), run(&dirty));
    assert_eq!(grads.q, clean_grads.q);
    assert_eq!(grads.k, clean_grads.k);
    assert_eq!(grads.v, clean_grads.v);
    for (j, _) in mask.iter().enumerate().filter(|(_, keep)| !**keep) {
        assert!(grads.k[j * 6..][..6].iter().all(|&g| g == 0.0));
    }
}

#[test]
fn room_between_items_is_never_read() {
    let problem = Problem::new([3, 4, 70, 4, 2, 3, 5]).masked().causal();
    let spread = |values: &[f64], room: usize| -> Vec<f64> {
        let gap = vec![f64::NAN; room];
        values.chunks(values.len() / 3).flat_map(|item| [item, &gap].concat()).collect()
    };
    let (k, v) = (spread(&problem.k, 7), spread(&problem.v, 12));
    let apart = AttentionInputs { k: packed(&k, 3), v: packed(&v, 3), ..problem.inputs() };
    let (want, got) = (attention_forward(&problem.inputs()), attention_forward(&apart));
    assert_eq!(got.output, want.output);
    let upstream = noise(want.output.len(), 8);
    let run = |inputs| attention_backward(inputs, &want.output, &want.lse, &upstream, false);
    let (want, got) = (run(&problem.inputs()), run(&apart));
    assert_eq!((got.q, got.k, got.v), (want.q, want.k, want.v));
}

#[test]
fn padding_on_either_side_and_holes_give_the_bits_of_the_kept_keys_alone() {
    let (kv_len, width) = (9, 6);
    let all = Problem::new([1, 1, kv_len, 4, 2, 3, 3]);
    for mask in ["000111111", "111110000", "011111100", "110110111", "000010000", "111111111"] {
        let mask: Vec<bool> = mask.bytes().map(|c| c == b'1').collect();
        let kept = mask.iter().filter(|&&keep| keep).count();
        let rows = |x: &[f64]| -> Vec<f64> {
            let rows = x.chunks(width).zip(&mask).filter(|(_, keep)| **keep);
            rows.flat_map(|(row, _)| row.to_vec()).collect()
        };
        let mut alone = Problem::new([1, 1, kept, 4, 2, 3, 3]);
        (alone.q, alone.k, alone.v) = (all.q.clone(), rows(&all.k), rows(&all.v));
        let masked = Problem { mask: Some(mask), ..all.clone() };
        let got = attention_forward(&masked.inputs());
        assert_eq!(got.output, attention_forward(&alone.inputs()).output);
    }
}

#[test]
fn a_query_without_keys_gives_zeros_and_takes_no_gradient() {
    let mut problem = Problem::new([1, 4, 3, 2, 2, 3, 3]);
    problem.mask = Some(vec![false; 3]);
    problem.k.fill(f64::NAN);
    problem.v.fill(f64::NAN);
    let forward = attention_forward(&problem.inputs());
    assert!(forward.output.iter().all(|&o| o == 0.0));
    let upstream = noise(forward.output.len(), 9);
    let inputs = problem.inputs();
    let grads = attention_backward(&inputs, &forward.output, &forward.lse, &upstream, false);
    for grad in [grads.q, grads.k, grads.v] {
        assert!(grad.iter().all(|&g| g == 0.0));
    }
}

#[test]
fn a_bias_of_minus_infinity_hides_a_key() {
    let mut problem = Problem::new([1, 2, 4, 1, 1, 3, 3]).biased([1, 1, 2, 4]);
    let bias = &mut problem.bias.as_mut().unwrap().0;
    bias[1] = f64::NEG_INFINITY;
    bias[4..].fill(f64::NEG_INFINITY);
    let forward = attention_forward(&problem.inputs());
    assert_close(&forward.output[..3], &problem.plain()[..3], 1e-13);
    assert_eq!(forward.output[3..], [0.0; 3]);
    let inputs = problem.inputs();
    let grads = attention_backward(&inputs, &forward.output, &forward.lse, &[1.0; 6], true);
    let bias = grads.bias.unwrap();
    assert_eq!((bias[1], &bias[4..]), (0.0, &[0.0; 4][..]));
    assert!(grads.q.iter().chain(&grads.k).chain(&grads.v).all(|g| g.is_finite()));
}

#[test]
fn a_row_of_nan_scores_is_not_taken_for_a_row_without_keys() {
    // The first query, and under the causal rule the first key of the second item.
    let mut problem = Problem::new([2, 300, 300, 1, 1, 2, 2]).causal();
    problem.q[..2].fill(f64::NAN);
    problem.k[600..602].fill(f64::NAN);
    let forward = attention_forward(&problem.inputs());
    for (item, output) in forward.output.chunks(600).enumerate() {
        for (i, row) in output.chunks(2).enumerate() {
            assert_eq!(row.iter().all(|o| o.is_nan()), item == 1 || i == 0, "item {item}, row {i}");
        }
    }
    let grads =
        attention_backward(&problem.inputs(), &forward.output, &forward.lse, &[1.0; 1200], false);
    assert!(grads.q[0].is_nan() && grads.q[2].is_finite() && grads.q[600].is_nan());
}

#[test]
fn later_keys_cannot_change_earlier_outputs() {
    let clean = Problem::new([1, 90, 90, 2, 2, 4, 4]).causal();
    let mut changed = clean.clone();
    for x in changed.k[50 * 8..].iter_mut().chain(&mut changed.v[50 * 8..]) {
        *x += 3.0;
    }
    let (a, b) = (attention_forward(&clean.inputs()), attention_forward(&changed.inputs()));
    assert_eq!(a.output[..50 * 8], b.output[..50 * 8]);
    assert_ne!(a.output[50 * 8..], b.output[50 * 8..]);
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    for problem in problems() {
        same_bits_on_one_and_two_threads(|| {
            let inputs = problem.inputs();
            let forward = attention_forward(&inputs);
            let upstream = noise(forward.output.len(), 10);
            let grads = attention_backward(&inputs, &forward.output, &forward.lse, &upstream, true);
            let bias = grads.bias.unwrap_or_default();
            [forward.output, forward.lse, grads.q, grads.k, grads.v, bias].concat()
        });
    }
}

#[test]
fn large_scores_stay_finite() {
    let mut problem = Problem::new([1, 3, 300, 1, 1, 2, 2]);
    problem.q.iter_mut().for_each(|x| *x *= 1e4);
    let forward = attention_forward(&problem.inputs());
    assert!(forward.output.iter().all(|o| o.abs() <= 1.0));
}
