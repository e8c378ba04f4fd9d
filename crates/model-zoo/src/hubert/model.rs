//! The encoder without a head.

use std::path::Path;

use tensor_core::{Context, DType};

use super::config::HubertConfig;
use super::feature_encoder::FeatureEncoder;
use super::io::{HubertInput, HubertOutput};
use super::layer::EncoderLayer;
use super::positions::PositionalConvolution;
use super::spec_augment::SpecAugment;
use crate::config::ModelConfig;
use crate::error::{Result, ZooError};
use crate::folder::ModelFolder;
use crate::layers::{LayerNorm, LayerStack, Linear, Sight, length_mask, zero_beyond};
use crate::weights::{Builder, Init, LoadOptions, NameRules, Parameters};

const PLACE: &str = "hubert";

/// `HubertModel` or `Wav2Vec2Model`: raw speech to hidden states, 20 ms a frame as published.
#[derive(Debug, Clone)]
pub struct Hubert {
    /// Dimensions.
    pub config: HubertConfig,
    feature_encoder: FeatureEncoder,
    feature_norm: Option<LayerNorm>,
    projection: Linear,
    spec_augment: SpecAugment,
    positions: PositionalConvolution,
    layers: LayerStack<EncoderLayer>,
    layer_norm: LayerNorm,
    parameters: Parameters,
}

