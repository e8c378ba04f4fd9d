//! Both models and the adapters between them.

use std::path::Path;
use std::sync::Arc;

use tensor_core::{Context, Tensor};

use super::audio_adapter::CrossProjections;
use super::config::WhisperingConfig;
use super::hearing::Hearing;
use super::layer_adapter::LayerAdapter;
use super::sizes::{PLACE, Sizes};
use crate::decoding::{GenerateOptions, Hypothesis, ScoreRule};
use crate::error::{Result, ZooError};
use crate::layers::length_mask;
use crate::llama::{Llama, LlamaCache, LlamaConfig, LlamaInput, LlamaOutput, LlamaSession};
use crate::weights::{
    ADAPTER_CONFIG, Base, Builder, LoadOptions, NameRules, Parameters, Plan, load_adapter,
    save_adapter,
};
use crate::whisper::{EncoderOutput, WhisperConfig};

/// A frozen LLaMA with adapters, which hears what Whisper's encoder made of a recording.
///
/// The encoder itself is not part of it, since its states are computed once for each recording:
/// [`Whisper::open_encoder`](crate::whisper::Whisper::open_encoder) opens it alone. The published
/// models see clips padded to 30 s, of which all 1500 states are heard. Where an
/// [`EncoderOutput`] has shorter lengths, an item hears what it would hear alone.
///
/// # Examples
///
/// ```
/// use model_zoo::decoding::{GenerateOptions, Strategy};
/// use model_zoo::llama::{LlamaConfig, LlamaInput, PaddingSide};
/// use model_zoo::whisper::{EncoderInput, Whisper, WhisperConfig};
/// use model_zoo::whispering_llama::{AudioAdapterConfig, WhisperingConfig, WhisperingLlama, WlSplit};
/// use model_zoo::Builder;
/// use tensor_core::{Context, DType, Device, Tensor};
///
/// let llama = LlamaConfig { vocab_size: 9, hidden_size: 16, intermediate_size: 8,
///     num_hidden_layers: 3, num_attention_heads: 4, ..LlamaConfig::default() };
/// let whisper = WhisperConfig { num_mel_bins: 3, d_model: 6, encoder_layers: 1,
///     encoder_attention_heads: 2, decoder_layers: 3, decoder_attention_heads: 2,
///     encoder_ffn_dim: 8, decoder_ffn_dim: 8, max_source_positions: 5, vocab_size: 9,
///     decoder_start_token_id: 1, eos_token_id: 2, ..WhisperConfig::default() };
/// let audio = AudioAdapterConfig { reduction_factor: 2, shared: true, wl_split: WlSplit::Released };
/// let config = WhisperingConfig { audio: Some(audio), ..WhisperingConfig::wl_m() };
///
/// let root = |seed| Builder::random(seed, DType::F32, Device::Cpu);
/// let heard = Whisper::new(&root(2), &whisper)?;
/// let model = WhisperingLlama::new(&config, (&root(1), &llama), Some((&root(2), &whisper)))?;
///
/// let ctx = Context::eval();
/// let recording = Tensor::ones(&[1, 3, 10], DType::F32, Device::Cpu)?;
/// let states = heard.encode(&ctx, &EncoderInput::new(&recording))?;
/// let prompt = LlamaInput::from_ids(&[vec![1, 4, 7]], PaddingSide::Left, Device::Cpu)?;
/// let options = GenerateOptions { strategy: Strategy::Greedy, max_new_tokens: 4,
///     eos_token_ids: vec![2] };
/// let corrected = model.generate(&ctx, &prompt, Some(&states), &[], &options)?;
/// assert!(!corrected[0][0].ids.is_empty());
/// # Ok::<(), model_zoo::ZooError>(())
/// ```
#[derive(Debug)]
pub struct WhisperingLlama {
    config: WhisperingConfig,
    llama: Llama,
    adapters: Arc<Vec<Option<LayerAdapter>>>,
    parameters: Parameters,
    frozen: Parameters,
    /// Width of the states that are heard.
    audio_width: Option<usize>,
    base_hash: String,
    whisper_hash: Option<String>,
}

