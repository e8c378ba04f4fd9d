//! Axes of a plot: where their ends and ticks lie, and how numbers are written.

/// A log axis over more powers of ten has ticks at the powers alone.
const MAX_MARKED_DECADES: f64 = 2.5;

/// An axis: its ends, its ticks, and its scale.
pub(super) struct Axis {
    low: f64,
    high: f64,
    /// Values with their labels, ascending.
    pub(super) ticks: Vec<(f64, String)>,
    log: bool,
}

impl Axis {
    /// Round ends and about `n_ticks` steps of 1, 2 or 5 times a power of ten.
    pub(super) fn linear((low, high): (f64, f64), n_ticks: usize) -> Self {
        // A constant gets room on both sides.
        let (low, high) = match high - low {
            span if span > 0.0 => (low, high),
            _ => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
        };
        let raw = (high - low) / n_ticks as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|&step| step >= raw * 0.999)
            .unwrap_or(10.0 * power);
        let first = (low / step).floor() as i64;
        let last = (high / step).ceil() as i64;
        let digits = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let ticks = (first..=last)
            .map(|k| (k as f64 * step, tick_label(k as f64 * step, digits)))
            .collect();
        Self { low: first as f64 * step, high: last as f64 * step, ticks, log: false }
    }

    /// Ticks at powers of ten, and at 2 and 5 times them when the range is short; ends at ticks.
    pub(super) fn log((low, high): (f64, f64)) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let (marks, every): (&[f64], usize) = match (high / low).log10() {
            decades if decades <= MAX_MARKED_DECADES => (&[1.0, 2.0, 5.0], 1),
            _ => (&[1.0], 1 + (last - first) as usize / 9),
        };
        let all: Vec<f64> = (first..=last + 1)
            .flat_map(|power| marks.iter().map(move |mark| mark * 10f64.powi(power)))
            .collect();
        let start = all.iter().rposition(|&t| t <= low * 1.000_001).unwrap_or(0);
        let end = all.iter().position(|&t| t >= high * 0.999_999).unwrap_or(all.len() - 1);
        // A constant on a tick gets room up to the next power.
        let end = if end > start { end } else { (start + marks.len()).min(all.len() - 1) };
        let ticks = all[start..=end].iter().step_by(every).map(|&t| (t, short(t))).collect();
        Self { low: all[start], high: all[end], ticks, log: true }
    }

    /// The same ticks, with the ends at the data: an axis of steps has no room to spare.
    pub(super) fn exact(mut self, (low, high): (f64, f64)) -> Self {
        if high > low {
            // A last tick just past the data is worth a sliver of room.
            let next = self.ticks.iter().map(|&(t, _)| t).find(|&t| t >= high);
            let high = next.filter(|t| t - high <= 0.03 * (high - low)).unwrap_or(high);
            (self.low, self.high) = (low, high);
            let slack = (high - low) * 1e-9;
            self.ticks.retain(|&(t, _)| t >= low - slack && t <= high + slack);
        }
        self
    }

    /// Where `value` lies between the ends, 0 to 1.
    pub(super) fn at(&self, value: f64) -> f64 {
        match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }
}

/// A tick's number: thousands as k and M when that is shorter, plain digits otherwise.
fn tick_label(value: f64, digits: usize) -> String {
    let magnitude = value.abs();
    let scaled = |unit: f64, suffix: &str| {
        let number = format!("{:.2}", value / unit);
        format!("{}{suffix}", number.trim_end_matches('0').trim_end_matches('.'))
    };
    if (1e6..1e12).contains(&magnitude) {
        scaled(1e6, "M")
    } else if (1e4..1e6).contains(&magnitude) {
        scaled(1e3, "k")
    } else if value == 0.0 {
        "0".into()
    } else if !(1e-4..1e12).contains(&magnitude) {
        format!("{value:.0e}")
    } else {
        format!("{value:.digits$}")
    }
}

/// A value with four significant digits, without trailing zeros.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e9).contains(&value.abs()) {
        let text = format!("{value:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'));
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_data() {
        for ((low, high), expected) in [
            ((0.0, 1000.0), "0 200 400 600 800 1000"),
            ((2.31, 9.87), "2 4 6 8 10"),
            ((-0.013, 0.021), "-0.02 -0.01 0 0.01 0.02 0.03"),
            ((5.0, 5.0), "2 3 4 5 6 7 8"),
            ((0.0, 60_000.0), "0 20k 40k 60k"),
        ] {
            let axis = Axis::linear((low, high), 5);
            let labels: Vec<&str> = axis.ticks.iter().map(|(_, label)| label.as_str()).collect();
            assert_eq!(labels.join(" "), expected, "{low} {high}");
            assert!(axis.low <= low && axis.high >= high);
        }
    }

    #[test]
    fn log_ticks_are_powers_with_two_and_five_when_there_is_room() {
        for ((low, high), expected) in [
            ((0.3, 40.0), "0.2 0.5 1 2 5 10 20 50"),
            ((1e-6, 3.0), "1e-6 1e-5 0.0001 0.001 0.01 0.1 1 10"),
            ((1.0, 1.0), "1 2 5 10"),
        ] {
            let axis = Axis::log((low, high));
            let labels: Vec<&str> = axis.ticks.iter().map(|(_, label)| label.as_str()).collect();
            assert_eq!(labels.join(" "), expected, "{low} {high}");
        }
    }

    #[test]
    fn short_numbers_have_four_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.000_213_45, "0.0002135"),
            (2.300_01, "2.3"),
            (1234.56, "1235"),
            (-0.5, "-0.5"),
            (0.000_02, "2e-5"),
            (1.25e12, "1.25e12"),
        ] {
            assert_eq!(short(value), expected);
        }
    }
}
