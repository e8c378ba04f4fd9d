//! Continues a text with any LLaMA folder, and says how fast.
//!
//! ```text
//! cargo run --release -p model-zoo --example 02-continue -- MODEL_DIR "Once upon a time" 100
//! ```

use std::path::Path;
use std::time::Instant;

use model_zoo::LoadOptions;
use model_zoo::llama::{Llama, LlamaInput, LlamaSession, PaddingSide};
use tensor_core::{Context, Device};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, prompt, steps] = args.as_slice() else {
        return Err("usage: 02-continue MODEL_DIR TEXT TOKENS".into());
    };
    let (dir, steps): (&Path, usize) = (Path::new(dir), steps.parse()?);
    let ctx = Context::eval();
    let model = Llama::open(dir, LoadOptions::default())?;
    let tokenizer = model.open_tokenizer(dir)?;

    let ids = tokenizer.encode(prompt, true)?;
    let n_prompt = ids.len();
    let input = LlamaInput::from_ids(&[ids], PaddingSide::Left, Device::Cpu)?;
    let started = Instant::now();
    let mut session = LlamaSession::new(&model);
    let mut logits = session.read(&ctx, &input)?.to_vec::<f32>()?;
    let read_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let mut said = Vec::new();
    while said.len() < steps {
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let token = best.ok_or("no logits")? as u32;
        if model.generation.eos_token_ids().contains(&token) {
            break;
        }
        said.push(token);
        logits = session.read_ids(&ctx, &[vec![token]])?.to_vec::<f32>()?;
    }
    let said_s = started.elapsed().as_secs_f64();
    println!("{prompt}{}", tokenizer.decode(&said, true)?);
    println!("prompt: {n_prompt} tokens, {:.1} a second", n_prompt as f64 / read_s);
    println!("text: {} tokens, {:.1} a second", said.len(), said.len() as f64 / said_s);
    Ok(())
}
