//! Words of an utterance replaced, sound and text, by other words of the same speaker.
//!
//! A small corpus repeats few sentences; a decoder learns them by heart instead of listening.
//! Spliced utterances say what nobody has written.
//!
//! # Source
//!
//! Lam et al. 2021, "On-the-fly aligned data augmentation for sequence-to-sequence ASR",
//! arXiv:2104.01393: words are swapped by their alignment. Here the other word comes from the same
//! speaker. What is cut and joined, log-Mel frames or samples, is the caller's.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::ensure;
use audio_frontend::Features;
use serde_json::Value;
use tensor_core::Philox;

use super::audio::SAMPLE_RATE;
use crate::manifest::Utterance;

/// Share of the words of a spliced utterance that are replaced.
const WORD_SHARE: f32 = 0.5;

/// A word: its utterance and its number there.
type Place = (usize, usize);

/// The words of a corpus, by speaker.
pub struct Splicer {
    /// Text of each utterance, cut at white space.
    words: Vec<Vec<String>>,
    /// When each word ends, in seconds; empty where the manifest does not say.
    ends: Vec<Vec<f64>>,
    /// Words of the same speaker, for each utterance.
    pools: Vec<Arc<Vec<Place>>>,
}

impl Splicer {
    /// Reads `word_ends` and `speaker` of the manifest's lines; `texts` are their transcripts.
    ///
    /// # Errors
    ///
    /// Names the line whose times do not fit its text, and says so when no line has any.
    pub fn new(utterances: &[Utterance], texts: &[String]) -> anyhow::Result<Self> {
        let words: Vec<Vec<String>> = texts
            .iter()
            .map(|text| text.split_whitespace().map(str::to_string).collect())
            .collect();
        let mut ends = Vec::with_capacity(utterances.len());
        let mut by_speaker: HashMap<String, Vec<Place>> = HashMap::new();
        for (item, (utterance, words)) in utterances.iter().zip(&words).enumerate() {
            let times = word_ends(utterance)?;
            if !times.is_empty() {
                ensure!(
                    times.len() == words.len(),
                    "{}: word_ends has {} times, expected one for each of {} words",
                    utterance.place,
                    times.len(),
                    words.len()
                );
                let speaker = speaker(utterance);
                let pool = by_speaker.entry(speaker).or_default();
                pool.extend((0..words.len()).map(|word| (item, word)));
            }
            ends.push(times);
        }
        ensure!(
            !by_speaker.is_empty(),
            "augment.splice: no line of data.train has word_ends (hint: data align)"
        );
        let by_speaker: HashMap<String, Arc<Vec<Place>>> =
            by_speaker.into_iter().map(|(name, pool)| (name, Arc::new(pool))).collect();
        let pools = utterances
            .iter()
            .map(|utterance| by_speaker.get(&speaker(utterance)).cloned().unwrap_or_default())
            .collect();
        Ok(Self { words, ends, pools })
    }

    /// Stretches and text of utterance `item` with about half of its words replaced; `None` where
    /// there is nothing to splice.
    pub fn splice(&self, item: usize, rng: &mut Philox) -> Option<(Vec<Stretch>, String)> {
        let pool = &self.pools[item];
        if self.ends[item].is_empty() || pool.is_empty() {
            return None;
        }
        let mut texts = Vec::new();
        let mut stretches = Vec::new();
        for word in 0..self.words[item].len() {
            let mut source = (item, word);
            let host = &self.words[item][word];
            let mut text = host.clone();
            if rng.uniform() < WORD_SHARE {
                source = pool[rng.below(pool.len() as u32) as usize];
                text = in_place_of(host, &self.words[source.0][source.1]);
            }
            stretches.push(self.stretch(source));
            texts.push(text);
        }
        Some((stretches, texts.join(" ")))
    }

    /// Where a word is.
    fn stretch(&self, (item, word): Place) -> Stretch {
        let start = if word == 0 { 0.0 } else { self.ends[item][word - 1] };
        Stretch { item, seconds: start..self.ends[item][word] }
    }
}

