//! Short texts and the trees that they must give.

mod constants;
mod errors;
mod functions;
mod instructions;
mod lexing;
mod robustness;
mod variables;

use super::ast::{File, Function, Instruction, Item, Operand, Span, Statement, Variable};
use super::parse;

/// Stands before what a test puts at module level.
const HEAD: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n";

/// The tree of a file whose module level is `text`.
#[track_caller]
fn file(text: &str) -> File {
    match parse("test.ptx", &format!("{HEAD}{text}")) {
        Ok(file) => file,
        Err(error) => panic!("{error}\nin\n{text}"),
    }
}

/// The statements of a kernel whose body is `text`, which begins in line 5 of the file.
#[track_caller]
fn body(text: &str) -> Vec<Statement> {
    function(&format!(".entry k() {{\n{text}\n}}")).body.expect("the text holds a body")
}

/// The only function of `text`.
#[track_caller]
fn function(text: &str) -> Function {
    match file(text).items.as_slice() {
        [Item::Function(function)] => function.clone(),
        other => panic!("expected one function, got {other:?}"),
    }
}

/// The only variable of `text`.
#[track_caller]
fn variable(text: &str) -> Variable {
    match file(text).items.as_slice() {
        [Item::Variable(variable)] => variable.clone(),
        other => panic!("expected one variable, got {other:?}"),
    }
}

/// The only instruction of `text`.
#[track_caller]
fn instruction(text: &str) -> Instruction {
    match body(text).as_slice() {
        [Statement::Instruction(instruction)] => instruction.clone(),
        other => panic!("expected one instruction, got {other:?}"),
    }
}

/// The operands of `op TEXT;`.
#[track_caller]
fn operands(text: &str) -> Vec<Operand> {
    instruction(&format!("op {text};")).operands
}

/// The only operand of `op TEXT;`.
#[track_caller]
fn operand(text: &str) -> Operand {
    match operands(text).as_slice() {
        [operand] => operand.clone(),
        other => panic!("expected one operand, got {other:?}"),
    }
}

fn name(text: &str) -> Operand {
    Operand::Name(text.to_owned())
}

/// `[base+offset, more]`
fn address(base: &str, offset: i64, more: &[Operand]) -> Operand {
    Operand::Address { base: Box::new(name(base)), offset, more: more.to_vec() }
}

fn at(line: u32, column: u32) -> Span {
    Span { line, column }
}

#[test]
fn head_is_read() {
    let file = parse("test.ptx", ".version 7.8\n.target sm_90a, debug\n").unwrap();
    assert_eq!(file.version, (7, 8));
    assert_eq!(file.target, "sm_90a");
    assert_eq!(file.address_size, 64);
    assert!(file.items.is_empty());
    assert_eq!(parse("test.ptx", ".version 9.10 .target sm_80").unwrap().version, (9, 10));
    let narrow = parse("test.ptx", ".version 7.0 .target sm_80 .address_size 32").unwrap();
    assert_eq!(narrow.address_size, 32);
}

#[test]
fn trailing_nul_of_nvrtc_is_dropped() {
    assert!(parse("test.ptx", ".version 7.8\n.target sm_80\n\0").is_ok());
}

#[test]
fn debug_directives_leave_nothing_in_the_tree() {
    let text = r#"
        .file 1 "a b.cu"
        .file 2 "c.h", 1700000000, 4096
        .pragma "nounroll";
        .section .debug_str
        {
        $L__info_string0:
        .b8 95,90,0x33
        .b32 $L__tmp0-$L__func_begin0
        .b64 .debug_line
        }
        .section .debug_macinfo { }
    "#;
    assert!(file(text).items.is_empty());
    let inside = r#"
        .loc 1 24 16
        .loc 1 24 16, function_name $L__info_string0, inlined_at 1 30 5
        .loc 1 24 16, function_name $L__info_string0+8, inlined_at 1 30 5
        .pragma "nounroll", "other";
    "#;
    assert!(body(inside).is_empty());
}
