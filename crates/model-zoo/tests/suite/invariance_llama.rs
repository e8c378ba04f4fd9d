//! LLaMA against itself: caches, batches, padding, recomputation, prompts.

use model_zoo::Builder;
use model_zoo::decoding::{
    BeamSearch, GenerateOptions, Hypothesis, Sampling, Strategy, TokenModel,
};
use model_zoo::llama::{
    Llama, LlamaConfig, LlamaInput, LlamaOutput, LlamaSession, LlamaTokens, PaddingSide, PromptPart,
};
use tensor_core::{Context, DType, Device, Tensor, Var};

use crate::common::*;

/// Summation orders differ between a step and a whole pass; four times what is seen.
const REORDERED: f64 = 4e-6;

fn model() -> Llama {
    Llama::new(&fresh(), &small_llama()).unwrap()
}

fn states(model: &Llama, input: &LlamaInput) -> LlamaOutput {
    model.forward(&eval(), input).unwrap()
}

fn of_ids(rows: &[Vec<u32>], side: PaddingSide) -> LlamaInput {
    LlamaInput::from_ids(rows, side, Device::Cpu).unwrap()
}

fn rows() -> Vec<Vec<u32>> {
    vec![vec![5, 9, 11, 4, 20, 8, 7], vec![3], vec![12, 6, 30, 2]]
}

/// Attended states of each row, `(T_b, D)`.
fn attended(output: &LlamaOutput, b: usize) -> Tensor {
    let tokens = output.last_hidden_state.shape()[1];
    let (length, last) = (output.lengths[b], output.last_positions[b] - b * tokens);
    let item = output.last_hidden_state.select(0, b).unwrap();
    item.narrow(0, last + 1 - length, length).unwrap()
}

#[test]
fn a_row_does_not_depend_on_its_batch_nor_on_the_side_of_its_padding() {
    let model = model();
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let output = states(&model, &of_ids(&rows(), side));
        assert_eq!(output.lengths, [7, 1, 4]);
        for (b, row) in rows().into_iter().enumerate() {
            let alone = states(&model, &of_ids(&[row], side));
            let mut verdict = Verdict::default();
            let (got, want) = (attended(&output, b), attended(&alone, 0));
            verdict.close(&format!("{side:?} {b}"), &got, &want, REORDERED);
            verdict.finish("batch");
        }
    }
}

#[test]
fn nan_in_padding_changes_neither_states_nor_gradients() {
    let model = model();
    let run = |side, padding: f32| {
        let vectors: Vec<Tensor> = [5, 2].iter().map(|&n| noise(&[n, 12], n as u64)).collect();
        let mut input = LlamaInput::from_embeds(&vectors, side).unwrap();
        let LlamaTokens::InputsEmbeds(x) = &input.tokens else { panic!("vectors") };
        let mask = input.attention_mask.clone().unwrap().to_vec::<i64>().unwrap();
        let mut values = x.to_vec::<f32>().unwrap();
        for (position, _) in values.chunks_mut(12).zip(mask).filter(|(_, seen)| *seen == 0) {
            position.fill(padding);
        }
        let leaf = Var::new(Tensor::from_vec(values, &[2, 5, 12], Device::Cpu).unwrap());
        input.tokens = LlamaTokens::InputsEmbeds(leaf.tensor());
        let output = model.forward(&Context::grad(), &input).unwrap();
        let parts = [attended(&output, 0), attended(&output, 1)];
        let all = Tensor::cat(&[&parts[0], &parts[1]], 0).unwrap();
        let gradients = probe(&all, 9).backward().unwrap();
        let mut values = all.to_vec::<f32>().unwrap();
        for (_, var) in model.parameters().iter() {
            let grad = gradients.get(var).map(|g| g.to_vec::<f32>().unwrap());
            values.extend(grad.unwrap_or_default());
        }
        values.extend(gradients.get(&leaf).unwrap().to_vec::<f32>().unwrap());
        values
    };
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let clean = run(side, 0.0);
        assert!(clean.iter().all(|v| v.is_finite()));
        assert_eq!(run(side, f32::NAN), clean, "{side:?}");
    }
}

