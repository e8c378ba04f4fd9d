//! `compare`: our work and a peer's, in turn, on one machine with the same threads.
//!
//! ```text
//! compare [--threads N] [--samples N] [--python PATH] [--record FILE.csv] [--note TEXT]
//! ```
//!
//! Rounds alternate: ours, then the peers' scripts, then ours again, so that both see the same
//! machine. The table has medians over all samples of all rounds. Records are never overwritten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use consonance_benches::kernels::record::{expect_new, quoted};
use consonance_benches::{percentiles, workloads};

const SCRIPTS: &[&str] = &["bert.py", "whisper.py", "gemm.py"];
const FLAGS: [&str; 5] = ["--threads", "--samples", "--python", "--record", "--note"];
const WARM_UP: usize = 3;

/// What is measured under one name.
type Key = (String, String, String);

struct Options {
    threads: usize,
    samples: usize,
    python: Option<String>,
    record: Option<PathBuf>,
    note: String,
}

fn main() -> ExitCode {
    consonance_benches::program(run)
}

fn run() -> anyhow::Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let mut ours = Vec::new();
    pool.install(|| time_ours(&options, &mut ours))?;
    let mut peers = BTreeMap::new();
    if let Some(python) = &options.python {
        time_peers(python, &options, &mut peers)?;
        pool.install(|| time_ours(&options, &mut ours))?;
    }
    let rows: Vec<Row> = ours
        .into_iter()
        .map(|Timed { key, threads, samples }| Row {
            ours: percentiles(&samples),
            peer: peers.get(&key).copied(),
            threads,
            key,
        })
        .collect();
    if options.python.is_some() {
        for Row { key, .. } in rows.iter().filter(|row| row.peer.is_none()) {
            eprintln!("peer: nothing measured for {} {} {}", key.0, key.1, key.2);
        }
    }
    print!("{}", table(&rows, options.threads));
    if let Some(path) = &options.record {
        std::fs::write(path, csv(&rows, &options.note))
            .with_context(|| format!("{}: cannot write", path.display()))?;
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options =
        Options { threads: 2, samples: 12, python: None, record: None, note: String::new() };
    while let Some(flag) = args.next() {
        ensure!(
            FLAGS.contains(&flag.as_str()),
            "compare: no option `{flag}`, expected one of {}",
            FLAGS.join(", ")
        );
        let value = args.next().with_context(|| format!("{flag}: expected a value, got none"))?;
        let number = |least: usize| match value.parse() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(anyhow!("{flag}: expected a number from {least}, got `{value}`")),
        };
        match flag.as_str() {
            "--threads" => options.threads = number(1)?,
            "--samples" => options.samples = number(3)?,
            "--python" => options.python = Some(value),
            "--record" => options.record = Some(value.into()),
            _ => options.note = value,
        }
    }
    // Now, because to find out after minutes of timing would lose them.
    if let Some(path) = &options.record {
        expect_new(path)?;
    }
    Ok(options)
}

/// One measurement of ours, over all rounds so far.
struct Timed {
    key: Key,
    threads: usize,
    /// Milliseconds.
    samples: Vec<f64>,
}

