//! Errors and their exact places. `§` in a text marks where the error must be.

use super::super::parse;
use super::HEAD;

/// Checks place, message and hint; an empty hint demands that there is none.
#[track_caller]
fn refuse(text: &str, message: &str, hint: &str) {
    let (before, _) = text.split_once('§').expect("the text marks the place");
    let line = 1 + before.matches('\n').count() as u32;
    let column = 1 + before.rsplit('\n').next().unwrap_or("").chars().count() as u32;
    let error = match parse("test.ptx", &text.replace('§', "")) {
        Err(error) => error,
        Ok(_) => panic!("accepted\n{text}"),
    };
    assert_eq!((error.line(), error.column()), (line, column), "{error}\nin\n{text}");
    assert!(error.message().contains(message), "{error}\ndoes not hold `{message}`");
    match error.hint() {
        Some(given) => assert!(!hint.is_empty() && given.contains(hint), "{error}\n`{hint}`"),
        None => assert!(hint.is_empty(), "{error}\nlacks the hint `{hint}`"),
    }
}

#[track_caller]
fn refuse_item(text: &str, message: &str, hint: &str) {
    refuse(&format!("{HEAD}{text}"), message, hint);
}

#[track_caller]
fn refuse_statement(text: &str, message: &str, hint: &str) {
    refuse_item(&format!(".entry k() {{\n    ret;\n    {text}\n}}"), message, hint);
}

#[test]
fn error_reads_as_file_line_column_message_hint() {
    let error = parse("row.ptx", &format!("{HEAD}.entry k() {{\n  add.u32 %a, %b\n  ret;\n}}"));
    let error = error.expect_err("a `;` is missing");
    assert_eq!(error.file(), "row.ptx");
    assert_eq!(
        error.to_string(),
        "row.ptx:6:3: expected `,` or `;`, got `ret` (hint: is a `;` missing at the end of line 5)"
    );
}

#[test]
fn head_is_demanded() {
    refuse("§.target sm_80", "expected `.version`, got `.target`", "begins with");
    refuse("§", "expected `.version`, got the end of the file", "begins with");
    refuse(".version §8", "expected a version such as `8.0`, got `8`", "");
    refuse(".version §7e0", "expected a version", "");
    refuse(".version 8.0 §.entry k {}", "expected `.target`", "behind `.version`");
    refuse(".version 8.0 .target §.x", "expected an architecture", "");
    refuse(".version 8.0 .target sm_80, §map_f64_to_f32", "no option `map_f64_to_f32`", "debug");
    refuse(".version 8.0 .target sm_80 .address_size §16", "expected 32 or 64, got `16`", "");
}

#[test]
fn tokens_are_demanded_to_be_whole() {
    refuse_item("§/* no end", "does not end", "*/");
    refuse_item(".file 1 §\"no end\n", "does not end", "same line");
    refuse_item("§#include \"x\"", "not PTX", "preprocessor");
    refuse_item("§\u{e4}", "no meaning", "ASCII");
    refuse_item("§.+", "no name behind this dot", "`.name`");
}

#[test]
fn numbers_are_demanded_to_be_numbers() {
    refuse_statement("op §08;", "`08` is not a number", "octal");
    refuse_statement("op §0x;", "`0x` is not a number", "hexadecimal");
    refuse_statement("op §0xffu;", "`0xffu` is not a number", "0x1FU");
    refuse_statement("op §0b12;", "not a number", "binary");
    refuse_statement("op §12ab;", "not a number", "decimal");
    refuse_statement("op §1.5f;", "not a number", "1.5e-3");
    refuse_statement("op §1e;", "not a number", "1.5e-3");
    refuse_statement("op §1e999;", "beyond the range", "infinity");
    refuse_statement("op §0f3F8;", "expected 8 hexadecimal digits", "0f3F800000");
    refuse_statement("op §0d3FF;", "expected 16 hexadecimal digits", "0d3FF0");
    refuse_statement("op §18446744073709551616;", "does not fit in 64 bits", "wider");
    refuse_statement("op %a, §.5;", "got `.5`", "`0.5`");
    refuse_statement("op §-0f3F800000;", "takes no sign", "0fBF800000");
    refuse_statement("op §-9223372036854775809;", "does not fit in 64 bits", "");
}

#[test]
fn arithmetic_without_an_agreed_value_is_refused() {
    refuse_statement("op 4 §/ 0;", "`4 / 0` has no agreed value", "by zero");
    refuse_statement("op -4 §/ 2;", "no agreed value", "negative");
    refuse_statement("op 1 §<< 64;", "no agreed value", "63");
    refuse_statement("op 0xffffffffffffffff §* 16;", "no agreed value", "64 bits");
    refuse_statement("op 4 + §1.5;", "expected an integer", "as one number");
    refuse_statement("op 4 + §%r;", "expected a number, got `%r`", "");
    refuse_statement("op (4 + 1§;", "expected `)`", "");
}

#[test]
fn unknown_items_are_refused() {
    refuse_item("§.alias a, b;", "`.alias` may not stand here", "own name");
    refuse_item("§.tex .u32 t;", "may not stand here", "textures");
    refuse_item("§.reg .b32 %r;", "may not stand here", "inside");
    refuse_item("§.version 8.0", "may not stand here", "one `.version`");
    refuse_item("§.foo", "expected a function or a variable, got `.foo`", ".entry");
    refuse_item("§ret;", "got `ret`", "stand in a function");
    refuse_item(".entry k() { }\n§}", "got `}`", "too many");
    refuse_item(".visible §.weak .entry k() { }", "got `.weak`", ".entry");
    refuse_item(".section §.text { }", "debug section", "no other");
    refuse_item(".section .debug_info { 1 §", "expected `}`", "line 4");
}