/// A part of an utterance.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Number of the utterance.
    pub item: usize,
    /// From when to when, in seconds of the recording.
    pub seconds: Range<f64>,
}

impl Stretch {
    /// The stretch in units of which there are `rate` a second, cut at `end`.
    fn units(&self, rate: f64, end: usize) -> Range<usize> {
        let unit = |seconds: f64| ((seconds * rate).round() as usize).min(end);
        unit(self.seconds.start)..unit(self.seconds.end)
    }
}

/// Times at which the words of a line end, in seconds; none where the field is missing.
fn word_ends(utterance: &Utterance) -> anyhow::Result<Vec<f64>> {
    let Some(field) = utterance.extra.get("word_ends") else { return Ok(Vec::new()) };
    let times: Option<Vec<f64>> =
        field.as_array().map(|list| list.iter().map_while(Value::as_f64).collect());
    let complete = field.as_array().map_or(0, Vec::len);
    match times {
        Some(times) if times.len() == complete && times.is_sorted() => Ok(times),
        _ => anyhow::bail!(
            "{}: word_ends is {field}, expected a list of rising times in seconds",
            utterance.place
        ),
    }
}

/// Whose voice it is; lines without the field share one.
fn speaker(utterance: &Utterance) -> String {
    utterance.field("speaker").map_or_else(String::new, |name| name.into_owned())
}

/// `other` with the punctuation that `host` had around it.
fn in_place_of(host: &str, other: &str) -> String {
    let core = |word: &'_ str| -> (usize, usize) {
        let start = word.find(char::is_alphanumeric).unwrap_or(0);
        let end = word
            .rfind(char::is_alphanumeric)
            .map_or(word.len(), |at| at + word[at..].chars().next().map_or(0, char::len_utf8));
        (start, end)
    };
    let ((start, end), (from, to)) = (core(host), core(other));
    format!("{}{}{}", &host[..start], &other[from..to], &host[end..])
}

