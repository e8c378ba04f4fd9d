use super::*;
use crate::testing::{gradcheck, noise};
use crate::{ErrorKind, Var};

fn ids(values: &[i64], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, Device::Cpu).unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let x = [noise(&[3, 4, 2], 1)];
    // Entries repeat, so gradients add up.
    gradcheck(|x| x[0].index_select(1, &ids(&[3, 0, 3, 3, 1], &[5]))?.sqr(), &x);
    gradcheck(|x| x[0].index_select(-1, &ids(&[1], &[1]))?.sqr(), &x);
    gradcheck(|x| x[0].permute(&[2, 0, 1])?.index_select(0, &ids(&[1, 1], &[2]))?.sqr(), &x);
    let table = [noise(&[5, 3], 2)];
    gradcheck(|x| x[0].embedding(&ids(&[4, 0, 4, 1, 2, 2], &[2, 3]))?.sqr(), &table);
    let picks = ids(&[0, 2, 1, 1, 3, 3, 0, 0, 0, 1, 2, 3], &[3, 2, 2]);
    gradcheck(|x| x[0].gather(1, &picks)?.sqr(), &x);
    let inputs = [noise(&[3, 4, 2], 1), noise(&[3, 2, 2], 2)];
    gradcheck(|x| x[0].scatter_add(1, &picks, &x[1])?.sqr(), &inputs);
}

#[test]
fn an_embedding_has_the_shape_of_its_ids_and_the_rows_of_its_table() -> Result<()> {
    let table = noise(&[4, 3], 1);
    let rows = table.to_vec_f64()?;
    let out = table.embedding(&ids(&[3, 0, 0, 2], &[2, 1, 2]))?;
    assert_eq!(out.shape(), [2, 1, 2, 3]);
    let want: Vec<f64> =
        [3, 0, 0, 2].iter().flat_map(|&r| rows[r * 3..r * 3 + 3].to_vec()).collect();
    assert_eq!(out.to_vec_f64()?, want);
    assert_eq!(table.embedding(&ids(&[], &[0]))?.shape(), [0, 3]);
    Ok(())
}

#[test]
fn scatter_add_undoes_gather() -> Result<()> {
    let x = Tensor::arange(6, Device::Cpu)?.reshape(&[2, 3])?;
    let order = ids(&[2, 0, 1, 1, 2, 0], &[2, 3]);
    let zeros = Tensor::zeros(&[2, 3], DType::I64, Device::Cpu)?;
    let back = zeros.scatter_add(1, &order, &x.gather(1, &order)?)?;
    assert_eq!(back.to_vec::<i64>()?, x.to_vec::<i64>()?);
    Ok(())
}

#[test]
fn many_small_bf16_terms_add_up_in_f32() -> Result<()> {
    // In bf16 the sum would stop growing at 256.
    let ones = Tensor::ones(&[1000], DType::BF16, Device::Cpu)?;
    let zero = Tensor::zeros(&[1], DType::BF16, Device::Cpu)?;
    let sum = zero.scatter_add(0, &Tensor::zeros(&[1000], DType::I64, Device::Cpu)?, &ones)?;
    assert_eq!((sum.dtype(), sum.item()?), (DType::BF16, 1000.0));
    let table = Var::new(zero.reshape(&[1, 1])?);
    let out = table.tensor().embedding(&Tensor::zeros(&[1000], DType::I64, Device::Cpu)?)?;
    let grad = out.to_dtype(DType::F32)?.sum_all()?.backward()?.remove(&table).unwrap();
    assert_eq!((grad.dtype(), grad.item()?), (DType::BF16, 1000.0));
    Ok(())
}

#[test]
fn an_index_outside_names_its_position() {
    let table = noise(&[4, 3], 1);
    for bad in [4, -1] {
        let error = table.embedding(&ids(&[0, bad], &[2])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Option);
        assert_eq!(
            error.to_string(),
            format!("embedding: index {bad} at position 1, expected 0..4")
        );
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let x = noise(&[2, 3], 1);
    let text = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert_eq!(
        text(x.gather(1, &ids(&[0], &[1, 1]))),
        "gather: index is [1, 1], expected [2, 3] outside dimension 1"
    );
    assert_eq!(
        text(x.index_select(0, &noise(&[1], 1))),
        "index_select: indices are f64, expected i64"
    );
    assert_eq!(
        text(noise(&[2], 1).embedding(&ids(&[0], &[1]))),
        "embedding: table is [2], expected (V, D)"
    );
    assert_eq!(
        text(x.scatter_add(1, &ids(&[0, 1], &[2, 1]), &noise(&[2, 2], 1))),
        "scatter_add: source is [2, 2] f64, expected [2, 1] f64"
    );
}
