use super::*;
use crate::testing::noise;

const ALL: [DType; 7] =
    [DType::F64, DType::F32, DType::BF16, DType::F16, DType::I64, DType::U32, DType::U8];

fn named() -> Vec<(String, Tensor)> {
    let x = noise(&[3, 5], 1).mul_scalar(50.0).unwrap().add_scalar(60.0).unwrap();
    let mut tensors: Vec<(String, Tensor)> =
        ALL.iter().map(|&dtype| (format!("layer.{dtype}"), x.to_dtype(dtype).unwrap())).collect();
    tensors.push(("empty".into(), Tensor::zeros(&[0, 4], DType::F32, Device::Cpu).unwrap()));
    tensors.push((
        "scalar \"quoted\" \\ ä\n".into(),
        Tensor::scalar(7.0, DType::F32, Device::Cpu).unwrap(),
    ));
    tensors.push(("turned".into(), x.transpose(0, 1).unwrap()));
    tensors
}

fn metadata() -> BTreeMap<String, String> {
    [("format", "pt"), ("config", "{\"d\": 3}"), ("a", "tab\there")]
        .map(|(key, text)| (key.to_owned(), text.to_owned()))
        .into()
}

/// The bytes that a file would hold.
fn encode(tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let draft = Draft::new(tensors, metadata)?;
    let mut bytes = Vec::new();
    draft.write(&mut bytes).unwrap();
    assert_eq!(bytes.len(), draft.len());
    Ok(bytes)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn every_dtype_comes_back_with_its_bits() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("all.safetensors");
    save_safetensors(&path, &named(), &metadata())?;
    let file = SafeTensors::open(&path)?;
    let mut names: Vec<String> = named().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(file.names(), names);
    for (name, want) in named() {
        let got = file.tensor(&name)?;
        assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{name}");
        assert_eq!(file.shape(&name).unwrap(), want.shape());
        assert_eq!(got.to_vec_f64()?, want.to_vec_f64()?, "{name}");
    }
    assert_eq!(file.metadata(), metadata().into_iter().collect());
    Ok(())
}

#[test]
fn the_bytes_depend_on_the_content_alone() -> Result<()> {
    let bytes = encode(&named(), &metadata())?;
    let mut shuffled = named();
    shuffled.reverse();
    assert_eq!(encode(&shuffled, &metadata())?, bytes);
    let path = folder();
    let path = path.path().join("same.safetensors");
    save_safetensors(&path, &named(), &metadata())?;
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    // Metadata sorted by key, then tensors by falling element size; each starts aligned.
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("{\"__metadata__\":{\"a\":\"tab\\u0009here\",\"config\"") == 0);
    assert!(at("\"layer.f64\"") < at("\"layer.f32\"") && at("\"layer.f32\"") < at("\"layer.u8\""));
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
    Ok(())
}

#[test]
fn the_reference_reader_takes_the_bytes() -> Result<()> {
    let bytes = encode(&named(), &metadata())?;
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), named().len());
    assert_eq!(file.tensor("layer.u32").unwrap().dtype(), Dtype::U32);
    Ok(())
}

#[test]
fn a_cut_or_foreign_file_is_refused_with_its_size() {
    let folder = folder();
    let path = folder.path().join("cut.safetensors");
    let bytes = encode(&named(), &BTreeMap::new()).unwrap();
    for keep in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let error = SafeTensors::open(&path).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Weights);
        let start = format!("{}: {keep} bytes are not a whole safetensors file: ", path.display());
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().ends_with("(hint: is the download complete?)"), "{error}");
    }
    std::fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
    assert!(SafeTensors::open(&path).is_err());
    let error = SafeTensors::open(folder.path().join("absent")).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("absent: cannot open: "), "{error}");
}

#[test]
fn missing_tensors_and_foreign_dtypes_are_named() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let header = br#"{"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}     "#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0, 1, 1]].concat();
    std::fs::write(&path, bytes).unwrap();
    let file = SafeTensors::open(&path).unwrap();
    let at = path.display();
    assert_eq!(
        file.tensor("flags").unwrap_err().to_string(),
        format!(
            "{at}: tensor `flags`: dtype is BOOL, expected F64, F32, BF16, F16, I64, U32 or U8"
        )
    );
    let error = file.tensor("weight").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Weights);
    assert_eq!(error.to_string(), format!("{at}: tensor `weight`: is not in the file"));
    assert_eq!(file.shape("weight"), None);
}

