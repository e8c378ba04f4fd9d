//! What follows from the configs of the adapters and of both models, checked.

use std::ops::Range;

use super::config::WhisperingConfig;
use super::head_split::WlSplit;
use crate::config::{ModelConfig, check_positive};
use crate::error::{Result, ZooError};
use crate::llama::LlamaConfig;
use crate::whisper::WhisperConfig;

pub(super) const PLACE: &str = "whispering_llama";

/// Extents of the adapters of every layer.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    /// The layers that have adapters.
    pub layers: Range<usize>,
    pub prompt_length: usize,
    /// Width of LLaMA.
    pub hidden_size: usize,
    /// Query heads of LLaMA.
    pub heads: usize,
    /// Width of a head of LLaMA.
    pub head_dim: usize,
    pub audio: Option<AudioSizes>,
    pub rms_norm_eps: f64,
}

/// Extents of what hears.
#[derive(Debug, Clone, Copy)]
pub(super) struct AudioSizes {
    /// Width of Whisper.
    pub width: usize,
    /// Heads of Whisper's decoder.
    pub heads: usize,
    /// Inner width of `Ad`.
    pub inner: usize,
    pub shared: bool,
    pub split: WlSplit,
}

impl Sizes {
    pub fn new(
        config: &WhisperingConfig,
        llama: &LlamaConfig,
        whisper: Option<&WhisperConfig>,
    ) -> Result<Self> {
        let fault = |detail: String| ZooError::config(PLACE, detail);
        llama.check()?;
        check_positive(&[("adapter_prompt_length", config.adapter_prompt_length)])
            .map_err(|e| e.at(PLACE))?;
        let (first, layers) = (config.adapter_start_layer, llama.num_hidden_layers);
        if first >= layers {
            let detail = format!("adapter_start_layer is {first}, expected below the {layers}");
            return Err(fault(format!("{detail} num_hidden_layers of LLaMA")));
        }
        if !(config.rms_norm_eps >= 0.0 && config.rms_norm_eps.is_finite()) {
            let detail = format!("rms_norm_eps is {}, expected at least 0", config.rms_norm_eps);
            return Err(fault(detail));
        }
        let audio = match (&config.audio, whisper) {
            (None, None) => None,
            (Some(_), Some(whisper)) => Some(audio_sizes(config, llama, whisper)?),
            (Some(_), None) => {
                return Err(fault("no Whisper, expected one, as `audio` is configured".to_owned()));
            }
            (None, Some(_)) => {
                return Err(fault("a Whisper, expected none, as `audio` is absent".to_owned())
                    .hint("WhisperingConfig::wl_m hears"));
            }
        };
        Ok(Self {
            layers: first..layers,
            prompt_length: config.adapter_prompt_length,
            hidden_size: llama.hidden_size,
            heads: llama.num_attention_heads,
            head_dim: llama.head_dim(),
            audio,
            rms_norm_eps: config.rms_norm_eps,
        })
    }

    /// Scalars to train, in all layers.
    pub fn trained(&self) -> usize {
        let prompt = self.prompt_length * self.hidden_size + 1;
        let hearing = self.audio.map_or(0, |audio| {
            let autoencoders = if audio.shared { 1 } else { 2 } * 2 * audio.width * audio.inner;
            let mixing = self.head_dim * self.head_dim + self.heads * self.heads;
            2 * audio.width + autoencoders + mixing + 1
        });
        self.layers.len() * (prompt + hearing)
    }
}

impl WhisperingConfig {
    /// Number of scalars to train beside these two models, of which none is made.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when the sizes do not go together, as in
    /// [`WhisperingLlama::new`](super::WhisperingLlama::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use model_zoo::llama::LlamaConfig;
    /// use model_zoo::whisper::WhisperConfig;
    /// use model_zoo::whispering_llama::WhisperingConfig;
    ///
    /// let large_v2 = WhisperConfig { d_model: 1280, decoder_layers: 32,
    ///     decoder_attention_heads: 20, encoder_attention_heads: 20, ..WhisperConfig::default() };
    /// let n = WhisperingConfig::wl_m().trained(&LlamaConfig::default(), Some(&large_v2))?;
    /// assert_eq!(n, 7_971_900);
    /// # Ok::<(), model_zoo::ZooError>(())
    /// ```
    pub fn trained(&self, llama: &LlamaConfig, whisper: Option<&WhisperConfig>) -> Result<usize> {
        Ok(Sizes::new(self, llama, whisper)?.trained())
    }
}

