//! Encodes a text with any BERT or LLaMA folder, Mel features with any Whisper folder, or samples
//! with any HuBERT or wav2vec 2.0 folder.
//!
//! ```text
//! cargo run --release -p model-zoo --example 01-encode -- TEXT_MODEL_DIR "some text"
//! cargo run --release -p model-zoo --example 01-encode -- SPEECH_MODEL_DIR features.safetensors
//! ```
//!
//! The file holds `input_features`, `(n_mels, frames)`, for Whisper and `input_values`, `(samples)`,
//! for the others, or either with a batch in front.

use std::path::Path;

use model_zoo::bert::{Bert, BertInput};
use model_zoo::hubert::{Hubert, HubertInput};
use model_zoo::llama::{Llama, LlamaInput, PaddingSide};
use model_zoo::whisper::{EncoderInput, Whisper};
use model_zoo::{LoadOptions, ModelKind, Tokenizer};
use tensor_core::{Context, Device, SafeTensors, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, input] = args.as_slice() else {
        return Err("usage: 01-encode MODEL_DIR TEXT|FEATURES.safetensors".into());
    };
    let dir = Path::new(dir);
    let (ctx, options) = (Context::eval(), LoadOptions::default());

    let (states, lengths) = match ModelKind::detect(dir)? {
        ModelKind::Bert => {
            let model = Bert::open(dir, options)?;
            let ids =
                Tokenizer::open(dir)?.encode_within(input, model.config.max_position_embeddings)?;
            let input = BertInput::from_ids(&[ids], 0, Device::Cpu)?;
            let output = model.forward(&ctx, &input.with_hidden_states())?;
            (output.hidden_states, output.lengths)
        }
        ModelKind::Llama => {
            let model = Llama::open(dir, options)?;
            let tokenizer = model.open_tokenizer(dir)?;
            let ids = tokenizer.encode_within(input, model.config.longest_input())?;
            let input = LlamaInput::from_ids(&[ids], PaddingSide::Right, Device::Cpu)?;
            let output = model.forward(&ctx, &input.with_hidden_states())?;
            (output.hidden_states, output.lengths)
        }
        ModelKind::Whisper => {
            let (_, encoder, _) = Whisper::open_encoder(dir, options)?;
            let features: Tensor = SafeTensors::open(input)?.tensor("input_features")?;
            let features = if features.rank() == 2 { features.unsqueeze(0)? } else { features };
            let input = EncoderInput { output_hidden_states: true, ..EncoderInput::new(&features) };
            let output = encoder.forward(&ctx, &input)?;
            (output.hidden_states, output.lengths)
        }
        ModelKind::Hubert | ModelKind::Wav2Vec2 => {
            let model = Hubert::open(dir, options)?;
            let samples: Tensor = SafeTensors::open(input)?.tensor("input_values")?;
            let samples = if samples.rank() == 1 { samples.unsqueeze(0)? } else { samples };
            let input = HubertInput { output_hidden_states: true, ..HubertInput::new(&samples) };
            let output = model.forward(&ctx, &input)?;
            (output.hidden_states, output.lengths)
        }
    };
    println!("valid positions: {lengths:?}");
    for (k, state) in states.iter().enumerate() {
        let norm = state.sqr()?.mean_all()?.sqrt()?.item()?;
        println!("hidden_states.{k}: {:?}, root mean square {norm:.4}", state.shape());
    }
    Ok(())
}