#[test]
fn names_are_given_once() {
    let x = Tensor::zeros(&[1], DType::F32, Device::Cpu).unwrap();
    for name in ["x", "__metadata__"] {
        let twice = [("x".to_owned(), x.clone()), (name.to_owned(), x.clone())];
        let error = encode(&twice, &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("safetensors: tensor `{name}` is given twice or has a reserved name")
        );
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_whole() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("weights.safetensors");
    let one = [("x".to_owned(), Tensor::ones(&[3], DType::F32, Device::Cpu)?)];
    save_safetensors(&path, &one, &BTreeMap::new())?;
    // A folder in the place of the temporary file makes its creation fail, for any user.
    std::fs::create_dir(folder.path().join("weights.safetensors.tmp")).unwrap();
    let error = save_safetensors(&path, &named(), &BTreeMap::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("weights.safetensors: cannot write "), "{error}");
    assert!(error.to_string().ends_with("(hint: is the disk full?)"), "{error}");
    assert_eq!(SafeTensors::open(&path)?.tensor("x")?.to_vec::<f32>()?, [1.0; 3]);
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_cleaned_up() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("weights.safetensors");
    // Every write to this device fails with ENOSPC.
    let temporary = folder.path().join("weights.safetensors.tmp");
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let error = save_safetensors(&path, &named(), &BTreeMap::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(!path.exists() && !temporary.is_symlink());
    Ok(())
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_or_a_file(
        header in "[\\PC]{0,80}",
        offsets in proptest::array::uniform2(0usize..40),
        extent in 0usize..9,
        data in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
    ) {
        let folder = folder();
        let path = folder.path().join("x");
        let [start, end] = offsets;
        let plausible = format!(
            r#"{{"x":{{"dtype":"F32","shape":[{extent}],"data_offsets":[{start},{end}]}}}}"#
        );
        for text in [header, plausible] {
            let bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &data].concat();
            std::fs::write(&path, bytes).unwrap();
            if let Ok(file) = SafeTensors::open(&path) {
                for name in file.names() {
                    let _ = file.tensor(&name);
                }
            }
        }
    }
}

#[test]
fn a_mapped_tensor_equals_a_copied_one_and_outlives_its_file() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("all.safetensors");
    save_safetensors(&path, &named(), &metadata())?;
    let file = SafeTensors::open(&path)?;
    let mapped: Vec<Tensor> =
        named().iter().map(|(name, _)| file.mapped_tensor(name)).collect::<Result<_>>()?;
    drop(file);
    std::fs::remove_file(&path).unwrap();
    for ((name, want), got) in named().into_iter().zip(mapped) {
        assert_eq!((got.dtype(), got.shape()), (want.dtype(), want.shape()), "{name}");
        assert_eq!(got.to_vec_f64()?, want.to_vec_f64()?, "{name}");
    }
    Ok(())
}

#[test]
fn a_mapped_parameter_is_copied_before_it_is_changed() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("w.safetensors");
    let w = noise(&[3, 5], 1).to_dtype(DType::F32)?;
    save_safetensors(&path, &[("w".to_owned(), w.clone())], &BTreeMap::new())?;
    let before = std::fs::read(&path).unwrap();
    let file = SafeTensors::open(&path)?;
    let mut mapped = file.mapped_tensor("w")?;
    assert!(mapped.unique_slice_mut::<f32>().is_none(), "a map is not written to");
    let var = crate::Var::new(mapped);
    var.update::<f32>(|values| values[0] = 9.0)?;
    assert_eq!(var.value().to_vec::<f32>()?[0], 9.0);
    assert_eq!(file.mapped_tensor("w")?.to_vec::<f32>()?, w.to_vec::<f32>()?);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    Ok(())
}

#[test]
fn a_misaligned_tensor_is_copied() -> Result<()> {
    let folder = folder();
    let path = folder.path().join("odd.safetensors");
    let header = br#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.push(7);
    bytes.extend([1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
    std::fs::write(&path, bytes).unwrap();
    let file = SafeTensors::open(&path)?;
    let mut w = file.mapped_tensor("w")?;
    assert_eq!(w.to_vec::<f32>()?, [1.5, -2.0]);
    let bytes = file.find("w")?.2;
    let aligned = (file.map.as_ptr() as usize + bytes.start).is_multiple_of(4);
    assert_eq!(w.unique_slice_mut::<f32>().is_some(), !aligned);
    assert!(!aligned, "the header above puts `w` off a multiple of four");
    Ok(())
}