/// Times one round and adds it to the earlier ones.
fn time_ours(options: &Options, timed: &mut Vec<Timed>) -> anyhow::Result<()> {
    for (at, mut work) in workloads()?.into_iter().enumerate() {
        let key = (work.bench.to_owned(), work.shape, work.dtype.to_owned());
        eprintln!("ours: {} {} {}", key.0, key.1, key.2);
        for _ in 0..WARM_UP {
            (work.run)()?;
        }
        if at == timed.len() {
            let threads = if work.one_thread { 1 } else { options.threads };
            timed.push(Timed { key, threads, samples: Vec::new() });
        }
        for _ in 0..options.samples {
            let began = Instant::now();
            (work.run)()?;
            timed[at].samples.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

/// Runs the peers' scripts and reads their JSON lines.
fn time_peers(
    python: &str,
    options: &Options,
    times: &mut BTreeMap<Key, [f64; 3]>,
) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    for script in SCRIPTS {
        eprintln!("peer: {script}");
        let output = Command::new(python)
            .arg(folder.join(script))
            .args(["--threads", &options.threads.to_string()])
            .args(["--samples", &options.samples.max(10).to_string()])
            .output()
            .with_context(|| format!("{python}: cannot start"))?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(json) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let ms = |name: &str| json[name].as_f64().unwrap_or(f64::NAN);
            let key = (text("bench"), text("shape"), text("dtype"));
            times.insert(key, [ms("p20_ms"), ms("p50_ms"), ms("p80_ms")]);
        }
    }
    time_front_ends(python, &folder.join("log_mel.py"), times)
}

/// The two front ends, whose script prints one object with medians alone.
fn time_front_ends(
    python: &str,
    script: &Path,
    times: &mut BTreeMap<Key, [f64; 3]>,
) -> anyhow::Result<()> {
    eprintln!("peer: log_mel.py");
    let output = Command::new(python)
        .arg(script)
        .output()
        .with_context(|| format!("{python}: cannot start"))?;
    if !output.status.success() {
        eprintln!("peer: log_mel.py did not run (hint: pip install openai-whisper librosa soxr)");
        return Ok(());
    }
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("log_mel.py: not JSON")?;
    for (case, medians) in json["log_mel"].as_object().into_iter().flatten() {
        for peer in ["openai_whisper", "librosa"] {
            let median = medians[peer].as_f64().unwrap_or(f64::NAN);
            let key = (format!("log_mel_{peer}"), case.clone(), "f32".to_owned());
            times.insert(key, [median; 3]);
        }
    }
    Ok(())
}

/// A line of the table: 20th, 50th and 80th percentile in ms.
struct Row {
    key: Key,
    threads: usize,
    ours: [f64; 3],
    peer: Option<[f64; 3]>,
}

impl Row {
    /// Above 1 where ours is faster.
    fn ratio(&self) -> Option<f64> {
        self.peer.map(|peer| peer[1] / self.ours[1])
    }
}

fn table(rows: &[Row], threads: usize) -> String {
    let mut out = format!(
        "{threads} threads, medians in ms; ratio = peer / ours, above 1 is faster than the peer\n"
    );
    let or_dash = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    for row in rows {
        let (name, shape, dtype) = &row.key;
        let (peer, ratio) = (or_dash(row.peer.map(|peer| peer[1])), or_dash(row.ratio()));
        out += &format!(
            "{name:32} {shape:28} {dtype:5} ours {:>9.2}  peer {peer:>9}  ratio {ratio:>6}\n",
            row.ours[1]
        );
    }
    out
}

fn csv(rows: &[Row], note: &str) -> String {
    let mut out = String::from(
        "bench,shape,dtype,threads,ours_p20_ms,ours_p50_ms,ours_p80_ms,peer_p20_ms,peer_p50_ms,\
         peer_p80_ms,peer_over_ours,note\n",
    );
    let ms = |values: [f64; 3]| values.map(|v| format!("{v:.3}")).join(",");
    for row in rows {
        let (name, shape, dtype) = &row.key;
        let peer = row.peer.map_or(",,".into(), ms);
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.3}"));
        out += &format!(
            "{name},{},{dtype},{},{},{peer},{ratio},{}\n",
            quoted(shape),
            row.threads,
            ms(row.ours),
            quoted(note)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> anyhow::Result<Options> {
        parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn a_line_of_csv_keeps_its_columns() {
        let key = |name: &str| (name.to_owned(), "1x2, d 3".to_owned(), "f32".to_owned());
        let rows = [
            Row { key: key("a"), threads: 2, ours: [1.0, 2.0, 3.0], peer: Some([3.0, 5.0, 6.0]) },
            Row { key: key("b"), threads: 1, ours: [1.0, 2.0, 3.0], peer: None },
        ];
        let lines: Vec<String> = csv(&rows, "a \"b\"").lines().map(str::to_owned).collect();
        assert_eq!(lines[0].split(',').count(), 12);
        assert_eq!(
            lines[1],
            "a,\"1x2, d 3\",f32,2,1.000,2.000,3.000,3.000,5.000,6.000,2.500,\"a \"\"b\"\"\""
        );
        assert_eq!(lines[2], "b,\"1x2, d 3\",f32,1,1.000,2.000,3.000,,,,,\"a \"\"b\"\"\"");
    }

    #[test]
    fn bad_options_are_refused_before_anything_is_timed() {
        let error = |args: &[&str]| parsed(args).err().map(|error| error.to_string());
        assert!(error(&["--help"]).unwrap().starts_with("compare: no option `--help`, expected"));
        assert_eq!(error(&["--note"]).unwrap(), "--note: expected a value, got none");
        let said = "--threads: expected a number from 1, got `0`";
        assert_eq!(error(&["--threads", "0"]).unwrap(), said);
        let here = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(error(&["--record", &here]).unwrap().ends_with("file exists, expected a new name"));
        let nowhere = format!("{here}/none/a.csv");
        assert!(error(&["--record", &nowhere]).unwrap().ends_with("its folder is not there"));
        assert_eq!(parsed(&["--samples", "3", "--record", "new.csv"]).unwrap().samples, 3);
    }
}