impl WhisperingLlama {
    /// The LLaMA and the projections of Whisper that the two roots hold, frozen, and fresh adapters,
    /// drawn with the seed of LLaMA's root. Of Whisper only the projections of keys and values in the
    /// decoder's cross-attention are read. [`Builder::finish`] of the roots reports what folders lack.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when a config contradicts itself or the sizes do not go
    /// together: Whisper's decoder must have a block for every layer of LLaMA, and neither more nor
    /// wider heads than LLaMA; a Whisper must be given exactly when `config.audio` is.
    pub fn new(
        config: &WhisperingConfig,
        llama: (&Builder, &LlamaConfig),
        whisper: Option<(&Builder, &WhisperConfig)>,
    ) -> Result<Self> {
        let (llama_root, llama_config) = llama;
        let sizes = Sizes::new(config, llama_config, whisper.map(|(_, config)| config))?;
        let (llama, made) =
            llama_root.with_attachments(Plan::Freeze, |root| Llama::new(root, llama_config))?;
        let base_hash = made.base_hash();
        let mut frozen = Parameters::new();
        let (mut projections, mut whisper_hash) = (Vec::new(), None);
        if let Some((root, config)) = whisper {
            let mark = root.mark();
            let (found, made) = root.with_attachments(Plan::Freeze, |root| {
                let of_block = |k: usize| {
                    let scope = format!("model.decoder.layers.{k}.encoder_attn");
                    CrossProjections::new(&root.scope(scope), config.d_model, config.init_std)
                };
                sizes.layers.clone().map(of_block).collect::<Result<Vec<_>>>()
            })?;
            projections = found;
            whisper_hash = Some(made.base_hash());
            frozen.extend(&root.made_since(mark))?;
        }
        let builder = llama_root.trained_beside();
        let mut adapters: Vec<Option<LayerAdapter>> = Vec::new();
        adapters.resize_with(sizes.layers.start, || None);
        let mut projections = projections.into_iter();
        for index in sizes.layers.clone() {
            let whisper = projections.next();
            let adapter = LayerAdapter::new(&builder, &sizes, index, whisper, &mut frozen)?;
            adapters.push(Some(adapter));
        }
        Ok(Self {
            config: config.clone(),
            llama,
            adapters: Arc::new(adapters),
            parameters: builder.finish()?,
            frozen,
            audio_width: sizes.audio.map(|audio| audio.width),
            base_hash,
            whisper_hash,
        })
    }

    /// As [`new`](Self::new), from the Hugging Face folders of both models; `options` are of both.
    ///
    /// # Errors
    ///
    /// As there, and [`Io`](crate::ErrorKind::Io) or, listing every tensor that does not fit,
    /// [`Weights`](crate::ErrorKind::Weights).
    pub fn open(
        config: &WhisperingConfig,
        llama: &Path,
        whisper: Option<&Path>,
        options: LoadOptions,
    ) -> Result<Self> {
        let whisper = match whisper {
            Some(dir) => {
                let config = WhisperConfig::open(dir)?;
                let rules = NameRules::whisper_cross_attention();
                Some((Builder::from_folder(dir, rules, options)?, config))
            }
            None => None,
        };
        let whisper = whisper.as_ref().map(|(root, config)| (root, config));
        let (llama, mut model) = Llama::open_beside(llama, options, |root, llama_config| {
            let model = Self::new(config, (root, llama_config), whisper)?;
            Ok((model.llama.clone(), model))
        })?;
        if let Some((root, _)) = whisper {
            root.finish()?;
        }
        // Only an opened folder says how decoding ends.
        model.llama = llama;
        Ok(model)
    }

    /// What the adapters are.
    pub fn config(&self) -> &WhisperingConfig {
        &self.config
    }

    /// The language model, which does not hear: for logits, embeddings and its tokenizer.
    pub fn llama(&self) -> &Llama {
        &self.llama
    }

    /// What is trained, under the released names, such as
    /// `transformer.h.2.attn.projection_key_matrix_down`: f32, whatever the models are kept in, and
    /// f64 beside a LLaMA in f64.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What the adapters hold that is neither trained nor saved: Whisper's projections, under its
    /// names, and the scale of each `rms_gate`, which is one.
    pub fn frozen(&self) -> &Parameters {
        &self.frozen
    }

    /// Whether each layer's activations are recomputed in the backward walk instead of kept.
    pub fn set_gradient_checkpointing(&mut self, on: bool) {
        self.llama.set_gradient_checkpointing(on);
    }

    /// States of all positions at once, as [`Llama::forward`]; row `b` of `input` hears item `b` of
    /// `audio`, to whose states gradients flow as well. Logits are those of
    /// [`llama`](Self::llama).
    ///
    /// # Shapes
    ///
    /// `audio.last_hidden_state` is `(B, F, d_model)`.
    ///
    /// # Errors
    ///
    /// As there; [`Shape`](crate::ErrorKind::Shape) when the audio has another number of items or
    /// another width; [`Option`](crate::ErrorKind::Option) when there is audio and `config.audio` is
    /// absent, or the other way round.
    pub fn forward(
        &self,
        ctx: &Context,
        input: &LlamaInput,
        audio: Option<&EncoderOutput>,
    ) -> Result<LlamaOutput> {
        let (hearing, states) = self.hearing(input, audio)?;
        let others = states.into_iter().collect();
        self.llama.forward_beside(ctx, input, Some(Arc::new(hearing)), others)
    }

