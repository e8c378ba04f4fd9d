//! BERT without a head: embeddings, layers and, where there is one, the pooler.

use std::path::Path;

use tensor_core::{Context, DType};

use super::config::BertConfig;
use super::embeddings::BertEmbeddings;
use super::encoder_layer::BertLayer;
use super::heads::Pooler;
use super::io::{BertInput, BertOutput};
use crate::config::ModelConfig;
use crate::error::{Result, ZooError};
use crate::folder::ModelFolder;
use crate::layers::LayerStack;
use crate::weights::{Builder, LoadOptions, NameRules, Parameters};

/// `BertModel`: the encoder, with its pooler where there is one.
#[derive(Debug, Clone)]
pub struct Bert {
    /// Dimensions.
    pub config: BertConfig,
    embeddings: BertEmbeddings,
    layers: LayerStack<BertLayer>,
    pooler: Option<Pooler>,
    parameters: Parameters,
}

impl Bert {
    /// Builds the scope `bert` of `root`, with a pooler unless a folder lacks it.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the config contradicts itself.
    pub fn new(root: &Builder, config: &BertConfig) -> Result<Self> {
        Self::build(root, config, root.supplies("bert.pooler"))
    }

    /// As [`new`](Self::new), with a pooler or without, drawn when a folder lacks it.
    pub(super) fn build(root: &Builder, config: &BertConfig, pooled: bool) -> Result<Self> {
        config.check()?;
        let mark = root.mark();
        let builder = root.scope("bert");
        let embeddings = BertEmbeddings::new(&builder.scope("embeddings"), config)?;
        let layers = LayerStack::new(config.num_hidden_layers, 0.0, |k| {
            BertLayer::new(&builder.scope(format!("encoder.layer.{k}")), config)
        })?;
        let pooler = match pooled {
            true => Some(Pooler::new(&builder.scope("pooler").or_init(), config)?),
            false => None,
        };
        Ok(Self {
            config: config.clone(),
            embeddings,
            layers,
            pooler,
            parameters: root.made_since(mark),
        })
    }

    /// Opens a Hugging Face folder; heads in it stay unread.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), [`Io`](crate::ErrorKind::Io) or, listing every
    /// tensor that does not fit, [`Weights`](crate::ErrorKind::Weights).
    pub fn open(dir: &Path, options: LoadOptions) -> Result<Self> {
        let config = BertConfig::open(dir)?;
        Builder::open_model(dir, NameRules::bert(), options, |root| Self::new(root, &config))
    }

    /// Parameters by name.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The pooler, if the model has one.
    pub fn pooler(&self) -> Option<&Pooler> {
        self.pooler.as_ref()
    }

    /// Input embeddings.
    pub(super) fn embeddings(&self) -> &BertEmbeddings {
        &self.embeddings
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.layers.set_gradient_checkpointing(on);
    }

    /// Encodes a batch. Tokens behind a zero of the mask influence no other token.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the input is not `(B, T)`, too long, or its mask
    /// or segments have another shape.
    pub fn forward(&self, ctx: &Context, input: &BertInput) -> Result<BertOutput> {
        let [batch, tokens] = self.check(input)?;
        let segments = input.token_type_ids.as_ref();
        let x = self.embeddings.forward(ctx, &input.input_ids, segments)?;
        let (keep, key_mask) = (input.output_hidden_states, input.attention_mask.clone());
        let (x, mut hidden_states) =
            self.layers.forward(ctx, vec![x], keep, move |layer, ctx, inputs| {
                layer.forward(ctx, &inputs[0], key_mask.as_ref())
            })?;
        if keep {
            hidden_states.push(x.clone());
        }
        let lengths = match &input.attention_mask {
            Some(mask) => mask
                .to_dtype(DType::I64)?
                .to_vec::<i64>()?
                .chunks(tokens)
                .map(|row| row.iter().filter(|&&seen| seen != 0).count())
                .collect(),
            None => vec![tokens; batch],
        };
        Ok(BertOutput { last_hidden_state: x, hidden_states, lengths })
    }

    /// Writes `config.json` and `model.safetensors`, which `transformers` loads. `dtype`
    /// converts the weights; `None` keeps them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_hf_folder(&self, dir: &Path, dtype: Option<DType>) -> Result<()> {
        let (config, parameters) = (&self.config, &self.parameters);
        ModelFolder { config, architecture: "BertModel", parameters, aliases: &[] }.save(dir, dtype)
    }

    fn check(&self, input: &BertInput) -> Result<[usize; 2]> {
        let place = "bert";
        let &[batch, tokens] = input.input_ids.shape() else {
            let detail = format!("input_ids is {:?}, expected (B, T)", input.input_ids.shape());
            return Err(ZooError::shape(place, detail));
        };
        let longest = self.config.max_position_embeddings;
        if tokens == 0 || tokens > longest {
            let detail = format!("input_ids has {tokens} tokens, expected 1 to {longest}");
            return Err(ZooError::shape(place, detail).hint("truncate longer texts"));
        }
        for (name, other) in
            [("attention_mask", &input.attention_mask), ("token_type_ids", &input.token_type_ids)]
        {
            if let Some(other) = other.as_ref().filter(|t| t.shape() != [batch, tokens]) {
                let (got, expected) = (other.shape(), [batch, tokens]);
                let detail = format!("{name} is {got:?}, expected {expected:?}");
                return Err(ZooError::shape(place, detail));
            }
        }
        Ok([batch, tokens])
    }
}
