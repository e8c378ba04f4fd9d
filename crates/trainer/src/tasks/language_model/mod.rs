//! A language model on documents made of manifest lines.

mod learner;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model_zoo::decoding::{GenerateOptions, Strategy};
use model_zoo::llama::{LlamaInput, LlamaTokens, PaddingSide};
use model_zoo::{Parameters, Tokenizer};
use tensor_core::{Context, CrossEntropyOptions, Device, Tensor, cross_entropy};

use self::learner::Learner;
use super::{BatchSource, LossPart, Scores, Task};
use crate::batching::{BatchPlan, Length};
use crate::dataset::template::Template;
use crate::dataset::text::open_tokenizer;
use crate::dataset::{batch_options, plan_batches, training_utterances};
use crate::losses::IGNORED;
use crate::manifest::{Utterance, read_all};
use crate::recipe::Recipe;

/// A document in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Document {
    /// Which template it is of.
    template: usize,
    /// Start token first.
    ids: Vec<u32>,
    /// How many of `ids` come before the answer; `None` where there is none.
    prompt: Option<usize>,
    /// The answer as text, without special tokens.
    answer: String,
}

/// How documents are made of lines.
struct Writer {
    tokenizer: Tokenizer,
    templates: Vec<Template>,
    answer_after: String,
    start: u32,
    longest: usize,
}

impl Writer {
    /// A document for every line and template, line by line.
    fn documents(&self, utterances: &[Utterance]) -> anyhow::Result<Vec<Document>> {
        let mut documents = Vec::with_capacity(utterances.len() * self.templates.len());
        for utterance in utterances {
            for (template, written) in self.templates.iter().enumerate() {
                let document = self.document(template, &written.fill(utterance)?)?;
                ensure!(
                    document.ids.len() <= self.longest,
                    "{}: document {} has {} tokens, expected at most {} (hint: \
                     max_position_embeddings of the model's config)",
                    utterance.place,
                    template + 1,
                    document.ids.len(),
                    self.longest
                );
                documents.push(document);
            }
        }
        Ok(documents)
    }

    /// Prompt and answer are tokenised apart, so that no token spans the seam where generation
    /// begins.
    fn document(&self, template: usize, text: &str) -> anyhow::Result<Document> {
        let seam = match self.answer_after.is_empty() {
            true => None,
            false => text.find(&self.answer_after).map(|at| at + self.answer_after.len()),
        };
        let (before, after) = text.split_at(seam.unwrap_or(text.len()));
        let mut ids = vec![self.start];
        ids.extend(self.tokenizer.encode(before, false)?);
        let prompt = seam.map(|_| ids.len());
        let answer = self.tokenizer.encode(after, false)?;
        ids.extend(&answer);
        let answer = self.tokenizer.decode(&answer, true)?;
        Ok(Document { template, ids, prompt, answer })
    }
}

/// One forward pass: documents side by side.
pub struct LmBatch {
    /// `(B, T)`, padded after the ends.
    input_ids: Tensor,
    /// `(B * T)`: the token after each, padding ignored.
    labels: Tensor,
    n_labels: usize,
}

/// Worker-side half of [`LmTask`].
pub struct LmSource {
    train: Vec<Document>,
}

impl LmSource {
    fn batch(documents: &[&Document]) -> anyhow::Result<LmBatch> {
        let longest = documents.iter().map(|document| document.ids.len()).max().unwrap_or(1);
        let width = longest.saturating_sub(1);
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for document in documents {
            let ids = document.ids.iter().map(|&id| i64::from(id));
            // Nothing before the padding sees what stands there, and its labels are ignored.
            inputs.extend(ids.clone().chain(std::iter::repeat(0)).take(width));
            labels.extend(ids.skip(1).chain(std::iter::repeat(IGNORED)).take(width));
        }
        let n_labels = labels.iter().filter(|&&label| label != IGNORED).count();
        Ok(LmBatch {
            input_ids: Tensor::from_vec(inputs, &[documents.len(), width], Device::Cpu)?,
            labels: Tensor::from_vec(labels, &[documents.len() * width], Device::Cpu)?,
            n_labels,
        })
    }
}

impl BatchSource for LmSource {
    type Batch = LmBatch;

