use super::*;
use crate::testing::noise;

const OPTIONS: AdamWOptions = AdamWOptions { betas: (0.9, 0.99), eps: 1e-8, weight_decay: 0.1 };

fn leaf(shape: &[usize], salt: usize) -> Var {
    Var::new(noise(shape, salt).to_dtype(DType::F32).unwrap())
}

fn gradients(pairs: &[(&Var, f64)]) -> Gradients {
    let mut gradients = Gradients::new();
    for &(var, value) in pairs {
        let grad = Tensor::full(&var.shape(), value, DType::F32, Device::Cpu).unwrap();
        gradients.add(var, grad).unwrap();
    }
    gradients
}

fn values(var: &Var) -> Vec<f32> {
    var.value().to_vec::<f32>().unwrap()
}

#[test]
fn a_restored_optimiser_goes_on_with_the_same_bits() -> Result<()> {
    let (a, b) = (leaf(&[3, 5], 1), leaf(&[1], 2));
    let slots = || [("a", &a, true), ("b", &b, false)];
    let mut first = AdamW::new(OPTIONS, slots())?;
    for step in 0..3 {
        first.step(&gradients(&[(&a, 0.3 + f64::from(step)), (&b, -1.0)]), 1e-2, 1.0)?;
    }
    let state = first.state()?;
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["step", "mean.a", "square.a", "mean.b", "square.b"]);
    assert_eq!(state[1].1.shape(), [3, 5]);
    let (saved_a, saved_b) = (a.value(), b.value());
    let finish = |optimiser: &mut AdamW| -> Result<Vec<f32>> {
        optimiser.step(&gradients(&[(&a, -2.0), (&b, 0.5)]), 1e-2, 0.5)?;
        Ok([values(&a), values(&b)].concat())
    };
    let want = finish(&mut first)?;
    a.set(&saved_a)?;
    b.set(&saved_b)?;
    let mut second = AdamW::new(OPTIONS, slots())?;
    let read = |name: &str| {
        let found = state.iter().find(|(n, _)| n == name);
        found.map(|(_, t)| t.clone()).ok_or_else(|| Error::new(ErrorKind::Weights, "test", name))
    };
    second.load_state(read)?;
    assert_eq!(second.steps(), 3);
    assert_eq!(finish(&mut second)?, want);
    Ok(())
}

#[test]
fn a_parameter_without_a_gradient_stays_as_it_is() -> Result<()> {
    let (a, b) = (leaf(&[3], 1), leaf(&[2], 2));
    let mut optimiser = AdamW::new(OPTIONS, [("a", &a, true), ("b", &b, true)])?;
    let before = (values(&a), values(&b));
    optimiser.step(&gradients(&[(&a, 1.0)]), 1e-2, 1.0)?;
    assert_ne!(values(&a), before.0);
    assert_eq!(values(&b), before.1);
    assert_eq!(optimiser.state()?[3].1.to_vec::<f32>()?, [0.0, 0.0]);
    Ok(())
}

#[test]
fn only_slots_that_ask_for_it_decay() -> Result<()> {
    let (a, b) = (leaf(&[3], 1), leaf(&[3], 1));
    let mut optimiser = AdamW::new(OPTIONS, [("a", &a, true), ("b", &b, false)])?;
    let before = values(&a);
    optimiser.step(&gradients(&[(&a, 0.0), (&b, 0.0)]), 0.5, 1.0)?;
    assert_eq!(values(&b), before);
    for (after, before) in values(&a).iter().zip(before) {
        assert!((after - 0.95 * before).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn a_step_leaves_tensors_of_the_last_pass_alone() -> Result<()> {
    let a = leaf(&[3], 1);
    let mut optimiser = AdamW::new(OPTIONS, [("a", &a, true)])?;
    let (held, before) = (a.tensor(), values(&a));
    optimiser.step(&gradients(&[(&a, 1.0)]), 1e-2, 1.0)?;
    assert_eq!(held.to_vec::<f32>()?, before);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
    let wide = Var::new(noise(&[2], 1));
    let error = AdamW::new(OPTIONS, [("head.weight", &wide, true)]).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "adamw: parameter `head.weight` is f64, expected f32");
    let a = leaf(&[3], 1);
    let mut optimiser = AdamW::new(OPTIONS, [("a", &a, true)])?;
    optimiser.step(&gradients(&[(&a, 1.0)]), 1e-2, 1.0)?;
    // The second has the right count in another shape.
    for shape in [&[2][..], &[3, 1]] {
        let read = |_: &str| Tensor::zeros(shape, DType::F32, Device::Cpu);
        let error = optimiser.load_state(read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        let text = format!("adamw: `mean.a` is {shape:?} f32, expected [3] f32");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(optimiser.steps(), 1);
    assert_ne!(optimiser.state()?[1].1.to_vec::<f32>()?, [0.0; 3]);
    Ok(())
}

#[test]
fn decay_rates_outside_their_range_are_refused() {
    for betas in [(1.0, 0.9), (0.9, -0.1), (f64::NAN, 0.9)] {
        let options = AdamWOptions { betas, ..OPTIONS };
        let error = AdamW::new(options, []).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Option);
        assert!(error.to_string().ends_with("expected 0 <= beta < 1"), "{error}");
    }
}
