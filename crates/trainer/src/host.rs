//! What a long computation needs of the program that hosts it.

use crate::interrupt::Interrupt;

/// A place to say what takes long, and word of whether to stop. Libraries print nothing.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    say: &'a (dyn Fn(&str) + Sync),
    interrupt: &'a Interrupt,
}

impl<'a> Host<'a> {
    /// A host that is told through `say`.
    pub fn new(say: &'a (dyn Fn(&str) + Sync), interrupt: &'a Interrupt) -> Self {
        Self { say, interrupt }
    }

    /// A host that listens to nothing; `interrupt` may still stop the work.
    pub fn quiet(interrupt: &'a Interrupt) -> Self {
        Self { say: &|_| {}, interrupt }
    }

    /// Says one line.
    pub fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// The flag that a signal sets.
    pub fn interrupt(&self) -> &'a Interrupt {
        self.interrupt
    }

    /// Fails with [`Stopped`] once the user wants to stop.
    pub fn go_on(&self) -> anyhow::Result<()> {
        match self.interrupt.requested() {
            true => Err(Stopped.into()),
            false => Ok(()),
        }
    }
}

/// The user stopped the work; what was done so far is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped by the user")
    }
}

impl std::error::Error for Stopped {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_to_stop_is_an_error_of_its_own() {
        let interrupt = Interrupt::manual();
        let host = Host::quiet(&interrupt);
        assert!(host.go_on().is_ok());
        interrupt.request();
        assert!(host.go_on().unwrap_err().is::<Stopped>());
    }
}