    fn make(&self, _number: u64, items: &[usize]) -> anyhow::Result<LmBatch> {
        Self::batch(&items.iter().map(|&item| &self.train[item]).collect::<Vec<_>>())
    }

    fn counts(&self, batch: &LmBatch) -> Vec<f64> {
        vec![batch.n_labels as f64]
    }

    fn volume(&self, batch: &LmBatch) -> (f64, usize) {
        (0.0, batch.n_labels)
    }
}

/// How well documents of one template are known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateScore {
    /// Documents.
    pub documents: usize,
    /// Tokens that are predicted.
    pub tokens: usize,
    /// Cross-entropy a token, in nats.
    pub loss: f64,
    /// Share of the answers that are written exactly, greedily; `None` where there is no answer.
    pub exact: Option<f64>,
}

/// Trains a LLaMA, or an adapter beside one, to write documents.
pub struct LmTask {
    learner: Learner,
    writer: Writer,
    source: Arc<LmSource>,
    plan: Arc<BatchPlan>,
    dev: Vec<Document>,
    recipe: Recipe,
}

impl LmTask {
    /// Opens or makes the model and writes the documents of a recipe's manifests.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the config, the weights, the tokenizer, a template or a manifest
    /// line.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        let (tokenizer, _) = open_tokenizer(&recipe.model)?;
        let learner = Learner::open(recipe)?;
        let model = &learner.model;
        tokenizer.expect_within(model.config.vocab_size)?;
        let templates = &recipe.lm.templates;
        let writer = Writer {
            tokenizer,
            templates: templates
                .iter()
                .map(|written| Template::parse(written).context("lm.templates"))
                .collect::<anyhow::Result<_>>()?,
            answer_after: recipe.lm.answer_after.clone(),
            start: model
                .config
                .bos_token_id
                .as_ref()
                .and_then(|ids| ids.as_slice().first().copied())
                .context("config.json: no bos_token_id, expected one")?,
            longest: model.config.max_position_embeddings,
        };
        let utterances = training_utterances(recipe)?;
        let train = writer.documents(&utterances)?;
        let dev = writer.documents(&read_all(&recipe.data.dev)?)?;
        let lengths =
            train.iter().map(|document| Length { seconds: 0.0, tokens: document.ids.len() });
        let n_templates = writer.templates.len();
        let owners = utterances.iter().flat_map(|line| std::iter::repeat_n(line, n_templates));
        let plan = plan_batches(recipe, owners, lengths.collect(), batch_options(recipe))?;
        let source = Arc::new(LmSource { train });
        Ok(Self { learner, writer, source, plan: Arc::new(plan), dev, recipe: recipe.clone() })
    }

    /// Writes what was trained, a Hugging Face folder or an adapter's, and the tokenizer.
    pub fn export(&self, dir: &Path) -> anyhow::Result<()> {
        self.learner.save(dir, &self.recipe)?;
        Ok(self.writer.tokenizer.save(dir)?)
    }

    /// Adds the adapter to the weights beside it and writes the Hugging Face folder of both. What
    /// the task computes from then on is rounded to the dtype of these weights.
    pub fn export_merged(&self, dir: &Path) -> anyhow::Result<()> {
        self.learner.save_merged(dir, &self.recipe)?;
        Ok(self.writer.tokenizer.save(dir)?)
    }

    /// Scores of the documents of manifests, a template at a time.
    pub fn test(&self, specs: &[String]) -> anyhow::Result<Vec<TemplateScore>> {
        let documents = self.writer.documents(&read_all(specs)?)?;
        (0..self.writer.templates.len())
            .map(|template| {
                let of_template: Vec<&Document> =
                    documents.iter().filter(|document| document.template == template).collect();
                let (loss, tokens) = self.loss_of(&of_template)?;
                let exact = self.exact(&of_template)?;
                Ok(TemplateScore { documents: of_template.len(), tokens, loss, exact })
            })
            .collect()
    }

    fn forward(&self, ctx: &Context, batch: &LmBatch) -> anyhow::Result<Tensor> {
        let input = LlamaInput::new(LlamaTokens::InputIds(batch.input_ids.clone()));
        let model = &self.learner.model;
        let output = model.forward(ctx, &input)?;
        let logits = model.logits(ctx, &output.last_hidden_state)?;
        let options = CrossEntropyOptions { ignore_index: IGNORED, ..Default::default() };
        Ok(cross_entropy(&logits.flatten(0, 1)?, &batch.labels, options)?)
    }

    /// Mean loss of a token, and how many there are.
    fn loss_of(&self, documents: &[&Document]) -> anyhow::Result<(f64, usize)> {
        let (mut sum, mut tokens) = (0.0, 0);
        for chunk in by_length(documents).chunks(self.recipe.eval.batch_items.max(1)) {
            let batch = LmSource::batch(chunk)?;
            sum += self.forward(&Context::eval(), &batch)?.item()?;
            tokens += batch.n_labels;
        }
        Ok((sum / tokens.max(1) as f64, tokens))
    }

    /// Share of the documents with an answer whose answer the model writes.
    fn exact(&self, documents: &[&Document]) -> anyhow::Result<Option<f64>> {
        let asked: Vec<&Document> =
            documents.iter().copied().filter(|document| document.prompt.is_some()).collect();
        let mut right = 0;
        for chunk in by_length(&asked).chunks(self.recipe.eval.batch_items.max(1)) {
            let prompts = chunk.iter().map(|document| match document.prompt {
                Some(length) => document.ids[..length].to_vec(),
                None => document.ids.clone(),
            });
            let written = self.answers(&prompts.collect::<Vec<_>>())?;
            right += written.iter().zip(chunk).filter(|(text, d)| **text == d.answer).count();
        }
        Ok((!asked.is_empty()).then(|| right as f64 / asked.len() as f64))
    }

    /// What the model writes after each prompt, greedily, without special tokens.
    fn answers(&self, prompts: &[Vec<u32>]) -> anyhow::Result<Vec<String>> {
        let prompts = LlamaInput::from_ids(prompts, PaddingSide::Left, Device::Cpu)?;
        let options = GenerateOptions {
            strategy: Strategy::Greedy,
            max_new_tokens: self.recipe.eval.max_new_tokens,
            eos_token_ids: self.learner.model.generation.eos_token_ids().to_vec(),
        };
        self.learner
            .model
            .generate(&Context::eval(), &prompts, &[], &options)?
            .iter()
            .map(|found| {
                let ids = found.first().map_or(&[][..], |best| best.ids.as_slice());
                Ok(self.writer.tokenizer.decode(ids, true)?)
            })
            .collect()
    }
}

