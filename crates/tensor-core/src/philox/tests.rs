use super::*;

/// `kat_vectors` of Random123 for philox4x32, 10 rounds: counter, key, result.
#[test]
fn blocks_equal_the_known_answers_of_random123() {
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, want) in cases {
        let mut words = counter.map(|word: u32| [u64::from(word); 3]);
        encrypt(&mut words, key);
        assert_eq!(words.map(|lanes| lanes.map(|word| word as u32)), want.map(|word| [word; 3]));
    }
}

#[test]
fn uniforms_and_normals_have_their_moments() {
    let mut rng = Philox::new(3, 9);
    let n = 200_000;
    let uniforms: Vec<f64> = (0..n).map(|_| f64::from(rng.uniform())).collect();
    assert!(uniforms.iter().all(|u| (0.0..1.0).contains(u)));
    let mean = uniforms.iter().sum::<f64>() / f64::from(n);
    // Five standard errors of a uniform's mean, 0.289 / sqrt(n).
    assert!((mean - 0.5).abs() < 3.3e-3, "{mean}");

    let normals: Vec<f64> = (0..n).map(|_| f64::from(rng.normal())).collect();
    let moment = |k| normals.iter().map(|z| z.powi(k)).sum::<f64>() / f64::from(n);
    assert!(moment(1).abs() < 0.012 && (moment(2) - 1.0).abs() < 0.016);
    assert!(moment(3).abs() < 0.05 && (moment(4) - 3.0).abs() < 0.12);
}

#[test]
fn below_covers_its_range_evenly() {
    let mut rng = Philox::new(1, 0);
    let mut counts = [0u32; 7];
    for _ in 0..70_000 {
        counts[rng.below(7) as usize] += 1;
    }
    assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 500), "{counts:?}");
    assert_eq!((rng.below(1), rng.below(0)), (0, 0));
}

#[test]
fn shuffling_permutes() {
    let mut items: Vec<usize> = (0..129).collect();
    Philox::new(5, 2).shuffle(&mut items);
    assert_ne!(items[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    items.sort_unstable();
    assert!(items.into_iter().eq(0..129));
}

#[test]
fn any_split_of_a_dropout_range_gives_the_same_factors() {
    let key = DropoutKey { seed: 11, stream: 1 << 40 };
    let mut whole = vec![0.0f32; 1001];
    key.fill_factors(0.3, 0, &mut whole);
    for (i, &factor) in whole.iter().enumerate() {
        let word = block(key.seed, key.stream, i as u64 / 4)[i % 4];
        let kept = f64::from(word) >= 0.3 * 4_294_967_296.0;
        assert_eq!(factor, if kept { 1.0 / 0.7 } else { 0.0 }, "element {i}");
    }
    for split in [1, 2, 3, 4, 63, 64, 65, 998] {
        let mut parts = vec![0.0f32; 1001];
        let (left, right) = parts.split_at_mut(split);
        key.fill_factors(0.3, 0, left);
        key.fill_factors(0.3, split as u64, right);
        assert_eq!(parts, whole, "split at {split}");
    }
}

#[test]
fn dropout_keeps_the_mean_and_passes_all_at_zero() {
    let key = DropoutKey { seed: 0, stream: 0 };
    let x = vec![1.0f64; 3 * CHUNK + 5];
    assert_eq!(dropout(&x, 0.0, key), x);
    let mean = dropout(&x, 0.1, key).iter().sum::<f64>() / x.len() as f64;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
}
