//! `generate`: text continued by a LLaMA folder.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use model_zoo::decoding::{BeamSearch, EarlyStopping};

use super::on_threads;
use super::weights::Weights;
use crate::generation::{
    Chat, Delivery, Format, Options, SampleOptions, Search, TextGenerator, Usage,
};
use crate::memory::peak_memory_mib;

/// Arguments of `generate`. Names and meanings of options are those of `transformers`.
#[derive(Debug, clap::Args)]
pub(super) struct GenerateArgs {
    /// Hugging Face folder of a LLaMA model.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A text to continue; may be given several times.
    #[arg(long = "prompt", value_name = "TEXT", required_unless_present = "file")]
    texts: Vec<String>,
    /// A file with a text to continue on each line; `-` reads standard input.
    #[arg(long = "prompts", value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,
    /// Longest text behind a prompt, in tokens.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    /// Beams; 1 takes the likeliest token every time.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "do_sample")]
    num_beams: usize,
    /// Exponent of the length that a beam's score is divided by; above 0 favours long texts.
    #[arg(long, value_name = "P", requires = "num_beams", allow_hyphen_values = true)]
    length_penalty: Option<f64>,
    /// When beams stop: once better ones are unlikely (false), as soon as there are enough (true),
    /// or when there can be none (never).
    #[arg(long, value_name = "WHEN", requires = "num_beams",
        value_parser = ["false", "true", "never"])]
    early_stopping: Option<String>,
    /// Texts of each prompt, best first, with scores; at most the beams, or any number of samples.
    #[arg(long, value_name = "N", default_value_t = 1)]
    num_return_sequences: usize,
    /// Draw tokens at random; what the options below leave open, the folder's
    /// generation_config.json says.
    #[arg(long, alias = "sample")]
    do_sample: bool,
    /// Divides the logits before tokens are drawn [default: the folder's, else 1]
    #[arg(long, value_name = "T", requires = "do_sample", allow_hyphen_values = true)]
    temperature: Option<f64>,
    /// Draw among this many of the likeliest tokens; 0: all [default: the folder's, else 50]
    #[arg(long, value_name = "K", requires = "do_sample")]
    top_k: Option<usize>,
    /// Draw among the likeliest tokens that have this probability together [default: the
    /// folder's, else 1]
    #[arg(long, value_name = "P", requires = "do_sample")]
    top_p: Option<f64>,
    /// Draw no token below this share of the likeliest one's probability.
    #[arg(long, value_name = "P", requires = "do_sample")]
    min_p: Option<f64>,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Above 1 discourages tokens that the prompt or the text holds already.
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_hyphen_values = true)]
    repetition_penalty: f64,
    /// No run of this many tokens comes twice; 0 allows all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    no_repeat_ngram_size: usize,
    /// Prompts are questions in the chat format of Llama-3.1-Instruct; answers alone are printed.
    #[arg(long)]
    chat: bool,
    /// What the model is told before the question.
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Form in which weights are kept.
    #[arg(long, value_enum, default_value_t = Weights::Stored)]
    weights: Weights,
    /// What to write; json is a line for each prompt.
    #[arg(long, value_enum, default_value_t = Format::Txt)]
    format: Format,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl GenerateArgs {
    fn options(&self) -> anyhow::Result<Options> {
        let num_return_sequences = self.num_return_sequences;
        let search = if self.do_sample {
            Search::Sample(SampleOptions {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p.unwrap_or(0.0),
                num_return_sequences,
                seed: self.seed,
            })
        } else if self.num_beams == 1 {
            ensure!(
                num_return_sequences <= 1,
                "--num-return-sequences is {num_return_sequences}, expected 1 where the likeliest \
                 token is taken (hint: --num-beams {num_return_sequences} or more, or --do-sample)"
            );
            Search::Greedy
        } else {
            let defaults = BeamSearch::default();
            Search::Beam {
                search: BeamSearch {
                    num_beams: self.num_beams,
                    length_penalty: self.length_penalty.unwrap_or(defaults.length_penalty),
                    early_stopping: match self.early_stopping.as_deref() {
                        Some("true") => EarlyStopping::WhenFull,
                        Some("never") => EarlyStopping::WhenImpossible,
                        _ => EarlyStopping::WhenUnlikely,
                    },
                    ..defaults
                },
                num_return_sequences,
            }
        };
        Ok(Options {
            model: self.model.clone(),
            weights: self.weights.form(),
            search,
            max_new_tokens: self.max_new_tokens,
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            chat: self.chat.then(|| Chat { system: self.system.clone() }),
        })
    }

    fn prompts(&self) -> anyhow::Result<Vec<String>> {
        let Some(path) = &self.file else { return Ok(self.texts.clone()) };
        let lines = match path == Path::new("-") {
            true => std::io::stdin().lock().lines().collect::<std::io::Result<Vec<_>>>(),
            false => {
                std::fs::read_to_string(path).map(|text| text.lines().map(str::to_owned).collect())
            }
        };
        let mut lines = lines.with_context(|| format!("{}: cannot read", path.display()))?;
        lines.retain(|line| !line.trim().is_empty());
        ensure!(
            !lines.is_empty(),
            "{}: no lines, expected a text to continue on each",
            path.display()
        );
        Ok(lines)
    }
}

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    on_threads(args.threads, || generate_all(args))
}

fn generate_all(args: &GenerateArgs) -> anyhow::Result<()> {
    let options = args.options()?;
    let prompts = args.prompts()?;
    let generator = TextGenerator::open(&options)?;
    let mut out = std::io::stdout();
    let live = prompts.len() == 1 && generator.streams() && out.is_terminal();
    let several = args.num_return_sequences > 1;
    let mut delivery = Delivery::new(args.format, !args.chat, several, &mut out).live(live);
    let mut usage = Usage::default();
    for (number, prompt) in (0..).zip(&prompts) {
        delivery.begin(prompt)?;
        let generated = generator
            .generate(number, prompt, &mut |piece| delivery.piece(piece))
            .with_context(|| format!("prompt {}", number + 1))?;
        delivery.finish(prompt, &generated)?;
        usage.add(&generated.usage);
    }
    let memory =
        peak_memory_mib().map_or_else(String::new, |mib| format!("; peak memory {mib:.0} MiB"));
    eprintln!("{usage}{memory}");
    Ok(())
}
