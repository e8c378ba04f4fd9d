//! `compare`: our work and a peer's, in turn, on one machine with the same threads.
//!
//! ```text
//! compare [--threads N] [--samples N] [--python PATH] [--record FILE.csv] [--note TEXT]
//! ```
//!
//! Rounds alternate: ours, then the peers' scripts, then ours again, so that both see the same
//! machine. The table has medians over all samples of all rounds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use consonance_benches::workloads;

const SCRIPTS: &[&str] = &["bert.py", "whisper.py", "gemm.py"];
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
    tensor_core::keep_freed_memory();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = parse(std::env::args().skip(1))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let mut ours: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    let mut order = Vec::new();
    pool.install(|| time_ours(&options, &mut ours, &mut order))?;
    let mut peers = BTreeMap::new();
    if options.python.is_some() {
        time_peers(&options, &mut peers)?;
        pool.install(|| time_ours(&options, &mut ours, &mut Vec::new()))?;
    }
    let rows: Vec<Row> = order
        .into_iter()
        .map(|key| Row { ours: percentiles(&ours[&key]), peer: peers.get(&key).copied(), key })
        .collect();
    print!("{}", table(&rows, &options));
    if let Some(path) = &options.record {
        std::fs::write(path, csv(&rows, &options))
            .with_context(|| format!("{}: cannot write", path.display()))?;
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let mut options =
        Options { threads: 2, samples: 12, python: None, record: None, note: String::new() };
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag}: expected a value"))?;
        match flag.as_str() {
            "--threads" => options.threads = value.parse().context("--threads")?,
            "--samples" => options.samples = value.parse().context("--samples")?,
            "--python" => options.python = Some(value),
            "--record" => options.record = Some(value.into()),
            "--note" => options.note = value,
            other => bail!(
                "no option {other}, expected --threads, --samples, --python, --record or --note"
            ),
        }
    }
    ensure!(options.samples >= 3, "--samples is {}, expected at least 3", options.samples);
    Ok(options)
}

fn time_ours(
    options: &Options,
    times: &mut BTreeMap<Key, Vec<f64>>,
    order: &mut Vec<Key>,
) -> anyhow::Result<()> {
    for mut work in workloads()? {
        let key = (work.bench.to_owned(), work.shape.clone(), work.dtype.to_owned());
        eprintln!("ours: {} {} {}", key.0, key.1, key.2);
        for _ in 0..WARM_UP {
            (work.run)()?;
        }
        let samples = times.entry(key.clone()).or_default();
        for _ in 0..options.samples {
            let began = Instant::now();
            (work.run)()?;
            samples.push(began.elapsed().as_secs_f64() * 1e3);
        }
        order.push(key);
    }
    Ok(())
}

/// Runs the peers' scripts and reads their JSON lines.
fn time_peers(options: &Options, times: &mut BTreeMap<Key, [f64; 3]>) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let python = options.python.as_deref().unwrap_or("python3");
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
    let output = Command::new(python).arg(script).output()?;
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

struct Row {
    key: Key,
    ours: [f64; 3],
    peer: Option<[f64; 3]>,
}

/// 20th, 50th and 80th percentile.
fn percentiles(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.2, 0.5, 0.8].map(|p| sorted[((sorted.len() - 1) as f64 * p).round() as usize])
}

fn table(rows: &[Row], options: &Options) -> String {
    let mut out = format!(
        "{} threads, medians in ms; ratio = PyTorch / ours, above 1 is faster than PyTorch\n",
        options.threads
    );
    for row in rows {
        let (name, shape, dtype) = &row.key;
        let peer = row.peer.map_or("-".into(), |peer| format!("{:.2}", peer[1]));
        let ratio = row.peer.map_or("-".into(), |peer| format!("{:.2}", peer[1] / row.ours[1]));
        out += &format!(
            "{name:32} {shape:28} {dtype:5} ours {:>9.2}  peer {peer:>9}  ratio {ratio:>6}\n",
            row.ours[1]
        );
    }
    out
}

fn csv(rows: &[Row], options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    let mut line = |text: String| {
        // Writing to memory cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line("bench,shape,dtype,threads,ours_p20_ms,ours_p50_ms,ours_p80_ms,peer_p20_ms,peer_p50_ms,peer_p80_ms,peer_over_ours,note".into());
    for row in rows {
        let (name, shape, dtype) = &row.key;
        let ms = |values: [f64; 3]| values.map(|v| format!("{v:.3}")).join(",");
        let peer = row.peer.map_or(",,".into(), ms);
        let ratio = row.peer.map_or(String::new(), |peer| format!("{:.3}", peer[1] / row.ours[1]));
        line(format!(
            "{name},\"{shape}\",{dtype},{},{},{peer},{ratio},\"{}\"",
            options.threads,
            ms(row.ours),
            options.note
        ));
    }
    out
}