fn audio_sizes(
    config: &WhisperingConfig,
    llama: &LlamaConfig,
    whisper: &WhisperConfig,
) -> Result<AudioSizes> {
    let fault = |detail: String| Err(ZooError::config(PLACE, detail));
    whisper.check()?;
    let Some(audio) = &config.audio else {
        return fault("`audio` is absent, expected it for a Whisper".to_owned());
    };
    let (width, heads) = (whisper.d_model, whisper.decoder_attention_heads);
    let at_most = [
        ("decoder_attention_heads", heads, "num_attention_heads", llama.num_attention_heads),
        ("d_model / decoder_attention_heads", width / heads, "head_dim", llama.head_dim()),
    ];
    for (name, got, bound_name, bound) in at_most {
        if got > bound {
            return fault(format!(
                "{name} of Whisper is {got}, expected at most {bound_name} {bound} of LLaMA"
            ));
        }
    }
    let (blocks, layers) = (whisper.decoder_layers, llama.num_hidden_layers);
    if blocks < layers {
        let detail = format!(
            "decoder_layers of Whisper is {blocks}, expected at least num_hidden_layers {layers} \
             of LLaMA"
        );
        let hint = "layer i hears through decoder block i; Whisper large has 32 as LLaMA-7B";
        return Err(ZooError::config(PLACE, detail).hint(hint));
    }
    let r = audio.reduction_factor;
    if r == 0 || !width.is_multiple_of(r) {
        return fault(format!(
            "audio.reduction_factor is {r}, expected a divisor of d_model {width}"
        ));
    }
    Ok(AudioSizes { width, heads, inner: width / r, shared: audio.shared, split: audio.wl_split })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large_v2() -> WhisperConfig {
        WhisperConfig {
            d_model: 1280,
            decoder_layers: 32,
            decoder_attention_heads: 20,
            encoder_attention_heads: 20,
            ..WhisperConfig::default()
        }
    }

    #[test]
    fn parameters_are_as_many_as_the_paper_counts() {
        let (llama, whisper) = (LlamaConfig::default(), large_v2());
        for (config, expected) in [
            (WhisperingConfig::wl_l(), 26_403_900),
            (WhisperingConfig::wl_m(), 7_971_900),
            (WhisperingConfig::wl_s(), 4_899_900),
            (WhisperingConfig::llama_adapter(), 1_228_830),
            (WhisperingConfig::big_adapter(), 4_915_230),
        ] {
            let whisper = config.audio.as_ref().map(|_| &whisper);
            assert_eq!(Sizes::new(&config, &llama, whisper).unwrap().trained(), expected);
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        let (llama, whisper, wl_m) = (LlamaConfig::default(), large_v2(), WhisperingConfig::wl_m());
        let told = |config: &WhisperingConfig, llama: &LlamaConfig, whisper: &WhisperConfig| {
            Sizes::new(config, llama, Some(whisper)).unwrap_err().to_string()
        };
        assert_eq!(
            told(&wl_m, &llama, &WhisperConfig { decoder_layers: 4, ..large_v2() }),
            "whispering_llama: decoder_layers of Whisper is 4, expected at least num_hidden_layers \
             32 of LLaMA (hint: layer i hears through decoder block i; Whisper large has 32 as \
             LLaMA-7B)"
        );
        let few = LlamaConfig { num_attention_heads: 16, ..LlamaConfig::default() };
        assert_eq!(
            told(&wl_m, &few, &whisper),
            "whispering_llama: decoder_attention_heads of Whisper is 20, expected at most \
             num_attention_heads 16 of LLaMA"
        );
        let narrow = LlamaConfig { head_dim: Some(32), ..LlamaConfig::default() };
        assert_eq!(
            told(&wl_m, &narrow, &whisper),
            "whispering_llama: d_model / decoder_attention_heads of Whisper is 64, expected at \
             most head_dim 32 of LLaMA"
        );
        let mut odd = wl_m.clone();
        odd.audio.as_mut().unwrap().reduction_factor = 7;
        assert_eq!(
            told(&odd, &llama, &whisper),
            "whispering_llama: audio.reduction_factor is 7, expected a divisor of d_model 1280"
        );
        let late = WhisperingConfig { adapter_start_layer: 32, ..wl_m.clone() };
        assert_eq!(
            told(&late, &llama, &whisper),
            "whispering_llama: adapter_start_layer is 32, expected below the 32 num_hidden_layers \
             of LLaMA"
        );
        assert_eq!(
            told(&WhisperingConfig::llama_adapter(), &llama, &whisper),
            "whispering_llama: a Whisper, expected none, as `audio` is absent (hint: \
             WhisperingConfig::wl_m hears)"
        );
        assert_eq!(
            Sizes::new(&wl_m, &llama, None).unwrap_err().to_string(),
            "whispering_llama: no Whisper, expected one, as `audio` is configured"
        );
    }
}
