//! `kernels`: the alignment kernels, checked, timed, and beside their peers.
//!
//! ```text
//! kernels [--op NAME] [--shape NAME] [--device cpu] [--threads N] [--rounds N] [--seconds N]
//!         [--python PATH] [--json FILE] [--record] [--note TEXT] [--list]
//! ```
//!
//! `cargo xtask bench-kernels` runs it; `--help` there says what the options mean.

use std::process::ExitCode;

use anyhow::{Context, bail};
use consonance_benches::kernels::{
    Options, csv, json, list, readme_table, record, run_case, text_table,
};

fn main() -> ExitCode {
    consonance_benches::program(run)
}

fn run() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases = options.cases();
    if options.list {
        print!("{}", list(&cases));
        return Ok(());
    }
    println!(
        "{} threads, f32; ratio = peer / ours of medians, above 1 is faster than the peer",
        options.threads
    );
    let (mut results, mut failed) = (Vec::new(), Vec::new());
    for case in cases {
        match run_case(case, &options) {
            Ok(result) => {
                print!("{}", text_table(&result));
                results.push(result);
            }
            Err(error) => {
                eprintln!("error: {}: {error:#}", case.name());
                failed.push(case.name());
            }
        }
    }
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", json(&results, options.threads, &options.note));
        std::fs::write(path, text).with_context(|| format!("{}: cannot write", path.display()))?;
    }
    if !failed.is_empty() {
        bail!("{} without a time: {} (hint: nothing is recorded)", failed.len(), failed.join(", "));
    }
    if let Some(path) = &options.record {
        // Again, since it may have come to be in the meantime.
        record::expect_new(path)?;
        std::fs::write(path, csv(&results, options.threads, &options.note))
            .with_context(|| format!("{}: cannot write", path.display()))?;
        println!("recorded: {}", path.display());
        if options.fills_readme() {
            record::fill_readme(&readme_table(&results))?;
        } else {
            println!("README.md: left as it is, its table needs every case and --peers");
        }
    }
    Ok(())
}
