//! `encode`: features and hidden states of any model folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use audio_frontend::LogMel;
use model_zoo::bert::{Bert, BertInput};
use model_zoo::hubert::{Hubert, HubertInput, Preprocessor};
use model_zoo::llama::{Llama, LlamaInput, LlamaTokens, PaddingSide};
use model_zoo::whisper::{EncoderInput, Whisper};
use model_zoo::{ModelKind, Tokenizer};
use tensor_core::{Context, DType, Device, Tensor, save_safetensors};

use super::weights::Weights;
use super::{audio_text, on_threads};
use crate::dataset::audio::{SAMPLE_RATE, Window, load_samples};
use crate::model_folder::open_tokenizer;

/// Arguments of `encode`.
#[derive(Debug, clap::Args)]
pub(super) struct EncodeArgs {
    /// Hugging Face folder of a Whisper, HuBERT or wav2vec 2.0 (audio), BERT or LLaMA (text) model.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// A sound file or a JSONL manifest; for BERT and LLaMA a manifest, whose texts are encoded.
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    /// A text for BERT or LLaMA; may be given several times.
    #[arg(long = "text", value_name = "STRING")]
    texts: Vec<String>,
    /// Where to write.
    #[arg(long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Which hidden states: `last`, `all`, or indices such as `0,3`; 0 is the embedding.
    #[arg(long, default_value = "last")]
    layers: String,
    /// Write `input_features` too (Whisper).
    #[arg(long)]
    features: bool,
    /// Form in which weights are kept.
    #[arg(long, value_enum, default_value_t = Weights::F32)]
    weights: Weights,
    /// CPU threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

type Named = Vec<(String, Tensor)>;

pub(super) fn run(args: &EncodeArgs) -> anyhow::Result<()> {
    on_threads(args.threads, || {
        let (named, items) = match ModelKind::detect(&args.model)? {
            ModelKind::Whisper => whisper(args)?,
            ModelKind::Hubert | ModelKind::Wav2Vec2 => hubert(args)?,
            ModelKind::Bert => bert(args)?,
            ModelKind::Llama => llama(args)?,
        };
        save_safetensors(&args.output, &named, &BTreeMap::new())?;
        for (name, tensor) in &named {
            eprintln!("{name} {:?} {}", tensor.shape(), tensor.dtype());
        }
        eprintln!("{items} items written to {}", args.output.display());
        Ok(())
    })
}

/// States `(items, positions, D)` of equal-length windows are stacked; of unequal ones, padded
/// with zeros to the longest, with `lengths` telling how many positions are valid.
fn whisper(args: &EncodeArgs) -> anyhow::Result<(Named, usize)> {
    ensure!(
        args.texts.is_empty(),
        "{}: folder holds a Whisper model, which hears sound; --text is for BERT and LLaMA (hint: \
         --input FILE)",
        args.model.display()
    );
    let input = args.input.as_deref().context("--input: expected a sound file or a manifest")?;
    let utterances = audio_text::utterances(input)?;
    let (config, encoder, _) = Whisper::open_encoder(&args.model, args.weights.load_options())?;
    let window = Window::of_folder(&args.model, &config)?;
    let log_mel = LogMel::new(config.num_mel_bins);
    let chosen = Layers::parse(&args.layers, config.encoder_layers)?;
    let mut collected = Collected::default();
    for utterance in &utterances {
        let samples = load_samples(utterance)?;
        let (features, n_frames) = window
            .features(&log_mel, &samples)
            .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))?;
        let input = EncoderInput { output_hidden_states: true, ..EncoderInput::new(&features) };
        let output = encoder.forward(&Context::eval(), &input)?;
        collected.lengths.push(samples.len().div_ceil(320).min(output.lengths[0]) as i64);
        collected.positions.push(n_frames.div_ceil(2) as i64);
        for &layer in &chosen.0 {
            let states = collected.states.entry(layer).or_default();
            states.push(output.hidden_states[layer].clone());
        }
        if args.features {
            collected.features.push(features);
        }
    }
    let mut named = Named::new();
    for (layer, states) in &collected.states {
        named.push((format!("hidden_states.{layer}"), pad(states, 1)?));
    }
    for (name, lengths) in
        [("lengths", collected.lengths), ("encoder_lengths", collected.positions)]
    {
        let lengths = Tensor::from_vec(lengths, &[utterances.len()], Device::Cpu)?;
        named.push((name.into(), lengths));
    }
    if args.features {
        named.push(("input_features".into(), pad(&collected.features, 2)?));
    }
    Ok((named, utterances.len()))
}

