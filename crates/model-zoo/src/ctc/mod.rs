//! Connectionist temporal classification: from scores of every frame to text, and back to times.
//!
//! Nothing here knows which model the scores come from. A labelling is what a path of labels, one
//! a frame, reads as after merging repeats and then dropping blanks (Graves et al. 2006,
//! "Connectionist temporal classification", section 3.1).
//!
//! | item                              | what it is                                         |
//! |-----------------------------------|----------------------------------------------------|
//! | [`Emission`]                      | log-probabilities `(T, V)` of one item             |
//! | [`greedy`]                        | the labelling of the likeliest path                |
//! | [`prefix_beam`]                   | the likeliest labellings, with their probabilities |
//! | [`forced_align`]                  | when each token of a known labelling is said       |
//! | [`CtcVocabulary`]                 | `vocab.json`: characters to labels and back        |
//! | [`characters`], [`words`]         | aligned tokens as text with times in seconds       |

mod align;
mod emission;
mod greedy;
mod prefix_beam;
mod times;
mod vocabulary;

pub use align::{Alignment, AlignmentRule, TokenSpan, forced_align};
pub use emission::Emission;
pub use greedy::greedy;
pub use prefix_beam::{CtcHypothesis, PrefixBeamOptions, prefix_beam};
pub use times::{TimedText, characters, words};
pub use vocabulary::CtcVocabulary;
