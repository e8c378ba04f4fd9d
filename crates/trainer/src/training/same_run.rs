//! Whether a checkpoint may be continued: the same recipe on the same data.

use anyhow::{Context as _, bail};

use super::checkpoint::LoopState;
use crate::manifest::ManifestSpec;
use crate::recipe::changes;

/// Refuses to continue the run `saved` as the run `now` of another recipe or other data.
///
/// Keys that do not change what a step computes may differ, and those in `allowed`, where `data`
/// and `overfit` stand for what is no key.
///
/// # Errors
///
/// Lists every key that differs with both values.
pub(super) fn check_same_run(
    saved: &LoopState,
    now: &LoopState,
    allowed: &[String],
) -> anyhow::Result<()> {
    const HARMLESS: &[&str] = &[
        "name",
        "output.",
        "teacher.cache_mb",
        "train.threads",
        "train.log_every",
        "checkpoint.every",
        "checkpoint.keep_last",
        "checkpoint.keep_best",
        "eval.",
    ];
    let may_differ = |key: &str| {
        HARMLESS.iter().any(|&free| key == free || (free.ends_with('.') && key.starts_with(free)))
            || allowed.iter().any(|free| free == key)
    };
    let mut differing: Vec<String> = changes(&saved.recipe, &now.recipe)?
        .into_iter()
        .filter(|change| !may_differ(&change.key))
        .map(|change| {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "absent".into());
            format!("{}: saved {}, now {}", change.key, shown(change.before), shown(change.after))
        })
        .collect();
    if saved.data_hash != now.data_hash && !may_differ("data") {
        let short = |hash: &str| hash.chars().take(8).collect::<String>();
        differing.push(format!(
            "data: hash of the manifests differs, saved {}, now {}",
            short(&saved.data_hash),
            short(&now.data_hash)
        ));
    }
    if saved.overfit != now.overfit && !may_differ("overfit") {
        differing.push(format!("overfit: saved {}, now {}", saved.overfit, now.overfit));
    }
    if let Some(first) = differing.first() {
        let key = first.split(':').next().unwrap_or_default();
        bail!(
            "checkpoint at step {}: cannot resume under another recipe:\n  {}\n(hint: \
             --allow-change {key} if that is what you want)",
            saved.step,
            differing.join("\n  ")
        );
    }
    Ok(())
}

