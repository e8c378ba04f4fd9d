//! The distillation half of the loss: projections, objectives and their state.

use model_zoo::Parameters;
use tensor_core::{Context, DType, Device, Philox, Tensor, Var};

use super::{BANK_STREAM, TOKEN_STREAM};
use crate::losses::{
    MemoryBank, crd_in_batch, draw_rows, draw_tokens, nst_gauss, nst_gram, nst_poly,
};
use crate::recipe::{Crd, Objective, Recipe};

/// What the distillation loss reads of a batch beside the student's states.
#[derive(Clone)]
pub struct KdBatch {
    /// Flat positions of the valid tokens, clip by clip.
    pub tokens: Vec<usize>,
    /// Clip of each valid token, within the batch.
    pub clip_of: Vec<usize>,
    /// Index of each clip in its data set.
    pub clips: Vec<usize>,
    /// `(C, D')` teacher vectors.
    pub teacher: Tensor,
    /// Number of the batch: every random draw is a function of it.
    pub number: u64,
}

/// An affine map.
struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    /// Uniform in `+-1/sqrt(inputs)`, drawn from a stream of its own, below those of batches.
    fn new(
        (name, stream): (&str, u64),
        (inputs, outputs): (usize, usize),
        seed: u64,
        parameters: &mut Parameters,
    ) -> anyhow::Result<Self> {
        let mut rng = Philox::new(seed, BANK_STREAM - stream);
        let bound = 1.0 / (inputs as f64).sqrt();
        let mut draw = |shape: &[usize]| {
            Tensor::rand_uniform(shape, -bound, bound, &mut rng, DType::F32, Device::Cpu)
        };
        let (weight, bias) = (Var::new(draw(&[outputs, inputs])?), Var::new(draw(&[outputs])?));
        parameters.insert(format!("{name}.weight"), weight.clone())?;
        parameters.insert(format!("{name}.bias"), bias.clone())?;
        Ok(Self { weight, bias })
    }

    fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        x.linear(&ctx.param(&self.weight), Some(&ctx.param(&self.bias)))
    }
}

/// `Linear -> GELU -> LayerNorm -> Linear`, the student-side head of VidLanKD (arXiv:2107.02681).
struct Head {
    inner: Linear,
    norm: (Var, Var),
    outer: Linear,
}

impl Head {
    fn new(width: usize, seed: u64, parameters: &mut Parameters) -> anyhow::Result<Self> {
        let inner = Linear::new(("kd_head.inner", 1), (width, width), seed, parameters)?;
        let norm = (
            Var::new(Tensor::ones(&[width], DType::F32, Device::Cpu)?),
            Var::new(Tensor::zeros(&[width], DType::F32, Device::Cpu)?),
        );
        parameters.insert("kd_head.norm.weight", norm.0.clone())?;
        parameters.insert("kd_head.norm.bias", norm.1.clone())?;
        let outer = Linear::new(("kd_head.outer", 2), (width, width), seed, parameters)?;
        Ok(Self { inner, norm, outer })
    }

    fn forward(&self, ctx: &Context, x: &Tensor) -> tensor_core::Result<Tensor> {
        let (weight, bias) = (ctx.param(&self.norm.0), ctx.param(&self.norm.1));
        let x = self.inner.forward(ctx, x)?.gelu()?.layer_norm(&weight, &bias, 1e-12)?;
        self.outer.forward(ctx, &x)
    }
}

/// Maps of CRD into the shared space.
struct Projections {
    student: Linear,
    teacher: Linear,
}

/// Projections of a batch that the bank takes in once the step is known to be good.
struct Pending {
    clips: Vec<usize>,
    student: Tensor,
    teacher: Tensor,
}

/// Everything the distillation loss owns.
pub struct Distiller {
    objective: Objective,
    detach: bool,
    head: Option<Head>,
    projections: Option<Projections>,
    bank: Option<MemoryBank>,
    pending: Vec<Pending>,
    crd: Crd,
    n_data: usize,
    seed: u64,
}

