//! What the families hand back.

use crate::class::Class;
use crate::program::Action;

/// What an instruction became.
pub(crate) struct Lowered {
    pub(crate) action: Action,
    pub(crate) class: Class,
}

impl Lowered {
    pub(crate) fn new(action: Action, class: Class) -> Lowered {
        Lowered { action, class }
    }
}
