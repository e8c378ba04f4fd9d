//! Whispering-LLaMA against torch, against plain LLaMA and against itself.

use std::path::{Path, PathBuf};

use model_zoo::decoding::{BeamSearch, GenerateOptions, Strategy};
use model_zoo::llama::{Llama, LlamaConfig, LlamaInput, LlamaTokens, PaddingSide};
use model_zoo::whisper::{EncoderOutput, WhisperConfig};
use model_zoo::whispering_llama::{AudioAdapterConfig, WhisperingConfig, WhisperingLlama, WlSplit};
use model_zoo::{ErrorKind, LoadOptions, WeightForm};
use tempfile::TempDir;
use tensor_core::{Context, DType, Device, Philox, SafeTensors, Tensor, Var};

use crate::common::*;

fn cases() -> Vec<PathBuf> {
    golden_cases_in(&golden_dir().join("whispering"), "whispering-")
}

fn case(name: &str) -> PathBuf {
    golden_dir().join("whispering").join(name)
}

fn open(dir: &Path, weights: WeightForm) -> WhisperingLlama {
    let config = WhisperingConfig::open(dir).unwrap();
    let whisper = config.audio.as_ref().map(|_| dir.join("whisper"));
    let options = LoadOptions { weights, ..LoadOptions::default() };
    let model =
        WhisperingLlama::open(&config, &dir.join("llama"), whisper.as_deref(), options).unwrap();
    model.load_adapters(dir).unwrap();
    model
}

fn plain(dir: &Path) -> Llama {
    Llama::open(&dir.join("llama"), LoadOptions::default()).unwrap()
}

/// The audio of a case as a leaf, with NaN behind each item's end.
fn audio(golden: &Golden) -> Option<(Var, EncoderOutput)> {
    let states = golden.try_get("audio")?;
    let lengths: Vec<usize> = golden.ids("audio_lengths").iter().map(|&n| n as usize).collect();
    let &[_, frames, width] = states.shape() else { panic!("audio") };
    let mut values = states.to_vec::<f32>().unwrap();
    for (item, &length) in values.chunks_mut(frames * width).zip(&lengths) {
        item[length * width..].fill(f32::NAN);
    }
    let leaf = Var::new(Tensor::from_vec(values, states.shape(), Device::Cpu).unwrap());
    let heard = heard(leaf.tensor(), lengths);
    Some((leaf, heard))
}

fn heard(last_hidden_state: Tensor, lengths: Vec<usize>) -> EncoderOutput {
    EncoderOutput { last_hidden_state, hidden_states: Vec::new(), lengths }
}

fn input(golden: &Golden) -> LlamaInput {
    LlamaInput {
        attention_mask: Some(golden.get("attention_mask")),
        output_hidden_states: true,
        ..LlamaInput::new(LlamaTokens::InputIds(golden.get("input_ids")))
    }
}

fn prompts(golden: &Golden) -> LlamaInput {
    LlamaInput::new(LlamaTokens::InputIds(golden.get("prompt_ids")))
}

fn greedy_options(max_new_tokens: usize) -> GenerateOptions {
    GenerateOptions { strategy: Strategy::Greedy, max_new_tokens, eos_token_ids: vec![] }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec::<f32>().unwrap()
}