#[test]
fn steps_with_a_cache_give_what_one_pass_gives() {
    let model = model();
    let row = vec![5, 9, 11, 4, 20, 8, 7, 3, 3, 14];
    let whole = states(&model, &of_ids(std::slice::from_ref(&row), PaddingSide::Left));
    let positions: Vec<usize> = (0..row.len()).collect();
    let whole = model.logits_at(&eval(), &whole.last_hidden_state, &positions).unwrap();
    for pieces in [vec![1; 10], vec![4, 1, 1, 3, 1], vec![10], vec![9, 1]] {
        let mut session = LlamaSession::new(&model);
        let (mut at, mut verdict) = (0, Verdict::default());
        for n in pieces {
            let logits = session.read_ids(&eval(), &[row[at..at + n].to_vec()]).unwrap();
            at += n;
            let want = whole.narrow(0, at - 1, 1).unwrap();
            verdict.close(&format!("after {at}"), &logits, &want, REORDERED);
        }
        assert_eq!(session.cache().len(), 10);
        verdict.finish("cache");
    }
}

#[test]
fn prompts_of_unequal_length_continue_as_each_does_alone() {
    let model = model();
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let mut session = LlamaSession::new(&model);
        let logits = session.read(&eval(), &of_ids(&rows(), side)).unwrap();
        let together = greedy(&mut session, logits, 5);
        for (row, expected) in rows().into_iter().zip(together) {
            let mut session = LlamaSession::new(&model);
            let logits = session.read_ids(&eval(), &[row]).unwrap();
            assert_eq!(greedy(&mut session, logits, 5), [expected]);
        }
    }
}

#[test]
fn every_strategy_continues_a_prompt_in_a_batch_as_alone() {
    let model = model();
    let beam = BeamSearch { num_beams: 3, ..BeamSearch::default() };
    let sampling = Sampling { top_k: 5, seed: 3, ..Sampling::default() };
    for strategy in [Strategy::Greedy, Strategy::Beam(beam), Strategy::Sample(sampling)] {
        let options = GenerateOptions { strategy, max_new_tokens: 6, eos_token_ids: vec![2, 9] };
        let run = |input: &LlamaInput| model.generate(&eval(), input, &[], &options).unwrap();
        for side in [PaddingSide::Left, PaddingSide::Right] {
            // The first of a batch has the same random stream as one alone.
            for first in 0..3 {
                let mut rows = rows();
                rows.rotate_left(first);
                let alone = run(&of_ids(&rows[..1], side));
                let together = run(&of_ids(&rows, side));
                let ids = |list: &[Hypothesis]| -> Vec<Vec<u32>> {
                    list.iter().map(|found| found.ids.clone()).collect()
                };
                assert_eq!(ids(&together[0]), ids(&alone[0]), "{side:?} {first}");
            }
        }
    }
}

#[test]
fn a_prompt_of_vectors_is_continued_as_the_tokens_they_embed() {
    let model = model();
    let options =
        GenerateOptions { strategy: Strategy::Greedy, max_new_tokens: 30, eos_token_ids: vec![] };
    let parts = [PromptPart::Tokens(vec![5, 9]), PromptPart::Tokens(vec![11])];
    let vectors = model.embed_prompt(&eval(), &parts).unwrap();
    let vectors = LlamaInput::from_embeds(&[vectors], PaddingSide::Left).unwrap();
    let tokens = of_ids(&[vec![5, 9, 11]], PaddingSide::Left);
    let run = |input: &LlamaInput| model.generate(&eval(), input, &[], &options).unwrap();
    let (from_vectors, from_tokens) = (run(&vectors), run(&tokens));
    assert_eq!(from_vectors[0][0].ids, from_tokens[0][0].ids);
    assert_eq!(from_tokens[0][0].ids.len(), 16 - 3, "positions bound the length");
}

#[test]
fn selected_rows_go_on_as_those_they_came_from() {
    let model = model();
    let mut session = LlamaSession::new(&model);
    session.read(&eval(), &of_ids(&rows(), PaddingSide::Left)).unwrap();
    let mut beams = session.clone();
    beams.select(&[2, 0, 2]).unwrap();
    let next = session.read_ids(&eval(), &[vec![4], vec![5], vec![6]]).unwrap();
    let beam = beams.read_ids(&eval(), &[vec![6], vec![4], vec![6]]).unwrap();
    let mut verdict = Verdict::default();
    for (got, from) in [(0, 2), (1, 0), (2, 2)] {
        let (got, want) = (beam.select(0, got).unwrap(), next.select(0, from).unwrap());
        verdict.close("beam", &got, &want, 0.0);
    }
    verdict.finish("beams");
    let text = beams.select(&[3]).unwrap_err().to_string();
    assert_eq!(text, "llama cache: row 3, expected below 3");
}

