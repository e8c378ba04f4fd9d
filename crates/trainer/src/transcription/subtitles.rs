//! Files that hold a transcript: plain text, JSON, SubRip, WebVTT and tab-separated values.
//!
//! Each is what the writer of the same name in `whisper/utils.py` of openai-whisper 20250625
//! writes.

use std::fmt::Write;

use model_zoo::whisper::{Segment, Word};
use serde_json::{Value, json};

use super::{Heard, Scored};

/// Kind of a file; its name is the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for each segment.
    Txt,
    /// Text, language, segments with scores and words, the n best.
    Json,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// Start and end in milliseconds, text.
    Tsv,
}

impl Format {
    /// Extension of the file.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Json => "json",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Tsv => "tsv",
        }
    }

    /// Whether it says when something was said, and holds one recording only.
    pub(crate) fn is_timed(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt | Self::Tsv)
    }

    /// What a file holds.
    pub(super) fn text(self, heard: &Heard) -> String {
        let segments = &heard.transcript.segments;
        match self {
            Self::Txt => segments.iter().map(|s| format!("{}\n", s.text.trim())).collect(),
            Self::Json => format!("{}\n", json(heard)),
            Self::Srt => cues(segments)
                .enumerate()
                .map(|(at, cue)| {
                    let times = cue.times(|seconds| clock(seconds, true, ','));
                    format!("{}\n{times}\n{}\n\n", at + 1, cue.text)
                })
                .collect(),
            Self::Vtt => cues(segments).fold("WEBVTT\n\n".to_owned(), |all, cue| {
                let times = cue.times(|seconds| clock(seconds, false, '.'));
                format!("{all}{times}\n{}\n\n", cue.text)
            }),
            Self::Tsv => segments.iter().fold("start\tend\ttext\n".to_owned(), |all, s| {
                let (start, end) = (milliseconds(s.start), milliseconds(s.end));
                format!("{all}{start}\t{end}\t{}\n", s.text.trim().replace('\t', " "))
            }),
        }
    }
}

/// Text that is shown for a while.
struct Cue {
    start: f64,
    end: f64,
    text: String,
}

impl Cue {
    fn times(&self, clock: impl Fn(f64) -> String) -> String {
        format!("{} --> {}", clock(self.start), clock(self.end))
    }
}

/// A cue for each segment; with words, from the first one to the last.
fn cues(segments: &[Segment]) -> impl Iterator<Item = Cue> {
    segments.iter().map(|segment| {
        let start = segment.words.first().map_or(segment.start, |word| word.start);
        let end = segment.words.last().map_or(segment.end, |word| word.end);
        // An arrow in the text would be read as times.
        Cue { start, end, text: segment.text.trim().replace("-->", "->") }
    })
}

fn milliseconds(seconds: f64) -> u64 {
    (1000.0 * seconds).round_ties_even() as u64
}

/// `MM:SS.mmm`, with hours before it where there are any or `hours` says so.
fn clock(seconds: f64, hours: bool, decimal_marker: char) -> String {
    let all = milliseconds(seconds);
    let (h, m, s, ms) = (all / 3_600_000, all / 60_000 % 60, all / 1000 % 60, all % 1000);
    let mut text = String::new();
    if hours || h > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, "{h:02}:");
    }
    text + &format!("{m:02}:{s:02}{decimal_marker}{ms:03}")
}

/// What openai-whisper calls a result; with several hypotheses also `n_best`.
fn json(heard: &Heard) -> Value {
    let transcript = &heard.transcript;
    let segments: Vec<Value> = transcript
        .segments
        .iter()
        .enumerate()
        .map(|(id, s)| {
            let mut value = json!({
                "id": id,
                "seek": s.seek,
                "start": s.start,
                "end": s.end,
                "text": s.text,
                "tokens": s.ids,
                "temperature": s.temperature,
                "avg_logprob": s.avg_logprob,
                "compression_ratio": s.compression_ratio,
                "no_speech_prob": s.no_speech_prob,
            });
            if !s.words.is_empty() {
                value["words"] = words_json(&s.words);
            }
            value
        })
        .collect();
    let mut value = json!({
        "text": transcript.text,
        "segments": segments,
        "language": transcript.language,
    });
    if !heard.n_best.is_empty() {
        value["n_best"] = n_best_json(&heard.n_best);
    }
    value
}

/// Words with their times, as they stand in JSON.
fn words_json(words: &[Word]) -> Value {
    let word = |w: &Word| json!({ "word": w.word, "start": w.start, "end": w.end, "probability": w.probability });
    words.iter().map(word).collect()
}

/// Hypotheses with their scores, as they stand in JSON.
pub(super) fn n_best_json(n_best: &[Scored]) -> Value {
    let scored = |s: &Scored| {
        let mut value = json!({ "text": s.text, "score": s.score, "sum_logprob": s.sum_logprob });
        if !s.segments.is_empty() {
            value["segments"] = segments_json(&s.segments);
        }
        value
    };
    n_best.iter().map(scored).collect()
}

