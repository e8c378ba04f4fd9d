use std::sync::Mutex;

use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, Device, ErrorKind};

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// `scale x`, writing to the log when its derivative is taken and when what it saved is freed.
struct Logged {
    id: usize,
    scale: f64,
    log: Log,
}

struct LoggedBackward {
    id: usize,
    scale: f64,
    log: Log,
}

impl CustomOp for Logged {
    fn name(&self) -> &'static str {
        "logged"
    }

    fn forward(&self, inputs: &[&Tensor]) -> Result<(Tensor, Box<dyn Backward>)> {
        assert!(inputs.iter().all(|input| !input.requires_grad()), "inputs come detached");
        let Self { id, scale, ref log } = *self;
        Ok((inputs[0].mul_scalar(scale)?, Box::new(LoggedBackward { id, scale, log: log.clone() })))
    }
}

impl Backward for LoggedBackward {
    fn name(&self) -> &'static str {
        "logged"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.log.lock().unwrap().push(format!("walk {}", self.id));
        Ok(vec![Some(grad.mul_scalar(self.scale)?)])
    }
}

impl Drop for LoggedBackward {
    fn drop(&mut self) {
        self.log.lock().unwrap().push(format!("free {}", self.id));
    }
}

fn chain(leaf: &Var, log: &Log) -> Tensor {
    (1..=3).fold(leaf.tensor(), |x, id| {
        Tensor::apply(&Logged { id, scale: 2.0, log: log.clone() }, &[&x]).unwrap()
    })
}

#[test]
fn a_tensor_used_twice_gets_the_sum() {
    gradcheck(|x| x[0].mul(&x[0])?.add(&x[0]), &[noise(&[3], 1)]);
    // A diamond whose branches have different depths.
    gradcheck(
        |x| {
            let y = x[0].sqr()?;
            let long = y.exp()?.tanh()?.mul(&y)?;
            long.add(&y)?.mul(&y.add(&x[0])?)
        },
        &[noise(&[2, 3], 1)],
    );
    // The same leaf through two calls of `Var::tensor`.
    let leaf = Var::new(noise(&[2], 1));
    let y = leaf.tensor().add(&leaf.tensor()).unwrap().sum_all().unwrap();
    assert_eq!(y.backward().unwrap().get(&leaf).unwrap().to_vec_f64().unwrap(), [2.0, 2.0]);
}

#[test]
fn f32_branches_add_up_without_harming_what_they_share() {
    // Accumulation is in place in f32; the gradient of a residual sum goes to both branches.
    let leaf = Var::new(noise(&[5], 1).to_dtype(DType::F32).unwrap());
    let x = leaf.tensor();
    let y = x.add(&x.mul_scalar(3.0).unwrap()).unwrap();
    let z = y.add(&y.mul_scalar(2.0).unwrap()).unwrap().add(&x).unwrap();
    let gradients = z.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&leaf).unwrap().to_vec::<f32>().unwrap(), [13.0; 5]);
}

#[test]
fn custom_operators_join_the_graph() {
    let log = Log::default();
    let leaf = Var::new(noise(&[3], 1));
    let gradients = chain(&leaf, &log).sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&leaf).unwrap().to_vec_f64().unwrap(), [8.0; 3]);
    let scale =
        |x: &[Tensor]| Tensor::apply(&Logged { id: 0, scale: -1.5, log: log.clone() }, &[&x[0]]);
    gradcheck(scale, &[noise(&[2, 3], 1)]);
}

#[test]
fn saved_tensors_are_freed_as_the_walk_passes_them() {
    let log = Log::default();
    let leaf = Var::new(noise(&[3], 1));
    let loss = chain(&leaf, &log).sum_all().unwrap();
    assert!(log.lock().unwrap().is_empty());
    let gradients = loss.backward().unwrap();
    let events = ["walk 3", "free 3", "walk 2", "free 2", "walk 1", "free 1"];
    assert_eq!(*log.lock().unwrap(), events, "each is freed before the next is walked");
    drop((gradients, loss));
    assert_eq!(log.lock().unwrap().len(), events.len());
}

#[test]
fn nothing_is_saved_where_nothing_wants_a_gradient() {
    let log = Log::default();
    let frozen = Var::new(noise(&[3], 1));
    frozen.set_trainable(false);
    let y = chain(&frozen, &log);
    assert!(!y.requires_grad());
    assert_eq!(*log.lock().unwrap(), ["free 1", "free 2", "free 3"]);
}

