//! When each word of a transcript is said, by the CTC of a HuBERT or wav2vec 2.0 model.
//!
//! ```text
//! transcript --spell--> labels  }
//! samples    --model--> frames  } --forced_align--> spans --word_ends--> seconds, one a word
//! ```
//!
//! # Source
//!
//! The word boundaries of arXiv:2412.15712, which are those of torchaudio's tutorial on forced
//! alignment with wav2vec 2.0.

mod spelling;
mod word_ends;

use std::path::Path;

use anyhow::{Context as _, ensure};
use model_zoo::ctc::{AlignmentRule, CtcVocabulary, Emission, forced_align};
use model_zoo::hubert::{HubertCtc, HubertInput, Preprocessor};
use model_zoo::{ErrorKind, LoadOptions, ModelKind};
use serde_json::Value;
use tensor_core::{Context, Device};

use self::spelling::spell;
use self::word_ends::{Span, word_ends};
use crate::dataset::audio::{SAMPLE_RATE, load_samples};
use crate::manifest::Utterance;
use crate::model_folder::expect_kind;

/// A CTC model that times words.
pub struct Aligner {
    model: HubertCtc,
    vocabulary: CtcVocabulary,
    preprocessor: Preprocessor,
}

impl Aligner {
    /// Opens a Hugging Face folder of `HubertForCTC` or `Wav2Vec2ForCTC`.
    ///
    /// # Errors
    ///
    /// Names the folder that holds another model, an encoder without a head, or no vocabulary.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        expect_kind(dir, &[ModelKind::Hubert, ModelKind::Wav2Vec2])?;
        expect_head(dir)?;
        let vocabulary = CtcVocabulary::open(dir)?;
        let preprocessor = Preprocessor::open(dir)?;
        ensure!(
            preprocessor.sampling_rate == SAMPLE_RATE,
            "{}: sampling_rate is {} Hz, expected {SAMPLE_RATE}",
            dir.join("preprocessor_config.json").display(),
            preprocessor.sampling_rate
        );
        let model = HubertCtc::open(dir, LoadOptions::default())?;
        vocabulary.check_fits(model.hubert.config.vocab_size)?;
        Ok(Self { model, vocabulary, preprocessor })
    }

    /// When each word of an utterance ends, in seconds from its start, words being what white space
    /// parts; `None` where there is no word or the clip is too short for them.
    ///
    /// Words lie one against the next and the first starts at 0, so that silence belongs to the
    /// word after it; what is heard after the last word is none of them. A word of which the
    /// vocabulary can spell nothing shares the gap between its neighbours.
    ///
    /// # Errors
    ///
    /// Names the manifest line of sound that cannot be decoded.
    pub fn word_ends(&self, utterance: &Utterance) -> anyhow::Result<Option<Vec<f64>>> {
        let samples = load_samples(utterance)?;
        self.times(&samples, &utterance.text)
            .with_context(|| format!("{}: utterance `{}`", utterance.place, utterance.id))
    }

    fn times(&self, samples: &[f32], text: &str) -> anyhow::Result<Option<Vec<f64>>> {
        let words: Vec<Vec<u32>> =
            text.split_whitespace().map(|word| spell(&self.vocabulary, word)).collect();
        let clip_s = samples.len() as f64 / f64::from(SAMPLE_RATE);
        if words.is_empty() || samples.is_empty() {
            return Ok(None);
        }
        let config = &self.model.hubert.config;
        if config.frame_length(samples.len()) == 0 {
            return Ok(None);
        }
        let (values, lengths) = self.preprocessor.batch(&[samples], Device::Cpu)?;
        let input = HubertInput::with_lengths(&values, &lengths);
        let (logits, output) = self.model.forward(&Context::eval(), &input)?;
        let emissions = Emission::from_logits(&logits, &output.lengths)?;
        let emission = emissions.first().context("ctc: no frames of the clip")?;

        let delimiter = self.vocabulary.word_delimiter();
        // The tutorial's trellis starts from a delimiter that it takes for said.
        let rule = match delimiter {
            Some(_) => AlignmentRule::Trellis,
            None => AlignmentRule::Ctc,
        };
        let mut tokens: Vec<u32> = delimiter.into_iter().collect();
        let mut places = Vec::with_capacity(words.len());
        for word in &words {
            places.push(tokens.len()..tokens.len() + word.len());
            tokens.extend(word);
            tokens.extend(delimiter.filter(|_| !word.is_empty()));
        }
        if words.iter().all(Vec::is_empty) {
            return Ok(Some(word_ends(&vec![None; words.len()], clip_s)));
        }
        let alignment = match forced_align(emission, &tokens, self.vocabulary.blank(), rule) {
            Ok(alignment) => alignment,
            Err(error) if error.kind() == ErrorKind::Shape => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let step = config.inputs_to_logits_ratio() as f64 / f64::from(SAMPLE_RATE);
        let span = |place: std::ops::Range<usize>| -> Option<Span> {
            let spans = alignment.spans.get(place)?;
            let (first, last) = (spans.first()?, spans.last()?);
            Some(Span { start_s: first.start as f64 * step, end_s: last.end as f64 * step })
        };
        let spans: Vec<Option<Span>> = places.into_iter().map(span).collect();
        Ok(Some(word_ends(&spans, clip_s)))
    }
}

