//! Documents made of the fields of manifest lines.

use anyhow::{Context as _, bail};

use crate::manifest::Utterance;

/// Text with `{field}` where a field of a manifest line goes; `{{` and `}}` stand for braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// Shows the template when a brace has no partner or a field has no name.
    pub fn parse(written: &str) -> anyhow::Result<Self> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = written;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            rest = if let Some(after) = after.strip_prefix(brace) {
                text.push_str(brace);
                after
            } else {
                let field = after.split_once('}').filter(|_| brace == "{");
                let Some((name, after)) = field.filter(|(name, _)| is_name(name)) else {
                    bail!(
                        "template `{written}`: a lone `{brace}`, expected {{field}} (hint: {{{{ and \
                         }}}} stand for braces)"
                    );
                };
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Field(name.to_owned()));
                after
            };
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { written: written.to_owned(), parts })
    }

    /// The document of one line.
    ///
    /// # Errors
    ///
    /// Names the manifest line that lacks a field.
    pub fn fill(&self, utterance: &Utterance) -> anyhow::Result<String> {
        let mut document = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => document.push_str(text),
                Part::Field(name) => {
                    let value = utterance.field(name).with_context(|| {
                        format!(
                            "{}: no field `{name}`, which the template `{}` names",
                            utterance.place, self.written
                        )
                    })?;
                    document.push_str(&value);
                }
            }
        }
        Ok(document)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::read;

    fn line() -> Utterance {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        std::fs::write(&path, r#"{"id": "a", "text": "One.", "text_de": "Eins."}"#).unwrap();
        read(&path.display().to_string()).unwrap().remove(0)
    }

    #[test]
    fn fields_go_where_they_are_named() {
        let fill = |written| Template::parse(written).unwrap().fill(&line()).unwrap();
        assert_eq!(fill("{text}\nin German: {text_de}<|end|>"), "One.\nin German: Eins.<|end|>");
        assert_eq!(fill("{{{text}}} {{}}"), "{One.} {}");
        assert_eq!(fill(""), "");
    }

    #[test]
    fn lone_braces_and_missing_fields_are_named() {
        for written in ["{text", "text}", "a {} b", "{a{b}"] {
            let error = Template::parse(written).unwrap_err().to_string();
            assert!(error.starts_with(&format!("template `{written}`: a lone")), "{error}");
        }
        let error = Template::parse("{answer}").unwrap().fill(&line()).unwrap_err().to_string();
        assert!(
            error.ends_with("t.jsonl:1: no field `answer`, which the template `{answer}` names")
        );
    }
}
