//! Results as text, as CSV, as JSON and as README's table.

use std::fmt::Write;

use serde_json::{Value, json};

use super::definitions::{Against, Case};
use super::record::quoted;
use super::session::{CaseResult, PeerResult, median};

const CSV_HEADER: &str = "op,shape,work,dtype,threads,ours_min_ms,ours_p20_ms,ours_p50_ms,ours_p80_ms,\
                          ours_samples,ours_extra_mb,check_error,peer,peer_min_ms,peer_p20_ms,peer_p50_ms,\
                          peer_p80_ms,peer_samples,peer_extra_mb,peer_difference,peer_over_ours,\
                          peer_version,note\n";

/// Every case with its peers and its reason.
pub fn list(cases: &[&Case]) -> String {
    let mut out = String::new();
    for case in cases {
        let peers: Vec<&str> = case.peers.iter().map(|peer| peer.name).collect();
        out += &format!("{}\n    {}\n    beside: {}\n", case.name(), case.reason, peers.join(", "));
    }
    out
}

/// One block of lines for a case: ours, then each peer.
pub fn text_table(result: &CaseResult) -> String {
    let mut out = String::new();
    let case = result.case;
    let _ = writeln!(out, "{} (check: {:.1e})", case.name(), result.error);
    let _ = writeln!(out, "  {}", line("ours", &result.samples, result.extra_mb).trim_end());
    for peer in &result.peers {
        let kind = if peer.peer.rival { "" } else { "  (yardstick)" };
        let difference =
            peer.difference.map_or(String::new(), |value| format!("  differs by {value:.0e}"));
        let _ = writeln!(
            out,
            "  {}  peer/ours {:>7.2}{difference}{kind}",
            line(peer.peer.name, &peer.samples, peer.extra_mb),
            result.ratio(peer)
        );
    }
    for &aim in case.aims {
        let Some(reached) = result.reached(aim) else { continue };
        let against = match aim.against {
            Against::FastestRival => "fastest rival",
            Against::Peer(name) => name,
        };
        let verdict = if reached >= aim.at_least { "reached" } else { "MISSED" };
        let _ = writeln!(
            out,
            "  aim: {against} / ours at least {:.2}, is {reached:.2}: {verdict}",
            aim.at_least
        );
    }
    out
}

fn line(name: &str, samples: &[f64], extra_mb: Option<f64>) -> String {
    let extra = extra_mb.map_or(String::new(), |mb| format!("{mb:.0}"));
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    format!(
        "{name:<26} median {:>10.2} ms  min {least:>10.2} ms  of {:>2}  extra {extra:>5} MB",
        median(samples),
        samples.len()
    )
}

/// A record: a line for each case and peer, and one for a case alone.
pub fn csv(results: &[CaseResult], threads: usize, note: &str) -> String {
    let mut out = CSV_HEADER.to_owned();
    for result in results {
        let case = result.case;
        let ours = format!(
            "{},{},{},f32,{threads},{},{:.2e}",
            case.op,
            quoted(case.shape),
            quoted(case.work),
            fields(&result.samples, result.extra_mb),
            result.error
        );
        let with = |peer: &PeerResult| {
            let difference = peer.difference.map_or(String::new(), |value| format!("{value:.1e}"));
            format!(
                "{},{},{difference},{:.3},{}",
                quoted(peer.peer.name),
                fields(&peer.samples, peer.extra_mb),
                result.ratio(peer),
                quoted(&peer.version)
            )
        };
        let mut peers: Vec<String> = result.peers.iter().map(with).collect();
        if peers.is_empty() {
            peers.push(",,,,,,,,,".to_owned());
        }
        for peer in peers {
            let _ = writeln!(out, "{ours},{peer},{}", quoted(note));
        }
    }
    out
}

/// min, percentiles, number and memory.
fn fields(samples: &[f64], extra_mb: Option<f64>) -> String {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let [p20, p50, p80] = crate::percentiles(samples);
    let extra = extra_mb.map_or(String::new(), |mb| format!("{mb:.1}"));
    format!("{least:.3},{p20:.3},{p50:.3},{p80:.3},{},{extra}", samples.len())
}

