//! What did not fit between a file and a model, as one message.

use std::path::Path;

use tensor_core::{DType, Tensor};

use crate::error::{ErrorKind, ZooError};

/// At most this many names of each kind are listed before a count.
const LISTED: usize = 10;

/// Names that did not fit, in the order they were met.
#[derive(Debug, Default)]
pub(crate) struct Mismatch {
    pub missing: Vec<String>,
    pub unexpected: Vec<String>,
    /// Whole phrases: the name, what the file holds and what the model expects.
    pub misfit: Vec<String>,
}

impl Mismatch {
    /// Whether `found` can be the parameter `name` of this shape; noted when it cannot.
    pub fn fits(&mut self, name: &str, found: &Tensor, shape: &[usize]) -> bool {
        let float = matches!(found.dtype(), DType::F64 | DType::F32 | DType::BF16 | DType::F16);
        if float && found.shape() == shape {
            return true;
        }
        self.misfit.push(match float {
            true => format!("{name} is {:?}, expected {shape:?}", found.shape()),
            false => format!("{name} is {}, expected a float dtype", found.dtype()),
        });
        false
    }

    /// The error that lists everything, or `None` when all fits.
    pub fn error(&self, path: &Path) -> Option<ZooError> {
        let parts: Vec<String> = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("wrongly shaped", &self.misfit),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{} {what}: {}", names.len(), listed(names)))
        .collect();
        if parts.is_empty() {
            return None;
        }
        let place = format!("weights: {}", path.display());
        let hint = "does config.json belong to this file";
        Some(ZooError::new(ErrorKind::Weights, place, parts.join("; ")).hint(hint))
    }
}

fn listed(names: &[String]) -> String {
    let mut text = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_names_are_listed_and_the_rest_counted() {
        let missing = (0..12).map(|i| format!("t{i}")).collect();
        let report = Mismatch { missing, unexpected: vec!["u".into()], misfit: vec![] };
        let text = report.error(Path::new("m/model.safetensors")).unwrap().to_string();
        assert_eq!(
            text,
            "weights: m/model.safetensors: 12 missing: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 \
             and 2 more; 1 unexpected: u (hint: does config.json belong to this file)"
        );
    }

    #[test]
    fn a_perfect_fit_is_no_error() {
        assert!(Mismatch::default().error(Path::new("x")).is_none());
    }
}
