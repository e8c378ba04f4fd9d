use super::*;

const SOURCE: &str = "\
// .version 1.0 in a comment is not the version
.version 7.8 /* .entry not_this( */
.target sm_80, debug
.address_size 64

.visible .entry first(
    .param .u64 out,        // out (B,N)
    .param .u64 .ptr .global .align 16 cost,
    .param .u32 n, .param .s32 m,
    .param .f32 eps,
    .param .align 64 .b8 map[128],
    .param .b16 half
)
.maxntid 128, 1, 1
{
    ret;
}
.entry second { ret; }
.visible .entry third()
{ ret; }
";

fn ptx(version: &str, target: &str) -> PtxText {
    let source = format!(".version {version}\n.target {target}\n.address_size 64\n");
    PtxText::parse("a.ptx", &source).unwrap()
}

#[test]
fn header_and_parameters_are_read() {
    let text = PtxText::parse("a.ptx", SOURCE).unwrap();
    assert_eq!(text.version, PtxVersion { major: 7, minor: 8 });
    assert_eq!(text.target, "sm_80");
    let names: Vec<&str> = text.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);

    let params = &text.entry("first").unwrap().params;
    let read: Vec<_> = params
        .iter()
        .map(|p| (p.name.as_str(), p.ty.as_str(), p.bytes, p.kind, p.pointer))
        .collect();
    assert_eq!(
        read,
        [
            ("out", ".u64", 8, ParamKind::Integer, false),
            ("cost", ".u64", 8, ParamKind::Integer, true),
            ("n", ".u32", 4, ParamKind::Integer, false),
            ("m", ".s32", 4, ParamKind::Integer, false),
            ("eps", ".f32", 4, ParamKind::Float, false),
            ("map", ".b8[128]", 128, ParamKind::Bytes, false),
            ("half", ".b16", 2, ParamKind::Bits, false),
        ]
    );
    assert!(text.entry("second").unwrap().params.is_empty());
    assert!(text.entry("third").unwrap().params.is_empty());
    assert!(text.entry("fourth").is_none());
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    let header = ".version 7.8\n.target sm_80\n";
    let table = [
        ("", "a.ptx: no `.version`"),
        (".version 7.8", "a.ptx: no `.target`"),
        ("\n.version eight\n.target sm_80", "a.ptx:2: `.version eight`"),
        (&format!("{header}.entry (\n)"), "a.ptx:3: `.entry` without a name"),
        (&format!("{header}.entry k(.param .u64 x {{"), "a.ptx:3: `k`: no `)`"),
        (&format!("{header}.entry k(.param .u65 x)"), "a.ptx:3: `k`: cannot read `.param .u65 x`"),
        (&format!("{header}.entry k(.reg .u32 x)"), "a.ptx:3: `k`: cannot read"),
        (&format!("{header}.entry k(.param .b8 x[a])"), "a.ptx:3: `k`: cannot read"),
        (&format!("{header}\0"), "a.ptx:3: a NUL byte"),
    ];
    for (source, expected) in table {
        let error = PtxText::parse("a.ptx", source).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Jit);
        assert!(error.to_string().starts_with(expected), "{source:?} gave {error}");
    }
}

#[test]
fn comments_keep_the_lines() {
    assert_eq!(without_comments("a // b\nc /* d\ne */ f / g"), "a  \nc  \n f / g");
    assert_eq!(without_comments("a /* open"), "a  ");
    assert_eq!(without_comments("é // é\n"), "é  \n");
}

#[test]
fn a_file_newer_than_the_driver_is_refused() {
    let driver = CudaVersion { major: 12, minor: 8 };
    assert!(ptx("8.7", "sm_80").check_version("a.ptx", driver).is_ok());
    let error = ptx("9.0", "sm_80").check_version("a.ptx", driver).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PtxTooNew);
    assert_eq!(
        error.to_string(),
        "a.ptx: file asks for PTX 9.0, this driver (CUDA 12.8) reads up to 8.7 \
         (hint: update the driver to one that speaks CUDA 13.0)"
    );
    let error = ptx("99.0", "sm_80").check_version("a.ptx", driver).unwrap_err();
    assert!(error.hint_text().unwrap().contains("lower .version"));
    let unknown = CudaVersion { major: 99, minor: 0 };
    assert!(ptx("98.0", "sm_80").check_version("a.ptx", unknown).is_ok());
}

#[test]
fn a_file_for_other_hardware_is_refused() {
    let table = [
        ("sm_80", (8, 0), true),
        ("sm_80", (9, 0), true),
        ("sm_80", (12, 1), true),
        ("sm_90", (8, 9), false),
        ("sm_90a", (9, 0), true),
        ("sm_90a", (10, 0), false),
        ("sm_90a", (8, 0), false),
        ("sm_100f", (10, 3), true),
        ("sm_100f", (12, 0), false),
        ("sm_103a", (10, 0), false),
        ("compute_80", (8, 0), true),
    ];
    for (target, (major, minor), fits) in table {
        let device = ComputeCapability { major, minor };
        let checked = ptx("8.0", target).check_target("a.ptx", device);
        assert_eq!(checked.is_ok(), fits, "{target} on {device}");
        if let Err(error) = checked {
            assert_eq!(error.kind(), ErrorKind::WrongTarget);
            assert!(error.detail().contains(target), "{error}");
        }
    }
}
