//! How fast a LLaMA model reads and writes, and the memory it takes.

use anyhow::Context as _;

use super::options::Options;
use super::sides::{Running, SAYING, Side};
use super::transcribe::median;
use crate::kernels::record::{expect_new, quoted};

/// Tokens of the prompt that is continued.
const SHORT: usize = 64;
/// Tokens of the prompt that is read.
const LONG: usize = 512;
/// Tokens that are written, the first of which comes of reading the prompt.
const NEW: usize = 65;

const HEADER: &str = "model,threads,side,turns,decode_p50_tokens_per_s,decode_best_tokens_per_s,\
                      prefill_p50_tokens_per_s,prefill_best_tokens_per_s,decode_over_first,\
                      prefill_over_first,load_s,peak_mb,own_mb,equal_tokens,version,note\n";

/// What a side did.
struct Said {
    running: Running,
    /// Tokens a second, turn by turn.
    decode: Vec<f64>,
    prefill: Vec<f64>,
    ids: Vec<u64>,
}

/// Times every model, prints a table and writes the record.
///
/// # Errors
///
/// When a side fails half way, or the record cannot be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    println!(
        "{} threads, {} turns; decode: {} tokens after the first one that follows {SHORT}; \
         prefill: {LONG} tokens to the first one after them",
        options.threads,
        options.turns,
        NEW - 1
    );
    let mut rows = HEADER.to_owned();
    for model in &options.models {
        rows += &case(model, options)?;
    }
    if let Some(path) = &options.record {
        expect_new(path)?;
        std::fs::write(path, rows).with_context(|| format!("{}: cannot write", path.display()))?;
        println!("recorded: {}", path.display());
    }
    Ok(())
}

/// Ids of ordinary tokens that no rule relates.
fn prompt(n: usize) -> Vec<u64> {
    (0..n as u64).map(|k| 1000 + k * 7919 % 20_000).collect()
}

fn case(model: &str, options: &Options) -> anyhow::Result<String> {
    let dir = options.data.join("models").join(model);
    let mut sides: Vec<Said> = Vec::new();
    for side in Side::chosen(SAYING, options) {
        match side.start("say", &dir, 1, options) {
            Ok(mut running) => {
                running.say(&prompt(SHORT), 2)?;
                let (decode, prefill) = (Vec::new(), Vec::new());
                sides.push(Said { running, decode, prefill, ids: Vec::new() });
            }
            Err(error) => eprintln!("left out: {error:#}"),
        }
    }
    for turn in 0..options.turns {
        for said in &mut sides {
            eprintln!("{model}, turn {}: {}", turn + 1, said.running.side.name);
            let (_, one) = said.running.say(&prompt(SHORT), 1)?;
            let (ids, all) = said.running.say(&prompt(SHORT), NEW)?;
            said.decode.push((NEW - 1) as f64 / (all - one));
            said.ids = ids;
            let (_, long) = said.running.say(&prompt(LONG), 1)?;
            said.prefill.push(LONG as f64 / long);
        }
    }
    report(model, options, sides)
}

fn report(model: &str, options: &Options, mut sides: Vec<Said>) -> anyhow::Result<String> {
    let first = sides.first().context("nobody takes part")?;
    let base = (median(&first.decode), median(&first.prefill), first.ids.clone());
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let mut rows = String::new();
    println!("\n{model}");
    for said in &mut sides {
        let [peak_mb, own_mb] = said.running.memory_mb()?;
        let (decode, prefill) = (median(&said.decode), median(&said.prefill));
        let equal = said.ids.iter().zip(&base.2).take_while(|(a, b)| a == b).count();
        let Running { side, version, load_s, .. } = &said.running;
        println!(
            "  {:20} decode {decode:7.1} tokens/s  prefill {prefill:8.1} tokens/s  peak \
             {peak_mb:6.0} MB, {own_mb:6.0} MB its own  first {equal} of {NEW} tokens equal",
            side.name
        );
        rows += &format!(
            "{model},{},{},{},{decode:.2},{:.2},{prefill:.2},{:.2},{:.3},{:.3},{load_s:.3},\
             {peak_mb:.1},{own_mb:.1},{equal},{},{}\n",
            options.threads,
            side.name,
            said.decode.len(),
            best(&said.decode),
            best(&said.prefill),
            decode / base.0,
            prefill / base.1,
            quoted(version),
            quoted(&options.note)
        );
    }
    Ok(rows)
}