/// Segments as they stand in JSON lines: times, text and words.
pub(super) fn segments_json(segments: &[Segment]) -> Value {
    let segment = |s: &Segment| {
        let mut value = json!({ "start": s.start, "end": s.end, "text": s.text.trim() });
        if !s.words.is_empty() {
            value["words"] = words_json(&s.words);
        }
        value
    };
    segments.iter().map(segment).collect()
}

#[cfg(test)]
mod tests {
    use model_zoo::whisper::Transcript;

    use super::*;

    fn segment(start: f64, end: f64, text: &str) -> Segment {
        Segment {
            seek: 0,
            start,
            end,
            text: text.to_owned(),
            ids: vec![5, 7],
            temperature: 0.0,
            avg_logprob: -0.25,
            compression_ratio: 1.5,
            no_speech_prob: 0.125,
            words: Vec::new(),
        }
    }

    fn heard(segments: Vec<Segment>) -> Heard {
        let text = segments.iter().map(|s| s.text.as_str()).collect();
        let transcript = Transcript { language: "en".to_owned(), text, segments };
        Heard { transcript, n_best: Vec::new(), seconds: 1.0 }
    }

    fn two() -> Heard {
        heard(vec![
            segment(0.0, 1.5, " One --> two."),
            segment(3599.9996, 7325.0405, " Three\tfour. "),
        ])
    }

    #[test]
    fn subtitles_are_numbered_and_timed() {
        assert_eq!(
            Format::Srt.text(&two()),
            "1\n00:00:00,000 --> 00:00:01,500\nOne -> two.\n\n\
             2\n01:00:00,000 --> 02:02:05,040\nThree\tfour.\n\n"
        );
        assert_eq!(
            Format::Vtt.text(&two()),
            "WEBVTT\n\n00:00.000 --> 00:01.500\nOne -> two.\n\n\
             01:00:00.000 --> 02:02:05.040\nThree\tfour.\n\n"
        );
    }

    #[test]
    fn tables_and_texts_have_a_line_for_each_segment() {
        assert_eq!(
            Format::Tsv.text(&two()),
            "start\tend\ttext\n0\t1500\tOne --> two.\n3600000\t7325040\tThree four.\n"
        );
        assert_eq!(Format::Txt.text(&two()), "One --> two.\nThree\tfour.\n");
    }

    #[test]
    fn nothing_heard_is_a_file_without_lines() {
        let texts = [Format::Txt, Format::Srt, Format::Vtt, Format::Tsv]
            .map(|format| format.text(&heard(Vec::new())));
        assert_eq!(texts, ["", "", "WEBVTT\n\n", "start\tend\ttext\n"]);
        let value: Value = serde_json::from_str(&Format::Json.text(&heard(Vec::new()))).unwrap();
        assert_eq!(value, json!({ "text": "", "segments": [], "language": "en" }));
    }

    #[test]
    fn words_say_when_a_subtitle_begins_and_ends() {
        let word =
            |word: &str, start, end| Word { word: word.to_owned(), start, end, probability: 0.5 };
        let mut one = segment(0.0, 4.0, " Red green");
        one.words = vec![word(" Red", 0.5, 0.75), word(" green", 1.0, 2.25)];
        let mut all = heard(vec![one]);
        assert_eq!(Format::Srt.text(&all), "1\n00:00:00,500 --> 00:00:02,250\nRed green\n\n");
        let scored = |text: &str, score| Scored {
            text: text.to_owned(),
            score,
            sum_logprob: -2.0,
            segments: Vec::new(),
        };
        all.n_best = vec![scored("Red green", -0.5), scored("Red", -0.75)];
        all.n_best[1].segments = vec![segment(0.5, 1.0, " Red")];
        let value: Value = serde_json::from_str(&Format::Json.text(&all)).unwrap();
        let expected = json!({
            "text": " Red green",
            "language": "en",
            "segments": [{
                "id": 0, "seek": 0, "start": 0.0, "end": 4.0, "text": " Red green",
                "tokens": [5, 7], "temperature": 0.0, "avg_logprob": -0.25,
                "compression_ratio": 1.5, "no_speech_prob": 0.125,
                "words": [
                    { "word": " Red", "start": 0.5, "end": 0.75, "probability": 0.5 },
                    { "word": " green", "start": 1.0, "end": 2.25, "probability": 0.5 },
                ],
            }],
            "n_best": [
                { "text": "Red green", "score": -0.5, "sum_logprob": -2.0 },
                {
                    "text": "Red", "score": -0.75, "sum_logprob": -2.0,
                    "segments": [{ "start": 0.5, "end": 1.0, "text": "Red" }],
                },
            ],
        });
        assert_eq!(value, expected);
    }
}
