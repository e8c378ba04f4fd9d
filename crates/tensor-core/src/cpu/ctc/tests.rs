use super::*;

fn noise(n: usize) -> Vec<f64> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
        })
        .collect()
}

/// `-ln` of the summed probability of every one of the `V^T` paths that spell `target`.
fn enumerate(logits: &[f64], len: usize, vocab: usize, target: &[u32], blank: usize) -> f64 {
    let log_probs: Vec<f64> = logits
        .chunks(vocab)
        .take(len)
        .flat_map(|row| {
            let z = row.iter().map(|x| x.exp()).sum::<f64>().ln();
            row.iter().map(move |x| x - z)
        })
        .collect();
    let mut total = 0.0;
    for code in 0..vocab.pow(len as u32) {
        let path: Vec<usize> = (0..len).map(|t| code / vocab.pow(t as u32) % vocab).collect();
        let mut spelled = Vec::new();
        for (t, &symbol) in path.iter().enumerate() {
            if symbol != blank && (t == 0 || path[t - 1] != symbol) {
                spelled.push(symbol as u32);
            }
        }
        if spelled == target {
            let score: f64 = path.iter().enumerate().map(|(t, &v)| log_probs[t * vocab + v]).sum();
            total += score.exp();
        }
    }
    -total.ln()
}

fn problem<'a>(
    logits: &'a [f64],
    dims: (usize, usize),
    lens: &'a [usize],
    targets: &'a [Vec<u32>],
    blank: usize,
) -> CtcProblem<'a, f64> {
    let (n_frames, vocab) = dims;
    CtcProblem {
        logits,
        n_frames,
        vocab,
        logit_lengths: lens,
        targets,
        blank,
        zero_infinity: false,
    }
}

#[test]
fn the_loss_is_the_sum_over_all_alignments() {
    for blank in [0usize, 2] {
        let label = |k: u32| [[1, 2, 3], [0, 1, 3]][usize::from(blank == 2)][k as usize];
        let targets: Vec<Vec<u32>> = [&[][..], &[0], &[0, 1], &[0, 0], &[0, 1, 0], &[2, 2, 1]]
            .iter()
            .map(|t| t.iter().map(|&k| label(k)).collect())
            .collect();
        for len in 1..=5 {
            let lens = vec![len; targets.len()];
            let logits = noise(targets.len() * 5 * 4);
            let losses = problem(&logits, (5, 4), &lens, &targets, blank).losses();
            for (b, target) in targets.iter().enumerate() {
                let want = enumerate(&logits[b * 20..], len, 4, target, blank);
                let got = losses[b];
                assert!(
                    got == want || (got - want).abs() < 1e-12,
                    "len {len} target {target:?}: got {got}, enumeration {want}"
                );
            }
        }
    }
}

#[test]
fn the_gradient_is_the_finite_difference_of_the_loss() {
    let lens = [7, 4, 5];
    let targets = vec![vec![1, 1, 2], vec![], vec![3, 2]];
    let logits = noise(3 * 7 * 4);
    let upstream = [0.7, -1.3, 2.0];
    let value = |logits: &[f64]| -> f64 {
        let losses = problem(logits, (7, 4), &lens, &targets, 0).losses();
        losses.iter().zip(upstream).map(|(l, g)| l * g).sum()
    };
    let grads = problem(&logits, (7, 4), &lens, &targets, 0).logit_grads(&upstream);
    for k in 0..logits.len() {
        let mut moved = logits.clone();
        moved[k] += 1e-5;
        let up = value(&moved);
        moved[k] -= 2e-5;
        let slope = (up - value(&moved)) / 2e-5;
        assert!((slope - grads[k]).abs() < 1e-8, "element {k}: {} vs {slope}", grads[k]);
    }
}

#[test]
fn padded_frames_are_never_read_and_get_no_gradient() {
    let lens = [2, 5];
    let targets = vec![vec![1], vec![1, 2]];
    let mut logits = noise(2 * 5 * 3);
    let clean = problem(&logits, (5, 3), &lens, &targets, 0).losses();
    logits[2 * 3..5 * 3].fill(f64::NAN);
    let p = problem(&logits, (5, 3), &lens, &targets, 0);
    assert_eq!(p.losses(), clean);
    let grads = p.logit_grads(&[1.0, 1.0]);
    assert!(grads.iter().all(|g| g.is_finite()));
    assert!(grads[6..15].iter().all(|&g| g == 0.0));
}

#[test]
fn too_few_frames_cost_infinity_or_nothing() {
    // A repeated label needs a blank in between: three frames at least.
    let lens = [2, 0, 0];
    let targets = vec![vec![1, 1], vec![1], vec![]];
    let logits = noise(3 * 2 * 3);
    let mut p = problem(&logits, (2, 3), &lens, &targets, 0);
    assert_eq!(p.losses(), [f64::INFINITY, f64::INFINITY, 0.0]);
    assert!(p.logit_grads(&[1.0; 3])[..6].iter().all(|g| g.is_nan()));
    p.zero_infinity = true;
    assert_eq!(p.losses(), [0.0, 0.0, 0.0]);
    assert!(p.logit_grads(&[1.0; 3]).iter().all(|&g| g == 0.0));
}

#[test]
fn gradient_rows_sum_to_zero() {
    let lens = [6];
    let targets = vec![vec![4, 1]];
    let logits = noise(6 * 5);
    let grads = problem(&logits, (6, 5), &lens, &targets, 0).logit_grads(&[1.0]);
    for row in grads.chunks(5) {
        assert!(row.iter().sum::<f64>().abs() < 1e-12);
    }
}