impl Distiller {
    /// What the recipe asks for; `None` for plain MLM.
    pub fn new(
        recipe: &Recipe,
        n_data: usize,
        student_width: usize,
        teacher_width: usize,
        parameters: &mut Parameters,
    ) -> anyhow::Result<Option<Self>> {
        let (loss, seed) = (&recipe.loss, recipe.seed);
        if loss.objective == Objective::Mlm {
            return Ok(None);
        }
        let head = loss.kd_head.then(|| Head::new(student_width, seed, parameters)).transpose()?;
        let width = loss.crd.dim;
        let projections = match loss.objective {
            Objective::Crd | Objective::CrdBank => Some(Projections {
                student: Linear::new(("crd.student", 3), (student_width, width), seed, parameters)?,
                teacher: Linear::new(("crd.teacher", 4), (teacher_width, width), seed, parameters)?,
            }),
            _ => None,
        };
        let bank = match loss.objective {
            Objective::CrdBank => {
                Some(MemoryBank::new(n_data, width, &mut Philox::new(seed, BANK_STREAM - 5))?)
            }
            _ => None,
        };
        Ok(Some(Self {
            objective: loss.objective,
            detach: loss.kd_detach,
            head,
            projections,
            bank,
            pending: Vec::new(),
            crd: loss.crd.clone(),
            n_data,
            seed,
        }))
    }

    /// The loss of a training batch, summed; a memory bank notes what to take in.
    pub fn train_loss(
        &mut self,
        ctx: &Context,
        hidden: &Tensor,
        batch: &KdBatch,
    ) -> anyhow::Result<Tensor> {
        let states = if self.detach { hidden.detach() } else { hidden.clone() };
        let Some(mut bank) = self.bank.take() else { return self.loss(ctx, &states, batch) };
        let loss = self.bank_loss(&mut bank, ctx, &states, batch);
        self.bank = Some(bank);
        loss
    }

    fn bank_loss(
        &mut self,
        bank: &mut MemoryBank,
        ctx: &Context,
        states: &Tensor,
        batch: &KdBatch,
    ) -> anyhow::Result<Tensor> {
        let student = self.clip_embeddings(ctx, states, batch)?;
        let teacher = self.teacher_embeddings(ctx, &batch.teacher)?;
        let mut rng = Philox::new(self.seed, BANK_STREAM | batch.number);
        let rows = draw_rows(&batch.clips, self.crd.negatives, self.n_data, &mut rng);
        self.pending.push(Pending {
            clips: batch.clips.clone(),
            student: student.detach(),
            teacher: teacher.detach(),
        });
        Ok(bank.loss(&student, &teacher, &rows, self.crd.temperature)?)
    }

    /// The loss of a batch without memory, summed over valid tokens. For the bank objective this
    /// is the in-batch form, since held-out clips have no place in the bank.
    pub fn loss(&self, ctx: &Context, states: &Tensor, batch: &KdBatch) -> anyhow::Result<Tensor> {
        let tokens = self.token_states(ctx, states, batch)?;
        let (teacher, clip_of) = (&batch.teacher, &batch.clip_of);
        let Some(projections) = &self.projections else {
            return Ok(match self.objective {
                Objective::NstGauss => nst_gauss(&tokens, teacher, clip_of)?,
                Objective::NstPoly => nst_poly(&tokens, teacher, clip_of)?,
                _ => nst_gram(&tokens, teacher, clip_of)?,
            });
        };
        let student = projections.student.forward(ctx, &tokens)?.l2_normalize(-1, 1e-12)?;
        let teacher = self.teacher_embeddings(ctx, teacher)?;
        let drawn = draw_tokens(clip_of, &mut Philox::new(self.seed, TOKEN_STREAM | batch.number));
        let temperature = self.crd.temperature;
        Ok(crd_in_batch(&student, &teacher, clip_of, &drawn, temperature, self.n_data)?)
    }

