use std::path::Path;

use tensor_core::{AdamWOptions, DType, Device, Gradients, Philox, Var};

use super::*;
use crate::recipe::Recipe;

/// Parameters of a small model, its optimiser after two steps, and a buffer.
struct Model {
    parameters: Parameters,
    optimizer: AdamW,
    buffer: Tensor,
}

fn noise(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Philox::new(seed, 0), DType::F32, Device::Cpu).unwrap()
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut parameters = Parameters::new();
        parameters.insert("a.weight", Var::new(noise(&[3, 5], seed))).unwrap();
        parameters.insert("a.bias", Var::new(noise(&[1], seed + 1))).unwrap();
        let named = parameters.iter().map(|(name, var)| (name, var, var.shape().len() > 1));
        let optimizer = AdamW::new(AdamWOptions::default(), named).unwrap();
        Self { parameters, optimizer, buffer: noise(&[2, 1], seed + 2) }
    }

    fn step(&mut self, seed: u64) {
        let mut gradients = Gradients::new();
        for var in self.parameters.vars() {
            gradients.add(var, noise(&var.shape(), seed)).unwrap();
        }
        self.optimizer.step(&gradients, 0.1, 1.0).unwrap();
    }

    fn buffers(&self) -> Vec<(String, Tensor)> {
        vec![("bank".into(), self.buffer.clone())]
    }

    fn save(&self, store: &CheckpointStore, state: &LoopState) -> anyhow::Result<()> {
        store.save(state, &self.parameters, &self.optimizer, &self.buffers())
    }

    fn restore(&mut self, store: &CheckpointStore, step: u64) {
        let buffer = &mut self.buffer;
        store
            .restore(step, &self.parameters, &mut self.optimizer, |read| {
                *buffer = read("bank")?;
                Ok(())
            })
            .unwrap();
    }

    /// Every number of the state, as bits.
    fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let bits = |t: &Tensor| t.to_vec_f32().unwrap().iter().map(|v| v.to_bits()).collect();
        let parameters = self.parameters.iter().map(|(name, var)| (name.to_owned(), var.value()));
        let tensors = parameters.chain(self.optimizer.state().unwrap()).chain(self.buffers());
        tensors.map(|(name, t)| (name, bits(&t.to_dtype(DType::F32).unwrap()))).collect()
    }
}

fn state(step: u64, metric: Option<f64>) -> LoopState {
    LoopState {
        step,
        audio_ms: 12,
        tokens: 34,
        guard: Guard::new(6.0, 3),
        metric,
        best: Some(1.0 / 3.0),
        recipe: Recipe::default().to_text().unwrap(),
        data_hash: "0123456789abcdef".into(),
        overfit: 0,
    }
}

/// A store with a checkpoint at each step, and the metric of each.
fn filled(dir: &Path, metrics: &[(u64, Option<f64>)]) -> CheckpointStore {
    let store = CheckpointStore::new(dir.join("checkpoints"));
    for &(step, metric) in metrics {
        Model::new(step).save(&store, &state(step, metric)).unwrap();
    }
    store
}

/// Names below a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_saved_is_restored_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("checkpoints"));
    let mut model = Model::new(1);
    (5..7).for_each(|seed| model.step(seed));
    let saved = state(7, Some(0.1 + 0.2));
    model.save(&store, &saved).unwrap();
    assert_eq!(names(&store.path(7)), ["model.safetensors", "optimizer.safetensors", "state.json"]);

    let mut other = Model::new(9);
    other.restore(&store, 7);
    assert_eq!(other.bits(), model.bits());
    assert_eq!(store.state(7).unwrap(), saved);
    model.step(8);
    other.step(8);
    assert_eq!(other.bits(), model.bits(), "the next step is the same too");

    let fresh = Model::new(9);
    store.restore_parameters(7, &fresh.parameters).unwrap();
    assert_ne!(fresh.bits(), other.bits());
}

#[test]
fn equal_states_give_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let stores = ["one", "two"].map(|name| CheckpointStore::new(folder.path().join(name)));
    for store in &stores {
        Model::new(3).save(store, &state(4, None)).unwrap();
    }
    for file in names(&stores[0].path(4)) {
        let bytes = stores.each_ref().map(|store| fs::read(store.path(4).join(&file)).unwrap());
        assert!(bytes[0] == bytes[1], "{file}");
    }
}

