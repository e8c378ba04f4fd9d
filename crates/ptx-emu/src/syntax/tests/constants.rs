//! Constants in operands.

use super::super::ast::Operand;
use super::{address, name, operand};

#[test]
fn integers_keep_their_sign() {
    assert_eq!(operand("4"), Operand::Integer(4));
    assert_eq!(operand("-1"), Operand::Integer(-1));
    assert_eq!(operand("-9223372036854775808"), Operand::Integer(i64::MIN.into()));
    assert_eq!(operand("0xffffffffffffffff"), Operand::Integer(u64::MAX.into()));
    assert_eq!(operand("~0"), Operand::Integer(-1));
    assert_eq!(operand("WARP_SZ"), Operand::Integer(32));
}

#[test]
fn floats_keep_their_bits() {
    assert_eq!(operand("0f80000000"), Operand::F32(0x8000_0000));
    assert_eq!(operand("0d8000000000000000"), Operand::F64(1 << 63));
    assert_eq!(operand("1.5"), Operand::F64(1.5_f64.to_bits()));
    assert_eq!(operand("-0.0"), Operand::F64((-0.0_f64).to_bits()));
}

#[test]
fn arithmetic_binds_as_in_c() {
    let table = [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("100 / 10 / 5", 2),
        ("7 % 4", 3),
        ("1 << 4 | 1", 17),
        ("6 & 3 ^ 1", 3),
        ("1 | 2 ^ 3 & 1", 3),
        ("256 >> 2 + 1", 32),
        ("-(4 + 1)", -5),
        ("- -5", 5),
        ("2 * -3", -6),
        ("WARP_SZ * 4 - 1", 127),
    ];
    for (text, value) in table {
        assert_eq!(operand(text), Operand::Integer(value), "{text}");
    }
}

#[test]
fn offsets_follow_names_and_addresses() {
    assert_eq!(operand("tile+4"), Operand::Sum("tile".to_owned(), 4));
    assert_eq!(operand("tile+-4"), Operand::Sum("tile".to_owned(), -4));
    assert_eq!(operand("[%at]"), address("%at", 0, &[]));
    assert_eq!(operand("[%at+16]"), address("%at", 16, &[]));
    assert_eq!(operand("[%at + -16]"), address("%at", -16, &[]));
    assert_eq!(operand("[param_x+4]"), address("param_x", 4, &[]));
    assert_eq!(operand("[tile+0x10*2-4]"), address("tile", 28, &[]));
    let absolute =
        Operand::Address { base: Box::new(Operand::Integer(0x100)), offset: 0, more: vec![] };
    assert_eq!(operand("[0x100]"), absolute);
    assert_eq!(operand("[0xF0+16]"), absolute);
}

#[test]
fn register_may_be_negated() {
    assert_eq!(operand("-%r1"), Operand::Negative(Box::new(name("%r1"))));
}
