//! Scores of a student on held-out utterances.

use model_zoo::bert::BertInput;
use speech_metrics::{Retrieval, Ties};
use tensor_core::{Context, CrossEntropyOptions, Device, Tensor, cross_entropy};

use super::distill::{Distiller, KdBatch, clip_means, pick_tokens};
use super::{Taught, TeachTask, probe};
use crate::tasks::Scores;

/// Batch numbers of evaluation lie apart from those of training.
const EVAL_BATCHES: u64 = 1 << 40;

impl TeachTask {
    /// MLM loss and accuracy, distillation loss and text-to-audio retrieval on `data`.
    ///
    /// Masks and draws are fixed, so that two students are scored on the same questions.
    /// Retrieval reads clean text: every transcript ranks all utterances of `data` by cosine.
    ///
    /// # Errors
    ///
    /// When `data` has no utterance, or a state is not a number.
    pub fn score(&self, data: &Taught) -> anyhow::Result<Scores> {
        let ctx = Context::eval();
        let (mut mlm, mut right, mut masked) = (0.0, 0, 0);
        let (mut kd, mut tokens) = (0.0, 0);
        for (number, items) in self.eval_batches(data).into_iter().enumerate() {
            let batch = self.source.batch(data, &items, EVAL_BATCHES + number as u64)?;
            let hidden = self.student.bert.forward(&ctx, &batch.input)?.last_hidden_state;
            let (logits, labels) = self.predictions(&ctx, &hidden, &batch)?;
            mlm += cross_entropy(&logits, &labels, CrossEntropyOptions::default())?.item()?;
            let hits = logits.argmax(-1)?.eq(&labels)?.to_vec::<u8>()?;
            right += hits.iter().filter(|&&hit| hit != 0).count();
            masked += batch.labels.len();
            if let Some(distiller) = &self.distiller {
                kd += distiller.loss(&ctx, &hidden, &batch.kd)?.item()?;
                tokens += batch.kd.tokens.len();
            }
        }
        let mlm = mlm / masked as f64;
        let accuracy = right as f64 / masked as f64;
        let mut scores: Scores =
            vec![("loss".into(), mlm), ("mlm_loss".into(), mlm), ("mlm_accuracy".into(), accuracy)];
        if let Some(distiller) = &self.distiller {
            let kd = kd / tokens as f64;
            scores[0].1 += self.source.recipe.loss.gamma * kd;
            scores.push(("kd_loss".into(), kd));
            let width = self.student.bert.config.hidden_size;
            if distiller.comparable(width, data.teacher.width()) {
                let (text, audio) = self.embeddings(distiller, data)?;
                let scored = text.matmul(&audio.transpose(0, 1)?)?.to_vec::<f32>()?;
                scores.extend(ranking("retrieval", &scored, data.utterances.len())?);
            }
        }
        Ok(scores)
    }

    /// Retrieval through a linear map from pooled student states to teacher vectors, fitted on
    /// the training set: what the student's states hold of the audio, whatever the objective.
    /// No scores where nothing can be fitted, as on one training utterance.
    pub fn probe_retrieval(&self, test: &Taught) -> anyhow::Result<Scores> {
        let train = &self.source.train;
        let rows = |data: &Taught| -> Vec<Vec<f64>> {
            (0..data.utterances.len())
                .map(|k| data.teacher.row(k).iter().map(|&v| f64::from(v)).collect())
                .collect()
        };
        let (train_states, test_states) = (self.pooled(train)?, self.pooled(test)?);
        match probe::scores(&train_states, &rows(train), &test_states, &rows(test)) {
            Some(scores) => ranking("probe", &scores, test.utterances.len()),
            None => Ok(Scores::new()),
        }
    }

    /// Unit-norm text and audio embeddings of every utterance, `(utterances, P)` each.
    fn embeddings(&self, distiller: &Distiller, data: &Taught) -> anyhow::Result<(Tensor, Tensor)> {
        let ctx = Context::eval();
        let (mut text, mut audio) = (Vec::new(), Vec::new());
        let batches = self.eval_batches(data);
        for items in &batches {
            let (hidden, kd) = self.clean_states(&ctx, data, items)?;
            text.push(distiller.clip_embeddings(&ctx, &hidden, &kd)?);
            audio.push(distiller.teacher_embeddings(&ctx, &kd.teacher)?);
        }
        let in_order = |parts: &[Tensor]| -> tensor_core::Result<Tensor> {
            let mut place = vec![0; data.utterances.len()];
            for (at, &item) in batches.iter().flatten().enumerate() {
                place[item] = at as i64;
            }
            let place = Tensor::from_vec(place, &[data.utterances.len()], Device::Cpu)?;
            Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?.index_select(0, &place)
        };
        Ok((in_order(&text)?, in_order(&audio)?))
    }

    /// Mean of the student's last states over the valid tokens of every utterance.
    fn pooled(&self, data: &Taught) -> anyhow::Result<Vec<Vec<f64>>> {
        let ctx = Context::eval();
        let mut pooled = vec![Vec::new(); data.utterances.len()];
        for items in self.eval_batches(data) {
            let (hidden, kd) = self.clean_states(&ctx, data, &items)?;
            let means = clip_means(&pick_tokens(&hidden, &kd.tokens)?, &kd.clip_of)?;
            for (k, &item) in items.iter().enumerate() {
                pooled[item] = means.select(0, k)?.to_vec_f64()?;
            }
        }
        Ok(pooled)
    }

    /// The student's last states on text without masks, and which of them are valid tokens.
    fn clean_states(
        &self,
        ctx: &Context,
        data: &Taught,
        items: &[usize],
    ) -> anyhow::Result<(Tensor, KdBatch)> {
        let rows: Vec<Vec<u32>> = items.iter().map(|&item| data.ids[item].clone()).collect();
        let input = BertInput::from_ids(&rows, self.source.vocabulary.pad, Device::Cpu)?;
        let hidden = self.student.bert.forward(ctx, &input)?.last_hidden_state;
        Ok((hidden, self.source.kd_batch(data, items, EVAL_BATCHES)?))
    }

    /// Utterances in batches of similar length; the same for every student.
    fn eval_batches(&self, data: &Taught) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..data.ids.len()).collect();
        order.sort_by_key(|&item| (data.ids[item].len(), item));
        let size = self.source.recipe.eval.batch_items.max(1);
        order.chunks(size).map(<[usize]>::to_vec).collect()
    }
}

/// R@1, R@10 and mean rank of an `n x n` score matrix whose diagonal holds the pairs.
fn ranking(name: &str, scores: &[f32], n: usize) -> anyhow::Result<Scores> {
    let ranks = Retrieval::paired(scores, n, Ties::default())?;
    Ok(vec![
        (format!("{name}_r1"), ranks.recall_at(1)),
        (format!("{name}_r10"), ranks.recall_at(10)),
        (format!("{name}_mean_rank"), ranks.mean_rank()),
    ])
}