/// As [`whisper`], from samples; `last_hidden_state` is written too, since the large models have a
/// norm between it and the state after the last layer.
fn hubert(args: &EncodeArgs) -> anyhow::Result<(Named, usize)> {
    ensure!(
        args.texts.is_empty(),
        "{}: folder holds a speech model, which hears sound; --text is for BERT and LLaMA (hint: \
         --input FILE)",
        args.model.display()
    );
    ensure!(!args.features, "--features is for Whisper, this model reads samples");
    let input = args.input.as_deref().context("--input: expected a sound file or a manifest")?;
    let utterances = audio_text::utterances(input)?;
    let model = Hubert::open(&args.model, args.weights.load_options())?;
    let preprocessor = Preprocessor::open(&args.model)?;
    let rate = preprocessor.sampling_rate;
    ensure!(rate == SAMPLE_RATE, "sampling_rate is {rate} Hz, expected {SAMPLE_RATE}");
    let chosen = Layers::parse(&args.layers, model.config.num_hidden_layers)?;
    let mut collected = Collected::default();
    let mut last = Vec::with_capacity(utterances.len());
    for utterance in &utterances {
        let samples = load_samples(utterance)?;
        let (values, lengths) = preprocessor.batch(&[samples], Device::Cpu)?;
        let input = HubertInput {
            output_hidden_states: true,
            ..HubertInput::with_lengths(&values, &lengths)
        };
        let output = model
            .forward(&Context::eval(), &input)
            .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))?;
        collected.lengths.push(output.lengths[0] as i64);
        for &layer in &chosen.0 {
            let states = collected.states.entry(layer).or_default();
            states.push(output.hidden_states[layer].clone());
        }
        last.push(output.last_hidden_state);
    }
    let mut named = Named::new();
    for (layer, states) in &collected.states {
        named.push((format!("hidden_states.{layer}"), pad(states, 1)?));
    }
    named.push(("last_hidden_state".into(), pad(&last, 1)?));
    let lengths = Tensor::from_vec(collected.lengths, &[utterances.len()], Device::Cpu)?;
    named.push(("lengths".into(), lengths));
    Ok((named, utterances.len()))
}

/// The texts to encode, given one by one or by a manifest.
fn texts(args: &EncodeArgs) -> anyhow::Result<Vec<String>> {
    ensure!(!args.features, "--features is for Whisper, this is a folder of a text model");
    let mut texts = args.texts.clone();
    if let Some(input) = &args.input {
        for utterance in audio_text::utterances(input)? {
            ensure!(
                !utterance.text.is_empty(),
                "{}: no text, expected one, which this text model encodes (hint: --text STRING, or \
                 a manifest whose lines have a text)",
                utterance.place
            );
            texts.push(utterance.text);
        }
    }
    ensure!(!texts.is_empty(), "nothing to encode (hint: --text STRING or --input MANIFEST)");
    Ok(texts)
}

/// Tokens of each text, special ones included.
fn token_rows(
    tokenizer: &Tokenizer,
    texts: &[String],
    longest: usize,
) -> anyhow::Result<Vec<Vec<u32>>> {
    (1..)
        .zip(texts)
        .map(|(number, text)| {
            let ids = tokenizer.encode(text, true)?;
            let count = ids.len();
            ensure!(
                count <= longest,
                "text {number} has {count} tokens, expected at most {longest}, the positions of the \
                 model (hint: split it)"
            );
            Ok(ids)
        })
        .collect()
}

