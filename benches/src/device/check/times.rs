//! Every case of ours by events.

use std::time::{Duration, Instant};

use gpu_runtime::Device;

use super::budget::remaining;
use super::findings::Findings;
use super::machine::state;
use super::options::Options;
use super::record::Row;
use crate::device::cards::Card;
use crate::device::cases::Case;
use crate::device::roofline::floor;
use crate::device::timing::{Clock, Timing, time};

/// Times the cases until time is up. Each may take twice its even part of what is left: many need
/// less.
pub(super) fn run(
    cases: &[&'static Case],
    device: &Device,
    options: &Options,
    until: Instant,
    rows: &mut Vec<Row>,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    findings.lines.extend(state().map(|state| format!("Before: {state}.")));
    for (at, case) in cases.iter().enumerate() {
        let left = remaining(until);
        if left.is_zero() {
            findings.left_out.push(format!("times: {}, time was up", case.name()));
            continue;
        }
        let part = left.mul_f64(2.0 / (cases.len() - at + 1) as f64).min(Duration::from_secs(10));
        match time(case, device, options.clock(), part) {
            Ok(timing) => {
                // What the interpreter took has nothing to do with a card's floor.
                let card = Some(&device.facts().name).filter(|_| options.clock() == Clock::Gpu);
                let card = card.and_then(|product| Card::of_product(product));
                println!("{}: {:.1} us", case.name(), timing.warm[1]);
                rows.extend(case_rows(case, &timing, card));
            }
            Err(error) => findings.faults.push(format!("times: {error:#}")),
        }
        // What was freed stays in the pool otherwise, and peers need room.
        device.trim_memory(0)?;
    }
    findings.lines.extend(state().map(|state| format!("After: {state}.")));
    Ok(findings)
}

/// A row for each number.
pub(super) fn case_rows(case: &Case, timing: &Timing, card: Option<&Card>) -> Vec<Row> {
    let known = card.filter(|card| card.name == "h200");
    let expected: Vec<String> = case
        .predicted
        .iter()
        .filter(|_| known.is_some())
        .map(|p| format!("{} {:.1} us", p.what, p.seconds * 1e6))
        .collect();
    let base = Row {
        op: case.op.into(),
        shape: case.shape.into(),
        variant: case.variant.into(),
        extents: case.full.extents(),
        who: "ours".into(),
        samples: timing.samples,
        floor_us: card.map(|card| floor(&case.full.ideal(), card).seconds * 1e6),
        expected: expected.join("; "),
        note: "CUDA events".into(),
        ..Row::default()
    };
    let whole = |what: &str, us| Row { what: what.into(), us, ..base.clone() };
    let mut rows = vec![
        whole("call, warm L2", timing.warm),
        whole("call, cold L2", timing.cold),
        whole("all kernels", [timing.kernels_us(); 3]),
    ];
    rows.extend(timing.kernels.iter().map(|(kernel, (launches, us))| Row {
        launches: Some(*launches),
        floor_us: None,
        expected: String::new(),
        ..whole(kernel, [*us; 3])
    }));
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::device::cards::CARDS;
    use crate::device::cases::cases;

    #[test]
    fn a_case_has_a_row_for_each_way_of_timing_it_and_each_kernel() {
        let case = cases().find(|case| !case.predicted.is_empty()).unwrap();
        let kernels = BTreeMap::from([("k".to_owned(), (2, 5.0))]);
        let timing = Timing { warm: [1.0, 2.0, 3.0], kernels, ..Timing::default() };
        let rows = case_rows(case, &timing, Some(&CARDS[0]));
        let whats: Vec<_> = rows.iter().map(|row| row.what.as_str()).collect();
        assert_eq!(whats, ["call, warm L2", "call, cold L2", "all kernels", "k"]);
        assert!(rows[0].floor_us.unwrap() > 0.0 && rows[3].floor_us.is_none());
        assert_eq!((rows[2].us[1], rows[3].launches), (5.0, Some(2)));
        assert!(
            rows[0].expected.contains(" us")
                && case_rows(case, &timing, None)[0].expected.is_empty()
        );
    }
}
