use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

const OPTIONS: BatchOptions = BatchOptions {
    max_seconds: 0.0,
    max_tokens: 0,
    max_items: 4,
    bucket_count: 3,
    oversize: Oversize::Refuse,
};

/// `n` lengths that are in no order and have ties.
fn lengths(n: usize) -> Vec<Length> {
    let seconds = |i: usize| 1.0 + ((i * 7919) % 23) as f64 / 2.0;
    (0..n).map(|i| Length { seconds: seconds(i), tokens: 1 + (i * 31) % 17 }).collect()
}

/// Seconds of a batch and its items times the longest, both in seconds.
fn seconds(lengths: &[Length], batch: &[usize]) -> (f64, f64) {
    let seconds = || batch.iter().map(|&i| lengths[i].seconds);
    (seconds().sum(), seconds().fold(0.0, f64::max) * batch.len() as f64)
}

/// Items times the longest, in tokens.
fn padded_tokens(lengths: &[Length], batch: &[usize]) -> usize {
    batch.iter().map(|&i| lengths[i].tokens).max().unwrap_or(0) * batch.len()
}

fn epoch(plan: &BatchPlan, epoch: u64) -> Vec<Vec<usize>> {
    let n = plan.batches_per_epoch() as u64;
    (epoch * n..(epoch + 1) * n).map(|step| plan.batch(step)).collect()
}

#[test]
fn each_utterance_is_in_exactly_one_batch_of_an_epoch() {
    for n in [1, 2, 5, 12, 13, 97] {
        for bucket_count in [1, 2, 7, 200] {
            let plan =
                BatchPlan::new(lengths(n), BatchOptions { bucket_count, ..OPTIONS }, 9).unwrap();
            for e in 0..3 {
                let mut all: Vec<usize> = epoch(&plan, e).concat();
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>(), "{n} items, {bucket_count} buckets");
            }
        }
    }
}

#[test]
fn a_batch_depends_on_seed_and_step_alone() {
    let plan = BatchPlan::new(lengths(97), OPTIONS, 9).unwrap();
    let again = BatchPlan::new(lengths(97), OPTIONS, 9).unwrap();
    // Asked for backwards, from a fresh plan: as after a resume.
    for step in (0..200).rev() {
        assert_eq!(plan.batch(step), again.batch(step));
    }
    let other = BatchPlan::new(lengths(97), OPTIONS, 10).unwrap();
    assert_ne!(epoch(&plan, 0), epoch(&other, 0));
    assert_ne!(epoch(&plan, 0), epoch(&plan, 1));
}

#[test]
fn one_utterance_makes_one_batch_again_and_again() {
    let plan = BatchPlan::new(lengths(1), OPTIONS, 0).unwrap();
    assert_eq!(plan.batches_per_epoch(), 1);
    assert!((0..5).all(|step| plan.batch(step) == [0]));
}

#[test]
fn buckets_lower_the_share_of_padding() {
    let share = |bucket_count| {
        let options = BatchOptions { bucket_count, ..OPTIONS };
        let plan = BatchPlan::new(lengths(200), options, 1).unwrap();
        let sums = epoch(&plan, 0).into_iter().fold((0.0, 0.0), |sums, batch| {
            let (own, padded) = seconds(&lengths(200), &batch);
            (sums.0 + own, sums.1 + padded)
        });
        1.0 - sums.0 / sums.1
    };
    assert!(share(10) < 0.1, "{}", share(10));
    assert!(share(10) < share(1) / 2.0, "{} {}", share(10), share(1));
}

