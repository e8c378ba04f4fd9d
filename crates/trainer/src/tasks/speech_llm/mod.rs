//! Speech for a frozen language model: a projector pretrained by contrast, fine-tuned on spoken
//! tasks.
//!
//! ```text
//! sound -> encoder (frozen) -> projector -> vectors beside tokens -> LLaMA (frozen, or LoRA)
//!
//! pretraining   L = L_contrast + L_asr + L_nwp      the parts that `pretrain.objective` names
//! fine-tuning   L = L_answer                        transcription, translation, questions
//! ```
//!
//! Source: Züfle and Niehues, *Contrastive Learning for Task-Independent SpeechLLM-Pretraining*,
//! arXiv:2412.15712.

mod answers;
mod contrast;
mod conversation;
mod data;
mod encoder;
mod inspect;
mod instruct;
mod mixed;
mod model;
mod pretrain;
mod probes;
mod question;
mod score;
mod states;
#[cfg(test)]
mod tests;

pub use self::inspect::{TransportPlan, contrasts_by_layer, find_utterance, transport_plan};
pub use self::instruct::InstructTask;
pub use self::model::SpeechLlm;
pub use self::pretrain::PretrainTask;
pub use self::probes::probes;
pub use self::score::{Answered, TestSet};