#[test]
fn whispering_llama_equals_torch_forward_and_backward() {
    for dir in cases() {
        let golden = Golden::open(&dir);
        let mask = golden.ids("attention_mask");
        for checkpointed in [false, true] {
            let mut model = open(&dir, WeightForm::DType(DType::F32));
            model.set_gradient_checkpointing(checkpointed);
            let ctx = Context::grad();
            let audio = audio(&golden);
            let heard = audio.as_ref().map(|(_, heard)| heard);
            let output = model.forward(&ctx, &input(&golden), heard).unwrap();
            let logits = model.llama().logits(&ctx, &output.last_hidden_state).unwrap();
            let mut verdict = Verdict::default();
            assert_eq!(output.hidden_states.len(), golden.names_below("hidden_states.").len());
            for (k, got) in output.hidden_states.iter().enumerate() {
                let name = format!("hidden_states.{k}");
                verdict.close_rows(&name, got, &golden.get(&name), &mask);
            }
            verdict.close_rows("logits", &logits, &golden.get("logits"), &mask);
            let loss = mean_cross_entropy(&logits, &golden.get("labels"));
            verdict.close("loss", &loss, &golden.get("loss"), GOLDEN);
            let gradients = loss.backward().unwrap();
            let parameters = model.parameters();
            verdict.close_gradients(&golden, "grad.", &gradients, parameters, str::to_owned);
            assert_eq!(golden.names_below("grad.").len(), parameters.len());
            let rest = model.frozen().vars().chain(model.llama().parameters().vars());
            assert!(rest.into_iter().all(|var| gradients.get(var).is_none()));
            if let Some((leaf, _)) = &audio {
                let got = gradients.get(leaf).unwrap();
                verdict.close("grad_audio", got, &golden.get("grad_audio"), GOLDEN);
            }
            verdict.finish(&format!("{} checkpointed {checkpointed}", name_of(&dir)));
        }
    }
}

#[test]
fn in_f64_what_is_left_is_the_rounding_of_golden_numbers_and_of_rotary_tables() {
    for dir in cases() {
        let golden = Golden::open(&dir);
        let model = open(&dir, WeightForm::DType(DType::F64));
        assert!(model.parameters().vars().all(|var| var.value().dtype() == DType::F64));
        let audio = audio(&golden).map(|(_, audio)| {
            heard(audio.last_hidden_state.to_dtype(DType::F64).unwrap(), audio.lengths)
        });
        let output = model.forward(&eval(), &input(&golden), audio.as_ref()).unwrap();
        let logits = model.llama().logits(&eval(), &output.last_hidden_state).unwrap();
        let mask = golden.get("attention_mask");
        let seen = mask.to_dtype(DType::F64).unwrap().unsqueeze(-1).unwrap();
        let mut verdict = Verdict::default();
        verdict.close("logits", &logits.mul(&seen).unwrap(), &golden.get("logits"), 1e-6);
        verdict.finish(&name_of(&dir));
    }
}

#[test]
fn greedy_decoding_takes_the_tokens_of_torch_with_a_cache_and_without() {
    for dir in cases() {
        let golden = Golden::open(&dir);
        let model = open(&dir, WeightForm::DType(DType::F32));
        let audio = audio(&golden).map(|(_, heard)| heard);
        let (ctx, audio) = (eval(), audio.as_ref());
        let want = golden.ids("generated_ids");
        let steps = golden.get("generated_ids").shape()[1];

        let found = model.generate(&ctx, &prompts(&golden), audio, &[], &greedy_options(steps));
        let cached: Vec<i64> =
            best_ids(found.unwrap()).concat().into_iter().map(i64::from).collect();
        assert_eq!(cached, want, "{} with a cache", name_of(&dir));

        let mut session = model.session(&ctx, audio).unwrap();
        let logits = session.read(&ctx, &prompts(&golden)).unwrap();
        let stepped = greedy(&mut session, logits, steps).concat();
        assert_eq!(stepped.into_iter().map(i64::from).collect::<Vec<_>>(), want);

        let mut rows: Vec<Vec<u32>> = golden
            .get("prompt_ids")
            .to_vec::<i64>()
            .unwrap()
            .chunks(golden.get("prompt_ids").shape()[1])
            .map(|row| row.iter().map(|&id| id as u32).collect())
            .collect();
        let prompt = rows[0].len();
        for _ in 0..steps {
            let input = LlamaInput::from_ids(&rows, PaddingSide::Left, Device::Cpu).unwrap();
            let output = model.forward(&ctx, &input, audio).unwrap();
            let (states, last) = (&output.last_hidden_state, &output.last_positions);
            let best = model.llama().logits_at(&ctx, states, last).unwrap().argmax(-1).unwrap();
            let best = best.to_vec::<i64>().unwrap();
            rows.iter_mut().zip(best).for_each(|(row, id)| row.push(id as u32));
        }
        let all: Vec<i64> =
            rows.iter().flat_map(|row| &row[prompt..]).map(|&id| id.into()).collect();
        assert_eq!(all, want, "{} without a cache", name_of(&dir));
    }
}

