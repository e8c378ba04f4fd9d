//! Nearest known name, for the hints in error messages.
//!
//! Two ideas: plain typos are found by edit distance, and names that users bring from other
//! toolkits (`learning_rate`, `gradient_accumulation_steps`) are found in a table of synonyms,
//! because no edit distance leads from `learning_rate` to `lr`.

/// Names other toolkits use, and the recipe key that means the same here.
const SYNONYMS: &[(&str, &str)] = &[
    ("learning_rate", "optim.lr"),
    ("adam_beta1", "optim.betas"),
    ("adam_beta2", "optim.betas"),
    ("adam_epsilon", "optim.eps"),
    ("wd", "optim.weight_decay"),
    ("max_grad_norm", "optim.clip_norm"),
    ("grad_clip", "optim.clip_norm"),
    ("gradient_clip_val", "optim.clip_norm"),
    ("clip_grad_norm", "optim.clip_norm"),
    ("batch_size", "batch.max_items"),
    ("micro_batch", "batch.max_items"),
    ("per_device_train_batch_size", "batch.max_items"),
    ("batch_duration", "batch.max_seconds"),
    ("gradient_accumulation_steps", "batch.accumulate"),
    ("accumulate_grad_batches", "batch.accumulate"),
    ("grad_accum", "batch.accumulate"),
    ("num_buckets", "batch.bucket_count"),
    ("lr_scheduler_type", "schedule.kind"),
    ("scheduler", "schedule.kind"),
    ("warmup", "schedule.warmup_steps"),
    ("num_warmup_steps", "schedule.warmup_steps"),
    ("steps", "schedule.max_steps"),
    ("num_steps", "schedule.max_steps"),
    ("total_steps", "schedule.max_steps"),
    ("min_lr", "schedule.min_lr_ratio"),
    ("dtype", "train.precision"),
    ("bf16", "train.precision"),
    ("mixed_precision", "train.precision"),
    ("num_workers", "train.threads"),
    ("gradient_checkpointing", "train.grad_checkpoint"),
    ("eval_steps", "train.eval_every"),
    ("logging_steps", "train.log_every"),
    ("log_interval", "train.log_every"),
    ("save_steps", "checkpoint.every"),
    ("save_interval", "checkpoint.every"),
    ("save_total_limit", "checkpoint.keep_last"),
    ("metric_for_best_model", "checkpoint.metric"),
    ("output_dir", "output.dir"),
    ("out_dir", "output.dir"),
    ("train_manifest", "data.train"),
    ("train_data_path", "data.train"),
    ("val", "data.dev"),
    ("valid", "data.dev"),
    ("validation", "data.dev"),
    ("manifest_filepath", "data.train"),
    ("max_duration", "data.max_duration_s"),
    ("min_duration", "data.min_duration_s"),
    ("mask_probability", "loss.mlm_probability"),
    ("tau", "loss.crd.temperature"),
    ("model_name_or_path", "model.dir"),
    ("teacher_name_or_path", "teacher.dir"),
];

/// The known name closest to `word`, if one is close enough to be worth suggesting.
///
/// "Close enough" is at most a third of the longer name's characters edited, and at least two
/// edits are always allowed for names of four characters or more.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (edit_distance(word, name), name))
        .filter(|&(distance, name)| distance <= allowed_edits(word, name))
        .min_by_key(|&(distance, name)| (distance, name.len().abs_diff(word.len())))
        .map(|(_, name)| name)
}

/// The known full key a user most likely meant by the unknown full key `key`.
///
/// Tried in order: a synonym from another toolkit, the same last part in another section, a
/// typo in the last part within the same section, a typo anywhere, a typo in the last part.
pub fn nearest_key<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let find = |full: &str| known.iter().map(String::as_str).find(|&k| k == full);
    let last = last_part(key);
    if let Some(found) =
        SYNONYMS.iter().find(|&&(name, _)| name == last).and_then(|&(_, meant)| find(meant))
    {
        return Some(found);
    }
    let section = section_of(key);
    let names = || known.iter().map(String::as_str);
    let by_last = |candidates: Vec<&'a str>| {
        let lasts: Vec<&str> = candidates.iter().map(|&k| last_part(k)).collect();
        let best = nearest(last, lasts.iter().copied())?;
        candidates.into_iter().find(|&k| last_part(k) == best)
    };
    names()
        .find(|&k| last_part(k) == last)
        .or_else(|| by_last(names().filter(|&k| section_of(k) == section).collect()))
        .or_else(|| nearest(key, names()))
        .or_else(|| by_last(names().collect()))
}

/// ` (hint: did you mean NAME)`, or nothing when there is no near name.
pub fn did_you_mean(found: Option<&str>) -> String {
    found.map(|name| format!(" (hint: did you mean {name})")).unwrap_or_default()
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn section_of(key: &str) -> &str {
    key.rsplit_once('.').map_or("", |(section, _)| section)
}

fn allowed_edits(a: &str, b: &str) -> usize {
    let longer = a.chars().count().max(b.chars().count());
    if longer < 4 { 1 } else { (longer / 3).max(2) }
}

/// Optimal string alignment distance: insert, delete, substitute, swap two neighbours.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitute = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_is_zero_on_equals_and_symmetric() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("lr", "rl", 1), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
            assert_eq!(edit_distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn names_that_are_far_apart_are_not_suggested() {
        assert_eq!(nearest("banana", ["lr", "weight_decay"]), None);
        assert_eq!(nearest("wieght_decay", ["lr", "weight_decay"]), Some("weight_decay"));
    }

    #[test]
    fn every_synonym_leads_to_a_key_that_exists() {
        let known = crate::recipe::known_keys();
        for (_, meant) in SYNONYMS {
            assert!(known.iter().any(|k| k == meant), "{meant}");
        }
    }
}
