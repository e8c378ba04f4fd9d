//! Recordings with their texts and questions, and batches of them.

use std::sync::Arc;

use anyhow::{bail, ensure};
use tensor_core::{Context, Philox, Tensor};

use super::mixed::{TimedText, spans};
use super::model::SpeechLlm;
use super::states::{Heard, States, collate};
use crate::batching::Length;
use crate::dataset::audio::SAMPLE_RATE;
use crate::manifest::Utterance;
use crate::recipe::{Mixed, PretrainObjective, Recipe, ShiftPer};

/// Random streams of a run that are not dropout, told apart by their high bits.
const SPAN_STREAM: u64 = 4 << 60;
const SHIFT_STREAM: u64 = 5 << 60;
const PROMPT_STREAM: u64 = 6 << 60;

/// What the encoder found in some recordings, or what it is to hear at each step.
pub enum Clips {
    /// Frames `(B, n_states, F, E)`, NaN after the ends, and the frames of each.
    States(Tensor, Vec<usize>),
    /// Samples, for an encoder with dropout.
    Samples(Vec<Arc<Vec<f32>>>),
}

impl Clips {
    /// States of utterances of `heard`; their samples where the encoder is not at rest.
    pub fn of(heard: &Heard, items: &[usize], encoder_rests: bool) -> anyhow::Result<Self> {
        if !encoder_rests {
            let samples = items.iter().map(|&item| heard.samples(item));
            return Ok(Self::Samples(samples.collect::<anyhow::Result<_>>()?));
        }
        let states = items.iter().map(|&item| heard.states(item));
        let (frames, lengths) = collate(&states.collect::<anyhow::Result<Vec<_>>>()?)?;
        Ok(Self::States(frames, lengths))
    }

    /// Frames and how many each item has.
    pub fn frames(&self, ctx: &Context, states: &States) -> anyhow::Result<(Tensor, Vec<usize>)> {
        match self {
            Self::States(frames, lengths) => Ok((frames.clone(), lengths.clone())),
            Self::Samples(clips) => {
                let states = clips.iter().map(|samples| states.encoder.states(ctx, samples));
                collate(&states.collect::<anyhow::Result<Vec<_>>>()?)
            }
        }
    }
}

/// Part of a sequence of speech and text.
pub enum Piece {
    Text(Vec<u32>),
    /// A stretch of speech, by its number among those of the batch.
    Speech(usize),
}

/// Sequences of speech and text in turn.
pub struct MixedBatch {
    /// All stretches of speech.
    pub clips: Clips,
    /// Of each item, between start and end.
    pub pieces: Vec<Vec<Piece>>,
}

/// Recordings with their transcripts.
pub struct Transcribed {
    pub heard: Heard,
    pub texts: Vec<String>,
    /// Tokens of each, without start and end.
    pub ids: Vec<Vec<u32>>,
    /// Transcripts with times, for mixed sequences.
    timed: Vec<TimedText>,
}

impl Transcribed {
    /// Reads and tokenises transcripts. Lines that are only asked questions about need none, and are
    /// passed over then.
    ///
    /// # Errors
    ///
    /// Names the line with an empty text, without times that `objective` needs, or longer than the
    /// model allows.
    pub fn new(
        mut utterances: Vec<Utterance>,
        recipe: &Recipe,
        model: &SpeechLlm,
        objective: PretrainObjective,
    ) -> anyhow::Result<Self> {
        utterances.retain(|utterance| needs_transcript(utterance, recipe));
        let heard = Heard::new(utterances, model.states.clone());
        let (mut texts, mut ids, mut timed) = (Vec::new(), Vec::new(), Vec::new());
        for (item, utterance) in heard.utterances.iter().enumerate() {
            let text = transcript(utterance, recipe)?;
            let own = model.chat.text(&text)?;
            let tokens = match (objective.asr, recipe.instruct.asr_prompts.first()) {
                (true, Some(prompt)) => model.chat.conversation(prompt, &text)?.tokens(),
                _ => own.len(),
            };
            if objective.mixed {
                timed.push(TimedText::new(utterance, &text, &model.chat, &recipe.mixed)?);
            }
            check_length(&heard, item, model, tokens)?;
            texts.push(text);
            ids.push(own);
        }
        Ok(Self { heard, texts, ids, timed })
    }

    /// Lengths for the batch planner.
    pub fn lengths(&self) -> Vec<Length> {
        let seconds = |item: usize| self.heard.utterances[item].duration_s.unwrap_or(0.0);
        let lengths = self.ids.iter().enumerate();
        lengths.map(|(item, ids)| Length { seconds: seconds(item), tokens: ids.len() }).collect()
    }