#[test]
fn no_bucket_is_too_small_to_fill_a_batch() {
    // Twelve buckets of one item would make twelve batches of one.
    for (n, batches) in [(12, 3), (13, 4), (3, 1)] {
        let options = BatchOptions { bucket_count: 200, ..OPTIONS };
        let plan = BatchPlan::new(lengths(n), options, 1).unwrap();
        assert_eq!(plan.batches_per_epoch(), batches, "{n} items");
    }
    // Short items fill a batch by number, long ones by seconds.
    let items: Vec<Length> =
        (1..=24).map(|i| Length { seconds: f64::from(i), tokens: 0 }).collect();
    let options = BatchOptions { max_seconds: 48.0, max_items: 8, bucket_count: 24, ..OPTIONS };
    let plan = BatchPlan::new(items, options, 1).unwrap();
    let mut sizes: Vec<usize> = epoch(&plan, 0).iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2, 2, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn batches_of_a_bucket_differ_by_at_most_one_item() {
    let options = BatchOptions { bucket_count: 1, max_items: 8, ..OPTIONS };
    let plan = BatchPlan::new(lengths(97), options, 1).unwrap();
    let sizes: Vec<usize> = epoch(&plan, 0).iter().map(Vec::len).collect();
    assert_eq!(sizes.len(), 13);
    assert!(sizes.iter().all(|size| [7, 8].contains(size)), "{sizes:?}");
}

#[test]
fn an_utterance_over_a_cap_is_refused_or_alone() {
    let mut items = lengths(20);
    items[13].seconds = 99.0;
    let options = BatchOptions { max_seconds: 30.0, ..OPTIONS };
    let error = BatchPlan::new(items.clone(), options, 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "batch plan: utterance 13 has 99 s and 13 tokens, expected at most batch.max_seconds = 30 \
         and batch.max_tokens = 0 (hint: raise the cap or lower data.max_duration_s)"
    );
    let options = BatchOptions { oversize: Oversize::Alone, ..options };
    let plan = BatchPlan::new(items.clone(), options, 1).unwrap();
    let batches = epoch(&plan, 0);
    assert!(batches.contains(&vec![13]));
    let mut others = batches.iter().filter(|batch| **batch != [13]);
    assert!(others.all(|batch| seconds(&items, batch).1 <= 30.0));
}

#[test]
fn a_cap_holds_where_the_quotient_rounds_up() {
    // 98 / 2.8000000000000003 is 35 in f64, but 35 times it is 98.00000000000001.
    let items = vec![Length { seconds: 2.8000000000000003, tokens: 1 }; 35];
    let options = BatchOptions { max_seconds: 98.0, max_items: 0, bucket_count: 1, ..OPTIONS };
    let plan = BatchPlan::new(items.clone(), options, 1).unwrap();
    let batches = epoch(&plan, 0);
    assert_eq!(batches.len(), 2);
    assert!(batches.iter().all(|batch| seconds(&items, batch).1 <= 98.0));
}

#[test]
fn plans_without_items_or_caps_are_refused() {
    let error = BatchPlan::new(Vec::new(), OPTIONS, 1).unwrap_err().to_string();
    assert_eq!(error, "batch plan: no utterances, expected at least one");
    let error = BatchPlan::new(lengths(3), BatchOptions { max_items: 0, ..OPTIONS }, 1);
    assert!(error.unwrap_err().to_string().starts_with("batch plan: no cap holds"));
    // A cap on seconds holds nothing back where there is no audio.
    let silent = vec![Length { seconds: 0.0, tokens: 9 }; 3];
    let options = BatchOptions { max_items: 0, max_seconds: 30.0, ..OPTIONS };
    let error = BatchPlan::new(silent, options, 1).unwrap_err().to_string();
    assert!(error.starts_with("batch plan: no cap holds"), "{error}");
    let nan = vec![Length { seconds: f64::NAN, tokens: 1 }];
    let error = BatchPlan::new(nan, OPTIONS, 1).unwrap_err().to_string();
    assert_eq!(error, "batch plan: utterance 0 is NaN s long, expected 0 or more");
}

#[test]
fn first_positions_are_spread_evenly_over_items() {
    // Each of 50 items should come first in about 2,000 / 50 = 40 epochs; sd is about 6.3.
    let options = BatchOptions { max_items: 1, bucket_count: 1, ..OPTIONS };
    let plan = BatchPlan::new(lengths(50), options, 3).unwrap();
    let mut counts = [0u32; 50];
    for epoch in 0..2000 {
        counts[plan.batch(epoch * 50)[0]] += 1;
    }
    assert!(counts.iter().all(|count| (12..=72).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn caps_hold_with_padding_and_every_item_comes_once(
        items in prop::collection::vec((0.0f64..20.0, 0usize..40), 1..120),
        max_seconds in prop_oneof![Just(0.0), 20.0f64..100.0],
        max_tokens in prop_oneof![Just(0usize), 40usize..200],
        max_items in 1usize..20,
        bucket_count in 1usize..12,
        seed: u64,
        epoch in 0u64..1_000_000,
    ) {
        let lengths: Vec<Length> =
            items.iter().map(|&(seconds, tokens)| Length { seconds, tokens }).collect();
        let options =
            BatchOptions { max_seconds, max_tokens, max_items, bucket_count, oversize: Oversize::Refuse };
        let plan = BatchPlan::new(lengths.clone(), options, seed).unwrap();
        let n = plan.batches_per_epoch() as u64;
        let mut seen = Vec::new();
        for step in epoch * n..(epoch + 1) * n {
            let batch = plan.batch(step);
            prop_assert!(!batch.is_empty() && batch.len() <= max_items);
            prop_assert!(max_seconds == 0.0 || seconds(&lengths, &batch).1 <= max_seconds);
            prop_assert!(max_tokens == 0 || padded_tokens(&lengths, &batch) <= max_tokens);
            seen.extend(batch);
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..items.len()).collect::<Vec<_>>());
    }
}

/// 90 utterances of three sources: 60, 20 and 10.
fn blend(weights: [f64; 3]) -> (Vec<Length>, Blend) {
    let source_of = (0..90).map(|i| [0, 1, 2][usize::from(i >= 60) + usize::from(i >= 80)]);
    (lengths(90), Blend { source_of: source_of.collect(), weights: weights.to_vec() })
}

#[test]
fn a_blend_draws_from_each_source_in_proportion_in_every_epoch() {
    for (weights, expected) in [
        ([1.0, 1.0, 1.0], [30, 30, 30]),
        ([0.2, 0.2, 0.6], [18, 18, 54]),
        ([6.0, 2.0, 1.0], [60, 20, 10]),
        // At least one of each bucket.
        ([1.0, 1.0, 1e-9], [44, 43, 3]),
    ] {
        let (lengths, blend) = blend(weights);
        let plan = BatchPlan::blended(lengths, OPTIONS, 9, &blend).unwrap();
        for e in 0..5 {
            let mut drawn = [0; 3];
            for item in epoch(&plan, e).concat() {
                drawn[blend.source_of[item]] += 1;
            }
            let near =
                drawn.iter().zip(expected).all(|(&got, want): (&i32, i32)| (got - want).abs() <= 2);
            assert!(near, "{weights:?}: {drawn:?}, expected {expected:?}");
        }
    }
}

#[test]
fn a_source_goes_through_all_its_utterances_before_one_comes_again() {
    let (lengths, blend) = blend([1.0, 1.0, 4.0]);
    let plan = BatchPlan::blended(lengths, OPTIONS, 9, &blend).unwrap();
    let mut times = [0; 90];
    let n_epochs = 40;
    for e in 0..n_epochs {
        for item in epoch(&plan, e).concat() {
            times[item] += 1;
        }
    }
    // 15, 15 and 60 draws an epoch; buckets of a source round them by one at most.
    for (items, draws) in [(0..60, 15.0), (60..80, 15.0), (80..90, 60.0)] {
        let mean = draws * f64::from(n_epochs as u32) / items.len() as f64;
        for item in items {
            let got = f64::from(times[item]);
            assert!((got / mean - 1.0).abs() < 0.35, "{item}: {got} times, {mean} on average");
        }
    }
}

#[test]
fn a_blended_batch_depends_on_seed_and_step_alone_and_keeps_the_caps() {
    let (mut items, blend) = blend([1.0, 2.0, 3.0]);
    // One that fits no batch: it comes alone.
    items[85].seconds = 99.0;
    let options = BatchOptions { max_seconds: 30.0, oversize: Oversize::Alone, ..OPTIONS };
    let plan = || BatchPlan::blended(items.clone(), options, 9, &blend).unwrap();
    let (first, again) = (plan(), plan());
    let mut alone = 0;
    for step in (0..400).rev() {
        let batch = first.batch(step);
        assert_eq!(batch, again.batch(step));
        assert!(!batch.is_empty() && batch.len() <= 4);
        alone += usize::from(batch == [85]);
        assert!(batch == [85] || seconds(&items, &batch).1 <= 30.0);
    }
    assert!(alone > 0);
    assert_ne!(epoch(&first, 0), epoch(&first, 1));
}

#[test]
fn blends_that_cannot_be_drawn_from_are_refused() {
    let refused = |change: &dyn Fn(&mut Blend)| {
        let (lengths, mut blend) = blend([1.0, 1.0, 1.0]);
        change(&mut blend);
        BatchPlan::blended(lengths, OPTIONS, 1, &blend).unwrap_err().to_string()
    };
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = refused(&|blend| blend.weights[1] = weight);
        assert!(error.starts_with(&format!("blend: weight of source 1 is {weight}, expected > 0")));
    }
    let error = refused(&|blend| blend.weights.push(1.0));
    assert!(error.starts_with("blend: source 3 has no utterance left, expected at least one"));
    let error = refused(&|blend| blend.source_of[0] = 7);
    assert!(error.starts_with("blend: an utterance is of a source without a weight"), "{error}");
    let error = refused(&|blend| blend.source_of.truncate(5));
    assert_eq!(error, "blend: sources of 5 utterances, expected of 90");
}

#[test]
fn prefetched_steps_come_in_order_whatever_the_workers() {
    for (depth, workers) in [(1, 1), (1, 4), (7, 3), (0, 0)] {
        let made = Prefetcher::new(depth, workers, 5, |step| {
            // Odd steps take longer, so that later ones overtake them.
            let spins = if step % 2 == 1 { 20_000 } else { 0 };
            Ok((0..spins).fold(step, |x, _| std::hint::black_box(x)))
        });
        let steps: Vec<u64> = made.unwrap().take(40).map(Result::unwrap).collect();
        assert_eq!(steps, (5..45).collect::<Vec<_>>(), "depth {depth}, {workers} workers");
    }
}

#[test]
fn workers_never_run_further_ahead_than_the_depth() {
    let started = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&started);
    let mut made = Prefetcher::new(3, 2, 0, move |step| {
        counter.fetch_max(step + 1, Ordering::SeqCst);
        Ok(step)
    })
    .unwrap();
    for taken in 1..50 {
        made.next().unwrap().unwrap();
        assert!(started.load(Ordering::SeqCst) <= taken + 3);
    }
}

