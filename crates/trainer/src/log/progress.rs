//! One line for the person who waits: a bar with the time left on a terminal, plain lines every
//! so many steps elsewhere, nothing when quiet.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// A bar when standard error is a terminal, lines when it is not.
    #[default]
    Auto,
    /// A bar.
    Bar,
    /// A line every so many steps.
    Lines,
    /// Nothing.
    Quiet,
}

/// Shows how far a run is. Everything goes to one writer, standard error unless told otherwise.
pub struct Progress {
    show: Show,
    label: String,
    total: u64,
    start: u64,
    every: u64,
    started: Instant,
}

enum Show {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
    Quiet,
}

impl Progress {
    /// Progress over steps `start..total` of the work called `label`; in lines, one every `every`
    /// steps (at least 1). Time is measured from here.
    pub fn new(mode: ProgressMode, label: &str, start: u64, total: u64, every: u64) -> Self {
        let bar = match mode {
            ProgressMode::Quiet => return Self::with(Show::Quiet, label, start, total, every),
            ProgressMode::Auto => std::io::stderr().is_terminal(),
            ProgressMode::Bar => true,
            ProgressMode::Lines => false,
        };
        if !bar {
            return Self::lines_to(Box::new(std::io::stderr()), label, start, total, every);
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        // The template is a constant, so it parses or this crate's tests fail.
        let style = ProgressStyle::with_template(
            "{prefix} {bar:24} {pos}/{len} {percent:>3}%  eta {eta}  {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.set_prefix(label.to_string());
        bar.set_position(start);
        bar.reset_eta();
        Self::with(Show::Bar(bar), label, start, total, every)
    }

    /// Plain lines to `out`.
    pub fn lines_to(
        out: Box<dyn Write + Send>,
        label: &str,
        start: u64,
        total: u64,
        every: u64,
    ) -> Self {
        Self::with(Show::Lines(out), label, start, total, every)
    }

    fn with(show: Show, label: &str, start: u64, total: u64, every: u64) -> Self {
        let started = Instant::now();
        Self { show, label: label.to_string(), total, start, every: every.max(1), started }
    }

    /// Says that `done` steps are complete. `message` holds the numbers of the step, as
    /// `loss 2.31  lr 1.0e-4`; it is formatted only when it will be shown.
    pub fn update(&mut self, done: u64, message: impl fmt::Display) {
        let elapsed = self.started.elapsed();
        self.update_at(done, message, elapsed);
    }

    fn update_at(&mut self, done: u64, message: impl fmt::Display, elapsed: Duration) {
        let Self { label, total, start, every, .. } = self;
        match &mut self.show {
            Show::Bar(bar) => {
                bar.set_message(message.to_string());
                bar.set_position(done);
            }
            Show::Lines(out) if done.is_multiple_of(*every) || done == *total => {
                let (gone, left) = (done.saturating_sub(*start), total.saturating_sub(done));
                let eta = Estimate::new(gone, left, elapsed);
                // A closed standard error must not end a run.
                let _ = writeln!(out, "{label} {done}/{total}  eta {eta}  {message}");
            }
            Show::Lines(_) | Show::Quiet => {}
        }
    }

    /// Shows a line of its own above the bar, or between the lines.
    pub fn note(&mut self, line: impl fmt::Display) {
        match &mut self.show {
            Show::Bar(bar) => bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{line}");
            }),
            Show::Lines(out) => {
                let _ = writeln!(out, "{line}");
            }
            Show::Quiet => {}
        }
    }

    /// Runs `work`, which prints, with no bar in its way.
    pub fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        match &self.show {
            Show::Bar(bar) => bar.suspend(work),
            Show::Lines(_) | Show::Quiet => work(),
        }
    }

    /// Takes the bar away, leaving a last line in its place.
    pub fn finish(mut self, line: impl fmt::Display) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
        self.note(line);
    }
}

/// Time left, if each step takes as long as those so far.
struct Estimate(Option<Duration>);

impl Estimate {
    fn new(done: u64, left: u64, elapsed: Duration) -> Self {
        Self((done > 0).then(|| elapsed.mul_f64(left as f64 / done as f64)))
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(left) = self.0 else { return f.write_str("-") };
        let seconds = left.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, s) => write!(f, "{m}m{s:02}s"),
            (h, m, _) => write!(f, "{h}h{m:02}m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_every_so_many_steps_and_at_the_end() {
        let out = Shared::default();
        let mut progress = Progress::lines_to(Box::new(out.clone()), "train", 4, 11, 5);
        for done in 5..=11 {
            progress.update_at(done, format_args!("loss {done}.0"), Duration::from_secs(60));
        }
        progress.note("saved");
        progress.finish("done");
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "train 5/11  eta 6m00s  loss 5.0\ntrain 10/11  eta 10s  loss 10.0\n\
             train 11/11  eta 0s  loss 11.0\nsaved\ndone\n"
        );
    }

    #[test]
    fn the_time_left_is_proportional_to_the_steps_left() {
        for (done, left, elapsed, expected) in [
            (0, 9, 5, "-"),
            (1, 9, 1, "9s"),
            (10, 10, 75, "1m15s"),
            (1, 100, 3600, "100h00m"),
            (5, 0, 5, "0s"),
        ] {
            let eta = Estimate::new(done, left, Duration::from_secs(elapsed));
            assert_eq!(eta.to_string(), expected);
        }
    }

    #[test]
    fn a_quiet_progress_and_a_bar_take_every_call() {
        for mode in [ProgressMode::Quiet, ProgressMode::Bar] {
            let mut progress = Progress::new(mode, "train", 0, 2, 0);
            progress.update(1, "loss 1.0");
            progress.note("");
            progress.finish("");
        }
    }
}