    /// A session that has read no text and hears `audio`, whose keys and values, with those of the
    /// learned rows, are computed here, once. As many rows are to be read as it has items.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    pub fn session(
        &self,
        ctx: &Context,
        audio: Option<&EncoderOutput>,
    ) -> Result<LlamaSession<'_>> {
        let cache = self.cache(ctx, self.heard(audio)?)?;
        Ok(LlamaSession::with_cache(&self.llama, cache))
    }

    /// Continues every row of `prompts`, as [`Llama::generate`]; row `b` hears item `b` of `audio`.
    ///
    /// # Errors
    ///
    /// As there and as [`forward`](Self::forward).
    pub fn generate(
        &self,
        ctx: &Context,
        prompts: &LlamaInput,
        audio: Option<&EncoderOutput>,
        rules: &[Box<dyn ScoreRule>],
        options: &GenerateOptions,
    ) -> Result<Vec<Vec<Hypothesis>>> {
        let cache = self.cache(ctx, self.hearing(prompts, audio)?)?;
        self.llama.generate_from(ctx, cache, prompts, rules, options)
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors`, which holds what is trained and
    /// names the weights of both models that it belongs to.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when a file cannot be written.
    pub fn save_adapters(&self, dir: &Path) -> Result<()> {
        save_adapter(dir, &self.config, &self.parameters, &self.bases())
    }

    /// Sets what is trained from a folder that [`save_adapters`](Self::save_adapters) wrote, or that
    /// holds the tensors of the released code: these name no weights that they belong to.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the adapters are other ones;
    /// [`Weights`](crate::ErrorKind::Weights) when they belong to other weights, or listing the
    /// tensors that do not fit.
    pub fn load_adapters(&self, dir: &Path) -> Result<()> {
        let found = WhisperingConfig::open(dir)?;
        let WhisperingConfig { base_model_name_or_path, whisper_name_or_path, .. } =
            self.config.clone();
        let same =
            WhisperingConfig { base_model_name_or_path, whisper_name_or_path, ..found.clone() };
        if same != self.config {
            let detail = format!("adapters are {same:?}, expected {:?}", self.config);
            return Err(ZooError::config(dir.join(ADAPTER_CONFIG).display().to_string(), detail)
                .hint("make the model with WhisperingConfig::open of this folder"));
        }
        let belongs_to = [&found.base_model_name_or_path, &found.whisper_name_or_path];
        let belongs_to: Vec<&str> = belongs_to.into_iter().flatten().map(String::as_str).collect();
        let belongs_to = (!belongs_to.is_empty()).then(|| belongs_to.join(" and "));
        load_adapter(dir, &self.parameters, &self.bases(), belongs_to.as_deref())
    }

    fn bases(&self) -> Vec<Base<'_>> {
        let whisper = self.whisper_hash.as_ref().map(|hash| Base { name: "whisper", hash });
        std::iter::once(Base { name: "base", hash: &self.base_hash }).chain(whisper).collect()
    }

    /// What the rows of `input` hear of `audio`, and the states.
    fn hearing(
        &self,
        input: &LlamaInput,
        audio: Option<&EncoderOutput>,
    ) -> Result<(Hearing, Option<Tensor>)> {
        let rows = input.tokens.batch();
        if let Some(audio) = audio
            && rows != audio.lengths.len()
        {
            let detail =
                format!("audio has {} items, expected {rows} as the input", audio.lengths.len());
            return Err(ZooError::shape(PLACE, detail));
        }
        self.heard(audio)
    }

    /// What rows hear of `audio`, and the states.
    fn heard(&self, audio: Option<&EncoderOutput>) -> Result<(Hearing, Option<Tensor>)> {
        let (lengths, key_mask, states) = match (audio, self.audio_width) {
            (None, None) => (None, None, None),
            (Some(audio), Some(width)) => {
                let states = &audio.last_hidden_state;
                let frames = check_audio(audio, width)?;
                let whole = audio.lengths.iter().all(|&n| n == frames);
                let key_mask = length_mask(&audio.lengths, frames, states.device())?;
                ((!whole).then(|| audio.lengths.clone()), key_mask, Some(states.clone()))
            }
            (audio, _) => {
                let (got, expected) = match audio {
                    Some(_) => ("audio", "none, as `audio` of the config is absent"),
                    None => ("no audio", "some, as `audio` of the config is given"),
                };
                return Err(ZooError::option(PLACE, format!("{got}, expected {expected}")));
            }
        };
        let adapters = Arc::clone(&self.adapters);
        Ok((Hearing { adapters, lengths, key_mask, memories: Vec::new() }, states))
    }

    fn cache(
        &self,
        ctx: &Context,
        (hearing, states): (Hearing, Option<Tensor>),
    ) -> Result<LlamaCache> {
        let hearing = hearing.ahead(ctx, self.llama.attentions(), states.as_ref())?;
        Ok(LlamaCache::beside(Arc::new(hearing)))
    }
}

/// Number of frames of audio whose states are `width` wide.
fn check_audio(audio: &EncoderOutput, width: usize) -> Result<usize> {
    let fault = |detail: String| Err(ZooError::shape(PLACE, detail));
    let shape = audio.last_hidden_state.shape();
    let &[items, frames, _] = shape else {
        return fault(format!("audio is {shape:?}, expected (B, F, {width})"));
    };
    if shape[2] != width || frames == 0 {
        return fault(format!("audio is {shape:?}, expected (B, F, {width}) of at least 1 frame"));
    }
    if audio.lengths.len() != items {
        let n = audio.lengths.len();
        return fault(format!("{n} lengths of audio, expected {items}"));
    }
    match audio.lengths.iter().position(|&n| n == 0 || n > frames) {
        Some(b) => {
            fault(format!("length {b} of audio is {}, expected 1 to {frames}", audio.lengths[b]))
        }
        None => Ok(frames),
    }
}