#[test]
fn beams_hear_what_their_row_hears() {
    // Beams reorder the rows of a batch; each row alone has the same beams.
    let dir = case("whispering-ragged");
    let golden = Golden::open(&dir);
    let model = open(&dir, WeightForm::DType(DType::F32));
    let (_, all) = audio(&golden).unwrap();
    let search = BeamSearch { num_beams: 3, ..BeamSearch::default() };
    let options = GenerateOptions { strategy: Strategy::Beam(search), ..greedy_options(4) };
    let together = model.generate(&eval(), &prompts(&golden), Some(&all), &[], &options).unwrap();
    let ids = golden.get("prompt_ids");
    for (b, want) in together.into_iter().enumerate() {
        let prompt = LlamaTokens::InputIds(ids.narrow(0, b, 1).unwrap());
        let length = all.lengths[b];
        let states = all.last_hidden_state.narrow(0, b, 1).unwrap().narrow(1, 0, length).unwrap();
        let alone = heard(states, vec![length]);
        let input = LlamaInput::new(prompt);
        let found = model.generate(&eval(), &input, Some(&alone), &[], &options).unwrap();
        let ids = |list: &[model_zoo::decoding::Hypothesis]| -> Vec<Vec<u32>> {
            list.iter().map(|found| found.ids.clone()).collect()
        };
        assert_eq!(ids(&found[0]), ids(&want), "row {b}");
    }
}

#[test]
fn with_both_gates_at_zero_it_is_plain_llama_bit_for_bit() {
    for dir in cases() {
        let golden = Golden::open(&dir);
        let model = open(&dir, WeightForm::DType(DType::F32));
        for (name, var) in model.parameters().iter().filter(|(n, _)| n.ends_with("gating_factor")) {
            assert_eq!(var.shape(), [1], "{name}");
            var.set(&Tensor::zeros(&[1], DType::F32, Device::Cpu).unwrap()).unwrap();
        }
        let audio = audio(&golden).map(|(_, heard)| heard);
        let output = model.forward(&eval(), &input(&golden), audio.as_ref()).unwrap();
        let want = plain(&dir).forward(&eval(), &input(&golden)).unwrap();
        for (got, want) in output.hidden_states.iter().zip(&want.hidden_states) {
            assert_eq!(values(got), values(want), "{}", name_of(&dir));
        }
    }
}

fn sizes() -> (LlamaConfig, WhisperConfig) {
    let llama = LlamaConfig { num_hidden_layers: 3, ..small_llama() };
    (llama, small_whisper())
}

fn fresh_model(config: &WhisperingConfig) -> WhisperingLlama {
    let (llama, whisper) = sizes();
    let (root, heard) = (fresh(), fresh());
    let whisper = config.audio.as_ref().map(|_| (&heard, &whisper));
    WhisperingLlama::new(config, (&root, &llama), whisper).unwrap()
}

fn small_config(shared: bool, wl_split: WlSplit) -> WhisperingConfig {
    let audio = AudioAdapterConfig { reduction_factor: 3, shared, wl_split };
    WhisperingConfig { audio: Some(audio), adapter_start_layer: 1, ..WhisperingConfig::wl_m() }
}

