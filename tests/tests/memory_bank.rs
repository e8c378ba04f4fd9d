//! What a step leaves in the memory bank of `teach-whisper`.

use tensor_core::{Context, Tensor};
use trainer::host::Host;
use trainer::interrupt::Interrupt;
use trainer::recipe::Recipe;
use trainer::tasks::teach_whisper::TeachTask;
use trainer::tasks::{BatchSource, Task};

use crate::world::World;

/// A buffer of the task.
fn buffer(task: &TeachTask, name: &str) -> Vec<f64> {
    let buffers: Vec<(String, Tensor)> = task.buffers().unwrap();
    let found = buffers.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no buffer {name}")).1.to_vec_f64().unwrap()
}

const SIDES: [&str; 2] = ["bank.student", "bank.teacher"];

#[test]
fn a_skipped_step_leaves_the_bank_alone_and_a_good_one_moves_its_clips() {
    let world = World::new();
    let sets = ["teacher.cache_mb=0".to_owned()];
    let recipe = Recipe::load(&world.teach_recipe(), &sets).unwrap().recipe;
    let interrupt = Interrupt::manual();
    let mut task = TeachTask::new(&recipe, &Host::quiet(&interrupt)).unwrap();
    let (source, plan) = (task.source(), task.plan());
    let items = plan.batch(0);
    let batch = source.make(0, &items).unwrap();
    let start = SIDES.map(|side| buffer(&task, side));
    assert_eq!(buffer(&task, "bank.z"), [0.0, 0.0]);

    for applied in [false, true] {
        let parts = task.loss(&Context::train(1, 0), &batch).unwrap();
        assert_eq!(parts[1].name, "kd");
        assert_eq!(SIDES.map(|side| buffer(&task, side)), start, "nothing moves before the end");
        task.after_step(applied).unwrap();
        for (side, start) in SIDES.iter().zip(&start) {
            let width = recipe.loss.crd.dim;
            let after = buffer(&task, side);
            for (clip, (old, new)) in start.chunks(width).zip(after.chunks(width)).enumerate() {
                assert_eq!(old != new, applied && items.contains(&clip), "{side} row {clip}");
                let norm = new.iter().map(|v| v * v).sum::<f64>().sqrt();
                assert!(!applied || !items.contains(&clip) || (norm - 1.0).abs() < 1e-6);
            }
        }
    }

    // The normalisers are those of the first batch from now on.
    let z = buffer(&task, "bank.z");
    assert!(z.iter().all(|&z| z > 0.0));
    let next = source.make(1, &plan.batch(1)).unwrap();
    task.loss(&Context::train(1, 1), &next).unwrap();
    task.after_step(true).unwrap();
    assert_eq!(buffer(&task, "bank.z"), z);
}
