//! Which cases were asked for on a command line.

use anyhow::{Context, ensure};

use super::cases::{Case, cases};

/// `--op NAME` and `--shape NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    op: Option<String>,
    shape: Option<String>,
}

impl Selection {
    /// Takes an option and its value; false for one that is of no concern here.
    ///
    /// # Errors
    ///
    /// When the value is missing.
    pub fn take(
        &mut self,
        flag: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> anyhow::Result<bool> {
        let place = match flag {
            "--op" => &mut self.op,
            "--shape" => &mut self.shape,
            _ => return Ok(false),
        };
        *place = Some(rest.next().with_context(|| format!("{flag}: expected a value, got none"))?);
        Ok(true)
    }

    /// The cases, in their order.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn cases(&self) -> anyhow::Result<Vec<&'static Case>> {
        let fits =
            |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|asked| asked == name);
        let fit = |case: &&Case| fits(&self.op, case.op) && fits(&self.shape, case.shape);
        let found: Vec<_> = cases().filter(fit).collect();
        ensure!(!found.is_empty(), "no such case (hint: --list)");
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_those_of_both_names() {
        let mut selection = Selection::default();
        assert_eq!(selection.cases().unwrap().len(), cases().count());
        let mut rest = ["sinkhorn".to_owned()].into_iter();
        assert!(selection.take("--op", &mut rest).unwrap());
        assert!(!selection.take("--gpu", &mut rest).unwrap());
        assert!(selection.cases().unwrap().iter().all(|case| case.op == "sinkhorn"));
        let error = selection.take("--shape", &mut rest).unwrap_err().to_string();
        assert_eq!(error, "--shape: expected a value, got none");
        let mut rest = ["nowhere".to_owned()].into_iter();
        assert!(selection.take("--shape", &mut rest).unwrap());
        assert_eq!(selection.cases().unwrap_err().to_string(), "no such case (hint: --list)");
    }
}