#[test]
fn fresh_adapters_are_as_the_released_code_begins_and_as_many_as_counted() {
    let (llama, whisper) = sizes();
    for shared in [false, true] {
        let config = small_config(shared, WlSplit::Released);
        let model = fresh_model(&config);
        let counted = config.trained(&llama, Some(&whisper)).unwrap();
        assert_eq!(model.parameters().total(), counted);
        assert!(model.parameters().vars().all(Var::trainable));
        for (name, var) in model.parameters().iter() {
            let (shape, values) = (var.shape(), values(&var.value()));
            let (_, part) = name.split_once(".attn.").unwrap();
            let expected = |want: &dyn Fn(usize, usize) -> f32| {
                let columns = *shape.last().unwrap();
                let same = |k: usize| values[k] == want(k / columns, k % columns);
                assert!((0..values.len()).all(same), "{name}");
            };
            match part {
                "adapter_wte.weight" => {
                    assert_eq!(shape, [10, 12]);
                    let square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
                    assert!((square - 1.0).abs() < 0.5, "{name}: {square}");
                }
                "gating_factor" => expected(&|_, _| 0.0),
                "projection_gating_factor" => expected(&|_, _| 1.0),
                _ if part.ends_with(".scale") => expected(&|_, _| 1.0),
                _ => expected(&|row, column| f32::from(u8::from(row == column))),
            }
        }
        let gates = model.frozen().names().filter(|name| name.ends_with("rms_gate.scale"));
        assert_eq!(gates.count(), 2);
        assert!(model.frozen().vars().all(|var| !var.trainable()));
        assert!(model.llama().parameters().vars().all(|var| !var.trainable()));
        let named: Vec<&str> = model
            .parameters()
            .names()
            .filter_map(|n| n.strip_prefix("transformer.h.1.attn."))
            .collect();
        let mut expected = vec![
            "adapter_wte.weight",
            "gating_factor",
            "projection_gating_factor",
            "projection_key_matrix_down",
            "projection_key_matrix_up",
            "projection_query_matrix_128to128",
            "projection_query_matrix_32to32",
            "projection_rms_key.scale",
            "projection_rms_value.scale",
        ];
        if !shared {
            expected.extend(["projection_value_matrix_down", "projection_value_matrix_up"]);
        }
        let mut named = named;
        named.sort();
        assert_eq!(named, expected);
        assert_eq!(model.parameters().len(), 2 * expected.len(), "layer 0 has none");
    }
    let deaf = WhisperingConfig { adapter_start_layer: 1, ..WhisperingConfig::big_adapter() };
    assert_eq!(fresh_model(&deaf).parameters().total(), 2 * (40 * 12 + 1));
    assert_eq!(fresh_model(&deaf).frozen().len(), 0, "no norm before the rows");
}

