//! Where parameters come from and where they are kept.
//!
//! A model asks a [`Builder`] for each parameter by its `transformers` name,
//! shape and [`Init`]. The builder answers from a Hugging Face folder or from a
//! seeded generator, and notes the answer in [`Parameters`], in creation order.
//! What a file lacks, has too much of, or holds in another shape is collected
//! while the model is built and reported once, by [`Builder::finish`].

mod adapter_folder;
mod attachments;
mod bottleneck;
mod builder;
mod init;
mod low_rank;
mod names;
mod parameters;
mod report;
mod source;
mod weight_form;

pub(crate) use adapter_folder::{ADAPTER_CONFIG, Base, load_adapter, save_adapter};
pub(crate) use attachments::{Attached, Beside, Plan};
pub(crate) use bottleneck::{BottleneckPlan, BottleneckWidth};
pub(crate) use builder::Matrix;
pub use builder::{Builder, LoadOptions};
pub use init::Init;
pub(crate) use low_rank::LowRankPlan;
pub use names::NameRules;
pub use parameters::Parameters;
pub use weight_form::WeightForm;
