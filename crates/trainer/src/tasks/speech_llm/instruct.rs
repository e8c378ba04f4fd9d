//! Fine-tuning on spoken tasks, and their answers.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use model_zoo::Parameters;
use tensor_core::{Context, Philox};

use super::conversation::Conversation;
use super::data::{Clips, check_length, drawn_prompt};
use super::model::SpeechLlm;
use super::question::{Question, questions};
use super::states::Heard;
use crate::batching::{BatchOptions, BatchPlan, Length, Oversize};
use crate::dataset::{plan_batches, training_utterances};
use crate::manifest::{Utterance, read_all};
use crate::recipe::{Recipe, SpokenTask};
use crate::tasks::{BatchSource, LossPart, Scores, Task};

/// Random stream of the shares that are trained on.
const SHARE_STREAM: u64 = 8 << 60;

/// Recordings and what is asked about them.
pub struct Asked {
    pub heard: Heard,
    pub questions: Vec<Question>,
    /// With the first prompt of each.
    pub conversations: Vec<Conversation>,
}

impl Asked {
    /// The questions of `tasks` about utterances.
    ///
    /// # Errors
    ///
    /// Names the line that is empty or too long.
    pub fn new(
        utterances: Vec<Utterance>,
        recipe: &Recipe,
        tasks: &[SpokenTask],
        model: &SpeechLlm,
    ) -> anyhow::Result<Self> {
        let heard = Heard::new(utterances, model.states.clone());
        let mut asked = Vec::new();
        let mut conversations = Vec::new();
        for (item, utterance) in heard.utterances.iter().enumerate() {
            for question in questions(tasks, item, utterance, recipe)? {
                let conversation = model
                    .chat
                    .conversation(&question.prompts[0], &question.answers[0])
                    .with_context(|| utterance.place.to_string())?;
                check_length(&heard, item, model, conversation.tokens())?;
                conversations.push(conversation);
                asked.push(question);
            }
        }
        Ok(Self { heard, questions: asked, conversations })
    }

    /// Keeps a share of the questions, drawn once over all tasks together, as the paper samples it.
    fn keep(&mut self, share: f64, seed: u64) {
        let count = ((self.questions.len() as f64 * share).round() as usize).max(1);
        let mut order: Vec<usize> = (0..self.questions.len()).collect();
        Philox::new(seed, SHARE_STREAM).shuffle(&mut order);
        order.truncate(count);
        order.sort_unstable();
        self.questions = order.iter().map(|&k| self.questions[k].clone()).collect();
        self.conversations = order.iter().map(|&k| self.conversations[k].clone()).collect();
    }

    /// Numbers of the utterances asked about.
    fn items(&self, questions: &[usize]) -> Vec<usize> {
        questions.iter().map(|&k| self.questions[k].item).collect()
    }
}

/// One forward pass of fine-tuning.
pub struct InstructBatch {
    clips: Clips,
    conversations: Vec<Conversation>,
    seconds: f64,
}

/// Worker-side half of [`InstructTask`].
pub struct InstructSource {
    train: Asked,
    model: Arc<SpeechLlm>,
    recipe: Recipe,
}

impl BatchSource for InstructSource {
    type Batch = InstructBatch;

    fn make(&self, number: u64, items: &[usize]) -> anyhow::Result<InstructBatch> {
        let conversations = items
            .iter()
            .enumerate()
            .map(|(k, &item)| {
                let question = &self.train.questions[item];
                if question.prompts.len() == 1 {
                    return Ok(self.train.conversations[item].clone());
                }
                let draw = (number << 20) | k as u64;
                let prompt = drawn_prompt(&question.prompts, self.recipe.seed, draw);
                self.model.chat.conversation(prompt, &question.answers[0])
            })
            .collect::<anyhow::Result<_>>()?;
        let heard = &self.train.heard;
        let own = self.train.items(items);
        let seconds = own.iter().map(|&item| heard.utterances[item].duration_s.unwrap_or(0.0));
        Ok(InstructBatch {
            seconds: seconds.sum(),
            clips: Clips::of(heard, &own, self.recipe.encoder.eval)?,
            conversations,
        })
    }

    fn counts(&self, batch: &InstructBatch) -> Vec<f64> {
        vec![batch.conversations.iter().map(|c| c.answer.len()).sum::<usize>() as f64]
    }

    fn volume(&self, batch: &InstructBatch) -> (f64, usize) {
        (batch.seconds, batch.conversations.iter().map(|c| c.answer.len()).sum())
    }
}

/// Trains a [`SpeechLlm`] to answer.
pub struct InstructTask {
    model: Arc<SpeechLlm>,
    parameters: Parameters,
    source: Arc<InstructSource>,
    plan: Arc<BatchPlan>,
    dev: Asked,
}

