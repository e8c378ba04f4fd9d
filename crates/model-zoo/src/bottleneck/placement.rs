//! Where in a layer the blocks of the paper stand, by the names of each model.

use crate::folder::ModelKind;

/// The parts of a layer that have a block behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The attention.
    Attention,
    /// The feed-forward part, as Pfeiffer et al. 2020, arXiv:2005.00247, have it.
    FeedForward,
    /// Both, as in Houlsby et al. 2019.
    Both,
}

impl Placement {
    /// Names of the linear layers that these parts of `kind` end in, and those to leave out.
    pub(super) fn targets(self, kind: ModelKind) -> (Vec<String>, Vec<String>) {
        let (attention, feed_forward) = match kind {
            ModelKind::Whisper => ("out_proj", "fc2"),
            ModelKind::Bert => ("attention.output.dense", "output.dense"),
            ModelKind::Llama => ("self_attn.o_proj", "mlp.down_proj"),
            ModelKind::Hubert | ModelKind::Wav2Vec2 => {
                ("attention.out_proj", "feed_forward.output_dense")
            }
        };
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match self {
            Self::Attention => (own(&[attention]), Vec::new()),
            // One name of BERT ends in the other.
            Self::FeedForward if kind == ModelKind::Bert => {
                (own(&[feed_forward]), own(&[attention]))
            }
            Self::FeedForward => (own(&[feed_forward]), Vec::new()),
            Self::Both => (own(&[attention, feed_forward]), Vec::new()),
        }
    }
}
