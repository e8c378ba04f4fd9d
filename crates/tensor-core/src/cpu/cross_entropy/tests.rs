use super::*;
use cpu_math::testing::same_bits_on_one_and_two_threads;

fn noise(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + 17) % 1009) as f64 / 100.0 - 5.0).collect()
}

fn backward<T: Real>(targets: &Targets<'_>, logits: &[T], lse: &[T], loss_grad: f64) -> Vec<T> {
    let mut grads = logits.to_vec();
    targets.backward(&mut grads, lse, loss_grad);
    grads
}

/// The definition: the target distribution against the log-softmax.
fn plain(targets: &Targets<'_>, logits: &[f64]) -> f64 {
    let vocab = targets.vocab as f64;
    let mut total = 0.0;
    for (n, label) in targets.labels.iter().enumerate() {
        let Some(label) = *label else { continue };
        let row = &logits[n * targets.vocab..][..targets.vocab];
        let normaliser = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        for (v, x) in row.iter().enumerate() {
            let own = if v == label { 1.0 - targets.label_smoothing } else { 0.0 };
            total -= (own + targets.label_smoothing / vocab) * (x - normaliser);
        }
    }
    total
}

fn labels(n: usize, vocab: usize) -> Vec<Option<usize>> {
    (0..n).map(|i| (i % 3 != 1).then_some(i * 5 % vocab)).collect()
}

#[test]
fn the_fused_loss_is_the_definition() {
    for (n, vocab) in [(1, 1), (1, 7), (5, 1), (17, 13), (2, 129), (3, 5001)] {
        for label_smoothing in [0.0, 0.1] {
            let (logits, labels) = (noise(n * vocab), labels(n, vocab));
            let targets = Targets { vocab, labels: &labels, label_smoothing };
            let want = plain(&targets, &logits);
            let got = targets.forward(&logits).0;
            assert!((got - want).abs() < 1e-11 * (1.0 + want), "({n}, {vocab}): {got} vs {want}");
        }
    }
}

#[test]
fn the_gradient_is_the_finite_difference_of_the_definition() {
    let (n, vocab) = (4, 9);
    let (logits, labels) = (noise(n * vocab), labels(n, vocab));
    let problem = |logits: &[f64]| -> f64 {
        plain(&Targets { vocab, labels: &labels, label_smoothing: 0.2 }, logits)
    };
    let targets = Targets { vocab, labels: &labels, label_smoothing: 0.2 };
    let grads = backward(&targets, &logits, &targets.forward(&logits).1, 1.7);
    for k in 0..logits.len() {
        let slope = |step: f64| {
            let mut moved = logits.clone();
            moved[k] += step;
            problem(&moved)
        };
        let want = 1.7 * (slope(1e-5) - slope(-1e-5)) / 2e-5;
        assert!((grads[k] - want).abs() < 1e-8, "element {k}: {} vs {want}", grads[k]);
    }
}

#[test]
fn ignored_rows_are_never_read_and_get_no_gradient() {
    let (n, vocab) = (7, 33);
    let mut logits = noise(n * vocab);
    let labels = labels(n, vocab);
    for (row, label) in logits.chunks_mut(vocab).zip(&labels) {
        if label.is_none() {
            row.fill(f64::NAN);
        }
    }
    let targets = Targets { vocab, labels: &labels, label_smoothing: 0.1 };
    let (loss, lse) = targets.forward(&logits);
    assert!(loss.is_finite());
    for (row, label) in backward(&targets, &logits, &lse, 1.0).chunks(vocab).zip(&labels) {
        assert!(row.iter().all(|g| g.is_finite()));
        assert_eq!(label.is_none(), row.iter().all(|&g| g == 0.0));
    }
}

#[test]
fn no_labelled_row_costs_nothing() {
    let logits = [f64::NAN; 6];
    let labels = [None, None];
    let targets = Targets { vocab: 3, labels: &labels, label_smoothing: 0.0 };
    let (loss, lse) = targets.forward(&logits);
    assert_eq!((loss, backward(&targets, &logits, &lse, 1.0)), (0.0, vec![0.0; 6]));
}

#[test]
fn equal_logits_cost_the_logarithm_of_the_vocabulary() {
    let logits = vec![300.0f32; 3 * 1000];
    let labels = [Some(0), Some(999), Some(5)];
    let targets = Targets { vocab: 1000, labels: &labels, label_smoothing: 0.0 };
    let (loss, lse) = targets.forward(&logits);
    // An f32 log-sum-exp near 300 is exact to 1.5e-5.
    assert!((loss - 3.0 * 1000f64.ln()).abs() < 1e-4);
    for row in backward(&targets, &logits, &lse, 1.0).chunks(1000) {
        assert!(row.iter().sum::<f32>().abs() < 1e-4);
    }
}

#[test]
fn suppressed_logits_of_minus_infinity_have_no_part() {
    let logits = [1.0, f64::NEG_INFINITY, 1.0];
    let labels = [Some(0)];
    let targets = Targets { vocab: 3, labels: &labels, label_smoothing: 0.0 };
    let (loss, lse) = targets.forward(&logits);
    assert!((loss - 2f64.ln()).abs() < 1e-15);
    let grads = backward(&targets, &logits, &lse, 1.0);
    for (g, want) in grads.iter().zip([-0.5, 0.0, 0.5]) {
        assert!((g - want).abs() < 1e-15);
    }
}

#[test]
fn nan_in_a_labelled_row_is_not_hidden() {
    let logits = [f64::NAN, f64::NAN];
    let labels = [Some(1)];
    let targets = Targets { vocab: 2, labels: &labels, label_smoothing: 0.0 };
    assert!(targets.forward(&logits).0.is_nan());
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let (n, vocab) = (37, 4001);
    let (logits, labels) = (noise(n * vocab), labels(n, vocab));
    same_bits_on_one_and_two_threads(|| {
        let targets = Targets { vocab, labels: &labels, label_smoothing: 0.1 };
        let (loss, lse) = targets.forward(&logits);
        let grads = backward(&targets, &logits, &lse, 1.0);
        [vec![loss], lse, grads].concat()
    });
}
