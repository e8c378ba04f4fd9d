//! The contrast between recordings and their texts, at hidden states of the language model.

use std::ops::Range;
use std::sync::Arc;

use anyhow::ensure;
use model_zoo::llama::{LlamaInput, LlamaTokens, PaddingSide};
use model_zoo::projector::Projected;
use tensor_core::{Context, DType, Device, Error, ErrorKind, Tensor, Var};

use super::model::{Layers, SpeechLlm};
use crate::losses::{Clouds, ContrastOptions, contrast_cosine, contrast_wasserstein};
use crate::recipe::{Contrast, Direction, Likeness, Pretrain};

/// What a contrast compares, and how sharply.
pub struct Contraster {
    likeness: Likeness,
    /// Hidden states, ascending; 0 is the embedding.
    pub layers: Vec<usize>,
    temperature: f64,
    /// Its logarithm, where it is learned.
    pub log_temperature: Option<Var>,
    direction: Direction,
    blur: f64,
    cached_items: usize,
}

/// One side of a batch.
pub struct Side {
    /// Tokens `(B, T)` or vectors `(B, T, D)`, padded on the right.
    pub tokens: LlamaTokens,
    pub lengths: Vec<usize>,
    /// Where each item's positions begin.
    pub shifts: Vec<usize>,
    /// Positions that are compared behind the embedding; `None`: all valid ones.
    pub kept: Option<Vec<Vec<usize>>>,
}

impl Side {
    /// Texts in tokens.
    pub fn of_texts(texts: &[Vec<u32>], shifts: &[usize]) -> anyhow::Result<Self> {
        let input = LlamaInput::from_ids(texts, PaddingSide::Right, Device::Cpu)?;
        let lengths = texts.iter().map(Vec::len).collect();
        Ok(Self { tokens: input.tokens, lengths, shifts: shifts.to_vec(), kept: None })
    }

    /// Recordings as vectors.
    pub fn of_speech(speech: Projected, shifts: &[usize]) -> Self {
        Self {
            tokens: LlamaTokens::InputsEmbeds(speech.vectors),
            lengths: speech.lengths,
            shifts: shifts.to_vec(),
            kept: None,
        }
    }
}

/// What is compared at each layer: a vector an item, or all of an item's vectors.
#[derive(Clone)]
pub struct Compared {
    pub layers: Vec<Clouds>,
}

impl Compared {
    /// The vectors of the one layer that was compared by cosine, `(B, D)`.
    pub fn vectors(&self) -> anyhow::Result<Tensor> {
        match &self.layers[..] {
            [only] => Ok(only.rows.clone()),
            layers => anyhow::bail!("{} layers, expected one", layers.len()),
        }
    }

    /// The same items in another order.
    pub fn reordered(&self, order: &[usize]) -> anyhow::Result<Self> {
        let layers = self
            .layers
            .iter()
            .map(|Clouds { rows, offsets }| {
                let mut index = Vec::new();
                let mut ends = vec![0];
                for &item in order {
                    index.extend((offsets[item]..offsets[item + 1]).map(|row| row as i64));
                    ends.push(index.len());
                }
                let count = index.len();
                let index = Tensor::from_vec(index, &[count], Device::Cpu)?;
                Ok(Clouds { rows: rows.index_select(0, &index)?, offsets: ends })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { layers })
    }
}

impl Contraster {
    /// What a recipe asks for, in a language model of `n_layers` layers.
    pub fn new(settings: &Pretrain, contrast: Contrast, n_layers: usize) -> anyhow::Result<Self> {
        let log_temperature = match settings.learn_temperature {
            false => None,
            true => {
                let log = settings.temperature.ln();
                Some(Var::new(Tensor::full(&[], log, DType::F32, Device::Cpu)?))
            }
        };
        Ok(Self {
            likeness: contrast.likeness,
            layers: contrast.place.layers(&settings.layers, n_layers)?,
            temperature: settings.temperature,
            log_temperature,
            direction: settings.direction,
            blur: settings.blur,
            cached_items: settings.cached_items,
        })
    }

    /// Whether a batch of so many items is computed a few at a time.
    pub fn is_cached(&self, batch: usize) -> bool {
        (1..batch).contains(&self.cached_items)
    }

