//! From manifest lines to model inputs.

pub mod audio;
pub mod text;