#[test]
fn heads_of_functions_are_demanded() {
    refuse_item(".entry §() { }", "expected the function's name, got `(`", "");
    refuse_item(".entry k(§.reg .u32 %x) { }", "no register parameters", ".param");
    refuse_item(".entry k(§.u32 x) { }", "expected `.param`", "");
    refuse_item(".entry k(.param .u32 x §.param .u32 y) { }", "expected `,` or `)`", "");
    refuse_item(".entry k(.param .u32 x,§) { }", "expected `.param`, got `)`", "");
    refuse_item(".entry k() §.maxthreads 4 { }", "expected a directive", ".maxntid");
    refuse_item(".entry k() .maxntid 1, 2, 3§, 4 { }", "got `,`", "directives");
    refuse_item(".entry k() .maxnreg §{ }", "expected a whole number", "");
    refuse_item(".entry k() .maxnreg §4294967296 { }", "at most 4294967295", "");
    refuse_item(".entry k() {\nret;\n§", "expected `}`, got the end of the file", "line 4");
}

#[test]
fn declarations_are_demanded_to_be_whole() {
    refuse_item(".global §x;", "expected a type such as `.f32`, got `x`", "");
    refuse_item(".global §.foo x;", "`.foo` is not a type", ".b8");
    refuse_item(".global .u32 §.align 4 x;", "expected the variable's name", "");
    refuse_item(".global .v4 §.align 16 .f32 x;", "not a type", "stands before");
    refuse_item(".global §.attribute(.managed) .u32 x;", "not a type", ".managed");
    refuse_item(".global §.texref x;", "not a type", "textures");
    refuse_item(".shared §.pred x;", "no place in memory", ".reg .pred");
    refuse_item(".global .align §3 .u32 x;", "power of two", "");
    refuse_item(".global .u32 x§<4>;", "declared by the number", "array");
    refuse_item(".global .u32 x[§-1];", "expected an array's extent, got `-`", "");
    refuse_item(".global .u32 x[4§;", "expected `]`", "");
    refuse_item(".shared .u32 x §= 1;", "may not have an initial value", ".global");
    refuse_item(".extern .global .u32 x §= 1;", "may not have an initial value", ".extern");
    refuse_item(".global .u32 x[2] = {1,§};", "expected a number, got `}`", "");
    refuse_item(".global .u8 x = 0xFF§(y);", "a mask on an address", "whole address");
    refuse_item(".global .u64 x = generic(y§+4);", "expected `)`", "");
    refuse_item(".global .u64 x = y§-4;", "nothing is subtracted", "+-8");
    refuse_item(".global .u32 x\n§.global .u32 y;", "expected `;`", "end of line 4");
    refuse_statement(".reg .b32 %r<§-1>;", "expected the number of registers", "");
    refuse_statement(".reg §.align 4 .b32 %r;", "not a type", "of memory");
}

#[test]
fn unknown_statements_are_refused() {
    refuse_statement("§;", "an empty statement", "take the `;` away");
    refuse_statement("§.foo 4;", "`.foo` is not a directive of a body", ".shared");
    refuse_statement("§.branchtargets A, B;", "may not stand in a body", "a label in front");
    refuse_statement("P: §.callprototype _ ();", "may not stand in a body", "by its name");
    refuse_statement("P: §.calltargets f;", "may not stand in a body", "by its name");
    refuse_statement("§.entry j() { }", "may not stand in a body", "`}` missing");
    refuse_statement("§.maxntid 128", "may not stand in a body", "between");
    refuse_statement("§.extern .shared .b8 x[];", "may not stand in a body", "module level");
    refuse_statement("§%r1 = 4;", "expected an instruction, got `%r1`", "label");
    refuse_statement("§DONE ret;", "expected an instruction, got `DONE`", "`:`");
    refuse_statement("@%p §{ ret; }", "expected an instruction, got `{`", "");
    refuse_statement("@§4 ret;", "expected a predicate", "");
    refuse_statement(".loc 1 2 §ret;", "expected a column", "");
    refuse_statement(".loc 1 2 3, §inlined 1 2 3", "expected `function_name`", "");
    refuse_statement(".pragma §nounroll;", "in quotes", "");
}

#[test]
fn operands_are_demanded_to_be_whole() {
    refuse_statement("op %a §%b;", "expected `,` or `;`, got `%b`", "");
    refuse_statement("op %a,§;", "expected an operand, got `;`", "");
    refuse_statement("op [§];", "expected a register, a variable or a number behind `[`", "");
    refuse_statement("op [%a§;", "expected `]`, got `;`", "");
    refuse_statement("op [%a§-8];", "nothing is subtracted from an address", "`+-8`");
    refuse_statement("op [%a+§%b];", "expected a number after `+`", "instruction first");
    refuse_statement("op tile§[1];", "expected `,` or `;`", "[tile+4]");
    refuse_statement("op {§};", "expected an operand", "");
    refuse_statement("op {%a, %b§;", "expected `,` or `}`", "");
    refuse_statement("op (§%a);", "expected a number, got `%a`", "");
    refuse_statement("op %p|§4;", "expected a register behind `|`", "");
    refuse_statement("op !§4;", "expected a predicate behind `!`", "");
    refuse_statement("op %v§.q;", "no component `.q`", ".x");
    refuse_statement("op [%a]§.unified;", "expected `,` or `;`, got `.unified`", "");
}

#[test]
fn endless_nesting_is_refused() {
    let blocks = format!("{}§{}", "{".repeat(64), "{".repeat(1000));
    refuse_statement(&blocks, "more than 64 levels", "");
    refuse_statement(&format!("op {}§((1));", "(".repeat(64)), "more than 64 levels", "");
}