#[test]
fn a_second_walk_is_refused() {
    let leaf = Var::new(noise(&[3], 1));
    let loss = leaf.tensor().sqr().unwrap().sum_all().unwrap();
    loss.backward().unwrap();
    let error = loss.backward().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Graph);
    assert_eq!(
        error.to_string(),
        "backward: this graph was walked before and its saved tensors are freed \
         (hint: run the forward pass again, or add the losses before one walk)"
    );
}

#[test]
fn a_walk_without_a_start_or_an_end_is_refused() {
    let leaf = Var::new(noise(&[3], 1));
    let error = leaf.tensor().backward().map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "backward: shape is [3], expected one element \
         (hint: reduce with sum_all, or pass a seed to backward_with)"
    );
    let error = leaf.value().sum_all().unwrap().backward().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Graph);
    assert!(error.to_string().starts_with("backward: nothing upstream is trainable"), "{error}");
    let seed = noise(&[3], 2).to_dtype(DType::F32).unwrap();
    let error = leaf.tensor().backward_with(&seed).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "backward: seed is [3] f32, expected [3] f64");
}

#[test]
fn a_seed_weighs_the_outputs() {
    let leaf = Var::new(noise(&[3], 1));
    let seed = noise(&[3], 2);
    let gradients = leaf.tensor().mul_scalar(2.0).unwrap().backward_with(&seed).unwrap();
    let want: Vec<f64> = seed.to_vec_f64().unwrap().iter().map(|s| 2.0 * s).collect();
    assert_eq!(gradients.get(&leaf).unwrap().to_vec_f64().unwrap(), want);
}

#[test]
fn a_graph_of_a_hundred_thousand_nodes_needs_no_stack() {
    let deep = |leaf: &Var| (0..100_000).fold(leaf.tensor(), |x, _| x.add_scalar(1e-3).unwrap());
    let run = move || {
        let leaf = Var::new(Tensor::zeros(&[1], DType::F64, Device::Cpu).unwrap());
        let gradients = deep(&leaf).backward().unwrap();
        assert_eq!(gradients.get(&leaf).unwrap().item().unwrap(), 1.0);
        // And one that is dropped without a walk.
        drop(deep(&leaf));
    };
    // Far less stack than one frame a node would take.
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn walks_add_up_as_micro_batches_do() {
    let (a, b) = (Var::new(noise(&[2], 1)), Var::new(noise(&[3], 2)));
    let loss = |x: &Var, factor| {
        x.tensor().mul_scalar(factor).unwrap().sum_all().unwrap().backward().unwrap()
    };
    let mut sum = Gradients::new();
    assert!(sum.is_empty());
    for walk in [loss(&a, 1.0), loss(&b, 2.0), loss(&a, 4.0)] {
        sum.accumulate(walk).unwrap();
    }
    assert_eq!(sum.len(), 2);
    assert_eq!(sum.get(&a).unwrap().to_vec_f64().unwrap(), [5.0; 2]);
    let norm = sum.global_norm([&a, &b]).unwrap();
    assert!((norm - (2.0 * 25.0 + 3.0 * 4.0f64).sqrt()).abs() < 1e-14);
    assert_eq!(sum.global_norm([&b]).unwrap(), 12f64.sqrt());
    assert_eq!(sum.remove(&a).unwrap().shape(), [2]);
    assert!(sum.get(&a).is_none());
}

#[test]
fn a_gradient_that_does_not_fit_its_leaf_is_refused() {
    let leaf = Var::new(noise(&[3], 1));
    let error = Gradients::new().add(&leaf, noise(&[2], 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.to_string(), "gradients: gradient is [2] f64, expected [3] f64 as its leaf");
    let narrow = noise(&[3], 1).to_dtype(DType::F32).unwrap();
    assert!(Gradients::new().add(&leaf, narrow).is_err());
}

#[test]
fn a_custom_operator_gives_one_gradient_an_input() {
    let log = Log::default();
    let (a, b) = (Var::new(noise(&[3], 1)), Var::new(noise(&[3], 2)));
    let scale = Logged { id: 1, scale: 2.0, log };
    let y = Tensor::apply(&scale, &[&a.tensor(), &b.tensor()]).unwrap().sum_all().unwrap();
    let error = y.backward().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Graph);
    assert_eq!(
        error.to_string(),
        "backward: `logged` gave 1 gradients, expected 2 \
         (hint: one entry an input, None where it has no gradient)"
    );
}