impl InstructTask {
    /// Questions of a recipe about its manifests, of which the share `share` is trained on.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with a task or a manifest line; when no line has what a task needs.
    pub fn new(recipe: &Recipe, model: Arc<SpeechLlm>, share: f64) -> anyhow::Result<Self> {
        let tasks = spoken_tasks(recipe)?;
        let mut train = Asked::new(training_utterances(recipe)?, recipe, &tasks, &model)?;
        for (number, task) in tasks.iter().enumerate() {
            ensure!(
                train.questions.iter().any(|question| question.task == number),
                "instruct.tasks: no line of data.train has what {task} needs"
            );
        }
        train.keep(share, recipe.seed);
        let dev = Asked::new(read_all(&recipe.data.dev)?, recipe, &tasks, &model)?;
        let lengths = train.questions.iter().zip(&train.conversations).map(|(question, own)| {
            let seconds = train.heard.utterances[question.item].duration_s.unwrap_or(0.0);
            Length { seconds, tokens: own.tokens() }
        });
        let options = BatchOptions {
            max_seconds: 0.0,
            max_tokens: 0,
            max_items: recipe.instruct.batch_items,
            bucket_count: recipe.batch.bucket_count,
            oversize: Oversize::Alone,
        };
        let asked = train.questions.iter().map(|question| &train.heard.utterances[question.item]);
        let plan = plan_batches(recipe, asked, lengths.collect(), options)?;
        let parameters = model.parameters()?;
        let source = InstructSource { train, model: model.clone(), recipe: recipe.clone() };
        Ok(Self { model, parameters, source: Arc::new(source), plan: Arc::new(plan), dev })
    }

    /// Questions that are trained on.
    pub fn examples(&self) -> usize {
        self.source.train.questions.len()
    }
}

/// The tasks of a recipe.
pub fn spoken_tasks(recipe: &Recipe) -> anyhow::Result<Vec<SpokenTask>> {
    let tasks = recipe.instruct.tasks.iter();
    tasks.map(|task| task.parse().context("instruct.tasks")).collect()
}

/// What a model says to questions, greedily, in their order.
pub fn answers(
    model: &SpeechLlm,
    asked: &Asked,
    batch_items: usize,
    max_new_tokens: usize,
) -> anyhow::Result<Vec<String>> {
    let seconds =
        |k: usize| asked.heard.utterances[asked.questions[k].item].duration_s.unwrap_or(0.0);
    let mut order: Vec<usize> = (0..asked.questions.len()).collect();
    order.sort_by(|&a, &b| seconds(a).total_cmp(&seconds(b)).then(a.cmp(&b)));
    let mut said = vec![String::new(); order.len()];
    let ctx = Context::eval();
    for chunk in order.chunks(batch_items.max(1)) {
        let clips = Clips::of(&asked.heard, &asked.items(chunk), true)?;
        let (frames, lengths) = clips.frames(&ctx, &model.states)?;
        let speech = model.project(&ctx, &frames, &lengths)?;
        let conversations: Vec<&Conversation> =
            chunk.iter().map(|&k| &asked.conversations[k]).collect();
        for (&k, text) in
            chunk.iter().zip(model.answers(&speech, &conversations, max_new_tokens)?)
        {
            said[k] = text;
        }
    }
    Ok(said)
}

impl Task for InstructTask {
    type Source = InstructSource;

    fn source(&self) -> Arc<InstructSource> {
        self.source.clone()
    }

    fn plan(&self) -> Arc<BatchPlan> {
        self.plan.clone()
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, ctx: &Context, batch: &InstructBatch) -> anyhow::Result<Vec<LossPart>> {
        let model = &self.model;
        let (frames, lengths) = batch.clips.frames(ctx, &model.states)?;
        let speech = model.project(ctx, &frames, &lengths)?;
        let sum = model.answer_loss(ctx, &speech, &batch.conversations)?;
        Ok(vec![LossPart { name: "answer", sum, weight: 1.0 }])
    }

    fn evaluate(&self) -> anyhow::Result<Scores> {
        if self.dev.questions.is_empty() {
            return Ok(Scores::new());
        }
        let (ctx, model) = (Context::eval(), &self.model);
        let (mut sum, mut tokens) = (0.0, 0);
        let numbers: Vec<usize> = (0..self.dev.questions.len()).collect();
        for chunk in numbers.chunks(self.source.recipe.eval.batch_items) {
            let clips = Clips::of(&self.dev.heard, &self.dev.items(chunk), true)?;
            let (frames, lengths) = clips.frames(&ctx, &model.states)?;
            let speech = model.project(&ctx, &frames, &lengths)?;
            let own: Vec<Conversation> =
                chunk.iter().map(|&k| self.dev.conversations[k].clone()).collect();
            sum += model.answer_loss(&ctx, &speech, &own)?.item()?;
            tokens += own.iter().map(|c| c.answer.len()).sum::<usize>();
        }
        Ok(vec![("loss".into(), sum / tokens.max(1) as f64)])
    }
}
