//! LoRA: trained updates of low rank beside frozen linear layers.
//!
//! ```text
//! y = W x + s B A dropout(x),   A (r, in), B (out, r),   s = lora_alpha / r
//! ```
//!
//! Hu et al. 2021, arXiv:2106.09685. Names, files and fresh values are those of PEFT: `A` is drawn
//! as `torch` draws a linear map, `B` is zero, and what is saved here loads there. Any model of this
//! crate can have an adapter: the [`Builder`](crate::Builder) attaches it while the model is built,
//! and the model's own parameters are frozen, so they may also be kept as halves or in 8 bits.

mod adapter;
mod config;

pub use adapter::LoraAdapter;
pub use config::LoraConfig;