#[test]
fn a_row_hears_its_own_recording_whatever_is_beside_it() {
    for wl_split in [WlSplit::Released, WlSplit::Paper] {
        let model = fresh_model(&small_config(false, wl_split));
        let rng = &mut Philox::new(4, 4);
        for var in model.parameters().vars() {
            var.set(&Tensor::randn(&var.shape(), 0.6, rng, DType::F32, Device::Cpu).unwrap())
                .unwrap();
        }
        let lengths = [6, 2, 9];
        let rows = vec![vec![5, 9, 11, 4], vec![3], vec![12, 6]];
        let recording = |b: usize| noise(&[lengths[b], 12], 20 + b as u64);
        let padded: Vec<Tensor> = (0..3)
            .map(|b| {
                let rest = Tensor::full(&[9 - lengths[b], 12], f64::NAN, DType::F32, Device::Cpu);
                match lengths[b] {
                    9 => recording(b),
                    _ => Tensor::cat(&[&recording(b), &rest.unwrap()], 0).unwrap(),
                }
            })
            .collect();
        let states = Tensor::stack(&padded.iter().collect::<Vec<_>>(), 0).unwrap();
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let input = LlamaInput::from_ids(&rows, side, Device::Cpu).unwrap();
            let all = heard(states.clone(), lengths.to_vec());
            let together = model.forward(&eval(), &input, Some(&all)).unwrap();
            for (b, row) in rows.iter().enumerate() {
                let input =
                    LlamaInput::from_ids(std::slice::from_ref(row), side, Device::Cpu).unwrap();
                let own = heard(recording(b).unsqueeze(0).unwrap(), vec![lengths[b]]);
                let alone = model.forward(&eval(), &input, Some(&own)).unwrap();
                let start = match side {
                    PaddingSide::Left => 4 - row.len(),
                    PaddingSide::Right => 0,
                };
                let got = together.last_hidden_state.select(0, b).unwrap();
                let got = got.narrow(0, start, row.len()).unwrap();
                let want = alone.last_hidden_state.select(0, 0).unwrap();
                let mut verdict = Verdict::default();
                // Sums of few and of many rows have different orders.
                verdict.close(&format!("{wl_split:?} {side:?} {b}"), &got, &want, 4e-6);
                verdict.finish("batch");
            }
        }
        let two = heard(states.narrow(0, 0, 2).unwrap(), vec![6, 2]);
        let input = LlamaInput::from_ids(&rows, PaddingSide::Left, Device::Cpu).unwrap();
        let error = model.forward(&eval(), &input, Some(&two)).unwrap_err();
        let told = "whispering_llama: audio has 2 items, expected 3 as the input";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Shape, told));
    }
}

