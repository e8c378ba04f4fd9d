//! Variables, initial values and registers.

use super::super::ast::{Init, Item, Operand, Space, Statement, Type};
use super::{at, body, file, variable};

fn value(number: i128) -> Init {
    Init::Value(Operand::Integer(number))
}

#[test]
fn every_part_of_a_declaration_is_kept() {
    let tile = variable(".visible .global .align 16 .v4 .f32 tile[4][8];");
    assert_eq!((tile.space, tile.align, tile.vector), (Space::Global, Some(16), 4));
    assert_eq!((tile.ty, tile.name.as_str()), (Type::F32, "tile"));
    assert_eq!(tile.extents, [Some(4), Some(8)]);
    assert_eq!((tile.init, tile.external, tile.span), (None, false, at(4, 37)));
}

#[test]
fn extern_shared_array_has_an_open_extent() {
    let dynamic = variable(".extern .shared .align 16 .b8 dyn[];");
    assert!(dynamic.external);
    assert_eq!(dynamic.space, Space::Shared);
    assert_eq!(dynamic.extents, [None]);
}

#[test]
fn one_declaration_may_name_several_variables() {
    let items = file(".const .u32 a, b[2] = {1, 2};").items;
    let names: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Variable(v) => (v.name.as_str(), v.extents.len(), v.init.is_some()),
            Item::Function(function) => panic!("unexpected {function:?}"),
        })
        .collect();
    assert_eq!(names, [("a", 0, false), ("b", 1, true)]);
}

#[test]
fn initial_values_are_numbers_lists_and_addresses() {
    let address =
        |name: &str, offset, generic| Init::Address { name: name.to_owned(), offset, generic };
    let table = [
        (".global .u32 x = 5;", value(5)),
        (".global .s32 x = -5;", value(-5)),
        (".global .f32 x = 0f3F800000;", Init::Value(Operand::F32(0x3F80_0000))),
        (".global .f64 x = -1.5;", Init::Value(Operand::F64((-1.5_f64).to_bits()))),
        (".global .b8 x[4] = {1, 0x2, 3};", Init::List(vec![value(1), value(2), value(3)])),
        (
            ".const .u8 x[2][2] = {{1}, {2, 3}};",
            Init::List(vec![Init::List(vec![value(1)]), Init::List(vec![value(2), value(3)])]),
        ),
        (".global .u64 x = generic($str$1);", address("$str$1", 0, true)),
        (".global .u64 x = y;", address("y", 0, false)),
        (".global .u64 generic[1] = {generic};", Init::List(vec![address("generic", 0, false)])),
        (
            ".global .align 8 .u64 x[2] = {generic(y)+12, y+-4};",
            Init::List(vec![address("y", 12, true), address("y", -4, false)]),
        ),
    ];
    for (text, init) in table {
        assert_eq!(variable(text).init, Some(init), "{text}");
    }
}

#[test]
fn bodies_hold_variables_of_every_space() {
    let text = ".shared .align 8 .b64 mbar;\n.local .align 16 .b8 a[4], b;\n.param .b32 retval0;\n\
                .global .u32 g;\n.const .u32 c = 4;";
    let spaces: Vec<_> = body(text)
        .into_iter()
        .map(|statement| match statement {
            Statement::Variable(variable) => (variable.space, variable.name),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    let expected = [
        (Space::Shared, "mbar"),
        (Space::Local, "a"),
        (Space::Local, "b"),
        (Space::Param, "retval0"),
        (Space::Global, "g"),
        (Space::Const, "c"),
    ];
    assert_eq!(spaces, expected.map(|(space, name)| (space, name.to_owned())));
}

#[test]
fn registers_are_named_or_counted() {
    let text = ".reg .pred %outside, %past_end;\n.reg .b32 %r<10>, %x;\n.reg .v4 .f32 %v;";
    let registers = |ty, vector, names: &[(&str, Option<u32>)], line| Statement::Registers {
        ty,
        vector,
        names: names.iter().map(|&(name, count)| (name.to_owned(), count)).collect(),
        span: at(line, 1),
    };
    assert_eq!(
        body(text),
        [
            registers(Type::Pred, 1, &[("%outside", None), ("%past_end", None)], 5),
            registers(Type::B32, 1, &[("%r", Some(10)), ("%x", None)], 6),
            registers(Type::F32, 4, &[("%v", None)], 7),
        ]
    );
}

#[test]
fn every_type_reads_as_it_is_written() {
    for name in [
        "b8", "b16", "b32", "b64", "b128", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64",
        "f16", "f16x2", "bf16", "bf16x2", "tf32", "f32", "f64",
    ] {
        assert_eq!(variable(&format!(".global .{name} x;")).ty.name(), name);
    }
}
