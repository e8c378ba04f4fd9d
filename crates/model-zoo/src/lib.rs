//! Whisper, BERT, LLaMA and HuBERT on `tensor-core`, read from Hugging Face folders.
//!
//! A folder holds `config.json`, `model.safetensors` (or an index with shards)
//! and `tokenizer.json`. Every dimension comes from the config, every tensor
//! keeps the name that `transformers` gives it, and what is saved here loads
//! there. All models are held against `transformers` on tiny random
//! configurations (`tests/golden`) and on published weights.
//!
//! | item                        | what it is                                        |
//! |-----------------------------|---------------------------------------------------|
//! | [`whisper`]                 | encoder, decoder with KV-cache, transcription     |
//! | [`decoding`]                | greedy, sampling, beam search, for any decoder    |
//! | [`bert`]                    | encoder, MLM head, classifier or regressor        |
//! | [`llama`]                   | language model with KV-cache, prompts with speech |
//! | [`hubert`]                  | HuBERT and wav2vec 2.0: encoder, CTC head         |
//! | [`ctc`]                     | CTC decoding and forced alignment                 |
//! | [`q_former`], [`projector`] | speech frames to vectors for a language model     |
//! | [`whispering_llama`]        | LLaMA that also hears what Whisper's encoder made |
//! | [`lora`]                    | trained updates beside frozen linear layers       |
//! | [`bottleneck`]              | trained blocks behind frozen linear layers        |
//! | [`Builder`], [`Parameters`] | where parameters come from, and where they are    |
//! | [`Tokenizer`]               | `tokenizer.json`: text to ids and back            |
//! | [`ModelKind`]               | which model a folder holds                        |
//!
//! Losses, optimisers and data sets are deliberately elsewhere: a forward pass
//! returns tensors, and the [`Context`](tensor_core::Context) it is given says
//! whether a graph is recorded, whether dropout is drawn and in which dtype
//! matrix products run.
//!
//! # Examples
//!
//! ```
//! use model_zoo::bert::{Bert, BertConfig, BertInput};
//! use model_zoo::Builder;
//! use tensor_core::{Context, DType, Device};
//!
//! let config = BertConfig { hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 1,
//!     intermediate_size: 16, vocab_size: 20, ..BertConfig::default() };
//! let builder = Builder::random(7, DType::F32, Device::Cpu);
//! let bert = Bert::new(&builder, &config)?;
//! let input = BertInput::from_ids(&[vec![2, 5, 3], vec![2, 3]], 0, Device::Cpu)?;
//! let output = bert.forward(&Context::eval(), &input)?;
//! assert_eq!(output.last_hidden_state.shape(), [2, 3, 8]);
//! # Ok::<(), model_zoo::ZooError>(())
//! ```

pub mod bert;
pub mod bottleneck;
mod config;
pub mod ctc;
pub mod decoding;
mod error;
mod folder;
pub mod hubert;
mod json;
mod layers;
pub mod llama;
pub mod lora;
mod projected;
pub mod projector;
pub mod q_former;
mod token_ids;
mod tokenizer;
mod weights;
pub mod whisper;
pub mod whispering_llama;

pub use error::{ErrorKind, Result, ZooError};
pub use folder::ModelKind;
pub use token_ids::TokenIds;
pub use tokenizer::Tokenizer;
pub use weights::{Builder, Init, LoadOptions, NameRules, Parameters, WeightForm};