    /// Texts as they are compared, without a graph.
    pub fn texts(&self, ctx: &Context, model: &SpeechLlm, side: Side) -> anyhow::Result<Compared> {
        let ctx = ctx.constant();
        let layers =
            model.hidden_states(&ctx, side.tokens, &side.lengths, &self.layers, &side.shifts)?;
        self.compared(&layers, side.kept.as_deref())
    }

    /// Sequences of vectors as they are compared.
    pub fn sequences(
        &self,
        ctx: &Context,
        model: &SpeechLlm,
        side: Side,
    ) -> anyhow::Result<Compared> {
        let layers =
            model.hidden_states(ctx, side.tokens, &side.lengths, &self.layers, &side.shifts)?;
        self.compared(&layers, side.kept.as_deref())
    }

    /// Recordings as they are compared: frames `(B, n_states, F, E)`, projected and read by the
    /// language model a few items at a time where the recipe says so, whose activations are then made
    /// anew in the backward walk.
    pub fn recordings(
        &self,
        ctx: &Context,
        model: &Arc<SpeechLlm>,
        frames: &Tensor,
        lengths: &[usize],
        shifts: &[usize],
    ) -> anyhow::Result<Compared> {
        let batch = lengths.len();
        if !self.is_cached(batch) {
            return self.recordings_at_once(ctx, model, frames, lengths, shifts);
        }
        let mut chunks = Vec::new();
        for start in (0..batch).step_by(self.cached_items) {
            let items = start..(start + self.cached_items).min(batch);
            chunks.push(self.chunk(ctx, model, frames, lengths, shifts, items)?);
        }
        joined(&chunks)
    }

    fn recordings_at_once(
        &self,
        ctx: &Context,
        model: &SpeechLlm,
        frames: &Tensor,
        lengths: &[usize],
        shifts: &[usize],
    ) -> anyhow::Result<Compared> {
        let speech = model.project(ctx, frames, lengths)?;
        let side = Side::of_speech(speech, shifts);
        self.sequences(ctx, model, side)
    }

    /// Some items of a batch under a checkpoint, whose one output has the rows of all layers.
    fn chunk(
        &self,
        ctx: &Context,
        model: &Arc<SpeechLlm>,
        frames: &Tensor,
        lengths: &[usize],
        shifts: &[usize],
        items: Range<usize>,
    ) -> anyhow::Result<Compared> {
        let (lengths, shifts) = (lengths[items.clone()].to_vec(), shifts[items.clone()].to_vec());
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let frames = frames.narrow(0, items.start, items.len())?.narrow(2, 0, longest)?;
        let counts: Vec<usize> = match self.likeness {
            Likeness::Cosine => vec![1; lengths.len()],
            Likeness::Wasserstein => {
                lengths.iter().map(|&frames| model.projector.output_length(frames)).collect()
            }
        };
        let (inner, own) = (self.clone_settings(), model.clone());
        let rows = ctx.checkpoint(&[], move |ctx, _| {
            let found = inner
                .recordings_at_once(ctx, &own, &frames, &lengths, &shifts)
                .map_err(|error| Error::new(ErrorKind::Option, "contrast", format!("{error:#}")))?;
            let layers: Vec<&Tensor> = found.layers.iter().map(|layer| &layer.rows).collect();
            Tensor::cat(&layers, 0)
        })?;
        let offsets = offsets_of(&counts);
        let each = offsets.last().copied().unwrap_or(0);
        let layers = (0..self.layers.len())
            .map(|l| Ok(Clouds { rows: rows.narrow(0, l * each, each)?, offsets: offsets.clone() }))
            .collect::<anyhow::Result<_>>()?;
        Ok(Compared { layers })
    }

    /// The settings that decide what is compared.
    fn clone_settings(&self) -> Self {
        Self { layers: self.layers.clone(), log_temperature: None, ..*self }
    }

