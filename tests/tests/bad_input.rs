use crate::world::World;
#[test]
fn probe() { let w = World::new(); w.save_bert("sb", 1); w.asr_recipe(); w.teach_recipe(); println!("WORLD {}", w.text("")); std::mem::forget(w); }
