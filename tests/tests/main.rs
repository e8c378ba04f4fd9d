//! Whole-system tests: the program on a small world of synthetic speech.

mod bad_input;
mod batch_invariance;
mod cli;
mod memory_bank;
mod resume;
mod world;