    /// Valid positions of each layer's states, or their average.
    fn compared(&self, layers: &Layers, kept: Option<&[Vec<usize>]>) -> anyhow::Result<Compared> {
        let Layers { states, lengths } = layers;
        let all: Vec<Vec<usize>> = lengths.iter().map(|&n| (0..n).collect()).collect();
        let compared = self
            .layers
            .iter()
            .zip(states)
            .map(|(&layer, states)| {
                let positions = match kept {
                    Some(kept) if layer > 0 => kept,
                    _ => &all,
                };
                ensure!(
                    positions.iter().all(|positions| !positions.is_empty()),
                    "contrast: a text or recording without a vector, expected at least one"
                );
                let clouds = rows_at(states, positions)?;
                Ok(match self.likeness {
                    Likeness::Wasserstein => clouds,
                    Likeness::Cosine => averages(&clouds)?,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Compared { layers: compared })
    }

    /// The contrast at each layer by itself, summed over items.
    pub fn by_layer(&self, text: &Compared, speech: &Compared) -> anyhow::Result<Vec<f64>> {
        let alone = |layer: &Clouds| Compared { layers: vec![layer.clone()] };
        text.layers
            .iter()
            .zip(&speech.layers)
            .map(|(text, speech)| {
                Ok(self.loss(&Context::eval(), &alone(text), &alone(speech))?.item()?)
            })
            .collect()
    }

    /// The contrast of two sides of as many items, summed over items.
    pub fn loss(
        &self,
        ctx: &Context,
        text: &Compared,
        speech: &Compared,
    ) -> anyhow::Result<Tensor> {
        let log_temperature = self.log_temperature.as_ref().map(|log| ctx.param(log));
        let options = ContrastOptions {
            temperature: self.temperature,
            log_temperature: log_temperature.as_ref(),
            direction: self.direction,
        };
        Ok(match self.likeness {
            Likeness::Cosine => {
                let rows = |side: &Compared| {
                    side.layers.iter().map(|layer| layer.rows.clone()).collect::<Vec<_>>()
                };
                contrast_cosine(&rows(text), &rows(speech), &options)?
            }
            Likeness::Wasserstein => {
                contrast_wasserstein(&text.layers, &speech.layers, self.blur, &options)?
            }
        })
    }
}

/// Chunks of a batch behind one another.
fn joined(chunks: &[Compared]) -> anyhow::Result<Compared> {
    let n_layers = chunks.first().map_or(0, |chunk| chunk.layers.len());
    let layers = (0..n_layers)
        .map(|l| {
            let rows: Vec<&Tensor> = chunks.iter().map(|chunk| &chunk.layers[l].rows).collect();
            let counts: Vec<usize> = chunks
                .iter()
                .flat_map(|chunk| chunk.layers[l].offsets.windows(2).map(|pair| pair[1] - pair[0]))
                .collect();
            Ok(Clouds { rows: Tensor::cat(&rows, 0)?, offsets: offsets_of(&counts) })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Compared { layers })
}

/// Where items of these sizes begin, and where the last one ends.
fn offsets_of(counts: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    offsets.extend(counts.iter().scan(0, |end, count| {
        *end += count;
        Some(*end)
    }));
    offsets
}

/// States `(B, T, D)` at positions of each item.
fn rows_at(states: &Tensor, positions: &[Vec<usize>]) -> anyhow::Result<Clouds> {
    let (time, width) = (states.shape()[1], states.shape()[2]);
    let index: Vec<i64> = positions
        .iter()
        .enumerate()
        .flat_map(|(b, positions)| positions.iter().map(move |&t| (b * time + t) as i64))
        .collect();
    let counts: Vec<usize> = positions.iter().map(Vec::len).collect();
    let count = index.len();
    let index = Tensor::from_vec(index, &[count], Device::Cpu)?;
    let rows = states.reshape(&[states.shape()[0] * time, width])?.index_select(0, &index)?;
    Ok(Clouds { rows, offsets: offsets_of(&counts) })
}

/// The average vector of each item, as clouds of one.
fn averages(clouds: &Clouds) -> anyhow::Result<Clouds> {
    let means = clouds
        .offsets
        .windows(2)
        .map(|pair| clouds.rows.narrow(0, pair[0], pair[1] - pair[0])?.mean(&[0], false))
        .collect::<tensor_core::Result<Vec<_>>>()?;
    let rows = Tensor::stack(&means.iter().collect::<Vec<_>>(), 0)?;
    Ok(Clouds { rows, offsets: (0..=means.len()).collect() })
}
