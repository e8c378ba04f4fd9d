//! Scores of a student on held-out utterances.

use model_zoo::bert::BertInput;
use speech_metrics::{Retrieval, Ties};
use tensor_core::{Context, Device, Tensor};

use super::distill::{clip_means, pick_tokens};
use super::{Taught, TeachTask, mlm_loss, probe};
use crate::tasks::Scores;

/// Batch numbers of evaluation lie apart from those of training.
const EVAL_BATCHES: u64 = 1 << 40;

impl TeachTask {
    /// MLM loss and accuracy, distillation loss and text-to-audio retrieval on `data`.
    ///
    /// Masks and draws are fixed, so that two students are scored on the same questions.
    /// Retrieval reads clean text: every transcript ranks all utterances of `data` by cosine.
    pub fn score(&self, data: &Taught) -> anyhow::Result<Scores> {
        let ctx = Context::eval();
        let (mut mlm, mut right, mut masked) = (0.0, 0, 0);
        let (mut kd, mut tokens) = (0.0, 0);
        for (number, items) in self.eval_batches(data).into_iter().enumerate() {
            let batch = self.source.batch(data, &items, EVAL_BATCHES + number as u64)?;
            let hidden = self.student.bert.forward(&ctx, &batch.input)?.last_hidden_state;
            let (sum, hits) = mlm_loss(&self.student, &ctx, &hidden, &batch)?;
            mlm += sum.item()?;
            right += hits;
            masked += batch.labels.len();
            if let Some(distiller) = &self.distiller {
                kd += distiller.loss(&ctx, &hidden, &batch.kd)?.item()?;
                tokens += batch.kd.tokens.len();
            }
        }
        let mut scores: Scores = vec![
            ("mlm_loss".into(), mlm / masked as f64),
            ("mlm_accuracy".into(), right as f64 / masked as f64),
        ];
        let mut loss = mlm / masked as f64;
        if let Some(distiller) = &self.distiller {
            let kd = kd / tokens as f64;
            scores.push(("kd_loss".into(), kd));
            loss += self.source.recipe.loss.gamma * kd;
            let width = self.student.bert.config.hidden_size;
            if distiller.comparable(width, data.teacher.width()) {
                let (text, audio) = self.embeddings(data)?;
                scores.extend(retrieval("retrieval", &text, &audio, data.utterances.len())?);
            }
        }
        scores.insert(0, ("loss".into(), loss));
        Ok(scores)
    }

    /// Retrieval through a linear map from pooled student states to teacher vectors, fitted on
    /// the training set: what the student's states hold of the audio, whatever the objective.
    pub fn probe_retrieval(&self, test: &Taught) -> anyhow::Result<Scores> {
        let (train_states, test_states) = (self.pooled(&self.source.train)?, self.pooled(test)?);
        let rows = |data: &Taught| -> Vec<Vec<f64>> {
            (0..data.utterances.len())
                .map(|k| data.teacher.row(k).iter().map(|&v| f64::from(v)).collect())
                .collect()
        };
        let scores =
            probe::scores(&train_states, &rows(&self.source.train), &test_states, &rows(test))?;
        let n = test.utterances.len();
        ranking("probe", &scores, n)
    }

    /// Unit-norm text and audio embeddings of every utterance, row by row.
    fn embeddings(&self, data: &Taught) -> anyhow::Result<(Vec<f32>, Vec<f32>)> {
        let ctx = Context::eval();
        let Some(distiller) = &self.distiller else { return Ok((Vec::new(), Vec::new())) };
        let n = data.utterances.len();
        let (mut text, mut audio) = (vec![Vec::new(); n], vec![Vec::new(); n]);
        for items in self.eval_batches(data) {
            let batch = self.source.batch(data, &items, EVAL_BATCHES)?;
            let hidden = self.clean_states(&ctx, data, &items)?;
            let t = distiller.clip_embeddings(&ctx, &hidden, &batch.kd)?;
            let a = distiller.teacher_embeddings(&ctx, &batch.kd.teacher)?;
            for (k, &item) in items.iter().enumerate() {
                text[item] = t.select(0, k)?.to_vec_f32()?;
                audio[item] = a.select(0, k)?.to_vec_f32()?;
            }
        }
        Ok((text.concat(), audio.concat()))
    }

    /// Mean of the student's last states over the valid tokens of every utterance.
    fn pooled(&self, data: &Taught) -> anyhow::Result<Vec<Vec<f64>>> {
        let ctx = Context::eval();
        let mut pooled = vec![Vec::new(); data.utterances.len()];
        for items in self.eval_batches(data) {
            let batch = self.source.batch(data, &items, EVAL_BATCHES)?;
            let hidden = self.clean_states(&ctx, data, &items)?;
            let tokens = pick_tokens(&hidden, &batch.kd.tokens)?;
            let means = clip_means(&tokens, &batch.kd.clip_of)?;
            for (k, &item) in items.iter().enumerate() {
                pooled[item] = means.select(0, k)?.to_vec_f64()?;
            }
        }
        Ok(pooled)
    }

    /// The student's last states on text without masks.
    fn clean_states(
        &self,
        ctx: &Context,
        data: &Taught,
        items: &[usize],
    ) -> anyhow::Result<Tensor> {
        let rows: Vec<Vec<u32>> = items.iter().map(|&item| data.ids[item].clone()).collect();
        let input = BertInput::from_ids(&rows, self.source.vocabulary.pad, Device::Cpu)?;
        Ok(self.student.bert.forward(ctx, &input)?.last_hidden_state)
    }

    /// Utterances in batches of similar length; the same for every student.
    fn eval_batches(&self, data: &Taught) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..data.ids.len()).collect();
        order.sort_by_key(|&item| (data.ids[item].len(), item));
        let size = self.source.recipe.eval.batch_items.max(1);
        order.chunks(size).map(<[usize]>::to_vec).collect()
    }
}

/// Text-to-audio retrieval by the dot product of unit vectors.
fn retrieval(name: &str, text: &[f32], audio: &[f32], n: usize) -> anyhow::Result<Scores> {
    let width = text.len() / n.max(1);
    let text = Tensor::from_vec(text.to_vec(), &[n, width], Device::Cpu)?;
    let audio = Tensor::from_vec(audio.to_vec(), &[n, width], Device::Cpu)?;
    let scores = text.matmul(&audio.transpose(0, 1)?)?.to_vec::<f32>()?;
    ranking(name, &scores, n)
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
