//! Looking at what a model compares: the transport plan of an utterance, and contrasts layer by layer.

use std::ops::Range;

use align_kernels::Ragged;
use align_kernels::sinkhorn::{Options, Pairing, Weights, sinkhorn};
use align_kernels::wasserstein_info_nce::contr_wasser;
use anyhow::{Context as _, ensure};
use model_zoo::projector::Projector;
use ndarray::Array2;
use tensor_core::Context;

use super::contrast::{Contraster, Side};
use super::data::Clips;
use super::model::SpeechLlm;
use super::score::TestSet;
use super::states::Heard;
use crate::dataset::audio::SAMPLE_RATE;
use crate::manifest::Utterance;
use crate::recipe::{Contrast, Likeness, Pretrain, Recipe, Where};

/// How the tokens of a text lie on the vectors of its recording.
pub struct TransportPlan {
    /// Text of each token.
    pub tokens: Vec<String>,
    /// Seconds that each vector was made from.
    pub seconds: Vec<Range<f64>>,
    /// `plan[token][vector]`; rows sum to one over the tokens, columns to one over the vectors.
    pub plan: Vec<Vec<f64>>,
    /// Sinkhorn divergence between the two.
    pub divergence: f64,
    /// Largest violation of the sums, relative to them.
    pub marginal_error: f64,
}

/// The plan between an utterance and its text at a hidden state of the language model.
///
/// # Errors
///
/// When the utterance cannot be read or has no text.
pub fn transport_plan(
    model: &SpeechLlm,
    recipe: &Recipe,
    utterance: &Utterance,
    layer: usize,
) -> anyhow::Result<TransportPlan> {
    let text = super::data::transcript(utterance, recipe)?;
    let ids = model.chat.text(&text)?;
    let contraster = contraster(model, &recipe.pretrain, Likeness::Wasserstein, vec![layer])?;
    let heard = Heard::new(vec![utterance.clone()], model.states.clone());
    let ctx = Context::eval();
    let clips = Clips::of(&heard, &[0], true)?;
    let (frames, lengths) = clips.frames(&ctx, &model.states)?;
    let texts = Side::of_texts(std::slice::from_ref(&ids), &[0])?;
    let texts = contraster.texts(&ctx, model, texts)?;
    let speech = model.project(&ctx, &frames, &lengths)?;
    let speech = contraster.sequences(&ctx, model, Side::of_speech(speech, &[0]))?;

    let rows = |clouds: &crate::losses::Clouds| -> anyhow::Result<Array2<f32>> {
        let shape = (clouds.rows.shape()[0], clouds.rows.shape()[1]);
        Ok(Array2::from_shape_vec(shape, clouds.rows.to_vec_f32()?)?)
    };
    let (x, y) = (rows(&texts.layers[0])?, rows(&speech.layers[0])?);
    let (x, y) = (Ragged::single(x.view().into()), Ragged::single(y.view().into()));
    let options =
        Options { plan: true, pairing: Pairing::Paired, ..contr_wasser(recipe.pretrain.blur) };
    let found = sinkhorn(&x, &y, Weights::default(), &options)?;
    let vectors = y.range(0).len();
    let plan =
        found.plan_of(0).chunks(vectors).map(|row| row.iter().map(|&p| f64::from(p)).collect());
    Ok(TransportPlan {
        tokens: ids
            .iter()
            .map(|&id| model.chat.tokenizer.decode(&[id], false))
            .collect::<Result<_, _>>()?,
        seconds: vector_seconds(model, lengths[0], vectors),
        plan: plan.collect(),
        divergence: found.value[0],
        marginal_error: found.marginal_error[0],
    })
}

/// Seconds that vectors were made from: windows of a Q-Former are shared by its queries, which then
/// have a part each.
fn vector_seconds(model: &SpeechLlm, frames: usize, vectors: usize) -> Vec<Range<f64>> {
    let frame = model.states.encoder.samples_per_frame() as f64 / f64::from(SAMPLE_RATE);
    let (window, each) = match &model.projector {
        Projector::QFormer(projector) => {
            (projector.config.window_size, projector.config.num_query_tokens)
        }
        Projector::Linear(projector) => (projector.config.encoder_projector_ds_rate, 1),
        Projector::Conv1d(projector) => (projector.config.encoder_projector_ds_rate, 1),
    };
    let end = frames as f64 * frame;
    let at = |k: usize| (k as f64 / each as f64 * window as f64 * frame).min(end);
    (0..vectors).map(|k| at(k)..at(k + 1)).collect()
}

/// Contrasts on a test set, state by state from the embedding on, as means over items: cosine and
/// Wasserstein.
///
/// # Errors
///
/// When an utterance cannot be read.
pub fn contrasts_by_layer(model: &SpeechLlm, test: &TestSet) -> anyhow::Result<Vec<[f64; 2]>> {
    let layers: Vec<usize> = (0..=model.llm.config.num_hidden_layers).collect();
    let mut found = vec![[0.0; 2]; layers.len()];
    for (k, likeness) in [Likeness::Cosine, Likeness::Wasserstein].into_iter().enumerate() {
        let contraster = contraster(model, test.settings(), likeness, layers.clone())?;
        for (layer, value) in test.contrasts(model, &contraster)?.into_iter().enumerate() {
            found[layer][k] = value;
        }
    }
    Ok(found)
}

fn contraster(
    model: &SpeechLlm,
    settings: &Pretrain,
    likeness: Likeness,
    layers: Vec<usize>,
) -> anyhow::Result<Contraster> {
    let settings =
        Pretrain { layers, learn_temperature: false, cached_items: 0, ..settings.clone() };
    let contrast = Contrast { likeness, place: Where::All };
    Contraster::new(&settings, contrast, model.llm.config.num_hidden_layers)
}

/// The utterance named `id` among those of a recipe's manifests.
///
/// # Errors
///
/// When there is none, with the manifests that were looked through.
pub fn find_utterance(recipe: &Recipe, id: &str) -> anyhow::Result<Utterance> {
    let data = &recipe.data;
    for specs in [&data.test, &data.dev, &data.train] {
        if let Some(found) =
            crate::manifest::read_all(specs)?.into_iter().find(|utterance| utterance.id == id)
        {
            ensure!(found.audio.is_some(), "{}: utterance `{id}` has no audio", found.place);
            return Ok(found);
        }
    }
    None.with_context(|| format!("--id: no utterance `{id}` in data.test, data.dev or data.train"))
}
