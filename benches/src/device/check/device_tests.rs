//! The device tests with the real driver: a skip is a failure, unless it lies in what the device is.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Instant;

use super::budget::remaining;
use super::bundle::Bundle;
use super::findings::Findings;
use super::options::Options;
use super::programs::{self, Ending, tail};
use super::record::Record;

/// Reasons to skip that lie in what the device is: tests of the interpreter's counts have nothing to look
/// at on a GPU, others need hardware that not every card has.
const LAWFUL: [&str; 3] = ["a GPU does not count", "the device has no", "on this device"];

/// Turns the device tests on; they then fail where there is no device.
const SWITCH: &str = "CONSONANCE_GPU_TESTS";

/// What the output of a test program says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    passed: usize,
    failed: usize,
    /// Tests that the program was told to leave out.
    ignored: usize,
    /// Lines by which tests say that they did nothing.
    skips: Vec<String>,
}

/// Runs every program until time is up.
pub(super) fn run(
    bundle: &Bundle,
    options: &Options,
    until: Instant,
    record: &Record,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut log = String::new();
    let (mut passed, mut programs_run) = (0, 0);
    let output = record.file("tests.part");
    for test in bundle.tests()? {
        if remaining(until).is_zero() {
            findings.left_out.push(format!("tests: {}, time was up", test.name));
            continue;
        }
        let mut command = Command::new(&test.path);
        command.arg("--show-output").env(SWITCH, "1").current_dir(bundle.root());
        if options.emulate {
            command.env("PTX_EMU_SEED", "1");
        }
        let start = Instant::now();
        let ending = programs::run(&mut command, &output, until)?;
        let seconds = start.elapsed().as_secs_f64();
        let text = fs::read_to_string(&output).unwrap_or_default();
        let verdict = read(&text);
        programs_run += 1;
        passed += verdict.passed;
        println!("{}: {} passed, {:.1} s", test.name, verdict.passed, seconds);
        let _ = writeln!(log, "==== {}, {seconds:.1} s, {ending:?}\n{text}", test.name);
        findings.faults.extend(faults(&test.name, &verdict, ending, &text));
        let lawful = verdict.skips.iter().filter(|skip| is_lawful(skip));
        findings.left_out.extend(lawful.map(|skip| format!("tests: {}: {skip}", test.name)));
    }
    // Nothing more than a folder without it.
    let _ = fs::remove_file(&output);
    record.write("tests.log", &log)?;
    findings.lines.push(format!(
        "{passed} tests of {programs_run} programs passed, {} faults.",
        findings.faults.len()
    ));
    Ok(findings)
}

/// Counts of libtest, and lines that begin with `skipped`.
fn read(text: &str) -> Verdict {
    let mut verdict = Verdict::default();
    for line in text.lines() {
        if line.starts_with("skipped") {
            verdict.skips.push(line.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else { continue };
        let of = |word: &str| {
            let count = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
            count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
        };
        verdict.passed += of("passed");
        verdict.failed += of("failed");
        verdict.ignored += of("ignored");
    }
    verdict
}

fn faults(name: &str, verdict: &Verdict, ending: Ending, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if ending == Ending::OutOfTime {
        faults.push(format!("{name}: time was up while it ran: {}", tail(text, 1)));
    } else if ending == Ending::Ended(false) || verdict.failed > 0 {
        faults.push(format!("{name}: {} tests failed: {}", verdict.failed, tail(text, 4)));
    } else if verdict.passed == 0 {
        faults.push(format!("{name}: no test ran, expected some"));
    }
    if verdict.ignored > 0 {
        faults.push(format!("{name}: {} tests ignored, expected none", verdict.ignored));
    }
    let skips = verdict.skips.iter().filter(|skip| !is_lawful(skip));
    faults.extend(skips.map(|skip| format!("{name}: {skip}")));
    faults
}

fn is_lawful(skip: &str) -> bool {
    LAWFUL.iter().any(|reason| skip.contains(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 3 tests\ntest a ... ok\n\ntest result: ok. 3 passed; 0 failed; \
                          1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";

    #[test]
    fn counts_are_read_from_the_last_line() {
        let verdict = read(OUTPUT);
        assert_eq!((verdict.passed, verdict.failed, verdict.ignored), (3, 0, 1));
        let faults = faults("p.gpu", &verdict, Ending::Ended(true), OUTPUT);
        assert_eq!(faults, ["p.gpu: 1 tests ignored, expected none"]);
    }

    #[test]
    fn a_skip_is_a_failure_and_so_is_silence() {
        let text = "---- t stdout ----\nskipped: no GPU asked for\n";
        let verdict = read(text);
        let all = faults("p.gpu", &verdict, Ending::Ended(true), text);
        assert_eq!(all, ["p.gpu: no test ran, expected some", "p.gpu: skipped: no GPU asked for"]);
        let count =
            Verdict { passed: 1, skips: vec!["skipped: a GPU does not count".into()], ..read("") };
        assert!(faults("p.gpu", &count, Ending::Ended(true), "").is_empty());
        let late = faults("p.gpu", &Verdict::default(), Ending::OutOfTime, "test a ...");
        assert!(late[0].starts_with("p.gpu: time was up"), "{late:?}");
        let broken = faults("p.gpu", &Verdict::default(), Ending::Ended(false), "signal");
        assert_eq!(broken, ["p.gpu: 0 tests failed: signal"]);
    }
}