#[test]
fn only_distances_of_positions_matter() {
    let model = model();
    let input = of_ids(&[vec![5, 9, 11, 4]], PaddingSide::Left);
    let moved = |start: i64| {
        let ids = ids(&[&[start, start + 1, start + 2, start + 3]]);
        let input = LlamaInput { position_ids: Some(ids), ..input.clone() };
        states(&model, &input).last_hidden_state
    };
    let mut verdict = Verdict::default();
    verdict.close("moved by 399", &moved(399), &moved(0), 1e-4);
    verdict.finish("positions");
    let gap = LlamaInput { position_ids: Some(ids(&[&[0, 1, 2, 9]])), ..input.clone() };
    let (gap, plain) = (states(&model, &gap).last_hidden_state, moved(0));
    let (error, _) = difference(&gap.to_vec_f64().unwrap(), &plain.to_vec_f64().unwrap());
    assert!(error > 1e-3, "a gap between positions changes what is seen: {error:e}");
}

#[test]
fn checkpointing_changes_no_gradient() {
    let mut model = model();
    let input = of_ids(&rows(), PaddingSide::Left);
    let gradients = |model: &Llama| {
        let output = model.forward(&Context::grad(), &input).unwrap();
        probe(&model.logits_at(&Context::grad(), &output.last_hidden_state, &[6, 13]).unwrap(), 3)
            .backward()
            .unwrap()
    };
    let kept = gradients(&model);
    model.set_gradient_checkpointing(true);
    let again = gradients(&model);
    assert_same_gradients("checkpointing", &again, &kept, model.parameters(), 0.0);
}

#[test]
fn gradients_agree_with_finite_differences_in_f64() {
    let root = Builder::random(3, DType::F64, Device::Cpu);
    let model = Llama::new(&root, &small_llama()).unwrap();
    let input = of_ids(&rows(), PaddingSide::Left);
    let loss = |ctx: &Context| {
        let output = model.forward(ctx, &input).unwrap();
        let logits = model.logits_at(ctx, &output.last_hidden_state, &[3, 6, 13, 20]).unwrap();
        let probe = noise(logits.shape(), 2).to_dtype(DType::F64).unwrap();
        logits.mul(&probe).unwrap().sum_all().unwrap()
    };
    let gradients = loss(&Context::grad()).backward().unwrap();
    for (k, (name, var)) in model.parameters().iter().enumerate() {
        let value = var.value();
        let direction = noise(value.shape(), k as u64).to_dtype(DType::F64).unwrap();
        let at = |step: f64| {
            var.set(&value.add(&direction.mul_scalar(step).unwrap()).unwrap()).unwrap();
            loss(&eval()).item().unwrap()
        };
        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
        var.set(&value).unwrap();
        let grad = gradients.get(var).unwrap_or_else(|| panic!("{name}: no gradient"));
        let got = grad.mul(&direction).unwrap().sum_all().unwrap().item().unwrap();
        assert!((got - slope).abs() < 1e-6 * (1.0 + slope.abs()), "{name}: {got}, {slope}");
    }
}

#[test]
fn a_prompt_of_tokens_and_vectors_reads_as_its_embeddings() {
    let model = model();
    let speech = Var::new(noise(&[3, 12], 1));
    let parts = [
        PromptPart::Tokens(vec![5, 9]),
        PromptPart::Vectors(speech.tensor()),
        PromptPart::Tokens(vec![]),
        PromptPart::Tokens(vec![7]),
    ];
    let ctx = Context::grad();
    let vectors = model.embed_prompt(&ctx, &parts).unwrap();
    assert_eq!(vectors.shape(), [6, 12]);
    let tokens = model.embed(&ctx, &ids(&[&[5, 9, 7]])).unwrap().squeeze(0).unwrap();
    let (got, want) = (vectors.to_vec::<f32>().unwrap(), tokens.to_vec::<f32>().unwrap());
    assert_eq!((&got[..24], &got[60..]), (&want[..24], &want[24..]));

    let input = LlamaInput::from_embeds(&[vectors], PaddingSide::Left).unwrap();
    let output = model.forward(&ctx, &input).unwrap();
    let gradients = probe(&output.last_hidden_state, 4).backward().unwrap();
    let reached = gradients.get(&speech).unwrap().to_vec::<f32>().unwrap();
    assert!(reached.iter().all(|&g| g != 0.0));

    let text = model.embed_prompt(&ctx, &[PromptPart::Vectors(noise(&[2, 5], 1))]).unwrap_err();
    let told = "embed_prompt: vectors are [2, 5], expected (N, 12) (hint: project them to the \
                model's hidden_size first)";
    assert_eq!(text.to_string(), told);
    let text = model.embed_prompt(&ctx, &[]).unwrap_err().to_string();
    assert_eq!(text, "embed_prompt: prompt has no positions, expected at least 1");
}