#[test]
fn saved_adapters_have_the_released_names_and_load_beside_their_models_alone() {
    for dir in cases() {
        let model = open(&dir, WeightForm::DType(DType::F32));
        let saved = TempDir::new().unwrap();
        model.save_adapters(saved.path()).unwrap();
        let read = |dir: &Path| SafeTensors::open(dir.join("adapter_model.safetensors")).unwrap();
        let (ours, theirs) = (read(saved.path()), read(&dir));
        let sorted = |file: &SafeTensors| {
            let mut names = file.names();
            names.sort();
            names
        };
        assert_eq!(sorted(&ours), sorted(&theirs));
        for name in ours.names() {
            let of = |file: &SafeTensors| values(&file.tensor(&name).unwrap());
            assert_eq!(of(&ours), of(&theirs), "{name}");
        }
        assert_eq!(&WhisperingConfig::open(saved.path()).unwrap(), model.config());
        open(&dir, WeightForm::AsStored).load_adapters(saved.path()).unwrap();
    }
    let model = open(&case("whispering-released"), WeightForm::AsStored);
    let saved = TempDir::new().unwrap();
    model.save_adapters(saved.path()).unwrap();
    let refusal = |change: &dyn Fn(&mut Vec<u8>), folder: &str| {
        let copy = TempDir::new().unwrap();
        for part in ["llama", "whisper"] {
            std::fs::create_dir(copy.path().join(part)).unwrap();
            for file in ["config.json", "model.safetensors"] {
                let from = case("whispering-released").join(part).join(file);
                let mut bytes = std::fs::read(from).unwrap();
                if part == folder && file == "model.safetensors" {
                    change(&mut bytes);
                }
                std::fs::write(copy.path().join(part).join(file), bytes).unwrap();
            }
        }
        let (llama, whisper) = (copy.path().join("llama"), copy.path().join("whisper"));
        let options = LoadOptions::default();
        let config = model.config();
        let other = WhisperingLlama::open(config, &llama, Some(&whisper), options).unwrap();
        let error = other.load_adapters(saved.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        error.to_string()
    };
    // The last bytes of a file are those of a weight that is read: all of LLaMA's are, and the last
    // of Whisper's in the order of names is a projection of block 2.
    let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    for (folder, name) in [("llama", "base"), ("whisper", "whisper")] {
        let text = refusal(&flip, folder);
        assert!(text.contains(&format!("{name} weights are fnv1a64:")), "{text}");
    }
    let text = {
        let mut config = model.config().clone();
        config.audio.as_mut().unwrap().wl_split = WlSplit::Paper;
        let dir = case("whispering-released");
        let (llama, whisper) = (dir.join("llama"), dir.join("whisper"));
        let options = LoadOptions::default();
        let other = WhisperingLlama::open(&config, &llama, Some(&whisper), options).unwrap();
        other.load_adapters(saved.path()).unwrap_err().to_string()
    };
    assert!(text.contains("wl_split: Released") && text.contains("wl_split: Paper"), "{text}");
}

#[test]
fn what_is_heard_is_checked_by_name() {
    let model = fresh_model(&small_config(true, WlSplit::Released));
    let input = LlamaInput::from_ids(&[vec![5, 9]], PaddingSide::Left, Device::Cpu).unwrap();
    let told = |audio: Option<EncoderOutput>| {
        let error = model.forward(&eval(), &input, audio.as_ref()).unwrap_err();
        (error.kind(), error.to_string())
    };
    let text = "whispering_llama: no audio, expected some, as `audio` of the config is given";
    assert_eq!(told(None), (ErrorKind::Option, text.to_owned()));
    for (shape, lengths, text) in [
        (vec![1, 4, 11], vec![4], "audio is [1, 4, 11], expected (B, F, 12) of at least 1 frame"),
        (vec![1, 4], vec![4], "audio is [1, 4], expected (B, F, 12)"),
        (vec![1, 4, 12], vec![5], "length 0 of audio is 5, expected 1 to 4"),
        (vec![1, 4, 12], vec![0], "length 0 of audio is 0, expected 1 to 4"),
        (vec![2, 4, 12], vec![4], "1 lengths of audio, expected 2"),
    ] {
        let text = format!("whispering_llama: {text}");
        assert_eq!(told(Some(heard(noise(&shape, 1), lengths))), (ErrorKind::Shape, text));
    }
    let config = WhisperingConfig { adapter_start_layer: 1, ..WhisperingConfig::llama_adapter() };
    let deaf = fresh_model(&config);
    let audio = heard(noise(&[1, 4, 12], 1), vec![4]);
    let error = deaf.forward(&eval(), &input, Some(&audio)).unwrap_err();
    let text = "whispering_llama: audio, expected none, as `audio` of the config is absent";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Option, text));
}

#[test]
fn adapters_stay_f32_beside_models_that_are_kept_as_halves_or_in_8_bits() {
    let dir = case("whispering-released");
    let golden = Golden::open(&dir);
    let (_, audio) = audio(&golden).unwrap();
    let full = open(&dir, WeightForm::DType(DType::F32));
    let states = |model: &WhisperingLlama, audio| {
        model.forward(&eval(), &prompts(&golden), audio).unwrap().last_hidden_state
    };
    let plain_states = |weights| {
        let options = LoadOptions { weights, ..LoadOptions::default() };
        let llama = Llama::open(&dir.join("llama"), options).unwrap();
        llama.forward(&eval(), &prompts(&golden)).unwrap().last_hidden_state
    };
    let error =
        |a: &Tensor, b: &Tensor| difference(&a.to_vec_f64().unwrap(), &b.to_vec_f64().unwrap()).0;
    for weights in [WeightForm::DType(DType::BF16), WeightForm::Int8] {
        let model = open(&dir, weights);
        assert!(model.parameters().vars().all(|var| var.value().dtype() == DType::F32));
        // Both models are rounded, and each adds what the form costs LLaMA alone.
        let bound = 4.0 * error(&plain_states(weights), &plain_states(WeightForm::AsStored));
        let found = error(&states(&model, Some(&audio)), &states(&full, Some(&audio)));
        assert!(found > 0.0 && found <= bound, "{weights:?}: {found}, expected at most {bound}");
    }
}