    /// Sequences of speech and text, drawn for batch number `number`.
    pub fn mixed(
        &self,
        items: &[usize],
        number: u64,
        seed: u64,
        settings: &Mixed,
    ) -> anyhow::Result<MixedBatch> {
        let mut states = Vec::new();
        let mut pieces = Vec::with_capacity(items.len());
        for (k, &item) in items.iter().enumerate() {
            let timed = &self.timed[item];
            // One number for each item of each micro-batch; no batch has 2^20 items.
            let mut rng = Philox::new(seed, SPAN_STREAM | (number << 20) | k as u64);
            let mut own = Vec::new();
            for span in spans(timed.ends.len(), settings, &mut rng) {
                let seconds = timed.seconds(&span.words);
                let samples = ((seconds.end - seconds.start) * f64::from(SAMPLE_RATE)) as usize;
                // A stretch that is too short to be heard is read.
                if span.is_speech && self.heard.states.encoder.frames(samples) > 1 {
                    own.push(Piece::Speech(states.len()));
                    states.push(self.heard.states_within(item, seconds)?);
                } else {
                    own.push(Piece::Text(timed.tokens_of(&span.words)));
                }
            }
            pieces.push(own);
        }
        let (frames, lengths) = match states.is_empty() {
            true => (Tensor::from_vec(Vec::<f32>::new(), &[0], tensor_core::Device::Cpu)?, vec![]),
            false => collate(&states)?,
        };
        Ok(MixedBatch { clips: Clips::States(frames, lengths), pieces })
    }
}

/// Whether a line has a transcript, or lacks one by mistake: those with a question may have none.
pub fn needs_transcript(utterance: &Utterance, recipe: &Recipe) -> bool {
    utterance.field(&recipe.data.text_field).is_some() || utterance.field("question").is_none()
}

/// The text that an utterance is compared with.
///
/// # Errors
///
/// Names the line that has none.
pub fn transcript(utterance: &Utterance, recipe: &Recipe) -> anyhow::Result<String> {
    let text = crate::dataset::text::text_of(utterance, &recipe.data)?;
    ensure!(
        !text.trim().is_empty(),
        "{}: text is empty, expected words (hint: leave the line out)",
        utterance.place
    );
    Ok(text.trim().to_owned())
}

/// Refuses an utterance that does not fit the language model beside `tokens` tokens, as far as its
/// length is known.
pub fn check_length(
    heard: &Heard,
    item: usize,
    model: &SpeechLlm,
    tokens: usize,
) -> anyhow::Result<()> {
    let utterance = &heard.utterances[item];
    if utterance.audio.is_none() {
        bail!("{}: utterance `{}` has no audio", utterance.place, utterance.id);
    }
    let Some(frames) = heard.frames(item) else { return Ok(()) };
    let vectors = model.projector.output_length(frames);
    let seconds = utterance.duration_s.unwrap_or(0.0);
    ensure!(
        vectors > 0,
        "{}: clip of {seconds:.2} s gives no vector, expected at least one (hint: \
         data.min_duration_s)",
        utterance.place
    );
    ensure!(
        vectors + tokens <= model.longest,
        "{}: clip of {seconds:.1} s gives {vectors} vectors beside {tokens} tokens, expected at most \
         {} together (hint: data.max_duration_s, or llm.max_length)",
        utterance.place,
        model.longest
    );
    Ok(())
}

/// Where the positions of each of `items` items begin, drawn for batch number `number`.
pub fn shifts(recipe: &Recipe, number: u64, items: usize) -> Vec<usize> {
    let settings = &recipe.pretrain;
    let mut rng = Philox::new(recipe.seed, SHIFT_STREAM | number);
    let bound = settings.position_shift as u32 + 1;
    match settings.shift_per {
        ShiftPer::Batch => vec![rng.below(bound) as usize; items],
        ShiftPer::Example => (0..items).map(|_| rng.below(bound) as usize).collect(),
    }
}

/// One of `prompts` for draw number `draw`; tests take the first.
pub fn drawn_prompt(prompts: &[String], seed: u64, draw: u64) -> &str {
    match prompts {
        [only] => only,
        _ => {
            let mut rng = Philox::new(seed, PROMPT_STREAM | draw);
            &prompts[rng.below(prompts.len() as u32) as usize]
        }
    }
}
