//! What holds for the whole of a SpeechLLM of some thousand parameters.

mod contrast;
mod conversation;
mod fixture;
mod golden;
mod timed;
