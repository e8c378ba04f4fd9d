//! Names become planes and places: what the families of instructions are lowered with.

mod form;
mod operands;
mod scope;

pub(crate) use form::Form;
pub(crate) use operands::Address;
pub(crate) use scope::{Lower, Symbol, planes_of};
