//! What is in a manifest: hours, lengths, casing, characters, fields.

use std::collections::BTreeMap;
use std::fmt;

use super::Utterance;

/// Percentiles reported of durations and text lengths.
const PERCENTILES: [u32; 7] = [0, 1, 25, 50, 75, 99, 100];
/// Values listed for one field.
const MAX_VALUES: usize = 12;
/// A field with more distinct values than that and than this share of its lines is only counted.
const MAX_DISTINCT_SHARE: f64 = 0.5;

/// Share of texts by casing; texts without letters are in none of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Casing {
    /// Lower-case letters only.
    pub lower: f64,
    /// Upper-case letters only.
    pub upper: f64,
    /// Both.
    pub mixed: f64,
}

/// Summary of a list of utterances; its `Display` is the page `data describe` prints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Description {
    /// Utterances.
    pub n_utterances: usize,
    /// Utterances with audio.
    pub n_audio: usize,
    /// Utterances with audio but no duration; they are missing from `hours`.
    pub n_unknown_duration: usize,
    /// Hours of audio of known duration.
    pub hours: f64,
    /// (percentile, seconds); empty when no duration is known.
    pub duration_percentiles: Vec<(u32, f64)>,
    /// (percentile, characters) of the texts.
    pub text_percentiles: Vec<(u32, f64)>,
    /// Words, split at white space, over all texts.
    pub n_words: usize,
    /// Casing of the texts.
    pub casing: Casing,
    /// Characters outside the tokenizer's alphabet and how often each occurs, most frequent first.
    pub unknown_chars: Vec<(char, usize)>,
    /// Each extra field: lines that have it, distinct values, and the most frequent values.
    pub fields: BTreeMap<String, FieldSummary>,
}

/// Values of one extra field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSummary {
    /// Lines that have the field.
    pub n_lines: usize,
    /// Distinct values.
    pub n_distinct: usize,
    /// The most frequent values with their counts, at most twelve; empty for a field that is
    /// different on most lines.
    pub values: Vec<(String, usize)>,
}

/// Summarises `utterances`, taking the text from the field `text_field`.
///
/// `in_alphabet` says whether a tokenizer knows a character; without it no character is unknown.
pub fn describe(
    utterances: &[Utterance],
    text_field: &str,
    in_alphabet: Option<&dyn Fn(char) -> bool>,
) -> Description {
    let mut durations: Vec<f64> = utterances.iter().filter_map(|u| u.duration_s).collect();
    let n_audio = utterances.iter().filter(|u| u.audio.is_some()).count();
    let texts: Vec<_> = utterances.iter().filter_map(|u| u.field(text_field)).collect();
    let mut lengths: Vec<f64> = texts.iter().map(|text| text.chars().count() as f64).collect();
    Description {
        n_utterances: utterances.len(),
        n_audio,
        n_unknown_duration: utterances
            .iter()
            .filter(|u| u.audio.is_some() && u.duration_s.is_none())
            .count(),
        hours: durations.iter().sum::<f64>() / 3600.0,
        duration_percentiles: percentiles(&mut durations),
        text_percentiles: percentiles(&mut lengths),
        n_words: texts.iter().map(|text| text.split_whitespace().count()).sum(),
        casing: casing(texts.iter().map(AsRef::as_ref)),
        unknown_chars: in_alphabet
            .map(|known| unknown_chars(texts.iter().map(AsRef::as_ref), known))
            .unwrap_or_default(),
        fields: fields(utterances),
    }
}

/// Nearest-rank percentiles: the value at rank `ceil(p / 100 * n)`, at least the first.
fn percentiles(values: &mut [f64]) -> Vec<(u32, f64)> {
    values.sort_by(f64::total_cmp);
    let rank = |p: u32| (f64::from(p) / 100.0 * values.len() as f64).ceil().max(1.0) as usize - 1;
    PERCENTILES.iter().filter_map(|&p| Some((p, *values.get(rank(p))?))).collect()
}

