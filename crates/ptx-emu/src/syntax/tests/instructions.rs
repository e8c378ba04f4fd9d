//! Statements, instructions and their operands.

use super::super::ast::{Operand, Statement};
use super::{address, at, body, instruction, name, operand, operands};

fn vector(names: &[&str]) -> Operand {
    Operand::Vector(names.iter().map(|&text| name(text)).collect())
}

#[test]
fn opcode_modifiers_and_place_are_kept() {
    let load = instruction("  ld.global.L1::no_allocate.L2::128B.v4.f32 {%a, %b, _, %d}, [%at];");
    assert_eq!(load.opcode, "ld");
    assert_eq!(load.modifiers, ["global", "L1::no_allocate", "L2::128B", "v4", "f32"]);
    assert_eq!(load.span, at(5, 3));
    assert_eq!(load.guard, None);
    let mut values = vec![name("%a"), name("%b"), Operand::Sink, name("%d")];
    assert_eq!(load.operands, [Operand::Vector(values.clone()), address("%at", 0, &[])]);
    values.truncate(2);
    assert_eq!(operand("{%a, %b}"), Operand::Vector(values));
}

#[test]
fn instruction_may_have_no_operands() {
    assert!(instruction("ret;").operands.is_empty());
    let fence = instruction("wgmma.fence.sync.aligned;");
    assert_eq!((fence.opcode.as_str(), fence.modifiers.len()), ("wgmma", 3));
}

#[test]
fn guards_may_be_negated() {
    for (text, negated) in [("@%p", false), ("@!%p", true), ("@ ! %p", true)] {
        let branch = instruction(&format!("{text} bra.uni DONE;"));
        assert_eq!(branch.guard, Some(("%p".to_owned(), negated)), "{text}");
        assert_eq!(branch.operands, [name("DONE")], "{text}");
    }
}

#[test]
fn labels_stand_alone_or_before_a_statement() {
    let statements = body("$L__BB0_2:\nDONE: NEXT: ret;\n{ END: }");
    assert_eq!(statements.len(), 5);
    assert_eq!(statements[0], Statement::Label("$L__BB0_2".to_owned(), at(5, 1)));
    assert_eq!(statements[1], Statement::Label("DONE".to_owned(), at(6, 1)));
    assert_eq!(statements[2], Statement::Label("NEXT".to_owned(), at(6, 7)));
    let end = Statement::Label("END".to_owned(), at(7, 3));
    assert_eq!(statements[4], Statement::Block(vec![end]));
}

#[test]
fn scopes_nest() {
    let statements = body("{ // callseq 0\n.reg .b32 temp;\n{ ret; } }");
    let [Statement::Block(outer)] = statements.as_slice() else {
        panic!("expected a block, got {statements:?}");
    };
    assert!(matches!(outer[0], Statement::Registers { .. }));
    assert!(matches!(&outer[1], Statement::Block(inner) if inner.len() == 1));
}

#[test]
fn special_registers_and_components_are_one_name() {
    for text in ["%tid.x", "%ctaid.z", "%envreg0", "%clock64", "%v.w", "%cluster_ctarank"] {
        assert_eq!(operand(text), name(text));
    }
}

#[test]
fn setp_gives_a_pair_and_takes_a_negated_predicate() {
    let pair = |a, b| Operand::Pair(Box::new(a), Box::new(b));
    let not = |text| Operand::Not(Box::new(name(text)));
    assert_eq!(
        operands("%p|%q, %a, 0f3F800000, !%c"),
        [pair(name("%p"), name("%q")), name("%a"), Operand::F32(0x3F80_0000), not("%c")]
    );
    assert_eq!(operand("_|%p"), pair(Operand::Sink, name("%p")));
    assert_eq!(operand("%p|_"), pair(name("%p"), Operand::Sink));
}

#[test]
fn calls_group_their_values() {
    let group = |names: &[&str]| Operand::Group(names.iter().map(|&text| name(text)).collect());
    let table = [
        (
            "call.uni (retval0),\nf,\n(\nparam0,\nparam1\n);",
            vec![group(&["retval0"]), name("f"), group(&["param0", "param1"])],
        ),
        ("call f, (%x);", vec![name("f"), group(&["%x"])]),
        ("call f;", vec![name("f")]),
        ("call f, ();", vec![name("f"), group(&[])]),
    ];
    for (text, expected) in table {
        assert_eq!(instruction(text).operands, expected, "{text}");
    }
}

#[test]
fn bulk_copies_take_several_addresses() {
    let copy = instruction(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes \
         [%dst], [%src], %bytes, [%mbar];",
    );
    assert_eq!(copy.modifiers[2], "shared::cluster");
    assert_eq!(copy.modifiers[4], "mbarrier::complete_tx::bytes");
    assert_eq!(
        copy.operands,
        [
            address("%dst", 0, &[]),
            address("%src", 0, &[]),
            name("%bytes"),
            address("%mbar", 0, &[])
        ]
    );
}

#[test]
fn tensor_copies_carry_coordinates_in_the_address() {
    assert_eq!(
        operands("[%dst], [%map, {%x, %y}], [mbar+8]"),
        [
            address("%dst", 0, &[]),
            address("%map", 0, &[vector(&["%x", "%y"])]),
            address("mbar", 8, &[])
        ]
    );
    assert_eq!(operand("[%a, [%b]]"), address("%a", 0, &[address("%b", 0, &[])]));
}

#[test]
fn wgmma_takes_vectors_descriptors_and_immediates() {
    let product = instruction(
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 \
         {%f0,%f1,%f2,%f3}, %a, %b, %p, 1, -1, 0, 0;",
    );
    assert_eq!(product.modifiers[3], "m64n8k16");
    assert_eq!(product.operands.len(), 8);
    assert_eq!(product.operands[0], vector(&["%f0", "%f1", "%f2", "%f3"]));
    assert_eq!(product.operands[5], Operand::Integer(-1));
}
