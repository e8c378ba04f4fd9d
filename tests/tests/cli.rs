use crate::world::World;
#[test]
fn probe() { let _ = World::new(); }
