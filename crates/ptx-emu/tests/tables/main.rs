//! A table for every form of the instructions that work on registers: operands, and what must come
//! out, computed here in plain Rust.

mod atomics;
mod bits;
mod carry;
mod compare;
mod convert;
mod convert_float;
mod convert_packed;
mod fields;
mod float;
mod half;
mod harness;
mod integer;
mod matrix;
mod oracle;
mod product;
mod round;
mod select;
mod shuffle;
mod special;
mod special_half;
