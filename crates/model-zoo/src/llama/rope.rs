//! What a config says of rotary positions, in the spellings of `transformers` 4 and 5.

use serde_json::Value;

use super::config::LlamaConfig;
use super::rope_parameters::RopeParameters;
use crate::error::{Result, ZooError};
use crate::layers::{RopeScaling, Rotary};

/// Base of the frequencies where a config says nothing.
const DEFAULT_THETA: f64 = 10_000.0;

/// The object that counts, and the key it stands under.
fn given(config: &LlamaConfig) -> Option<(&'static str, &RopeParameters)> {
    let older = config.rope_scaling.as_ref().map(|given| ("rope_scaling", given));
    older.or_else(|| config.rope_parameters.as_ref().map(|given| ("rope_parameters", given)))
}

impl LlamaConfig {
    /// Most tokens of an input: `max_position_embeddings`, times the factor of linear and dynamic
    /// scaling, which are given with the length trained on.
    pub fn longest_input(&self) -> usize {
        let trained = self.max_position_embeddings;
        match given(self) {
            Some((_, given)) if ["linear", "dynamic"].contains(&given.kind()) => {
                (trained as f64 * given.factor.unwrap_or(1.0)) as usize
            }
            _ => trained,
        }
    }

    /// The frequencies of a config.
    pub(super) fn rotary(&self) -> Result<Rotary> {
        let (key, given) = match given(self) {
            Some((key, given)) => (key, given.clone()),
            None => ("rope_parameters", RopeParameters::default()),
        };
        let fault = |detail: String| ZooError::config("config", detail);
        let theta = given.rope_theta.or(self.rope_theta).unwrap_or(DEFAULT_THETA);
        if !(theta > 0.0 && theta.is_finite()) {
            return Err(fault(format!("rope_theta is {theta}, expected more than 0")));
        }
        for (place, keys) in [(key, &given.extra), ("config", &self.extra)] {
            let part = keys.get("partial_rotary_factor").and_then(Value::as_f64);
            if let Some(part) = part.filter(|&part| part != 1.0) {
                return Err(fault(format!("{place}.partial_rotary_factor is {part}, expected 1")));
            }
        }
        let number = |name: &str, value: Option<f64>, least: f64| match value {
            Some(value) if value >= least && value.is_finite() => Ok(value),
            Some(value) => {
                Err(fault(format!("{key}.{name} is {value}, expected at least {least}")))
            }
            None => {
                let kind = given.kind();
                Err(fault(format!("{key}.{name} is absent, expected it for `{kind}`")))
            }
        };
        let scaling = match given.kind() {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: number("factor", given.factor, 1.0)? },
            "dynamic" => RopeScaling::Dynamic {
                factor: number("factor", given.factor, 1.0)?,
                max_position_embeddings: self.max_position_embeddings,
            },
            "llama3" => {
                let low_freq_factor = number("low_freq_factor", given.low_freq_factor, 0.0)?;
                let high_freq_factor = number("high_freq_factor", given.high_freq_factor, 0.0)?;
                if high_freq_factor <= low_freq_factor {
                    return Err(fault(format!(
                        "{key}.high_freq_factor is {high_freq_factor}, expected more than \
                         low_freq_factor {low_freq_factor}"
                    )));
                }
                RopeScaling::Llama3 {
                    factor: number("factor", given.factor, 1.0)?,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: given
                        .original_max_position_embeddings
                        .unwrap_or(self.max_position_embeddings),
                }
            }
            other => {
                let known = "default, linear, dynamic, llama3";
                return Err(fault(format!(
                    "{key}.rope_type is `{other}`, expected one of {known}"
                )));
            }
        };
        if self.head_dim() == 2 && matches!(scaling, RopeScaling::Dynamic { .. }) {
            // Its exponent is D / (D - 2).
            return Err(fault("head_dim is 2, expected at least 4 for `dynamic`".to_owned()));
        }
        Ok(Rotary::new(self.head_dim(), theta, scaling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> LlamaConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn older_and_newer_spellings_mean_the_same() {
        let older = config(
            r#"{"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}, "head_dim": 8}"#,
        );
        let newer = config(
            r#"{"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 4.0},
                "head_dim": 8}"#,
        );
        let turned = |config: &LlamaConfig| {
            let rotary = config.rotary().unwrap();
            format!("{rotary:?}")
        };
        assert_eq!(turned(&older), turned(&newer));
        assert_eq!((older.longest_input(), newer.longest_input()), (8192, 8192));
        assert_eq!(config("{}").longest_input(), 2048);
    }

    #[test]
    fn what_is_not_known_or_not_whole_is_refused_by_name() {
        for (text, told) in [
            (
                r#"{"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}"#,
                "config: rope_scaling.rope_type is `yarn`, expected one of default, linear, \
                 dynamic, llama3",
            ),
            (
                r#"{"rope_parameters": {"rope_type": "linear"}}"#,
                "config: rope_parameters.factor is absent, expected it for `linear`",
            ),
            (
                r#"{"rope_parameters": {"rope_type": "dynamic", "factor": 0.5}}"#,
                "config: rope_parameters.factor is 0.5, expected at least 1",
            ),
            (
                r#"{"rope_parameters": {"rope_type": "llama3", "factor": 8.0,
                    "low_freq_factor": 4.0, "high_freq_factor": 4.0}}"#,
                "config: rope_parameters.high_freq_factor is 4, expected more than \
                 low_freq_factor 4",
            ),
            (r#"{"rope_theta": 0.0}"#, "config: rope_theta is 0, expected more than 0"),
            (
                r#"{"partial_rotary_factor": 0.5}"#,
                "config: config.partial_rotary_factor is 0.5, expected 1",
            ),
        ] {
            assert_eq!(config(text).rotary().unwrap_err().to_string(), told);
        }
    }
}
