//! One line of a manifest that is being made.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// Names that a manifest gives a meaning to; a corpus's own field of such a name gets another one.
const RESERVED: &[&str] = &["id", "audio", "offset", "duration", "text"];

/// An utterance of a corpus.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Line {
    pub(super) id: String,
    /// The sound file, as it is found from the current folder.
    pub(super) audio: PathBuf,
    pub(super) offset_s: Option<f64>,
    pub(super) duration_s: Option<f64>,
    /// Transcript; a corpus without one leaves it empty, and the line has none.
    pub(super) text: String,
    /// Further fields, in the order they are written.
    pub(super) fields: Map<String, Value>,
}

impl Line {
    /// Adds a field; one that bears a manifest's own name becomes `column_NAME`.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let name = match RESERVED.contains(&name) {
            true => format!("column_{name}"),
            false => name.to_owned(),
        };
        self.fields.insert(name, value.into());
    }

    /// The line as JSON, its sound file under the name `audio`.
    pub(super) fn to_json(&self, audio: &str) -> Value {
        let mut map = Map::new();
        map.insert("id".into(), self.id.as_str().into());
        map.insert("audio".into(), audio.into());
        let times = [("offset", self.offset_s), ("duration", self.duration_s)];
        for (name, seconds) in times {
            if let Some(seconds) = seconds {
                map.insert(name.into(), seconds.into());
            }
        }
        if !self.text.is_empty() {
            map.insert("text".into(), self.text.as_str().into());
        }
        map.extend(self.fields.clone());
        Value::Object(map)
    }
}

/// Keeps what may stand in a file name; the rest becomes `_`.
pub(super) fn file_name(id: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let name: String = id.chars().map(|c| if keep(c) { c } else { '_' }).collect();
    // A leading dot would hide the file, or lead out of the folder.
    name.trim_start_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_never_takes_the_place_of_what_a_manifest_means() {
        let mut line = Line { id: "a".into(), text: "hi".into(), ..Line::default() };
        line.set("text", "other");
        line.set("speaker", 7);
        line.duration_s = Some(1.5);
        let json = serde_json::to_string(&line.to_json("x.wav")).unwrap();
        assert_eq!(
            json,
            r#"{"id":"a","audio":"x.wav","duration":1.5,"text":"hi","column_text":"other","speaker":7}"#
        );
    }

    #[test]
    fn an_id_cannot_lead_out_of_a_folder() {
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(file_name("Zürich 1@0.5"), "Zürich_1@0.5");
    }
}
