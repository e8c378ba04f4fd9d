//! How texts are written.

use std::io::Write;

use serde_json::{Value, json};

use super::{Generated, Written};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Prompt and text; of a chat the answer alone; with several texts, each under its score.
    Txt,
    /// A JSON line a prompt.
    Json,
}

/// Writes what became of prompts.
pub(crate) struct Delivery<'a> {
    format: Format,
    /// Whether prompts stand before their texts.
    with_prompt: bool,
    /// Whether several texts of each prompt were asked for.
    several: bool,
    /// Whether texts are shown while they are made.
    live: bool,
    out: &'a mut dyn Write,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(
        format: Format,
        with_prompt: bool,
        several: bool,
        out: &'a mut dyn Write,
    ) -> Self {
        Self { format, with_prompt, several, live: false, out }
    }

    /// Shows texts while they are made, where the format has nothing to say before them.
    pub(crate) fn live(mut self, wanted: bool) -> Self {
        self.live = wanted && self.format == Format::Txt && !self.several;
        self
    }

    /// A prompt is about to be continued.
    pub(crate) fn begin(&mut self, prompt: &str) -> anyhow::Result<()> {
        if self.live && self.with_prompt {
            self.piece(prompt)?;
        }
        Ok(())
    }

    /// A piece of a text that is being made.
    pub(crate) fn piece(&mut self, text: &str) -> anyhow::Result<()> {
        if self.live {
            self.out.write_all(text.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// A prompt is done.
    pub(crate) fn finish(&mut self, prompt: &str, generated: &Generated) -> anyhow::Result<()> {
        match self.format {
            Format::Json => writeln!(self.out, "{}", line(prompt, generated, self.several))?,
            Format::Txt if self.live => writeln!(self.out)?,
            Format::Txt => {
                let before = if self.with_prompt { prompt } else { "" };
                for (rank, written) in generated.hypotheses.iter().enumerate() {
                    if self.several {
                        writeln!(self.out, "# {}: score {:.4}", rank + 1, written.found.score)?;
                    }
                    writeln!(self.out, "{before}{}", written.text)?;
                }
            }
        }
        Ok(())
    }
}

fn line(prompt: &str, generated: &Generated, several: bool) -> Value {
    let mut line = json!({ "prompt": prompt });
    if let Some(best) = generated.hypotheses.first() {
        for (key, value) in fields(best) {
            line[key] = value;
        }
    }
    if several {
        let all = generated.hypotheses.iter().map(|written| {
            let fields = fields(written).map(|(key, value)| (key.to_owned(), value));
            Value::Object(fields.into_iter().collect())
        });
        line["n_best"] = all.collect();
    }
    line
}

fn fields(written: &Written) -> [(&'static str, Value); 5] {
    let found = &written.found;
    [
        ("text", json!(written.text)),
        ("tokens", json!(found.ids)),
        ("ended", json!(found.ended)),
        ("score", json!(found.score)),
        ("sum_logprob", json!(found.sum_logprob)),
    ]
}

#[cfg(test)]
mod tests {
    use model_zoo::decoding::Hypothesis;

    use super::*;
    use crate::generation::Usage;

    fn generated() -> Generated {
        let written = |text: &str, score: f64| Written {
            text: text.to_owned(),
            found: Hypothesis { ids: vec![5, 7], ended: true, sum_logprob: -1.5, score },
        };
        let hypotheses = vec![written(" upon\na time", -0.5), written(" more", -0.75)];
        Generated { hypotheses, usage: Usage::default() }
    }

    fn one() -> Generated {
        let mut generated = generated();
        generated.hypotheses.truncate(1);
        generated
    }

    fn written(deliver: impl FnOnce(&mut dyn Write)) -> String {
        let mut out = Vec::new();
        deliver(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_stand_behind_their_prompts_and_answers_alone() {
        let of = |with_prompt, several, generated: Generated| {
            written(|out| {
                let mut delivery = Delivery::new(Format::Txt, with_prompt, several, out);
                delivery.begin("Once").unwrap();
                delivery.piece(" upon").unwrap();
                delivery.finish("Once", &generated).unwrap();
            })
        };
        assert_eq!(of(true, false, one()), "Once upon\na time\n");
        assert_eq!(of(false, false, one()), " upon\na time\n");
        assert_eq!(
            of(true, true, generated()),
            "# 1: score -0.5000\nOnce upon\na time\n# 2: score -0.7500\nOnce more\n"
        );
    }

    #[test]
    fn what_is_shown_at_once_is_not_said_again() {
        let shown = written(|out| {
            let mut delivery = Delivery::new(Format::Txt, true, false, out).live(true);
            delivery.begin("Once").unwrap();
            delivery.piece(" upon").unwrap();
            delivery.piece("\na time").unwrap();
            delivery.finish("Once", &one()).unwrap();
        });
        assert_eq!(shown, "Once upon\na time\n");
    }

    #[test]
    fn a_line_of_json_has_the_best_and_all_that_were_asked_for() {
        let of = |several, generated: Generated| -> Value {
            let text = written(|out| {
                let mut delivery = Delivery::new(Format::Json, true, several, out).live(true);
                delivery.begin("Once").unwrap();
                delivery.piece(" upon").unwrap();
                delivery.finish("Once", &generated).unwrap();
            });
            assert_eq!(text.lines().count(), 1);
            serde_json::from_str(&text).unwrap()
        };
        let best = json!({
            "prompt": "Once", "text": " upon\na time", "tokens": [5, 7], "ended": true,
            "score": -0.5, "sum_logprob": -1.5,
        });
        assert_eq!(of(false, one()), best);
        let all = of(true, generated());
        assert_eq!(all["text"], best["text"]);
        assert_eq!(all["n_best"][1]["text"], " more");
        assert_eq!(all["n_best"].as_array().unwrap().len(), 2);
    }
}
