//! A scoped source of parameters: a Hugging Face folder or a seeded generator.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use tensor_core::{DType, Device, Int8Weight, Philox, Tensor, Var};

use super::attachments::{Attached, Attachments, Beside, Plan};
use super::bottleneck::Bottleneck;
use super::init::Init;
use super::low_rank::LowRank;
use super::names::NameRules;
use super::parameters::Parameters;
use super::report::Mismatch;
use super::source::FolderSource;
use super::weight_form::WeightForm;
use crate::error::{Result, ZooError};

/// How a folder's weights are read.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// How the parameters are kept. Those that the folder lacks are drawn in f32 when kept as stored.
    pub weights: WeightForm,
    /// Where they are kept.
    pub device: Device,
    /// Seed of the modules that the folder lacks as a whole, such as a new classification head.
    pub seed: u64,
}

impl Default for LoadOptions {
    /// f32 on the CPU, seed 0.
    fn default() -> Self {
        Self { weights: WeightForm::DType(DType::F32), device: Device::Cpu, seed: 0 }
    }
}

impl LoadOptions {
    /// Dtype of what is trained beside a frozen model.
    fn trained_dtype(&self) -> DType {
        match self.weights {
            WeightForm::DType(DType::F64) => DType::F64,
            _ => DType::F32,
        }
    }
}

/// The weight of a linear layer.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// A parameter.
    Var(Var),
    /// Frozen, in 8 bits.
    Int8(Int8Weight),
}

struct State {
    source: Option<FolderSource>,
    rules: NameRules,
    options: LoadOptions,
    parameters: Parameters,
    report: Mismatch,
    asked: HashSet<String>,
    /// While a model is built that is frozen, and what is put beside it.
    attachments: Option<Attachments>,
}

/// Hands out parameters by name and keeps account of them.
///
/// Cloning and [`scope`](Self::scope) share the account. Each parameter has its own random
/// stream, derived from its name, so a value does not depend on what else a model holds.
///
/// # Examples
///
/// ```
/// use model_zoo::{Builder, Init};
/// use tensor_core::{DType, Device};
///
/// let root = Builder::random(1, DType::F32, Device::Cpu);
/// let layer = root.scope("encoder").scope("layers.0");
/// let weight = layer.get("fc1.weight", &[4, 3], Init::Normal(0.02))?;
/// assert_eq!(weight.shape(), [4, 3]);
/// assert_eq!(root.finish()?.names().next(), Some("encoder.layers.0.fc1.weight"));
/// # Ok::<(), model_zoo::ZooError>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    state: Rc<RefCell<State>>,
    prefix: String,
    /// Whether this scope may be drawn although a folder is the source.
    optional: bool,
}

impl Builder {
    /// Parameters are drawn from their [`Init`] with this seed.
    pub fn random(seed: u64, dtype: DType, device: Device) -> Self {
        let weights = WeightForm::DType(dtype);
        Self::with(None, NameRules::exact(), LoadOptions { weights, device, seed })
    }

    /// Parameters are read from `dir/model.safetensors`, or from the shards its index lists.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) when no weight file can be read,
    /// [`Weights`](crate::ErrorKind::Weights) or [`Config`](crate::ErrorKind::Config) when one
    /// is malformed.
    pub fn from_folder(dir: &Path, rules: NameRules, options: LoadOptions) -> Result<Self> {
        Ok(Self::with(Some(FolderSource::open(dir, rules)?), rules, options))
    }

    /// The model that `build` makes of a folder, provided that all of the folder fits.
    pub(crate) fn open_model<M>(
        dir: &Path,
        rules: NameRules,
        options: LoadOptions,
        build: impl FnOnce(&Self) -> Result<M>,
    ) -> Result<M> {
        let root = Self::from_folder(dir, rules, options)?;
        let model = build(&root)?;
        root.finish()?;
        Ok(model)
    }

    fn with(source: Option<FolderSource>, rules: NameRules, options: LoadOptions) -> Self {
        let state = State {
            source,
            rules,
            options,
            parameters: Parameters::new(),
            report: Mismatch::default(),
            asked: HashSet::new(),
            attachments: None,
        };
        Self { state: Rc::new(RefCell::new(state)), prefix: String::new(), optional: false }
    }

