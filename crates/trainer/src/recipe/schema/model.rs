//! `[model]` and `[teacher]`: what is trained, and what teaches it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::choice::choice;

/// `[model]`: the model being trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Hugging Face folder whose weights training starts from; "" starts from scratch.
    pub dir: String,
    /// Folder with the `config.json` of a model from scratch; read only when `model.dir` is "".
    pub config: String,
    /// Folder with a `tokenizer.json`, or that file; "" takes `model.dir`.
    pub tokenizer: String,
    /// Dropout probability during training, in [0, 1).
    pub dropout: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self { dir: String::new(), config: String::new(), tokenizer: String::new(), dropout: 0.1 }
    }
}

/// `[teacher]`: the frozen speech encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// Hugging Face folder of the teacher.
    pub dir: String,
    /// "last" or an index into `hidden_states`.
    pub layer: TeacherLayer,
    /// Which frames are averaged.
    pub pool: Pool,
    /// Size cap of the cache of teacher features on disk, in MiB; 0 caches nothing.
    pub cache_mb: u64,
}

impl Default for Teacher {
    fn default() -> Self {
        Self { dir: String::new(), layer: TeacherLayer::Last, pool: Pool::Speech, cache_mb: 1024 }
    }
}

choice! {
    /// Which teacher frames are averaged into the utterance vector.
    Pool {
        /// Only frames that cover real audio: `ceil(n_samples / 320)` of them.
        Speech = "speech",
        /// Every frame of the padded 30 s window.
        All = "all",
    }
}

/// Which hidden state of the teacher is distilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeacherLayer {
    /// The encoder's output, after its final layer norm.
    Last,
    /// Entry of `hidden_states`: 0 is the input of the first block, k the output of block k.
    Index(usize),
}

impl Serialize for TeacherLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Last => serializer.serialize_str("last"),
            Self::Index(index) => serializer.serialize_u64(index as u64),
        }
    }
}

impl<'de> Deserialize<'de> for TeacherLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Name(String),
            Index(usize),
        }
        match Written::deserialize(deserializer)? {
            Written::Name(name) if name == "last" => Ok(Self::Last),
            Written::Name(name) => Err(serde::de::Error::custom(format!(
                "layer is `{name}`, expected \"last\" or an index"
            ))),
            Written::Index(index) => Ok(Self::Index(index)),
        }
    }
}
