//! From manifest lines to model inputs.

pub mod audio;
pub mod respoken;
pub mod splice;
pub mod store;
pub mod template;
pub mod text;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tensor_core::DType;

use crate::batching::{BatchOptions, BatchPlan, Blend, Length, Oversize};
use crate::manifest::{ManifestSpec, Utterance, read_all};
use crate::recipe::{Recipe, Weights};

/// Folder of what can be made again: `CONSONANCE_CACHE`, else `consonance` in the user's cache
/// folder, else `runs/cache`.
pub fn cache_dir() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    from("CONSONANCE_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("consonance")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache").join("consonance")))
        .unwrap_or_else(|| PathBuf::from("runs").join("cache"))
}

/// Training utterances within the recipe's duration bounds, as far as their durations are known.
///
/// # Errors
///
/// When a manifest cannot be read, or no utterance is left.
pub fn training_utterances(recipe: &Recipe) -> anyhow::Result<Vec<Utterance>> {
    let data = &recipe.data;
    let mut utterances = read_all(&data.train)?;
    utterances.retain(|utterance| {
        utterance.duration_s.is_none_or(|seconds| {
            seconds >= data.min_duration_s
                && (data.max_duration_s == 0.0 || seconds <= data.max_duration_s)
        })
    });
    if data.limit > 0 {
        utterances.truncate(data.limit);
    }
    ensure!(
        !utterances.is_empty(),
        "data.train: no utterance is between {} s and {} s",
        data.min_duration_s,
        data.max_duration_s
    );
    Ok(utterances)
}

/// The recipe's `[batch]` section as the planner takes it.
pub fn batch_options(recipe: &Recipe) -> BatchOptions {
    BatchOptions {
        max_seconds: recipe.batch.max_seconds,
        max_tokens: recipe.batch.max_tokens,
        max_items: recipe.batch.max_items,
        bucket_count: recipe.batch.bucket_count,
        oversize: Oversize::Alone,
    }
}

/// The plan of a recipe's batches: items of these utterances, `lengths` long, in the order of
/// `options`, blended as `data.weights` says.
///
/// # Errors
///
/// As [`BatchPlan::new`] and [`BatchPlan::blended`].
pub fn plan_batches<'a>(
    recipe: &Recipe,
    utterances: impl IntoIterator<Item = &'a Utterance>,
    lengths: Vec<Length>,
    options: BatchOptions,
) -> anyhow::Result<BatchPlan> {
    let data = &recipe.data;
    if data.weights.is_empty() {
        return BatchPlan::new(lengths, options, recipe.seed);
    }
    let specs: Vec<ManifestSpec> =
        data.train.iter().map(|spec| ManifestSpec::parse(spec)).collect::<anyhow::Result<_>>()?;
    // No utterance is of two manifests: ids are unique across all of them.
    let source = |utterance: &Utterance| {
        let is_from =
            |spec: &ManifestSpec| *spec.path == *utterance.place.file && spec.accepts(utterance);
        specs
            .iter()
            .position(is_from)
            .with_context(|| format!("{}: utterance of no manifest of data.train", utterance.place))
    };
    let source_of = utterances.into_iter().map(source).collect::<anyhow::Result<_>>()?;
    let blend = Blend { source_of, weights: data.weights.clone() };
    BatchPlan::blended(lengths, options, recipe.seed, &blend)
        .with_context(|| format!("data.weights over [{}]", data.train.join(", ")))
}

/// What exported weights are converted to; `None` keeps f32.
pub fn export_dtype(recipe: &Recipe) -> Option<DType> {
    match recipe.output.weights {
        Weights::F32 => None,
        Weights::F16 => Some(DType::F16),
        Weights::Bf16 => Some(DType::BF16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_one_manifest_are_blended_by_their_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        let line = |k: usize| {
            let kind = if k < 12 { "read" } else { "told" };
            format!("{{\"id\": \"{k}\", \"text\": \"x\", \"kind\": \"{kind}\"}}\n")
        };
        std::fs::write(&path, (0..16).map(line).collect::<String>()).unwrap();
        let mut recipe = Recipe::default();
        let spec = |kind: &str| format!("{}#kind={kind}", path.display());
        recipe.data.train = vec![spec("told"), spec("read")];
        let share = |recipe: &Recipe| {
            let utterances = training_utterances(recipe)?;
            let lengths = vec![Length { seconds: 1.0, tokens: 1 }; utterances.len()];
            let plan = plan_batches(recipe, &utterances, lengths, batch_options(recipe))?;
            let items = (0..plan.batches_per_epoch() as u64).flat_map(|step| plan.batch(step));
            let told = |&item: &usize| utterances[item].field("kind").as_deref() == Some("told");
            anyhow::Ok(items.filter(told).count())
        };
        assert_eq!(share(&recipe).unwrap(), 4);
        recipe.data.weights = vec![3.0, 1.0];
        assert_eq!(share(&recipe).unwrap(), 12);
        recipe.data.limit = 4;
        let error = format!("{:#}", share(&recipe).unwrap_err());
        assert!(error.contains("#kind=read]: blend: source 1 has no utterance left"), "{error}");
    }

    #[test]
    fn only_utterances_known_to_be_out_of_bounds_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        let lines = [("a", "0.2"), ("b", "0.5"), ("c", "null"), ("d", "2"), ("e", "2.5")];
        let lines = lines.map(|(id, seconds)| {
            format!("{{\"id\": \"{id}\", \"text\": \"x\", \"duration\": {seconds}}}\n")
        });
        std::fs::write(&path, lines.concat()).unwrap();
        let mut recipe = Recipe::default();
        recipe.data.train = vec![path.display().to_string()];
        for (min, max, limit, expected) in
            [(0.5, 2.0, 0, "bcd"), (0.5, 0.0, 0, "bcde"), (0.0, 2.0, 2, "ab"), (9.0, 9.5, 0, "c")]
        {
            (recipe.data.min_duration_s, recipe.data.max_duration_s) = (min, max);
            recipe.data.limit = limit;
            let kept = training_utterances(&recipe).unwrap();
            let ids: String = kept.into_iter().map(|utterance| utterance.id).collect();
            assert_eq!(ids, expected, "{min} {max} {limit}");
        }
    }
}