fn bert(args: &EncodeArgs) -> anyhow::Result<(Named, usize)> {
    let texts = texts(args)?;
    let model = Bert::open(&args.model, args.weights.load_options())?;
    let tokenizer = open_tokenizer(&args.model, model.config.vocab_size)?;
    let pad_id = tokenizer.pad_id().context("tokenizer: no [PAD] token")?;
    let rows = token_rows(&tokenizer, &texts, model.config.max_position_embeddings)?;
    let chosen = Layers::parse(&args.layers, model.config.num_hidden_layers)?;
    let input = BertInput::from_ids(&rows, pad_id, Device::Cpu)?.with_hidden_states();
    let output = model.forward(&Context::eval(), &input)?;
    let named = chosen.name(&output.hidden_states, input.input_ids, input.attention_mask)?;
    Ok((named, rows.len()))
}

fn llama(args: &EncodeArgs) -> anyhow::Result<(Named, usize)> {
    let texts = texts(args)?;
    let model = Llama::open(&args.model, args.weights.load_options())?;
    let tokenizer = model.open_tokenizer(&args.model)?;
    let rows = token_rows(&tokenizer, &texts, model.config.longest_input())?;
    let chosen = Layers::parse(&args.layers, model.config.num_hidden_layers)?;
    let input = LlamaInput::from_ids(&rows, PaddingSide::Right, Device::Cpu)?.with_hidden_states();
    let output = model.forward(&Context::eval(), &input)?;
    let LlamaTokens::InputIds(input_ids) = input.tokens else { bail!("tokens were expected") };
    let named = chosen.name(&output.hidden_states, input_ids, input.attention_mask)?;
    Ok((named, rows.len()))
}

/// Indices of the hidden states asked for, ascending.
struct Layers(Vec<usize>);

impl Layers {
    fn parse(text: &str, n_layers: usize) -> anyhow::Result<Self> {
        let mut layers = match text {
            "last" => vec![n_layers],
            "all" => (0..=n_layers).collect(),
            list => list
                .split(',')
                .map(|entry| match entry.trim().parse::<usize>() {
                    Ok(layer) if layer <= n_layers => Ok(layer),
                    _ => bail!(
                        "--layers: `{entry}`, expected `last`, `all` or indices from 0 to {n_layers}"
                    ),
                })
                .collect::<anyhow::Result<_>>()?,
        };
        layers.sort_unstable();
        layers.dedup();
        Ok(Self(layers))
    }

    /// A text model's states of these layers and of the last, `(B, T, D)`, by name, with what they
    /// are states of.
    fn name(
        &self,
        hidden_states: &[Tensor],
        input_ids: Tensor,
        attention_mask: Option<Tensor>,
    ) -> anyhow::Result<Named> {
        let mask = match attention_mask {
            Some(mask) => mask,
            None => Tensor::ones(input_ids.shape(), DType::I64, Device::Cpu)?,
        };
        let rows = mask.to_vec::<i64>()?;
        let lengths: Vec<i64> =
            rows.chunks(mask.shape()[1]).map(|row| row.iter().sum::<i64>()).collect();
        let mut named: Named = self
            .0
            .iter()
            .map(|&layer| (format!("hidden_states.{layer}"), hidden_states[layer].clone()))
            .collect();
        let last = hidden_states.last().context("a model without states")?;
        named.push(("last_hidden_state".into(), last.clone()));
        named.push(("input_ids".into(), input_ids));
        let count = lengths.len();
        named.push(("lengths".into(), Tensor::from_vec(lengths, &[count], Device::Cpu)?));
        named.push(("attention_mask".into(), mask));
        Ok(named)
    }
}

/// What has been encoded so far, item by item.
#[derive(Default)]
struct Collected {
    /// By layer, ascending.
    states: BTreeMap<usize, Vec<Tensor>>,
    features: Vec<Tensor>,
    /// Encoder positions that cover sound.
    lengths: Vec<i64>,
    /// Encoder positions that the model computed.
    positions: Vec<i64>,
}

/// Joins along the first dimension, padded with zeros along `dim` to the longest.
fn pad(items: &[Tensor], dim: usize) -> anyhow::Result<Tensor> {
    let longest = items.iter().map(|item| item.shape()[dim]).max().unwrap_or(0);
    let padded = items
        .iter()
        .map(|item| {
            let mut shape = item.shape().to_vec();
            shape[dim] = longest - shape[dim];
            let zeros = Tensor::zeros(&shape, item.dtype(), item.device())?;
            Ok(Tensor::cat(&[item, &zeros], dim as isize)?)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&padded.iter().collect::<Vec<_>>(), 0)?)
}