/// Features of stretches, one after another; `features_of` gives an utterance's at the speed
/// factor `speed`.
///
/// # Errors
///
/// Those of `features_of`.
pub fn join_features(
    stretches: &[Stretch],
    speed: f64,
    features_of: impl Fn(usize) -> anyhow::Result<Arc<Features>>,
) -> anyhow::Result<Features> {
    let pieces = stretches
        .iter()
        .map(|stretch| {
            let features = features_of(stretch.item)?;
            let range = stretch.units(100.0 / speed, features.n_frames);
            Ok((features, range))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let n_mels = pieces.first().map_or(0, |(features, _)| features.n_mels);
    let mut data = Vec::new();
    for band in 0..n_mels {
        for (features, range) in &pieces {
            data.extend_from_slice(&features.band(band)[range.clone()]);
        }
    }
    let n_frames = data.len().checked_div(n_mels).unwrap_or(0);
    Ok(Features { data, n_mels, n_frames })
}

/// Samples of stretches at 16 kHz, one after another; `samples_of` gives an utterance's at the
/// speed factor `speed`.
///
/// # Errors
///
/// Those of `samples_of`.
pub fn join_samples(
    stretches: &[Stretch],
    speed: f64,
    samples_of: impl Fn(usize) -> anyhow::Result<Arc<Vec<f32>>>,
) -> anyhow::Result<Vec<f32>> {
    let mut joined = Vec::new();
    for stretch in stretches {
        let samples = samples_of(stretch.item)?;
        let range = stretch.units(f64::from(SAMPLE_RATE) / speed, samples.len());
        joined.extend_from_slice(&samples[range]);
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read;

    /// Two speakers; every frame of an utterance holds its number.
    fn corpus(lines: &[&str]) -> anyhow::Result<Splicer> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, lines.join("\n"))?;
        let utterances = read(&path.display().to_string())?;
        let texts: Vec<String> = utterances.iter().map(|u| u.text.clone()).collect();
        Splicer::new(&utterances, &texts)
    }

    fn features(item: usize) -> anyhow::Result<Arc<Features>> {
        let data = (0..200).map(|i| (item * 1000 + i % 100) as f32).collect();
        Ok(Arc::new(Features { data, n_mels: 2, n_frames: 100 }))
    }

    const LINES: [&str; 3] = [
        r#"{"id": "a", "text": "One two, three.", "speaker": "x", "word_ends": [0.2, 0.5, 1.0]}"#,
        r#"{"id": "b", "text": "Four five.", "speaker": "x", "word_ends": [0.4, 1.0]}"#,
        r#"{"id": "c", "text": "Six.", "speaker": "y", "word_ends": [1.0]}"#,
    ];

    #[test]
    fn sound_follows_text_and_stays_with_the_speaker() {
        let splicer = corpus(&LINES).unwrap();
        let spans = [("One", 0..20), ("two", 20..50), ("three", 50..100)];
        let spans_b = [("Four", 1000..1040), ("five", 1040..1100)];
        let mut replaced = 0;
        for draw in 0..50 {
            let mut rng = Philox::new(1, draw);
            let (stretches, text) = splicer.splice(0, &mut rng).unwrap();
            let features = join_features(&stretches, 1.0, features).unwrap();
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(words.len(), 3);
            assert!(words[1].ends_with(',') && words[2].ends_with('.'), "{text}");
            let expected: Vec<f32> = words
                .iter()
                .flat_map(|word| {
                    let word = word.trim_matches([',', '.']);
                    let all = spans.iter().chain(&spans_b);
                    let (_, span) = all.into_iter().find(|(name, _)| *name == word).unwrap();
                    span.clone().map(|value| value as f32)
                })
                .collect();
            assert_eq!(features.band(1), expected, "{text}");
            replaced += usize::from(text.contains("Four") || text.contains("five"));
        }
        assert!((10..50).contains(&replaced), "{replaced}");
    }

    #[test]
    fn draws_are_seeded_and_speed_moves_the_cuts() {
        let splicer = corpus(&LINES).unwrap();
        let text = |stream| {
            let mut rng = Philox::new(1, stream);
            splicer.splice(0, &mut rng).unwrap().1
        };
        assert_eq!(text(3), text(3));
        assert!((0..9).any(|stream| text(stream) != text(3)));
        assert_eq!(splicer.stretch((0, 1)).units(100.0 / 2.0, 100), 10..25);
    }

    #[test]
    fn wrong_times_are_named_and_lines_without_them_left_alone() {
        let error = |line: &str| format!("{:#}", corpus(&[line]).err().unwrap());
        let short = error(r#"{"id": "a", "text": "one two", "word_ends": [1.0]}"#);
        assert!(
            short.ends_with("t.jsonl:1: word_ends has 1 times, expected one for each of 2 words")
        );
        let falling = error(r#"{"id": "a", "text": "one two", "word_ends": [1.0, 0.5]}"#);
        assert!(falling.contains("expected a list of rising times in seconds"), "{falling}");
        assert!(
            error(r#"{"id": "a", "text": "one"}"#).contains("no line of data.train has word_ends")
        );
        let bare = r#"{"id": "d", "text": "Seven.", "speaker": "x"}"#;
        let splicer = corpus(&[LINES[0], bare]).unwrap();
        let mut rng = Philox::new(1, 0);
        assert!(splicer.splice(1, &mut rng).is_none());
    }

    #[test]
    fn samples_are_joined_up_to_the_end_of_a_recording() {
        let stretch = |item, seconds| Stretch { item, seconds };
        let samples_of = |item| Ok(Arc::new(vec![item as f32; 8000]));
        let stretches = [stretch(1, 0.0..0.25), stretch(2, 0.4..0.9)];
        let joined = join_samples(&stretches, 1.0, samples_of).unwrap();
        assert_eq!(joined, [vec![1.0; 4000], vec![2.0; 1600]].concat());
        let fast = join_samples(&stretches[..1], 2.0, samples_of).unwrap();
        assert_eq!(fast, vec![1.0; 2000]);
    }

    #[test]
    fn punctuation_stays_in_its_place() {
        assert_eq!(in_place_of("theater.", "\"Ida,"), "Ida.");
        assert_eq!(in_place_of("\"o'clock,", "Straße"), "\"Straße,");
        assert_eq!(in_place_of("--", "x"), "x");
    }
}
