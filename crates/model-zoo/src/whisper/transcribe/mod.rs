//! From what the encoder heard to text: windows, their fallback, languages.
//!
//! [`Transcriber`] holds a model, its tokenizer and [`DecodeOptions`]; options, thresholds and the
//! way from window to window are those of openai-whisper.

mod chunked;
mod compression;
mod hypotheses;
mod language;
mod merge;
mod options;
mod segment;
mod sequential;
mod source;
mod transcriber;
mod window;
mod words;

pub use chunked::ChunkOptions;
pub use compression::compression_ratio;
pub use options::DecodeOptions;
pub use segment::Segment;
pub use sequential::{Progress, Transcript};
pub use source::{FRAMES_PER_SECOND, LogMelSource, LogMelWindow};
pub use transcriber::Transcriber;
pub use window::{WindowContext, WindowResult};
pub use words::Word;
