//! Ctrl-C and SIGTERM as a flag that the loop looks at between steps.
//!
//! The first signal asks: the loop finishes its step, saves and returns. The second one means it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// Exit status of a process that a second signal ended: 128 + SIGINT, as shells report it.
const EXIT_STATUS: i32 = 130;

/// Whether the user asked the run to end. Clones share one flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over Ctrl-C, SIGTERM and SIGHUP for the rest of the process.
    ///
    /// The first signal sets the flag; a second one ends the process at once with status 130.
    ///
    /// # Errors
    ///
    /// When the handler cannot be installed, as when there already is one.
    pub fn install() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let requested = Arc::clone(&interrupt.requested);
        ctrlc::set_handler(move || {
            if requested.swap(true, Ordering::SeqCst) {
                std::process::exit(EXIT_STATUS);
            }
        })
        .context("interrupt: cannot handle Ctrl-C")?;
        Ok(interrupt)
    }

    /// A flag that no signal sets; [`request`](Self::request) does.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Asks the run to end.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether the run was asked to end.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_seen_by_every_clone() {
        let interrupt = Interrupt::manual();
        let clone = interrupt.clone();
        assert!(!clone.requested());
        interrupt.request();
        assert!(clone.requested() && interrupt.requested());
    }

    #[test]
    fn a_second_handler_is_refused() {
        let first = Interrupt::install();
        let second = Interrupt::install();
        assert!(first.is_err() || second.is_err());
    }
}
