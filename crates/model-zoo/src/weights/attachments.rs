//! What is put beside a frozen model while it is built: which linear layers have something, and a
//! hash of the model.

use std::collections::{BTreeMap, BTreeSet};

use tensor_core::{Context, DType, Tensor, Var};

use super::bottleneck::{Bottleneck, BottleneckPlan};
use super::low_rank::{LowRank, LowRankPlan};
use super::parameters::Parameters;
use crate::error::Result;

/// Elements that are widened at once for the digest.
const CHUNK: usize = 1 << 16;

/// What to put beside the linear layers of a model, which is frozen.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Nothing: the model is frozen and hashed.
    Freeze,
    /// An update of the weight.
    LowRank(LowRankPlan),
    /// A residual block behind the layer.
    Bottleneck(BottleneckPlan),
}

impl Plan {
    /// Names of layers, or ends of names from a dot on; and those of them that have nothing.
    fn targets(&self) -> (&[String], &[String]) {
        match self {
            Self::Freeze => (&[], &[]),
            Self::LowRank(plan) => (&plan.targets, &[]),
            Self::Bottleneck(plan) => (&plan.targets, &plan.excluded),
        }
    }
}

/// What one linear layer has beside it.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    LowRank(LowRank),
    Bottleneck(Bottleneck),
}

impl Beside {
    /// What becomes of `y` `(.., out)`, which the layer makes of `x` `(.., in)`.
    pub fn apply(&self, ctx: &Context, x: &Tensor, y: Tensor) -> tensor_core::Result<Tensor> {
        match self {
            Self::LowRank(update) => update.add_to(ctx, x, y),
            Self::Bottleneck(block) => block.forward(ctx, y),
        }
    }
}

/// An update and the weight that it is beside.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Full name of the layer.
    pub name: String,
    /// `None` when it is kept in 8 bits.
    pub weight: Option<Var>,
    pub update: LowRank,
}

/// What has been attached so far, and to what.
#[derive(Debug)]
pub(crate) struct Attachments {
    pub plan: Plan,
    /// Full names of the layers that have something.
    pub layers: Vec<String>,
    /// Of a plan of updates: all of them.
    pub updates: Vec<Attached>,
    /// What is beside the model.
    pub parameters: Parameters,
    /// Last parts of the names of all linear layers.
    linear_names: BTreeSet<String>,
    /// Of each tensor of the base: a hash of its shape and values.
    digests: BTreeMap<String, u64>,
}

impl Attachments {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            layers: Vec::new(),
            updates: Vec::new(),
            parameters: Parameters::new(),
            linear_names: BTreeSet::new(),
            digests: BTreeMap::new(),
        }
    }

    /// Takes note of a linear layer; whether it is to have something.
    pub fn wants(&mut self, layer: &str) -> bool {
        let last = layer.rsplit('.').next().unwrap_or(layer);
        self.linear_names.insert(last.to_owned());
        let (targets, excluded) = self.plan.targets();
        let named = |names: &[String]| names.iter().any(|name| is_named(layer, name));
        named(targets) && !named(excluded)
    }

    /// The first target that no layer has.
    pub fn unmet_target(&self) -> Option<&str> {
        let met = |target: &&String| !self.layers.iter().any(|layer| is_named(layer, target));
        self.plan.targets().0.iter().find(met).map(String::as_str)
    }

    /// What the names of linear layers end in, for a hint.
    pub fn known_names(&self) -> String {
        let names: Vec<&str> = self.linear_names.iter().map(String::as_str).collect();
        format!("their names end in {}", names.join(", "))
    }

    /// Takes note of a tensor of the base.
    pub fn note_base(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let mut hash = Fnv::new();
        tensor.shape().iter().for_each(|&extent| hash.add(extent as u64));
        let flat = tensor.detach().reshape(&[tensor.elem_count()])?;
        for start in (0..tensor.elem_count()).step_by(CHUNK) {
            let len = CHUNK.min(tensor.elem_count() - start);
            let values = flat.narrow(0, start, len)?.to_dtype(DType::F32)?.to_vec::<f32>()?;
            values.iter().for_each(|value| hash.add(u64::from(value.to_bits())));
        }
        self.digests.insert(name.to_owned(), hash.0);
        Ok(())
    }

    /// Hash of all tensors of the base, whatever the order in which they were read.
    pub fn base_hash(&self) -> String {
        let mut hash = Fnv::new();
        for (name, &digest) in &self.digests {
            name.bytes().for_each(|byte| hash.add(u64::from(byte)));
            hash.add(digest);
        }
        format!("fnv1a64:{:016x}", hash.0)
    }
}

/// Whether `layer` is called `target`, or ends in it from a dot on, as PEFT matches names.
fn is_named(layer: &str, target: &str) -> bool {
    let before = layer.strip_suffix(target);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The 64-bit FNV-1a hash, a word at a time.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use tensor_core::Device;

    use super::*;

    #[test]
    fn names_match_as_a_whole_or_from_a_dot_on() {
        let layer = "model.layers.1.self_attn.q_proj";
        for (target, expected) in [
            ("q_proj", true),
            ("self_attn.q_proj", true),
            ("1.self_attn.q_proj", true),
            (layer, true),
            ("proj", false),
            ("self_attn", false),
            ("x.model.layers.1.self_attn.q_proj", false),
        ] {
            assert_eq!(is_named(layer, target), expected, "{target}");
        }
    }

    #[test]
    fn the_digest_tells_values_shapes_and_names_but_not_dtypes_nor_order() {
        let tensor = |values: &[f32], shape: &[usize]| {
            Tensor::from_vec(values.to_vec(), shape, Device::Cpu).unwrap()
        };
        let digest = |base: &[(&str, Tensor)]| {
            let mut notes = Attachments::new(Plan::Freeze);
            base.iter().for_each(|(name, tensor)| notes.note_base(name, tensor).unwrap());
            notes.base_hash()
        };
        let (a, b) = (tensor(&[1.0, 2.0, -0.5, 4.0], &[2, 2]), tensor(&[3.0], &[1]));
        let one = digest(&[("a", a.clone()), ("b", b.clone())]);
        assert_eq!(digest(&[("b", b.clone()), ("a", a.clone())]), one);
        let half = a.to_dtype(DType::BF16).unwrap();
        assert_eq!(digest(&[("a", half), ("b", b.clone())]), one);
        for other in [
            [("a", tensor(&[1.0, 2.0, -0.5, 4.0], &[4])), ("b", b.clone())],
            [("a", tensor(&[1.0, 2.0, 4.0, -0.5], &[2, 2])), ("b", b.clone())],
            [("a", a.clone()), ("c", b.clone())],
        ] {
            assert_ne!(digest(&other), one);
        }
    }
}