#[test]
fn half_weights_and_half_products_stay_near() {
    let root = Builder::random(3, DType::BF16, Device::Cpu);
    let half = Llama::new(&root, &small_llama()).unwrap();
    let input = of_ids(&rows(), PaddingSide::Left);
    let states = |model: &Llama, ctx: &Context| {
        let output = model.forward(ctx, &input).unwrap();
        model.logits_at(ctx, &output.last_hidden_state, &output.last_positions).unwrap()
    };
    let want = states(&model(), &eval());
    let mut verdict = Verdict::default();
    verdict.close("bf16 weights", &states(&half, &eval()), &want, 0.05);
    let cast = eval().with_autocast(DType::BF16);
    verdict.close("bf16 products", &states(&model(), &cast), &want, 0.05);
    verdict.finish("halves");
    let mut session = LlamaSession::new(&half);
    let logits = session.read(&eval(), &input).unwrap();
    assert_eq!(logits.dtype(), DType::F32);
    assert_eq!(greedy(&mut session, logits, 3).len(), 3);
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let model = model();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let output = states(&model, &of_ids(&rows(), PaddingSide::Left));
            output.last_hidden_state.to_vec::<f32>().unwrap()
        })
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn inputs_that_do_not_fit_are_told_apart() {
    let model = model();
    let told = |input: &LlamaInput| model.forward(&eval(), input).unwrap_err().to_string();
    let base = of_ids(&[vec![5, 9, 11]], PaddingSide::Left);
    let with = |tokens| LlamaInput { tokens, ..base.clone() };
    for (input, expected) in [
        (
            with(LlamaTokens::InputIds(ids(&[&[5, 99, 1]]))),
            "embedding: index 99 at position 1, expected 0..31",
        ),
        (
            with(LlamaTokens::InputsEmbeds(noise(&[1, 3, 5], 1))),
            "llama: inputs_embeds is [1, 3, 5], expected (B, T, 12) of at least 1 by 1",
        ),
        (
            with(LlamaTokens::InputIds(Tensor::zeros(&[1, 0], DType::I64, Device::Cpu).unwrap())),
            "llama: input_ids is [1, 0], expected (B, T) of at least 1 by 1",
        ),
        (
            LlamaInput { attention_mask: Some(ids(&[&[1, 1]])), ..base.clone() },
            "llama: attention_mask is [1, 2], expected [1, 3]",
        ),
        (
            LlamaInput { position_ids: Some(ids(&[&[0, 1, 2, 3]])), ..base.clone() },
            "llama: position_ids is [1, 4], expected [1, 3]",
        ),
        (
            of_ids(&[vec![4; 17]], PaddingSide::Left),
            "llama: 17 positions, expected 1 to 16 (hint: shorten the prompt; \
             max_position_embeddings of config.json bounds it)",
        ),
    ] {
        let told = told(&input);
        assert!(told.starts_with(expected), "{told}\n  is not\n{expected}");
    }
    let mut session = LlamaSession::new(&model);
    session.read_ids(&eval(), &[vec![4; 16], vec![5; 16]]).unwrap();
    let full = session.clone().read_ids(&eval(), &[vec![4], vec![5]]).unwrap_err().to_string();
    assert!(full.starts_with("llama: 17 positions, expected 1 to 16"), "{full}");
    let text = session.read_ids(&eval(), &[vec![4]]).unwrap_err().to_string();
    assert_eq!(text, "llama: input has 1 rows, expected 2 as in the cache");
    let text = session.read_ids(&eval(), &[vec![4], vec![]]).unwrap_err().to_string();
    assert_eq!(text, "llama session: rows have [1, 0] tokens, expected equally many, at least 1");
    let text = LlamaInput::from_ids(&[vec![4], vec![]], PaddingSide::Left, Device::Cpu);
    let text = text.unwrap_err().to_string();
    assert_eq!(text, "llama input: row 1 has no positions, expected at least 1");
    // Padding takes no position that was trained.
    let padded = of_ids(&[vec![4; 16], vec![4]], PaddingSide::Left);
    assert_eq!(states(&model, &padded).lengths, [16, 1]);
    let longer = LlamaConfig { max_position_embeddings: 17, ..small_llama() };
    let longer = Llama::new(&fresh(), &longer).unwrap();
    longer.forward(&eval(), &of_ids(&[vec![4; 17]], PaddingSide::Left)).unwrap();
}