#[test]
fn an_error_arrives_at_its_own_step_and_ends_the_iterator() {
    let mut made = Prefetcher::new(4, 3, 0, |step| match step {
        6 => anyhow::bail!("train.jsonl:6: no such file"),
        step => Ok(step),
    })
    .unwrap();
    for step in 0..6 {
        assert_eq!(made.next().unwrap().unwrap(), step);
    }
    assert_eq!(made.next().unwrap().unwrap_err().to_string(), "train.jsonl:6: no such file");
    assert!(made.next().is_none());
}

#[test]
fn a_panic_is_an_error_at_its_own_step() {
    let mut made = Prefetcher::new(2, 2, 0, |step| {
        assert!(step != 2, "broken batch");
        Ok(step)
    })
    .unwrap();
    assert!(made.next().unwrap().is_ok() && made.next().unwrap().is_ok());
    let error = made.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "prefetch: making the batch of step 2 panicked: broken batch");
}

#[test]
fn dropping_waits_for_the_workers() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let made = Prefetcher::new(2, 3, 0, move |step| {
        let _held = &held;
        Ok(step)
    })
    .unwrap();
    drop(made);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn the_heaviest_batch_has_the_most_padded_seconds_and_then_tokens() {
    let lengths: Vec<Length> = (0..23)
        .map(|k| Length { seconds: f64::from((k * 7) % 23), tokens: 1 + (k * 5) as usize % 11 })
        .collect();
    for (bucket_count, max_seconds) in [(1, 0.0), (4, 60.0), (23, 20.0)] {
        let options = BatchOptions {
            max_seconds,
            max_tokens: 0,
            max_items: 4,
            bucket_count,
            oversize: Oversize::Alone,
        };
        let plan = BatchPlan::new(lengths.clone(), options, 3).unwrap();
        let seconds = |number: u64| {
            let items = plan.batch(number);
            items.iter().map(|&item| lengths[item].seconds).fold(0.0, f64::max) * items.len() as f64
        };
        let most = (0..plan.batches_per_epoch() as u64).map(seconds).fold(0.0, f64::max);
        assert_eq!(seconds(plan.heaviest()), most);
    }
    // Text alone.
    let lengths = [3, 9, 4].map(|tokens| Length { seconds: 0.0, tokens });
    let options = BatchOptions {
        max_seconds: 0.0,
        max_tokens: 0,
        max_items: 1,
        bucket_count: 1,
        oversize: Oversize::Alone,
    };
    let plan = BatchPlan::new(lengths.to_vec(), options, 3).unwrap();
    assert_eq!(plan.batch(plan.heaviest()), [1]);
}