fn casing<'a>(texts: impl Iterator<Item = &'a str>) -> Casing {
    let mut counts = [0usize; 3];
    let mut n_texts = 0;
    for text in texts {
        n_texts += 1;
        match (text.contains(char::is_lowercase), text.contains(char::is_uppercase)) {
            (true, false) => counts[0] += 1,
            (false, true) => counts[1] += 1,
            (true, true) => counts[2] += 1,
            (false, false) => {}
        }
    }
    let share = |count: usize| count as f64 / f64::from(n_texts.max(1));
    Casing { lower: share(counts[0]), upper: share(counts[1]), mixed: share(counts[2]) }
}

fn unknown_chars<'a>(
    texts: impl Iterator<Item = &'a str>,
    known: &dyn Fn(char) -> bool,
) -> Vec<(char, usize)> {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for c in texts.flat_map(str::chars) {
        *counts.entry(c).or_default() += 1;
    }
    let mut unknown: Vec<_> = counts.into_iter().filter(|&(c, _)| !known(c)).collect();
    unknown.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    unknown
}

fn fields(utterances: &[Utterance]) -> BTreeMap<String, FieldSummary> {
    let mut counts: BTreeMap<String, (usize, BTreeMap<String, usize>)> = BTreeMap::new();
    for utterance in utterances {
        for name in utterance.extra.keys() {
            let (n_lines, values) = counts.entry(name.clone()).or_default();
            *n_lines += 1;
            if let Some(value) = utterance.field(name) {
                *values.entry(value.into_owned()).or_default() += 1;
            }
        }
    }
    let summary = |(n_lines, values): (usize, BTreeMap<String, usize>)| {
        let n_distinct = values.len();
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let few =
            n_distinct <= MAX_VALUES || n_distinct as f64 <= MAX_DISTINCT_SHARE * n_lines as f64;
        values.truncate(if few { MAX_VALUES } else { 0 });
        FieldSummary { n_lines, n_distinct, values }
    };
    counts.into_iter().map(|(name, count)| (name, summary(count))).collect()
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "utterances   {}", self.n_utterances)?;
        write!(f, "audio        {} with audio, {:.2} h", self.n_audio, self.hours)?;
        match self.n_unknown_duration {
            0 => writeln!(f)?,
            n => writeln!(f, ", {n} more of unknown duration")?,
        }
        write_percentiles(f, "seconds", &self.duration_percentiles, 2)?;
        write_percentiles(f, "characters", &self.text_percentiles, 0)?;
        writeln!(f, "words        {}", self.n_words)?;
        let Casing { lower, upper, mixed } = self.casing;
        let percent = |share: f64| share * 100.0;
        writeln!(
            f,
            "casing       {:.1} % lower, {:.1} % UPPER, {:.1} % Mixed",
            percent(lower),
            percent(upper),
            percent(mixed)
        )?;
        if !self.unknown_chars.is_empty() {
            let shown: Vec<String> =
                self.unknown_chars.iter().map(|(c, count)| format!("{c:?} x{count}")).collect();
            writeln!(f, "outside the tokenizer's alphabet: {}", shown.join(", "))?;
        }
        for (name, field) in &self.fields {
            let values: Vec<String> =
                field.values.iter().map(|(value, count)| format!("{value} {count}")).collect();
            let more = match field.n_distinct.saturating_sub(field.values.len()) {
                more if more > 0 && !values.is_empty() => format!(", {more} more"),
                _ => String::new(),
            };
            writeln!(
                f,
                "{name:<12} {} lines, {} distinct{}{}{more}",
                field.n_lines,
                field.n_distinct,
                if values.is_empty() { "" } else { ": " },
                values.join(", ")
            )?;
        }
        Ok(())
    }
}

fn write_percentiles(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    percentiles: &[(u32, f64)],
    digits: usize,
) -> fmt::Result {
    if percentiles.is_empty() {
        return Ok(());
    }
    let label = |p: u32| match p {
        0 => "min".to_string(),
        50 => "median".to_string(),
        100 => "max".to_string(),
        p => format!("p{p}"),
    };
    let parts: Vec<String> =
        percentiles.iter().map(|&(p, x)| format!("{} {x:.digits$}", label(p))).collect();
    writeln!(f, "{name:<12} {}", parts.join(", "))
}
