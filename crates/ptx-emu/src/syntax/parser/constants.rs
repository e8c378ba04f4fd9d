//! Constants and the arithmetic on them: `4`, `-1.5`, `0x10 + 4 * 8`.

use super::{Parsed, Parser};
use crate::syntax::ast::Operand;
use crate::syntax::token::Kind;

/// Every operator of two integers, with how tightly it binds. Comparisons and `?:` are not here.
const OPERATORS: &[(&str, u32)] = &[
    ("|", 1),
    ("^", 2),
    ("&", 3),
    ("<<", 4),
    (">>", 4),
    ("+", 5),
    ("-", 5),
    ("*", 6),
    ("/", 6),
    ("%", 6),
];

impl Parser<'_> {
    /// A number, or an expression of integers.
    pub(super) fn constant(&mut self) -> Parsed<Operand> {
        let negative = self.at('-');
        let number = self.ahead(usize::from(negative)).kind;
        let float = match number {
            Kind::Decimal(value) => Operand::F64((if negative { -value } else { value }).to_bits()),
            Kind::F32(_) | Kind::F64(_) if negative => {
                return Err(self
                    .error("the hexadecimal form of a float takes no sign")
                    .with_hint("set the highest bit: -1.0 is `0fBF800000`"));
            }
            Kind::F32(bits) => Operand::F32(bits),
            Kind::F64(bits) => Operand::F64(bits),
            _ => return self.integer().map(Operand::Integer),
        };
        self.next += 1 + usize::from(negative);
        Ok(float)
    }

    /// `+4` or `+-8` behind an address; `None` where no sign follows.
    ///
    /// The manual knows no `name-8`, and the assembler refuses it.
    pub(super) fn offset(&mut self, behind: &str) -> Parsed<Option<i64>> {
        if self.at('-') {
            return Err(self
                .error(format!("nothing is subtracted from {behind}"))
                .with_hint("write `+-8`, as in `[%at+-8]`"));
        }
        if !self.at('+') {
            return Ok(None);
        }
        let sign = self.bump();
        if self.token().kind == Kind::Word && self.token().text != "WARP_SZ" {
            return Err(self
                .unexpected("a number after `+`")
                .with_hint("add the register to the address with an instruction first"));
        }
        let value = self.integer()?;
        i64::try_from(value).map(Some).map_err(|_| {
            self.error_at(sign.span, format!("the offset {value} does not fit in 64 bits"))
        })
    }

    /// An expression of integers. It is exact; what does not fit in 64 bits is refused.
    pub(super) fn integer(&mut self) -> Parsed<i128> {
        let start = self.token().span;
        let value = self.expression(1)?;
        if value < i128::from(i64::MIN) || value > i128::from(u64::MAX) {
            let message = format!("the constant {value} does not fit in 64 bits");
            return Err(self.error_at(start, message));
        }
        Ok(value)
    }

    /// Operators that bind at least as tightly as `least`.
    fn expression(&mut self, least: u32) -> Parsed<i128> {
        let mut left = self.term()?;
        while let Some((operator, binding)) = self.operator().filter(|found| found.1 >= least) {
            let span = self.token().span;
            self.next += operator.len();
            let right = self.expression(binding + 1)?;
            left = apply(operator, left, right).ok_or_else(|| {
                self.error_at(span, format!("`{left} {operator} {right}` has no agreed value"))
                    .with_hint(
                        "results fit in 64 bits; no division by zero; shifts by 0 to 63; \
                         no negative numbers with `/`, `%` and `>>`",
                    )
            })?;
        }
        Ok(left)
    }

    /// The operator that is next. Operators of two characters are two tokens.
    fn operator(&self) -> Option<(&'static str, u32)> {
        let Kind::Mark(first) = self.token().kind else {
            return None;
        };
        let matches = |text: &str| {
            text.starts_with(first) && (text.len() == 1 || Kind::Mark(first) == self.ahead(1).kind)
        };
        OPERATORS.iter().copied().find(|(text, _)| matches(text))
    }

    fn term(&mut self) -> Parsed<i128> {
        let token = self.token();
        match token.kind {
            Kind::Integer(value) => {
                self.bump();
                Ok(i128::from(value))
            }
            Kind::Word if token.text == "WARP_SZ" => {
                self.bump();
                Ok(32)
            }
            Kind::Mark('-') => {
                self.bump();
                self.nested(Self::term).map(|value| -value)
            }
            Kind::Mark('~') => {
                self.bump();
                self.nested(Self::term).map(|value| !value)
            }
            Kind::Mark('(') => {
                self.bump();
                let value = self.nested(|parser| parser.expression(1))?;
                self.expect(')', "after the expression")?;
                Ok(value)
            }
            Kind::Decimal(_) | Kind::F32(_) | Kind::F64(_) => Err(self
                .unexpected("an integer")
                .with_hint("only integers may be reckoned with; write a float as one number")),
            _ => Err(self.unexpected("a number")),
        }
    }
}

/// `None` where the result is undefined, wider than 64 bits, or would be another one if PTX took
/// the operands for unsigned, which here they are not marked as.
fn apply(operator: &str, left: i128, right: i128) -> Option<i128> {
    if matches!(operator, "/" | "%" | ">>") && (left < 0 || right < 0) {
        return None;
    }
    let shift = || u32::try_from(right).ok().filter(|&count| count < 64);
    let value = match operator {
        "|" => Some(left | right),
        "^" => Some(left ^ right),
        "&" => Some(left & right),
        "<<" => left.checked_mul(1 << shift()?),
        ">>" => Some(left >> shift()?),
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" => left.checked_div(right),
        "%" => left.checked_rem(right),
        other => unreachable!("`{other}` is not in OPERATORS"),
    };
    value.filter(|value| value.unsigned_abs() <= u128::from(u64::MAX))
}