    /// Takes the noted projections into the bank, unless the step was skipped.
    pub fn after_step(&mut self, applied: bool) -> anyhow::Result<()> {
        for pending in self.pending.drain(..) {
            if let Some(bank) = self.bank.as_mut().filter(|_| applied) {
                bank.update(&pending.clips, &pending.student, &pending.teacher, self.crd.momentum)?;
            }
        }
        Ok(())
    }

    /// Unit-norm text embeddings of clips: the mean over valid tokens, in the shared space where
    /// there is one.
    pub fn clip_embeddings(
        &self,
        ctx: &Context,
        states: &Tensor,
        batch: &KdBatch,
    ) -> anyhow::Result<Tensor> {
        let tokens = self.token_states(ctx, states, batch)?;
        let tokens = match &self.projections {
            Some(maps) => maps.student.forward(ctx, &tokens)?.l2_normalize(-1, 1e-12)?,
            None => tokens,
        };
        Ok(clip_means(&tokens, &batch.clip_of)?.l2_normalize(-1, 1e-12)?)
    }

    /// Unit-norm utterance vectors, in the shared space where there is one.
    pub fn teacher_embeddings(&self, ctx: &Context, teacher: &Tensor) -> anyhow::Result<Tensor> {
        let projected = match &self.projections {
            Some(projections) => projections.teacher.forward(ctx, teacher)?,
            None => teacher.clone(),
        };
        Ok(projected.l2_normalize(-1, 1e-12)?)
    }

    /// Whether text and audio embeddings can be compared with each other.
    pub fn comparable(&self, student_width: usize, teacher_width: usize) -> bool {
        self.projections.is_some() || student_width == teacher_width
    }

    /// Banks and their normalisers.
    pub fn buffers(&self) -> anyhow::Result<Vec<(String, Tensor)>> {
        let Some(bank) = &self.bank else { return Ok(Vec::new()) };
        let named = bank.tensors()?.into_iter();
        Ok(named.map(|(name, tensor)| (format!("bank.{name}"), tensor)).collect())
    }

    /// Restores what [`buffers`](Self::buffers) gave.
    pub fn load_buffers(
        &mut self,
        read: &dyn Fn(&str) -> tensor_core::Result<Tensor>,
    ) -> anyhow::Result<()> {
        if let Some(bank) = &mut self.bank {
            bank.load(|name| read(&format!("bank.{name}")))?;
        }
        Ok(())
    }

    /// States of the valid tokens, `(N, D)`, behind the head where there is one.
    fn token_states(
        &self,
        ctx: &Context,
        states: &Tensor,
        batch: &KdBatch,
    ) -> anyhow::Result<Tensor> {
        let tokens = pick_tokens(states, &batch.tokens)?;
        Ok(match &self.head {
            Some(head) => head.forward(ctx, &tokens)?,
            None => tokens,
        })
    }
}

/// Rows of `(B, T, D)` states at flat positions.
pub fn pick_tokens(states: &Tensor, positions: &[usize]) -> anyhow::Result<Tensor> {
    let index: Vec<i64> = positions.iter().map(|&at| at as i64).collect();
    let index = Tensor::from_vec(index, &[positions.len()], Device::Cpu)?;
    Ok(states.to_dtype(DType::F32)?.flatten(0, 1)?.index_select(0, &index)?)
}

/// Mean of the rows of each clip, `(C, D)`, as a product with an averaging matrix.
pub fn clip_means(tokens: &Tensor, clip_of: &[usize]) -> anyhow::Result<Tensor> {
    let clips = clip_of.iter().max().map_or(0, |last| last + 1);
    let mut counts = vec![0usize; clips];
    clip_of.iter().for_each(|&clip| counts[clip] += 1);
    let mut weights = vec![0.0f32; clips * clip_of.len()];
    for (token, &clip) in clip_of.iter().enumerate() {
        weights[clip * clip_of.len() + token] = 1.0 / counts[clip] as f32;
    }
    let weights = Tensor::from_vec(weights, &[clips, clip_of.len()], Device::Cpu)?;
    Ok(weights.matmul(tokens)?)
}