impl Hubert {
    /// Builds the scope `hubert` or `wav2vec2` of `root`. The mask embedding is drawn when a
    /// folder lacks it, as fine-tuned checkpoints do.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &HubertConfig) -> Result<Self> {
        config.check()?;
        let mark = root.mark();
        let builder = root.scope(config.model_type.name());
        let width = config.hidden_size;
        let feature_encoder = FeatureEncoder::new(&builder.scope("feature_extractor"), config)?;
        let scope = builder.scope("feature_projection");
        let features = config.conv_dim.last().copied().unwrap_or_default();
        let feature_norm = match config.projects_normalised() {
            true => {
                Some(LayerNorm::new(&scope.scope("layer_norm"), features, config.layer_norm_eps)?)
            }
            false => None,
        };
        let init = Init::Normal(config.initializer_range);
        let projection = Linear::new(&scope.scope("projection"), features, width, init)?;
        let embedding = match config.has_mask_embedding() {
            true => {
                let scope = builder.scope("masked_spec_embed").or_init();
                Some(scope.get("", &[width], Init::Uniform { lo: 0.0, hi: 1.0 })?)
            }
            false => None,
        };
        let encoder = builder.scope("encoder");
        let positions = PositionalConvolution::new(&encoder.scope("pos_conv_embed"), config)?;
        let norm = encoder.scope("layer_norm");
        let layer_norm = LayerNorm::new(&norm, width, config.layer_norm_eps)?;
        let layers = LayerStack::new(config.num_hidden_layers, config.layerdrop, |k| {
            EncoderLayer::new(&encoder.scope(format!("layers.{k}")), config)
        })?;
        Ok(Self {
            config: config.clone(),
            feature_encoder,
            feature_norm,
            projection,
            spec_augment: SpecAugment::new(config, embedding),
            positions,
            layers,
            layer_norm,
            parameters: root.made_since(mark),
        })
    }

    /// Opens a Hugging Face folder of either family; heads in it stay unread.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or, listing every
    /// tensor that does not fit, [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = HubertConfig::open(dir)?;
        let rules = NameRules::speech(config.model_type);
        Builder::open_model(dir, rules, options, |root| Self::new(root, &config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether activations of each convolution and layer are recomputed in the backward walk
    /// instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.feature_encoder.set_gradient_checkpointing(on);
        self.layers.set_gradient_checkpointing(on);
    }

    /// Encodes a batch.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the samples are not `(B, S)`, an item is shorter
    /// than [`receptive_field`](HubertConfig::receptive_field), or lengths or mask do not fit;
    /// [`Option`](crate::ErrorKind::Option) when a mask is given to a model without a mask
    /// embedding.
    pub fn forward(&self, ctx: &Context, input: &HubertInput<'_>) -> Result<HubertOutput> {
        let samples = self.check(input)?;
        let config = &self.config;

        // 1. Samples to features.
        let x = zero_beyond(&input.input_values.unsqueeze(1)?, samples.as_deref())?;
        let x = self.feature_encoder.forward(ctx, x, samples.as_deref())?.transpose(1, 2)?;
        let frames = x.shape()[1];
        let x = match &self.feature_norm {
            Some(norm) => norm.forward(ctx, &x)?,
            None => x,
        };
        let x = ctx.dropout(&self.projection.forward(ctx, &x)?, config.feat_proj_dropout)?;
        let lengths: Vec<usize> = match &samples {
            Some(samples) => samples.iter().map(|&n| config.frame_length(n)).collect(),
            None => vec![frames; x.shape()[0]],
        };
        let x = self.spec_augment.forward(ctx, x, &lengths, input.mask_time_indices)?;

        // 2. Positions. Frames beyond an item's end are zeros there, as they are to it alone.
        let ragged = samples.is_some().then_some(&lengths[..]);
        let x = self.positions.add_to(ctx, &x, ragged)?;
        let stable = config.do_stable_layer_norm;
        let x = if stable { x } else { self.layer_norm.forward(ctx, &x)? };
        let x = ctx.dropout(&x, config.hidden_dropout)?;

        // 3. Layers.
        let key_mask = length_mask(&lengths, frames, x.device())?;
        let keep = input.output_hidden_states;
        let (x, mut hidden_states) =
            self.layers.forward(ctx, vec![x], keep, move |layer, ctx, inputs| {
                layer.forward(ctx, &inputs[0], Sight::masked(key_mask.as_ref()))
            })?;
        if keep {
            hidden_states.push(x.clone());
        }
        let last_hidden_state = if stable { self.layer_norm.forward(ctx, &x)? } else { x };
        Ok(HubertOutput { last_hidden_state, hidden_states, lengths })
    }

    /// Writes `config.json` and `model.safetensors`, which `transformers` loads. `dtype`
    /// converts the weights; `None` keeps them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let architecture = format!("{}Model", self.config.model_type.class());
        self.save_as(dir, dtype, &architecture, &self.parameters)
    }

    /// Writes the folder of a model that holds this one.
    pub(super) fn save_as(
        &self,
        dir: &Path,
        dtype: Option<DType>,
        architecture: &str,
        parameters: &Parameters,
    ) -> Result<()> {
        let config = &self.config;
        ModelFolder { config, architecture, parameters, aliases: &[] }.save(dir, dtype)
    }

    /// Checks the input; returns the sample lengths unless all samples are valid.
    fn check(&self, input: &HubertInput<'_>) -> Result<Option<Vec<usize>>> {
        let shape = input.input_values.shape();
        let &[batch, samples] = shape else {
            let detail = format!("input_values is {shape:?}, expected (B, S)");
            return Err(ZooError::shape(PLACE, detail));
        };
        let shortest = self.config.receptive_field();
        let hint = "pad or leave out clips shorter than one frame";
        if samples < shortest {
            let detail =
                format!("input_values has {samples} samples, expected at least {shortest}");
            return Err(ZooError::shape(PLACE, detail).hint(hint));
        }
        let frames = self.config.frame_length(samples);
        if let Some(mask) = input.mask_time_indices.filter(|m| m.shape() != [batch, frames]) {
            let (got, expected) = (mask.shape(), [batch, frames]);
            let detail = format!("mask_time_indices is {got:?}, expected {expected:?}");
            return Err(ZooError::shape(PLACE, detail));
        }
        let Some(lengths) = input.sample_lengths else { return Ok(None) };
        if lengths.len() != batch {
            let detail = format!("{} sample_lengths, expected {batch}", lengths.len());
            return Err(ZooError::shape(PLACE, detail));
        }
        let mut items = lengths.iter().enumerate();
        if let Some((k, n)) = items.find(|(_, n)| !(shortest..=samples).contains(n)) {
            let detail = format!("sample_lengths[{k}] is {n}, expected {shortest} to {samples}");
            return Err(ZooError::shape(PLACE, detail).hint(hint));
        }
        Ok(lengths.iter().any(|&n| n < samples).then(|| lengths.to_vec()))
    }
}