/// Hash over the bytes of the manifests behind `specs`, in order; their folders do not count.
pub(super) fn hash_manifests<S: AsRef<str>>(specs: &[S]) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for spec in specs {
        let spec = spec.as_ref();
        let ManifestSpec { path, filters } = ManifestSpec::parse(spec)?;
        let path_end = if filters.is_empty() { None } else { spec.rfind('#') };
        let folder = spec[..path_end.unwrap_or(spec.len())].rfind('/');
        hasher.update(&spec.as_bytes()[folder.map_or(0, |at| at + 1)..]);
        let bytes = std::fs::read(&path);
        hasher.update(&bytes.with_context(|| format!("{}: cannot read", path.display()))?);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Guard;
    use crate::recipe::Recipe;

    /// A run of the default recipe.
    fn state() -> LoopState {
        LoopState {
            step: 40,
            audio_ms: 0,
            tokens: 0,
            guard: Guard::new(6.0, 3),
            metric: None,
            best: None,
            recipe: Recipe::default().to_text().unwrap(),
            data_hash: "0123456789abcdef".into(),
            overfit: 0,
        }
    }

    /// The message about resuming after `change`, if it is refused.
    fn refusal(change: impl FnOnce(&mut Recipe), allowed: &[&str]) -> Option<String> {
        let mut recipe = Recipe::default();
        change(&mut recipe);
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let now = LoopState { recipe: recipe.to_text().unwrap(), ..state() };
        check_same_run(&state(), &now, &allowed).err().map(|e| e.to_string())
    }

    #[test]
    fn another_recipe_is_refused_with_both_values_of_every_key() {
        let change = |recipe: &mut Recipe| {
            recipe.optim.lr = 0.5;
            recipe.model.config = "other".into();
        };
        assert_eq!(
            refusal(change, &[]).unwrap(),
            "checkpoint at step 40: cannot resume under another recipe:\n  model.config: saved \"\", \
             now \"other\"\n  optim.lr: saved 0.0002, now 0.5\n(hint: --allow-change model.config if \
             that is what you want)"
        );
        let rest = refusal(change, &["model.config"]).unwrap();
        assert!(rest.contains("optim.lr") && !rest.contains("model.config"), "{rest}");
        assert_eq!(refusal(change, &["optim.lr", "model.config"]), None);
    }

    #[test]
    fn keys_that_change_no_step_may_differ() {
        let harmless = |recipe: &mut Recipe| {
            recipe.name = "again".into();
            recipe.output.dir = "elsewhere".into();
            recipe.teacher.cache_mb = 7;
            recipe.train.threads = 7;
            recipe.train.log_every = 3;
            recipe.checkpoint.every = 1;
            recipe.checkpoint.keep_last = 9;
            recipe.eval.batch_items = 1;
        };
        assert_eq!(refusal(harmless, &[]), None);
        // What was the best so far is a value of the old metric.
        let metric = |recipe: &mut Recipe| recipe.checkpoint.metric = "dev.accuracy".into();
        assert!(refusal(metric, &[]).unwrap().contains("checkpoint.metric: saved \"-dev.loss\""));
    }

    #[test]
    fn other_data_under_the_same_name_are_refused() {
        let check = |hash: &str, allowed: &[String]| {
            let now = LoopState { data_hash: hash.into(), ..state() };
            check_same_run(&state(), &now, allowed).map_err(|e| e.to_string())
        };
        assert_eq!(check("0123456789abcdef", &[]), Ok(()));
        let error = check("fedcba9876543210", &[]).unwrap_err();
        assert!(error.contains("saved 01234567, now fedcba98"), "{error}");
        assert!(error.contains("--allow-change data "), "{error}");
        assert_eq!(check("fedcba9876543210", &["data".into()]), Ok(()));
    }

    #[test]
    fn a_run_that_overfits_is_not_continued_on_all_batches() {
        let now = LoopState { overfit: 2, ..state() };
        let error = check_same_run(&state(), &now, &[]).unwrap_err().to_string();
        assert!(error.contains("overfit: saved 0, now 2"), "{error}");
        assert!(error.contains("(hint: --allow-change overfit "), "{error}");
        check_same_run(&state(), &now, &["overfit".into()]).unwrap();
    }

    #[test]
    fn the_hash_of_manifests_sees_bytes_order_and_conditions_but_not_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |dir: &str, name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(dir)).unwrap();
            let path = folder.path().join(dir).join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (a, b) = (write("x", "a.jsonl", "1\n"), write("x", "b.jsonl", "2\n"));
        let hash = |specs: &[&str]| hash_manifests(specs).unwrap();
        let base = hash(&[&a, &b]);
        assert_eq!(base.len(), 64);
        assert_eq!(base, hash(&[&write("y", "a.jsonl", "1\n"), &b]));
        assert_ne!(base, hash(&[&b, &a]));
        assert_ne!(base, hash(&[&a]));
        assert_ne!(base, hash(&[&format!("{a}#split=train"), &b]));
        assert_ne!(hash(&[&format!("{a}#topic=x/y")]), hash(&[&format!("{a}#topic=z/y")]));
        assert_ne!(base, hash(&[&write("z", "a.jsonl", "1 \n"), &b]));
        let absent = format!("{a}.absent");
        let error = format!("{:#}", hash_manifests(&[&absent]).unwrap_err());
        assert!(error.contains("a.jsonl.absent: cannot read"), "{error}");
    }
}
