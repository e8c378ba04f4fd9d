//! The interpreter's counts beside the profiler's, where `ncu` is: the same call of the same case.
//!
//! Sectors and wavefronts should agree; instructions need not, since the assembler's are not PTX's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::ensure;
use gpu_runtime::Device;

use super::budget::remaining;
use super::bundle::Bundle;
use super::findings::Findings;
use super::options::Options;
use super::programs::{self, Ending, tail};
use super::record::Record;
use crate::device::cases::Case;
use crate::device::counts::{Counts, read};
use crate::kernels::record::quoted;

/// What is compared: our name, the profiler's metrics that add up to it, and our count.
type Metric = (&'static str, &'static [&'static str], fn(&Counts) -> f64);
const METRICS: [Metric; 5] = [
    (
        "global sectors",
        &[
            "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
            "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
        ],
        |counts| counts.bytes / 32.0,
    ),
    // All paths, asynchronous copies too; what the first-level cache serves is missing.
    ("sectors in L2", &["lts__t_sectors_op_read.sum", "lts__t_sectors_op_write.sum"], |counts| {
        counts.bytes / 32.0
    }),
    ("shared wavefronts", &["l1tex__data_pipe_lsu_wavefronts_mem_shared.sum"], |counts| {
        counts.wavefronts
    }),
    ("bank conflicts", &["l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum"], |counts| {
        counts.conflicts
    }),
    ("warp instructions", &["smsp__inst_executed.sum"], |counts| counts.warp_instructions),
];
/// Launches that are profiled of a call: those of an iteration repeat.
const LAUNCHES: usize = 40;

/// By kernel: launches, and the sum of each metric.
type Profile = BTreeMap<String, (f64, BTreeMap<String, f64>)>;

/// Compares case after case until time is up.
pub(super) fn run(
    cases: &[&'static Case],
    device: &Device,
    bundle: &Bundle,
    options: &Options,
    until: Instant,
    record: &Record,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let has_ncu = !options.emulate && has_ncu();
    if !has_ncu {
        let why = "ncu is not on the path: the interpreter's counts stand alone";
        findings.left_out.push(format!("counters: {why}"));
    }
    let mut text =
        "op,shape,variant,extents,kernel,metric,launches_interpreted,interpreted_per_launch,\
                    launches_profiled,profiled_per_launch,profiled_over_interpreted\n"
            .to_owned();
    let mut worst: BTreeMap<&str, (f64, String)> = BTreeMap::new();
    for case in cases {
        if remaining(until).is_zero() {
            findings.left_out.push(format!("counters: {}, time was up", case.name()));
            continue;
        }
        let counted = match interpreted(case, device, bundle, until, record) {
            Ok(counted) => counted,
            Err(error) => {
                findings.left_out.push(format!("counters: {}: {error:#}", case.name()));
                continue;
            }
        };
        let profile =
            if has_ncu { profiled(case, bundle, until, record) } else { Ok(Profile::new()) };
        let profile = profile.unwrap_or_else(|error| {
            findings.left_out.push(format!("counters: {}, ncu: {error:#}", case.name()));
            Profile::new()
        });
        for (kernel, counts) in &counted {
            for (name, metrics, ours) in METRICS {
                let ours = ours(counts) / counts.launches;
                let theirs = profile.get(kernel).map(|(launches, sums)| {
                    let found: Vec<f64> =
                        metrics.iter().filter_map(|metric| sums.get(*metric).copied()).collect();
                    let whole = found.len() == metrics.len();
                    (*launches, if whole { found.iter().sum::<f64>() / launches } else { f64::NAN })
                });
                let ratio =
                    theirs.map(|(_, theirs)| theirs / ours).filter(|ratio| ratio.is_finite());
                let words = [case.op, case.shape, case.variant];
                let words: Vec<String> = words.into_iter().map(quoted).collect();
                let _ = writeln!(
                    text,
                    "{},{},{kernel},{name},{},{ours},{},{},{}",
                    words.join(","),
                    quoted(&case.interpreted().extents()),
                    counts.launches,
                    theirs.map_or(String::new(), |theirs| theirs.0.to_string()),
                    theirs
                        .filter(|theirs| theirs.1.is_finite())
                        .map_or(String::new(), |theirs| theirs.1.to_string()),
                    ratio.map_or(String::new(), |ratio| format!("{ratio:.4}")),
                );
                if let Some(ratio) = ratio {
                    let far = worst.entry(name).or_insert((1.0, kernel.clone()));
                    if (ratio.ln()).abs() > far.0.ln().abs() {
                        *far = (ratio, kernel.clone());
                    }
                }
            }
        }
    }
    record.write("counters.csv", &text)?;
    findings.lines.extend(worst.iter().map(|(name, (ratio, kernel))| {
        format!("{name}: the profiler's over the interpreter's is at the farthest {ratio:.3}, in {kernel}.")
    }));
    Ok(findings)
}

/// Options of `gpu-check call` for a case.
fn call(case: &Case) -> [&'static str; 7] {
    ["call", "--op", case.op, "--shape", case.shape, "--variant", case.variant]
}

/// One call on the interpreter, in a process of its own since this one may have the real driver open.
fn interpreted(
    case: &'static Case,
    device: &Device,
    bundle: &Bundle,
    until: Instant,
    record: &Record,
) -> anyhow::Result<BTreeMap<String, Counts>> {
    let (counters, output) = (record.file("counters.part"), record.file("call.part"));
    let mut command = Command::new(bundle.program()?);
    command.args(call(case)).env("LD_LIBRARY_PATH", bundle.emulator());
    let card = if device.facts().compute_capability.major >= 9 { "h200" } else { "a100" };
    command.env("PTX_EMU_DEVICE", card).env("PTX_EMU_COUNTERS", &counters);
    let ending = programs::run(&mut command, &output, until)?;
    let text = fs::read_to_string(&output).unwrap_or_default();
    let counts = read(&counters, 0);
    // Both are parts of this record's making alone.
    let _ = (fs::remove_file(&counters), fs::remove_file(&output));
    ensure!(ending == Ending::Ended(true), "the interpreter: {ending:?} {}", tail(&text, 2));
    Ok(counts?.0)
}

fn has_ncu() -> bool {
    let mut probe = Command::new("ncu");
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The same call under the profiler, which leaves the clocks as they are.
fn profiled(
    case: &Case,
    bundle: &Bundle,
    until: Instant,
    record: &Record,
) -> anyhow::Result<Profile> {
    let metrics: Vec<&str> = METRICS.iter().flat_map(|(_, metrics, _)| *metrics).copied().collect();
    let whole = ask(&metrics, case, bundle, until, record);
    if whole.is_ok() {
        return whole;
    }
    // A release that does not know one of the names refuses all of them.
    let mut profile = Profile::new();
    for (_, metrics, _) in METRICS {
        for (kernel, (launches, sums)) in
            ask(metrics, case, bundle, until, record).unwrap_or_default()
        {
            let entry = profile.entry(kernel).or_default();
            entry.0 = launches;
            entry.1.extend(sums);
        }
    }
    if profile.is_empty() { whole } else { Ok(profile) }
}

/// Some metrics of one call.
fn ask(
    metrics: &[&str],
    case: &Case,
    bundle: &Bundle,
    until: Instant,
    record: &Record,
) -> anyhow::Result<Profile> {
    let output = record.file("ncu.part");
    let mut command = Command::new("ncu");
    command.args(["--csv", "--clock-control", "none", "--print-units", "base"]);
    command.args(["--metrics", &metrics.join(","), "--launch-count", &LAUNCHES.to_string()]);
    command.arg(bundle.program()?).args(call(case));
    let ending = programs::run(&mut command, &output, until)?;
    let text = fs::read_to_string(&output).unwrap_or_default();
    let _ = fs::remove_file(&output);
    ensure!(ending == Ending::Ended(true), "{ending:?} {}", tail(&text, 2));
    let profile = profile(&text);
    ensure!(!profile.is_empty(), "no kernel in its table: {}", tail(&text, 2));
    Ok(profile)
}

/// The table of `ncu --csv`: a row a launch and metric.
fn profile(text: &str) -> Profile {
    let mut rows = text.lines().filter(|line| line.starts_with('"')).map(fields);
    let header = rows.next().unwrap_or_default();
    let at = |name: &str| header.iter().position(|field| field == name);
    let columns = (at("Kernel Name"), at("Metric Name"), at("Metric Value"), at("ID"));
    let (Some(kernel), Some(metric), Some(value), Some(id)) = columns else {
        return Profile::new();
    };
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut profile = Profile::new();
    for row in rows.filter(|row| row.len() == header.len()) {
        let name = row[kernel].split(['(', ' ']).next().unwrap_or_default().to_owned();
        let Ok(number) = row[value].replace(',', "").parse::<f64>() else { continue };
        let entry = profile.entry(name.clone()).or_default();
        let ids = seen.entry(name).or_default();
        if !ids.contains(&row[id]) {
            ids.push(row[id].clone());
            entry.0 += 1.0;
        }
        *entry.1.entry(row[metric].clone()).or_default() += number;
    }
    profile
}

/// Fields of a line of CSV in which every field is quoted.
fn fields(line: &str) -> Vec<String> {
    let inner = line.trim().trim_matches('"');
    inner.split("\",\"").map(|field| field.replace("\"\"", "\"")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profilers_table_is_summed_by_kernel() {
        let text = "==PROF== Connected\n\
            \"ID\",\"Process ID\",\"Kernel Name\",\"Metric Name\",\"Metric Unit\",\"Metric Value\"\n\
            \"0\",\"7\",\"k_f32\",\"smsp__inst_executed.sum\",\"inst\",\"1,000\"\n\
            \"0\",\"7\",\"k_f32\",\"other\",\"\",\"3\"\n\
            \"1\",\"7\",\"k_f32(float*, int)\",\"smsp__inst_executed.sum\",\"inst\",\"500\"\n";
        let profile = profile(text);
        assert_eq!(profile["k_f32"].0, 2.0);
        assert_eq!(profile["k_f32"].1["smsp__inst_executed.sum"], 1500.0);
        assert!(super::profile("nothing\n").is_empty());
    }
}