    /// The same source, with names below `name`.
    pub fn scope(&self, name: impl AsRef<str>) -> Self {
        Self {
            state: Rc::clone(&self.state),
            prefix: self.full(name.as_ref()),
            optional: self.optional,
        }
    }

    /// The same scope, drawn at random if the folder has nothing of it at all.
    ///
    /// For heads that a checkpoint may lack. A scope that is there in part is still a mismatch.
    pub fn or_init(&self) -> Self {
        Self {
            state: Rc::clone(&self.state),
            prefix: self.prefix.clone(),
            optional: !self.supplies(""),
        }
    }

    /// Whether the parameter `name` or some below it can be had: always from a generator, and from
    /// a folder that holds at least one of them.
    pub fn supplies(&self, name: &str) -> bool {
        let scope = self.full(name);
        let below = |found: &String| {
            let rest = found.strip_prefix(&scope);
            scope.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.state.borrow().source.as_ref().is_none_or(|source| source.names().iter().any(below))
    }

    /// The parameter `name` of this scope.
    ///
    /// A tensor that the folder lacks, or holds in another shape, is answered by zeros and
    /// reported by [`finish`](Self::finish), so that one error can list all of them.
    ///
    /// # Errors
    ///
    /// [`Weights`](crate::ErrorKind::Weights) when the name was asked for before, or a file is
    /// damaged.
    pub fn get(&self, name: &str, shape: &[usize], init: Init) -> Result<Var> {
        let name = self.full(name);
        let (tensor, _) = self.fetch(&name, shape, init)?;
        self.register(name, tensor)
    }

    /// The weight `(out, in)` of a linear layer: as [`get`](Self::get), or in 8 bits where a folder is
    /// read so.
    pub(crate) fn get_matrix(&self, name: &str, shape: [usize; 2], init: Init) -> Result<Matrix> {
        if self.state.borrow().options.weights != WeightForm::Int8 {
            return Ok(Matrix::Var(self.get(name, &shape, init)?));
        }
        let name = self.full(name);
        let (tensor, is_read) = self.fetch(&name, &shape, init)?;
        if is_read {
            self.state.borrow_mut().parameters.note_quantized(&name)?;
            return Ok(Matrix::Int8(Int8Weight::quantize(&tensor)?));
        }
        self.register(name, tensor).map(Matrix::Var)
    }

    /// The model that `build` makes, frozen, and what `plan` puts beside it.
    pub(crate) fn with_attachments<M>(
        &self,
        plan: Plan,
        build: impl FnOnce(&Self) -> Result<M>,
    ) -> Result<(M, Attachments)> {
        let made = Attachments::new(plan);
        if self.state.borrow_mut().attachments.replace(made).is_some() {
            return Err(ZooError::option("adapter", "an adapter within another, expected one"));
        }
        let model = build(self);
        let made = self.state.borrow_mut().attachments.take();
        match (model?, made) {
            (model, Some(made)) => Ok((model, made)),
            (_, None) => {
                Err(ZooError::option("adapter", "an adapter within another, expected one"))
            }
        }
    }

    /// What stands beside the linear layer of this scope, whose weight is `(out, in)`, if anything
    /// is to.
    pub(crate) fn beside(
        &self,
        weight: &Matrix,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Option<Beside>> {
        let mut state = self.state.borrow_mut();
        let State { options, attachments: Some(made), .. } = &mut *state else { return Ok(None) };
        if !made.wants(&self.prefix) {
            return Ok(None);
        }
        let LoadOptions { device, seed, .. } = *options;
        let dtype = options.trained_dtype();
        let fresh = |part: &str, shape: &[usize], init: Init| -> Result<Var> {
            let name = format!("base_model.model.{}.{part}", self.prefix);
            let rng = &mut Philox::new(seed, stream_of(&name));
            let var = Var::new(init.draw(shape, rng, dtype, device)?);
            made.parameters.insert(name, var.clone())?;
            Ok(var)
        };
        let beside = match &made.plan {
            Plan::Freeze => return Ok(None),
            Plan::LowRank(plan) => {
                let update = LowRank::new(plan, [outputs, inputs], fresh)?;
                let weight = match weight {
                    Matrix::Var(var) => Some(var.clone()),
                    Matrix::Int8(_) => None,
                };
                let name = self.prefix.clone();
                made.updates.push(Attached { name, weight, update: update.clone() });
                Beside::LowRank(update)
            }
            Plan::Bottleneck(plan) => Beside::Bottleneck(Bottleneck::new(plan, outputs, fresh)?),
        };
        made.layers.push(self.prefix.clone());
        Ok(Some(beside))
    }

    /// A generator of parameters to train beside what this scope's source holds, with its seed and
    /// device.
    pub(crate) fn trained_beside(&self) -> Self {
        let state = self.state.borrow();
        let LoadOptions { device, seed, .. } = state.options;
        Self::random(seed, state.options.trained_dtype(), device)
    }

    /// Makes a tensor the parameter of that full name.
    fn register(&self, name: String, tensor: Tensor) -> Result<Var> {
        let mut state = self.state.borrow_mut();
        let var = Var::new(tensor);
        var.set_trainable(state.attachments.is_none());
        state.parameters.insert(name, var.clone())?;
        Ok(var)
    }

    /// A tensor by its full name, and whether the folder has it.
    fn fetch(&self, name: &str, shape: &[usize], init: Init) -> Result<(Tensor, bool)> {
        let mut state = self.state.borrow_mut();
        let State { source, options, parameters, report, asked, attachments, .. } = &mut *state;
        let LoadOptions { weights, device, seed } = *options;
        let dtype = match weights {
            WeightForm::DType(dtype) => dtype,
            WeightForm::AsStored | WeightForm::Int8 => DType::F32,
        };
        asked.insert(name.to_owned());

        let (tensor, is_read) = match source {
            Some(source) if !self.optional => match source.tensor(name, weights)? {
                Some(found) if report.fits(name, &found, shape) => (found.to_device(device)?, true),
                found => {
                    if found.is_none() {
                        report.missing.push(name.to_owned());
                    }
                    // One zero, repeated: a wrong config may ask for more than memory holds.
                    return Ok((Tensor::zeros(&[], dtype, device)?.broadcast_to(shape)?, false));
                }
            },
            source => {
                if source.is_some() {
                    parameters.note_initialised(name);
                }
                let rng = &mut Philox::new(seed, stream_of(name));
                (init.draw(shape, rng, dtype, device)?, false)
            }
        };
        if let Some(made) = attachments {
            made.note_base(name, &tensor)?;
        }
        Ok((tensor, is_read))
    }

    /// Lets the full name `alias` find the parameter of the full name `name`.
    ///
    /// # Errors
    ///
    /// [`Weights`](crate::ErrorKind::Weights) when `name` is unknown.
    pub fn tie(&self, alias: &str, name: &str) -> Result<()> {
        let mut state = self.state.borrow_mut();
        state.asked.insert(alias.to_owned());
        state.parameters.tie(alias, name)
    }

    /// All parameters made so far.
    ///
    /// # Errors
    ///
    /// [`Weights`](crate::ErrorKind::Weights): one error that lists the tensors that were
    /// missing, wrongly shaped, or in the folder and never asked for.
    pub fn finish(&self) -> Result<Parameters> {
        let State { source, rules, parameters, report, asked, .. } = &mut *self.state.borrow_mut();
        if let Some(source) = source {
            let unread =
                |name: &&String| !asked.contains(*name) && !(rules.ignorable)(name.as_str());
            report.unexpected = source.names().iter().filter(unread).cloned().collect();
            if let Some(error) = report.error(&source.path) {
                return Err(error);
            }
        }
        Ok(parameters.clone())
    }

    /// Number of parameters so far: a mark for [`made_since`](Self::made_since).
    pub(crate) fn mark(&self) -> usize {
        self.state.borrow().parameters.len()
    }

    /// The parameters made after `mark`.
    pub(crate) fn made_since(&self, mark: usize) -> Parameters {
        self.state.borrow().parameters.since(mark)
    }

    fn full(&self, name: &str) -> String {
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.prefix.clone(),
            (false, false) => format!("{}.{name}", self.prefix),
        }
    }
}

/// Random stream of a parameter: the 64-bit FNV-1a hash of its name.
fn stream_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