/// Everything, samples included.
pub fn json(results: &[CaseResult], threads: usize, note: &str) -> Value {
    let peer = |result: &CaseResult, peer: &PeerResult| {
        json!({
            "name": peer.peer.name,
            "version": peer.version,
            "samples_ms": peer.samples,
            "median_ms": median(&peer.samples),
            "extra_mb": peer.extra_mb,
            "difference": peer.difference,
            "does_the_same_work": peer.peer.rival,
            "over_ours": result.ratio(peer),
        })
    };
    let case = |result: &CaseResult| {
        let peers: Vec<Value> = result.peers.iter().map(|other| peer(result, other)).collect();
        json!({
            "op": result.case.op,
            "shape": result.case.shape,
            "work": result.case.work,
            "reason": result.case.reason,
            "check_error": result.error,
            "samples_ms": result.samples,
            "median_ms": median(&result.samples),
            "extra_mb": result.extra_mb,
            "peers": peers,
        })
    };
    let cases: Vec<Value> = results.iter().map(case).collect();
    json!({ "device": "cpu", "dtype": "f32", "threads": threads, "note": note, "cases": cases })
}

/// A row for each case, beside its fastest rival, and one for each yardstick.
pub fn readme_table(results: &[CaseResult]) -> String {
    let mut out = String::from(
        "| loss | shape | work | ours, ms | peer | its ms | peer / ours |\n\
         |---|---|---|---:|---|---:|---:|\n",
    );
    for result in results {
        let yardsticks = result.peers.iter().filter(|peer| !peer.peer.rival);
        for peer in result.fastest_rival().into_iter().chain(yardsticks) {
            let case = result.case;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:.2} | {} | {:.2} | {:.2} |",
                case.op,
                case.shape,
                case.work,
                median(&result.samples),
                peer.peer.name,
                median(&peer.samples),
                result.ratio(peer)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::definitions::CASES;

    /// S1 forward with its yardstick and two rivals, or alone.
    fn result(with_peers: bool) -> CaseResult {
        let case = &CASES[0];
        let peer = |at: usize, samples: &[f64], difference| PeerResult {
            peer: &case.peers[at],
            version: "torch 2".into(),
            samples: samples.to_vec(),
            extra_mb: Some(12.34),
            difference,
        };
        let peers =
            vec![peer(0, &[8.0], None), peer(1, &[40.0], Some(1e-6)), peer(2, &[20.0], Some(2e-6))];
        let peers = if with_peers { peers } else { Vec::new() };
        CaseResult { case, error: 1.5e-7, samples: vec![9.0, 10.0, 11.0], extra_mb: None, peers }
    }

    #[test]
    fn the_table_says_times_ratios_and_aims() {
        let text = text_table(&result(true));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "sinkhorn S1 forward (check: 1.5e-7)");
        assert!(
            lines[1].contains("ours ") && lines[1].contains("10.00 ms  min       9.00 ms  of  3")
        );
        assert!(lines[2].ends_with("peer/ours    0.80  (yardstick)"));
        assert!(lines[3].contains("peer/ours    4.00  differs by 1e-6"));
        assert_eq!(
            lines[5..],
            [
                "  aim: torch cost product alone / ours at least 0.80, is 0.80: reached",
                "  aim: fastest rival / ours at least 2.50, is 2.00: MISSED",
            ]
        );
        assert_eq!(text_table(&result(false)).lines().count(), 2);
    }

    #[test]
    fn every_line_of_a_record_has_all_columns() {
        let text = csv(&[result(true), result(false)], 2, "quiet machine");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 3 + 1);
        let columns = lines[0].split(',').count();
        assert!(lines.iter().all(|line| line.split(',').count() == columns), "{text}");
        assert_eq!(
            lines[2],
            "sinkhorn,\"S1\",\"forward\",f32,2,9.000,9.400,10.000,10.600,3,,1.50e-7,\"torch log\",\
             40.000,40.000,40.000,40.000,1,12.3,1.0e-6,4.000,\"torch 2\",\"quiet machine\""
        );
    }

    #[test]
    fn the_readme_has_the_fastest_rival_and_the_yardstick() {
        let table = readme_table(&[result(true), result(false)]);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| sinkhorn | S1 | forward | 10.00 | torch exp | 20.00 | 2.00 |",
                "| sinkhorn | S1 | forward | 10.00 | torch cost product alone | 8.00 | 0.80 |",
            ]
        );
    }

    #[test]
    fn json_and_the_list_hold_every_case() {
        let value = json(&[result(true)], 2, "");
        assert_eq!(value["cases"][0]["peers"][2]["over_ours"], 2.0);
        assert_eq!(value["cases"][0]["extra_mb"], Value::Null);
        let all: Vec<&Case> = CASES.iter().collect();
        let text = list(&all);
        assert!(CASES.iter().all(|case| text.contains(case.reason)));
    }
}