impl Task for LmTask {
    type Source = LmSource;

    fn source(&self) -> Arc<LmSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        self.learner.parameters()
    }

    fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        self.learner.buffers()
    }

    fn load_buffers(
        &mut self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        self.learner.check_buffers(read)
    }

    fn loss(&mut self, ctx: &Context, batch: &LmBatch) -> anyhow::Result<Vec<LossPart>> {
        Ok(vec![LossPart { name: "ce", sum: self.forward(ctx, batch)?, weight: 1.0 }])
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        if self.dev.is_empty() {
            return Ok(Scores::new());
        }
        let documents: Vec<&Document> = self.dev.iter().collect();
        let (loss, _) = self.loss_of(&documents)?;
        let mut scores = vec![("loss".into(), loss), ("perplexity".into(), loss.exp())];
        if let Some(exact) = self.exact(&documents)? {
            scores.push(("exact".into(), exact));
        }
        Ok(scores)
    }
}

/// Documents of like lengths beside one another.
fn by_length<'a>(documents: &[&'a Document]) -> Vec<&'a Document> {
    let mut sorted = documents.to_vec();
    sorted.sort_by_key(|document| document.ids.len());
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(ids: &[u32]) -> Document {
        Document { template: 0, ids: ids.to_vec(), prompt: None, answer: String::new() }
    }

    #[test]
    fn every_token_but_the_first_is_a_label() {
        let (long, short) = (document(&[9, 1, 2, 3]), document(&[9, 4]));
        let batch = LmSource::batch(&[&long, &short]).unwrap();
        assert_eq!(batch.input_ids.to_vec::<i64>().unwrap(), [9, 1, 2, 9, 4, 0]);
        let labels = batch.labels.to_vec::<i64>().unwrap();
        assert_eq!(labels, [1, 2, 3, 4, IGNORED, IGNORED]);
        assert_eq!(batch.n_labels, 4);
    }
}
