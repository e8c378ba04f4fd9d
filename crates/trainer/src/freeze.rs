//! Which parameters are trained, by patterns on their names.
//!
//! Names are parts joined by dots (`encoder.layers.0.fc1.weight`). In a pattern, `*` stands for
//! any characters within one part and `**` for any number of whole parts, none included.

use crate::recipe::{did_you_mean, nearest};

/// For each name, whether it is trained.
///
/// Every parameter is trained unless a pattern of `freeze` matches it; those that a pattern of
/// `unfreeze` matches are trained all the same.
///
/// # Errors
///
/// When a pattern matches no name at all, with the nearest name.
///
/// # Examples
///
/// ```text
/// freeze = ["llm.**"]   unfreeze = ["llm.**.lora_*"]
/// ```
pub fn trainable(
    names: &[String],
    freeze: &[String],
    unfreeze: &[String],
) -> anyhow::Result<Vec<bool>> {
    for (key, patterns) in [("train.freeze", freeze), ("train.unfreeze", unfreeze)] {
        for pattern in patterns {
            if !names.iter().any(|name| matches(pattern, name)) {
                anyhow::bail!(
                    "{key}: pattern `{pattern}` matches no parameter{}",
                    hint(pattern, names)
                );
            }
        }
    }
    let hit = |patterns: &[String], name: &str| patterns.iter().any(|p| matches(p, name));
    Ok(names.iter().map(|name| !hit(freeze, name) || hit(unfreeze, name)).collect())
}

/// Whether the dotted `name` fits `pattern`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let name: Vec<&str> = name.split('.').collect();
    match_parts(&pattern, &name)
}

fn match_parts(pattern: &[&str], name: &[&str]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((&"**", rest)) => (0..=name.len()).any(|skip| match_parts(rest, &name[skip..])),
        Some((part, rest)) => match name.split_first() {
            Some((first, others)) => match_part(part, first) && match_parts(rest, others),
            None => false,
        },
    }
}

/// One part, in which `*` stands for any characters.
fn match_part(pattern: &str, part: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == part };
    let Some(rest) = part.strip_prefix(head) else { return false };
    let mut ends = (0..=rest.len()).filter(|&at| rest.is_char_boundary(at));
    ends.any(|at| match_part(tail, &rest[at..]))
}

/// The nearest prefix of a name with as many parts as the pattern has before its wildcards,
/// since that is where the typo is: `encodr.**` means `encoder`.
fn hint(pattern: &str, names: &[String]) -> String {
    let literal: Vec<&str> = pattern.split('.').take_while(|part| !part.contains('*')).collect();
    if literal.is_empty() {
        return String::new();
    }
    let prefix = |name: &str| {
        name.match_indices('.').nth(literal.len() - 1).map_or(name.len(), |(at, _)| at)
    };
    let prefixes = names.iter().map(|name| &name[..prefix(name)]);
    let wanted = literal.join(".");
    match prefixes.clone().any(|prefix| prefix == wanted) {
        true => format!(" (hint: there are parameters below {wanted})"),
        false => did_you_mean(nearest(&wanted, prefixes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    const NAMES: &[&str] = &[
        "encoder.conv1.weight",
        "encoder.layers.0.fc1.weight",
        "encoder.layers.10.fc1.lora_a",
        "decoder.embed.weight",
    ];

    #[test]
    fn stars_stay_in_a_part_and_double_stars_cross_parts() {
        for (pattern, expected) in [
            ("**", [true, true, true, true]),
            ("encoder.**", [true, true, true, false]),
            ("encoder.*", [false, false, false, false]),
            ("*.*.weight", [true, false, false, true]),
            ("**.weight", [true, true, false, true]),
            ("encoder.layers.1*.**", [false, false, true, false]),
            ("encoder.**.lora_*", [false, false, true, false]),
            ("**.fc1.**", [false, true, true, false]),
            ("encoder.conv1.weight.**", [true, false, false, false]),
            ("*coder.*o*1.*", [true, false, false, false]),
        ] {
            let got: Vec<bool> = NAMES.iter().map(|name| matches(pattern, name)).collect();
            assert_eq!(got, expected, "{pattern}");
        }
    }

    #[test]
    fn unfreeze_wins_over_freeze() {
        let names = strings(NAMES);
        let got = trainable(&names, &strings(&["encoder.**"]), &strings(&["**.lora_*"])).unwrap();
        assert_eq!(got, [false, false, true, true]);
        assert_eq!(trainable(&names, &[], &[]).unwrap(), [true; 4]);
        assert_eq!(trainable(&[], &[], &[]).unwrap(), [false; 0]);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name() {
        let names = strings(NAMES);
        for (pattern, expected) in [
            (
                "encodr.**",
                "train.freeze: pattern `encodr.**` matches no parameter (hint: did you mean encoder)",
            ),
            (
                "encoder.layer.*.fc1.weight",
                "train.freeze: pattern `encoder.layer.*.fc1.weight` matches no parameter (hint: did you mean encoder.layers)",
            ),
            (
                "encoder.*",
                "train.freeze: pattern `encoder.*` matches no parameter (hint: there are parameters below encoder)",
            ),
            ("zzz", "train.freeze: pattern `zzz` matches no parameter"),
        ] {
            let error = trainable(&names, &strings(&[pattern]), &[]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let error = trainable(&names, &[], &strings(&["**.lora_b"])).unwrap_err().to_string();
        assert_eq!(error, "train.unfreeze: pattern `**.lora_b` matches no parameter");
    }
}
