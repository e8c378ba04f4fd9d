//! Heads of functions.

use super::super::ast::{Directive, Item, Space, Statement, Type};
use super::{at, file, function};

/// Its first line is line 4 of the file.
const KERNEL: &str = "\
.visible .entry row_lse_v1(
    .param .u64 param_f, // out
    .param .f32 param_eps,
    .param .align 8 .b8 param_s[24],
    .param .u64 .ptr .global .align 16 param_p,
    .param .u64 .ptr param_q
)
{ ret; }";

#[test]
fn kernel_keeps_its_parameters_in_order() {
    let kernel = function(KERNEL);
    assert!(kernel.entry);
    assert_eq!(kernel.name, "row_lse_v1");
    assert_eq!(kernel.span, at(4, 17));
    let params: Vec<_> = kernel
        .params
        .iter()
        .map(|p| (p.name.as_str(), p.ty, p.align, p.extents.clone(), p.span))
        .collect();
    assert_eq!(
        params,
        [
            ("param_f", Type::U64, None, vec![], at(5, 17)),
            ("param_eps", Type::F32, None, vec![], at(6, 17)),
            ("param_s", Type::B8, Some(8), vec![Some(24)], at(7, 25)),
            ("param_p", Type::U64, None, vec![], at(8, 40)),
            ("param_q", Type::U64, None, vec![], at(9, 22)),
        ]
    );
    assert!(kernel.params.iter().all(|p| p.space == Space::Param && p.init.is_none()));
    assert_eq!(kernel.body.map(|body| body.len()), Some(1));
}

#[test]
fn parameter_list_may_be_empty_or_absent() {
    for text in [".entry k() { }", ".entry k { }", ".func f { }", ".weak .func f() { }"] {
        let function = function(text);
        assert!(function.params.is_empty() && function.returns.is_empty(), "{text}");
        assert_eq!(function.body.as_deref(), Some(&[] as &[Statement]), "{text}");
    }
}

#[test]
fn function_has_return_values_and_may_use_registers() {
    let plain = function(
        ".func (.param .align 8 .b8 func_retval0[24]) _Z1f1Si(.param .b32 x, .param .b32 _) { }",
    );
    assert!(!plain.entry);
    assert_eq!(plain.returns[0].name, "func_retval0");
    assert_eq!(plain.returns[0].align, Some(8));
    assert_eq!(plain.params.len(), 2);
    let registers = function(".func (.reg .u32 %out) f(.reg .v4 .f32 %in) { }");
    assert_eq!(registers.returns[0].space, Space::Reg);
    assert_eq!((registers.params[0].space, registers.params[0].vector), (Space::Reg, 4));
}

#[test]
fn declarations_have_no_body() {
    let items = file(
        ".extern .func (.param .b32 func_retval0) vprintf\n(\n.param .b64 vprintf_param_0,\n\
         .param .b64 vprintf_param_1\n)\n;\n.extern .func __assertfail(.param .b64 a) .noreturn;\n\
         .extern .func f;",
    )
    .items;
    let names: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Function(function) => (function.name.as_str(), function.body.is_some()),
            Item::Variable(variable) => panic!("unexpected {variable:?}"),
        })
        .collect();
    assert_eq!(names, [("vprintf", false), ("__assertfail", false), ("f", false)]);
}

#[test]
fn launch_directives_keep_their_numbers_and_places() {
    let kernel = function(
        ".entry k()\n.maxntid 128, 1, 1\n.minnctapersm 2\n.pragma \"nounroll\";\n.maxnreg 64\n\
         .reqnctapercluster 2, 1\n.explicitcluster\n.maxclusterrank 8\n.blocksareclusters\n\
         .reqntid 32\n.noreturn\n{ }",
    );
    let expected: [(&str, &[u32], u32); 9] = [
        ("maxntid", &[128, 1, 1], 5),
        ("minnctapersm", &[2], 6),
        ("maxnreg", &[64], 8),
        ("reqnctapercluster", &[2, 1], 9),
        ("explicitcluster", &[], 10),
        ("maxclusterrank", &[8], 11),
        ("blocksareclusters", &[], 12),
        ("reqntid", &[32], 13),
        ("noreturn", &[], 14),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|&(name, values, line)| Directive {
            name: name.to_owned(),
            values: values.to_vec(),
            span: at(line, 1),
        })
        .collect();
    assert_eq!(kernel.directives, expected);
}
