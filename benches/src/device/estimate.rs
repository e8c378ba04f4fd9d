//! A case on the interpreter: its kernels' counts, scaled to the whole, and what is said of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use gpu_runtime::{Device, Stream};

use super::cards::Card;
use super::cases::Case;
use super::counts::{Counts, read};
use super::roofline::{bounds, floor, table, total};
use crate::kernels::record::quoted;

/// What the interpreter counted of a case.
#[derive(Debug)]
pub struct Estimate {
    /// The case.
    pub case: &'static Case,
    /// Counts of the whole case by kernel; launches are those of what was interpreted.
    pub kernels: BTreeMap<String, Counts>,
    /// How long the interpreter took: of interest to who waits for it alone.
    pub interpreted_seconds: f64,
}

/// Runs a case once on the interpreter, whose counters go to `counters` from byte `from` on; also
/// says where they end then.
///
/// # Errors
///
/// When the device fails, or nothing was counted.
pub fn estimate(
    case: &'static Case,
    device: &Device,
    counters: &Path,
    from: usize,
) -> anyhow::Result<(Estimate, usize)> {
    let start = Instant::now();
    let stream = Stream::new(device)?;
    let mut run = case.interpreted().prepare(&stream).with_context(|| case.name())?;
    run().with_context(|| case.name())?;
    let interpreted_seconds = start.elapsed().as_secs_f64();
    let (mut kernels, end) = read(counters, from)?;
    kernels.retain(|kernel, _| case.times(kernel) > 0.0);
    kernels.iter_mut().for_each(|(kernel, counts)| *counts = counts.times(case.times(kernel)));
    Ok((Estimate { case, kernels, interpreted_seconds }, end))
}

impl Estimate {
    /// For people.
    pub fn text(&self, card: &Card) -> String {
        let case = self.case;
        let scaled = match case.fraction {
            Some(_) => format!("; scaled from {}", case.interpreted().extents()),
            None => String::new(),
        };
        let mut text = format!(
            "{}{scaled}; interpreted in {:.2} s\n{}",
            case.name(),
            self.interpreted_seconds,
            table(&self.kernels, card)
        );
        let least = floor(&case.full.ideal(), card);
        let _ = writeln!(
            text,
            "least work of the operation, estimated: {} {:.1} us",
            least.resource,
            least.seconds * 1e6
        );
        for prediction in case.predicted.iter().filter(|_| card.name == "h200") {
            let _ = writeln!(
                text,
                "expected of the design, {}: {:.1} us",
                prediction.what,
                prediction.seconds * 1e6
            );
        }
        text
    }

    /// Rows of the record, in the order of [`CSV_HEADER`].
    pub fn csv(&self, card: &Card) -> String {
        let case = self.case;
        let mut text = String::new();
        let mut row = |line: &str, counts: Option<(&str, &Counts)>, seconds: f64, by: &str| {
            let head = [
                "estimated, not measured".to_owned(),
                card.name.to_owned(),
                case.op.to_owned(),
                case.shape.to_owned(),
                case.variant.to_owned(),
                case.full.extents(),
                case.interpreted().extents(),
            ];
            let head: Vec<String> = head.iter().map(|field| quoted(field)).collect();
            let middle = match counts {
                Some((kernel, c)) => format!(
                    "{kernel},{},{},{},{},{},{:.2},{},{},{},{:.2},{},{}",
                    c.launches,
                    case.times(kernel),
                    c.warp_instructions,
                    c.bytes,
                    c.useful_bytes,
                    c.sectors_per_request(),
                    c.flop,
                    c.mma_flop,
                    c.special,
                    c.intensity(),
                    c.wavefronts,
                    c.conflicts
                ),
                None => ",".repeat(12),
            };
            let us = seconds * 1e6;
            let _ = writeln!(text, "{},{line},{middle},{us:.3},{}", head.join(","), quoted(by));
        };
        for (kernel, counts) in &self.kernels {
            let bound = bounds(counts, card)[0];
            row("kernel", Some((kernel, counts)), bound.seconds, bound.resource);
        }
        row("all kernels", None, total(&self.kernels, card), "sum of the kernels' bounds");
        let least = floor(&case.full.ideal(), card);
        row("least work", None, least.seconds, least.resource);
        for prediction in case.predicted.iter().filter(|_| card.name == "h200") {
            row("design", None, prediction.seconds, prediction.what);
        }
        text
    }
}

/// Names of the columns of [`Estimate::csv`].
pub const CSV_HEADER: &str = "source,gpu,op,shape,variant,extents,interpreted_extents,row,kernel,\
    launches,scaled_by,warp_instructions,bytes,useful_bytes,sectors_per_request,flop,mma_flop,\
    special,flop_per_byte,shared_wavefronts,bank_conflicts,roofline_us,bound_by";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cards::CARDS;
    use crate::device::cases;

    #[test]
    fn every_row_has_all_columns_and_says_that_it_is_an_estimate() {
        let case = cases::cases().find(|case| !case.predicted.is_empty()).unwrap();
        let counts = Counts { launches: 1.0, bytes: 64.0, requests: 1.0, ..Counts::default() };
        let kernels = BTreeMap::from([("k".to_owned(), counts)]);
        let estimate = Estimate { case, kernels, interpreted_seconds: 0.0 };
        let columns = CSV_HEADER.split(',').count();
        let csv = estimate.csv(&CARDS[0]);
        for row in csv.lines() {
            let commas: usize =
                row.split('"').step_by(2).map(|plain| plain.matches(',').count()).sum();
            assert_eq!(commas + 1, columns, "{row}");
            assert!(row.starts_with("\"estimated, not measured\",\"h200\","), "{row}");
        }
        assert_eq!(csv.lines().count(), 3 + case.predicted.len());
        assert!(estimate.text(&CARDS[0]).contains("expected of the design"));
        assert!(!estimate.text(&CARDS[1]).contains("expected of the design"));
    }
}
