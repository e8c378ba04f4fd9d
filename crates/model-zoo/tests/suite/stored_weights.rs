//! Weights kept as the file holds them.

use std::collections::BTreeMap;
use std::path::Path;

use model_zoo::bert::{BertInput, MaskedLm};
use model_zoo::whisper::{DecoderInput, EncoderInput, Whisper};
use model_zoo::{LoadOptions, WeightForm};
use tempfile::TempDir;
use tensor_core::{Context, DType, SafeTensors, Tensor, save_safetensors};

use crate::common::*;

/// A golden folder with its weights in another dtype.
fn converted(case: &str, dtype: DType) -> TempDir {
    let from = golden_dir().join(case);
    let dir = TempDir::new().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let file = SafeTensors::open(from.join("model.safetensors")).unwrap();
    let tensors: Vec<(String, Tensor)> = file
        .names()
        .into_iter()
        .map(|name| (name.clone(), file.tensor(&name).unwrap().to_dtype(dtype).unwrap()))
        .collect();
    save_safetensors(dir.path().join("model.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    dir
}

fn as_stored() -> LoadOptions {
    LoadOptions { weights: WeightForm::AsStored, ..LoadOptions::default() }
}

fn whisper_logits(model: &Whisper, golden: &Golden) -> Tensor {
    let (ctx, features) = (eval(), golden.get("input_features"));
    let memory = model.encode(&ctx, &EncoderInput::new(&features)).unwrap();
    let ids = golden.get("decoder_input_ids");
    let output = model.decoder.forward(&ctx, &DecoderInput::new(&ids, &memory)).unwrap();
    model.decoder.project(&ctx, &output.last_hidden_state).unwrap()
}

fn bert_logits(ctx: &Context, dir: &Path, options: LoadOptions, golden: &Golden) -> Tensor {
    let input = BertInput {
        input_ids: golden.get("input_ids"),
        attention_mask: Some(golden.get("attention_mask")),
        token_type_ids: Some(golden.get("token_type_ids")),
        output_hidden_states: false,
    };
    let model = MaskedLm::open(dir, options).unwrap();
    model.forward(ctx, &input).unwrap().0
}

#[test]
fn a_model_as_stored_computes_what_its_widened_weights_do() {
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        let (dir, golden) =
            (converted("whisper-gelu", dtype), Golden::open(&golden_dir().join("whisper-gelu")));
        let stored = Whisper::open(dir.path(), as_stored()).unwrap();
        let wide = Whisper::open(dir.path(), LoadOptions::default()).unwrap();
        assert!(stored.parameters().vars().all(|var| var.value().dtype() == dtype));
        assert!(wide.parameters().vars().all(|var| var.value().dtype() == DType::F32));
        let (got, want) = (whisper_logits(&stored, &golden), whisper_logits(&wide, &golden));
        let mut verdict = Verdict::default();
        assert_eq!(got.dtype(), DType::F32);
        verdict.close("whisper logits", &got, &want, GOLDEN);

        let (dir, golden) =
            (converted("bert-gelu", dtype), Golden::open(&golden_dir().join("bert-gelu")));
        let got = bert_logits(&eval(), dir.path(), as_stored(), &golden);
        let want = bert_logits(&eval(), dir.path(), LoadOptions::default(), &golden);
        verdict.close_rows("mlm_logits", &got, &want, &golden.ids("attention_mask"));
        verdict.finish(dtype.name());
        // Under autocast every weight is an operand in the compute dtype.
        let ctx = eval().with_autocast(DType::BF16);
        bert_logits(&ctx, dir.path(), as_stored(), &golden);
    }
}

#[test]
fn a_model_as_stored_outlives_its_folder_and_saves_what_it_read() {
    let dir = converted("whisper-gelu", DType::BF16);
    let golden = Golden::open(&golden_dir().join("whisper-gelu"));
    let model = Whisper::open(dir.path(), as_stored()).unwrap();
    let before = whisper_logits(&model, &golden).to_vec::<f32>().unwrap();
    let file = dir.path().join("model.safetensors");
    // Replaces the file that is mapped.
    model.save_hf_folder(dir.path(), None).unwrap();
    let copy = SafeTensors::open(&file).unwrap();
    for (name, var) in model.parameters().iter() {
        let (got, want) = (copy.tensor(name).unwrap(), var.value());
        assert_eq!((got.dtype(), got.shape()), (DType::BF16, want.shape()), "{name}");
        assert_eq!(got.to_vec_f32().unwrap(), want.to_vec_f32().unwrap(), "{name}");
    }
    drop(dir);
    assert_eq!(whisper_logits(&model, &golden).to_vec::<f32>().unwrap(), before);
}

#[test]
fn linear_weights_in_8_bits_stay_near_the_model_and_are_not_saved() {
    let case = golden_dir().join("whisper-gelu");
    let golden = Golden::open(&case);
    let options = LoadOptions { weights: WeightForm::Int8, ..LoadOptions::default() };
    let model = Whisper::open(&case, options).unwrap();
    let exact = Whisper::open(&case, LoadOptions::default()).unwrap();
    assert!(model.parameters().total() < exact.parameters().total());
    let (got, want) = (whisper_logits(&model, &golden), whisper_logits(&exact, &golden));
    let mut verdict = Verdict::default();
    // One part in 254 of the largest weight of a group, a few times over.
    verdict.close("logits", &got, &want, 0.05);
    verdict.finish("whisper-gelu");
    assert_ne!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());

    let dir = TempDir::new().unwrap();
    let error = model.save_hf_folder(dir.path(), None).unwrap_err().to_string();
    assert!(error.starts_with("parameters: `model."), "{error}");
    assert!(
        error.ends_with(
            "is kept in 8 bits, expected a float dtype (hint: read the folder as stored and save that)"
        ),
        "{error}"
    );
}