/// Refuses a folder whose config says that it has no CTC head: one would be drawn at random.
fn expect_head(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("config.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: cannot read", path.display()))?;
    let config: Value =
        serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))?;
    let named = config.get("architectures").and_then(Value::as_array).into_iter().flatten();
    let named: Vec<&str> = named.filter_map(Value::as_str).collect();
    ensure!(
        named.iter().any(|name| name.ends_with("ForCTC")),
        "{}: architectures is [{}], expected HubertForCTC or Wav2Vec2ForCTC (hint: an encoder \
         without a head hears no letters; take one that was fine-tuned, such as wav2vec2-base-960h)",
        path.display(),
        named.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use model_zoo::Builder;
    use model_zoo::hubert::HubertConfig;
    use tensor_core::DType;

    use super::*;

    /// A random model that spells in capitals.
    fn aligner(dir: &Path) -> Aligner {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/nano-hubert");
        let text = std::fs::read_to_string(assets.join("config.json")).unwrap();
        let mut small: Value = serde_json::from_str(&text).unwrap();
        for (key, value) in [
            ("conv_dim", serde_json::json!([8, 8, 8, 8, 8, 8, 8])),
            ("hidden_size", 16.into()),
            ("intermediate_size", 24.into()),
            ("num_attention_heads", 2.into()),
            ("num_conv_pos_embedding_groups", 2.into()),
            ("num_hidden_layers", 1.into()),
        ] {
            small[key] = value;
        }
        let source = dir.join("source");
        std::fs::create_dir_all(&source).unwrap();
        std::fs::write(source.join("config.json"), small.to_string()).unwrap();
        let config = HubertConfig::open(&source).unwrap();
        let root = Builder::random(3, DType::F32, Device::Cpu);
        HubertCtc::new(&root, &config).unwrap().save_hf_folder(&dir.join("ctc"), None).unwrap();
        for name in ["vocab.json", "tokenizer_config.json", "preprocessor_config.json"] {
            std::fs::copy(assets.join(name), dir.join("ctc").join(name)).unwrap();
        }
        Aligner::open(&dir.join("ctc")).unwrap()
    }

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|k| ((k * 7919) % 997) as f32 / 997.0 - 0.5).collect()
    }

    #[test]
    fn every_word_ends_where_the_path_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let aligner = aligner(folder.path());
        let samples = noise(16_000);
        let ends = aligner.times(&samples, "It's 2 o'clock -- Zürich.").unwrap().unwrap();
        assert_eq!(ends.len(), 5);
        assert!(ends.is_sorted() && ends[4] <= 1.0, "{ends:?}");
        // The spelt words alone, by the path itself.
        let emission = {
            let (values, lengths) = aligner.preprocessor.batch(&[&samples], Device::Cpu).unwrap();
            let input = HubertInput::with_lengths(&values, &lengths);
            let (logits, output) = aligner.model.forward(&Context::eval(), &input).unwrap();
            Emission::from_logits(&logits, &output.lengths).unwrap().remove(0)
        };
        let tokens = aligner.vocabulary.encode(" IT'S O'CLOCK ZUERICH ").unwrap();
        let blank = aligner.vocabulary.blank();
        let found = forced_align(&emission, &tokens, blank, AlignmentRule::Trellis).unwrap();
        let spoken = model_zoo::ctc::words(&found, &aligner.vocabulary, 0.02).unwrap();
        assert_eq!(spoken.len(), 3);
        for (word, k) in spoken.iter().zip([0, 2, 4]) {
            assert!((word.end_s - ends[k]).abs() < 1e-9, "{}: {} {ends:?}", word.text, word.end_s);
        }
        // `2` and `--` are spelt by nothing: each has the gap before the next word.
        assert!((ends[1] - spoken[1].start_s).abs() < 1e-9);
        assert!((ends[3] - spoken[2].start_s).abs() < 1e-9);
    }

    #[test]
    fn clips_that_are_too_short_have_no_times() {
        let folder = tempfile::tempdir().unwrap();
        let aligner = aligner(folder.path());
        assert_eq!(aligner.times(&noise(1_200), "far too many letters").unwrap(), None);
        assert_eq!(aligner.times(&noise(100), "a").unwrap(), None);
        assert_eq!(aligner.times(&noise(16_000), " ").unwrap(), None);
        assert_eq!(aligner.times(&noise(16_000), "1 2").unwrap(), Some(vec![0.5, 1.0]));
    }

    #[test]
    fn an_encoder_without_a_head_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        aligner(folder.path());
        let dir = folder.path().join("ctc");
        let path = dir.join("config.json");
        let config = std::fs::read_to_string(&path).unwrap().replace("ForCTC", "Model");
        std::fs::write(&path, config).unwrap();
        let Err(error) = Aligner::open(&dir) else { panic!("opened") };
        let error = error.to_string();
        assert!(
            error.contains("config.json: architectures is [HubertModel], expected HubertForCTC"),
            "{error}"
        );
        assert!(HubertCtc::open(&dir, LoadOptions::default()).is_ok());
    }

    /// The manifest's own times were made by another model, which puts ends halfway to the next word.
    #[test]
    fn a_trained_model_times_words_better_than_even_spacing() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
        let dir = assets.join("nano-hubert");
        let aligner = Aligner::open(&dir).unwrap();
        let manifest =
            format!("{}#split=train", assets.join("microworld/manifest.jsonl").display());
        let (mut heard, mut even) = (0.0, 0.0);
        for utterance in crate::manifest::read(&manifest).unwrap().iter().take(8) {
            let told: Vec<f64> =
                serde_json::from_value(utterance.extra["word_ends"].clone()).unwrap();
            let ends = aligner.word_ends(utterance).unwrap().unwrap();
            assert_eq!(ends.len(), told.len());
            let spacing = utterance.duration_s.unwrap() / told.len() as f64;
            for (k, told) in told.iter().enumerate() {
                heard += (ends[k] - told).abs();
                even += (spacing * (k + 1) as f64 - told).abs();
            }
        }
        assert!(heard < 0.7 * even, "off by {heard:.2} s in all, even spacing by {even:.2} s");
    }
}
