//! How many seconds of sound are heard, of how many.

use crate::log::{Progress, ProgressMode};
use crate::manifest::Utterance;

/// Lines of a whole run, where there is no terminal for a bar.
const LINES: u64 = 20;

/// Progress over recordings whose headers tell their length.
pub(super) struct SoundProgress {
    progress: Progress,
    total: u64,
    /// A line is due when another multiple of this is passed.
    every: u64,
    /// Seconds shown last.
    shown: u64,
    /// Seconds of the recordings that are done.
    before: f64,
}

impl SoundProgress {
    pub(super) fn new(mode: ProgressMode, utterances: &[Utterance]) -> Self {
        let total = utterances.iter().map(length).sum::<f64>().round() as u64;
        let every = (total / LINES).max(1);
        // Unknown lengths leave nothing to count to.
        let mode = if total == 0 { ProgressMode::Quiet } else { mode };
        let progress = Progress::new(mode, "seconds of sound", 0, total, every);
        Self { progress, total, every, shown: 0, before: 0.0 }
    }

    /// `done` seconds of `utterance` are heard.
    pub(super) fn within(&mut self, utterance: &Utterance, done: f64) {
        self.show(self.before + done, utterance);
    }

    /// All `seconds` of `utterance` are heard.
    pub(super) fn finish_recording(&mut self, utterance: &Utterance, seconds: f64) {
        self.before += seconds;
        self.show(self.before, utterance);
    }

    fn show(&mut self, seconds: f64, utterance: &Utterance) {
        for step in steps(self.shown, (seconds.round() as u64).min(self.total), self.every) {
            self.progress.update(step, &utterance.id);
            self.shown = step;
        }
    }

    /// Runs `work`, which prints, with no bar in its way.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.progress.aside(work)
    }
}

/// What to show on the way from `shown` to `done`: the last multiple of `every` that was passed,
/// for lines, then `done`, for a bar.
fn steps(shown: u64, done: u64, every: u64) -> impl Iterator<Item = u64> {
    let mark = done / every * every;
    [mark, done].into_iter().filter(move |&step| step > shown).take(if mark == done {
        1
    } else {
        2
    })
}

/// Seconds of an utterance; 0 where its file does not say.
fn length(utterance: &Utterance) -> f64 {
    let of_file = || audio_frontend::info(utterance.audio.as_deref()?).ok()?.duration_s;
    let rest = || of_file().map(|all| (all - utterance.offset_s).max(0.0));
    utterance.duration_s.or_else(rest).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_that_is_jumped_over_is_shown() {
        let shown = |from, to| steps(from, to, 5).collect::<Vec<_>>();
        assert_eq!(shown(3, 12), [10, 12]);
        assert_eq!(shown(3, 10), [10]);
        assert_eq!(shown(10, 12), [12]);
        assert!(shown(12, 12).is_empty());
    }
}
