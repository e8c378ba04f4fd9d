use super::*;
use crate::testing::{gradcheck, noise};
use crate::{DType, ErrorKind, Var};

fn mask(values: Vec<u8>, shape: &[usize]) -> Option<Tensor> {
    Some(Tensor::from_vec(values, shape, Device::Cpu).unwrap())
}

#[test]
fn gradients_agree_with_finite_differences() {
    let key_mask = mask(vec![1, 0, 1, 1, 0, 0, 0, 0, 0, 0], &[2, 5]);
    let dropout = Some((0.4, DropoutKey { seed: 1, stream: 2 }));
    let plain = AttentionOptions::for_head_dim(3);
    for options in [
        plain.clone(),
        AttentionOptions { causal: true, ..plain.clone() },
        AttentionOptions { key_mask: key_mask.clone(), ..plain.clone() },
        AttentionOptions { causal: true, key_mask, dropout, ..plain },
    ] {
        let inputs = [noise(&[2, 4, 4, 3], 1), noise(&[2, 5, 2, 3], 2), noise(&[2, 5, 2, 2], 3)];
        gradcheck(|x| attention(&x[0], &x[1], &x[2], &options), &inputs);
    }
}

#[test]
fn the_bias_gradient_sums_over_what_it_broadcasts() {
    for bias in [&[2, 2, 3, 4][..], &[2, 3, 4], &[2, 1, 1, 4], &[3, 1], &[1]] {
        let inputs = [
            noise(&[2, 3, 2, 3], 1),
            noise(&[2, 4, 1, 3], 2),
            noise(&[2, 4, 1, 3], 3),
            noise(bias, 4),
        ];
        let run = |x: &[Tensor]| {
            let options = AttentionOptions {
                bias: Some(x[3].clone()),
                causal: true,
                ..AttentionOptions::for_head_dim(3)
            };
            attention(&x[0], &x[1], &x[2], &options)
        };
        gradcheck(run, &inputs);
    }
}

#[test]
fn a_key_cache_gives_what_the_whole_sequence_gives() {
    let (q, k) = (noise(&[1, 6, 4, 8], 1), noise(&[1, 6, 2, 8], 2));
    let options = AttentionOptions { causal: true, ..AttentionOptions::for_head_dim(8) };
    let whole = attention(&q, &k, &k, &options).unwrap();
    for step in 0..6 {
        let cache = k.narrow(1, 0, step + 1).unwrap();
        let one = attention(&q.narrow(1, step, 1).unwrap(), &cache, &cache, &options).unwrap();
        let want = whole.narrow(1, step, 1).unwrap().to_vec_f64().unwrap();
        for (got, want) in one.to_vec_f64().unwrap().iter().zip(want) {
            assert!((got - want).abs() < 1e-14);
        }
    }
}

#[test]
fn half_precision_computes_in_f32_and_rounds_once() {
    let half = |salt| noise(&[1, 9, 2, 4], salt).to_dtype(DType::BF16).unwrap();
    let (q, k, v) = (half(1), half(2), half(3));
    let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
    let options = AttentionOptions::for_head_dim(4);
    let got = attention(&q, &k, &v, &options).unwrap();
    let want = attention(&wide(&q), &wide(&k), &wide(&v), &options).unwrap();
    assert_eq!(got.dtype(), DType::BF16);
    let want = want.to_dtype(DType::BF16).unwrap();
    assert_eq!(got.to_vec_f32().unwrap(), want.to_vec_f32().unwrap());
    // Gradients come back in the operands' own dtype.
    let leaf = Var::new(q);
    let sum = attention(&leaf.tensor(), &k, &v, &options).unwrap();
    let sum = sum.to_dtype(DType::F32).unwrap().sum_all().unwrap();
    assert_eq!(sum.backward().unwrap().get(&leaf).unwrap().dtype(), DType::BF16);
}

#[test]
fn no_queries_and_no_keys_are_allowed() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, Device::Cpu).unwrap();
    let options = AttentionOptions { causal: true, ..Default::default() };
    let empty = zeros(&[2, 0, 1, 3]);
    let some = Tensor::ones(&[2, 4, 1, 3], DType::F32, Device::Cpu).unwrap();
    assert_eq!(attention(&empty, &some, &some, &options).unwrap().shape(), [2, 0, 1, 3]);
    let out = attention(&some, &empty, &empty, &options).unwrap();
    assert!(out.to_vec::<f32>().unwrap().iter().all(|&o| o == 0.0));
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, Device::Cpu).unwrap();
    let (q, kv) = (zeros(&[1, 2, 4, 3]), zeros(&[1, 5, 2, 3]));
    let kind = |q: &Tensor, k: &Tensor, v: &Tensor, options: AttentionOptions| {
        attention(q, k, v, &options).unwrap_err().kind()
    };
    let plain = AttentionOptions::default;
    assert_eq!(kind(&q, &zeros(&[1, 5, 3, 3]), &zeros(&[1, 5, 3, 3]), plain()), ErrorKind::Shape);
    assert_eq!(kind(&q, &kv, &zeros(&[1, 4, 2, 3]), plain()), ErrorKind::Shape);
    let options = AttentionOptions { key_mask: mask(vec![1; 4], &[1, 4]), ..plain() };
    assert_eq!(kind(&q, &kv, &kv, options), ErrorKind::Shape);
    let options = AttentionOptions { bias: Some(zeros(&[3, 5])), ..plain() };
    assert_eq!(kind(&q, &kv, &kv, options), ErrorKind::Shape);
    let dropout = Some((1.0, DropoutKey { seed: 0, stream: 0 }));
    let options = AttentionOptions { dropout, ..plain() };
    assert_eq!(kind(&q, &kv, &kv, options), ErrorKind::Option);
    let wide = kv.to_dtype(DType::F64).unwrap();
    assert_eq!(kind(&q, &wide, &wide, plain()), ErrorKind::DType);
}
