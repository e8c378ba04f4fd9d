//! Memory of the device and of a CTA, and what is watched about it.

pub(crate) mod address;
pub(crate) mod allocation;
pub(crate) mod clock;
pub(crate) mod global;
pub(crate) mod global_race;
pub(crate) mod local;
pub(crate) mod shared;
mod shared_async;
pub(crate) mod shared_race;
pub(crate) mod traffic;

use crate::machine::registers::Lanes;

/// What an access of up to 16 bytes a lane carries: word `w` of lane `l` is `[w][l]`.
pub(crate) type Words = [Lanes; 4];

/// Words with nothing in them.
pub(crate) const NO_WORDS: Words = [[0; 32]; 4];