#[test]
fn rotation_keeps_the_newest_and_the_best() {
    let metrics = [(1, Some(5.0)), (2, Some(1.0)), (3, None), (4, Some(9.0)), (5, None), (6, None)];
    for (keep_last, keep_best, lower, expected) in [
        (2, 1, true, vec![2, 5, 6]),
        (2, 1, false, vec![4, 5, 6]),
        (1, 2, true, vec![1, 2, 6]),
        (3, 0, true, vec![4, 5, 6]),
        (0, 0, true, vec![6]),
        (9, 9, true, vec![1, 2, 3, 4, 5, 6]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), &metrics);
        store.rotate(keep_last, keep_best, lower).unwrap();
        assert_eq!(store.steps().unwrap(), expected, "{keep_last} {keep_best} {lower}");
        assert_eq!(names(&folder.path().join("checkpoints")).len(), expected.len());
    }
}

#[test]
fn the_best_is_the_earlier_of_equals_and_the_last_when_none_was_scored() {
    let folder = tempfile::tempdir().unwrap();
    let scored = [(1, Some(2.0)), (2, Some(1.0)), (3, Some(1.0)), (4, None)];
    let store = filled(folder.path(), &scored);
    assert_eq!(store.best(true).unwrap(), Some(2));
    assert_eq!(store.best(false).unwrap(), Some(1));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(filled(folder.path(), &[(1, None), (2, None)]).best(true).unwrap(), Some(2));
    assert_eq!(filled(&folder.path().join("none"), &[]).best(true).unwrap(), None);
}

#[test]
fn what_a_crash_left_is_ignored_and_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[(1, Some(1.0))]);
    let dir = folder.path().join("checkpoints");
    for leftover in [".draft-00000002", ".draft-00000009", ".old-00000001"] {
        fs::create_dir_all(dir.join(leftover)).unwrap();
        fs::write(dir.join(leftover).join("model.safetensors"), b"half of i").unwrap();
    }
    fs::write(dir.join("step-notes.txt"), b"a user's file").unwrap();
    assert_eq!(store.steps().unwrap(), [1]);
    assert_eq!(store.best(true).unwrap(), Some(1));
    store.rotate(1, 0, true).unwrap();

    Model::new(2).save(&store, &state(2, None)).unwrap();
    assert_eq!(names(&dir), ["step-00000001", "step-00000002", "step-notes.txt"]);
    Model::new(5).restore(&store, 2);
}

#[test]
fn a_checkpoint_of_the_same_step_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[(1, None)]);
    Model::new(7).save(&store, &state(1, Some(4.0))).unwrap();
    assert_eq!(names(&folder.path().join("checkpoints")), ["step-00000001"]);
    let mut restored = Model::new(9);
    restored.restore(&store, 1);
    assert_eq!(restored.bits(), Model::new(7).bits());
    assert_eq!(store.state(1).unwrap().metric, Some(4.0));
}

#[test]
fn a_failed_save_says_so_and_leaves_earlier_checkpoints_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[(1, None)]);
    // The second file fails when the first one lies in the draft already.
    let model = Model::new(2);
    let twice = [model.buffers(), model.buffers()].concat();
    let error =
        store.save(&state(2, None), &model.parameters, &model.optimizer, &twice).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("step-00000002: not saved; earlier checkpoints are whole"), "{text}");
    assert!(text.contains("(hint: free disk space, then continue with --resume)"), "{text}");
    assert_eq!(names(&folder.path().join("checkpoints")), ["step-00000001"]);
    Model::new(3).restore(&store, 1);

    let blocked = CheckpointStore::new(folder.path().join("file"));
    fs::write(folder.path().join("file"), b"").unwrap();
    let error = model.save(&blocked, &state(1, None)).unwrap_err();
    assert!(format!("{error:#}").contains("not saved"), "{error:#}");
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[(1, None)]);
    let mut optimizer = Model::new(1).optimizer;
    let mut others = Parameters::new();
    others.insert("a.weight", Var::new(noise(&[5, 3], 1))).unwrap();
    others.insert("b", Var::new(noise(&[1], 1))).unwrap();
    let error = store.restore(1, &others, &mut optimizer, |_| Ok(())).unwrap_err().to_string();
    for part in ["model.safetensors", "a.weight is [3, 5], expected [5, 3]", "b", "a.bias"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let model = Model::new(1);
    let error = store
        .restore(1, &model.parameters, &mut optimizer, |read| Ok(read("absent").map(|_| ())?))
        .unwrap_err();
    assert!(error.to_string().contains("buffer.absent"), "{error}");
}

#[test]
fn a_broken_state_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[(1, None)]);
    fs::write(store.path(1).join("state.json"), "{\"step\": ").unwrap();
    let error = format!("{:#}", store.state(1).unwrap_err());
    assert!(error.contains("step-00000001/state.json: not a checkpoint state"), "{error}");
}
