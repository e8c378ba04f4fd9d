//! The values of number literals.

use super::token::Kind;

/// A message and a hint.
type Fault = (String, &'static str);

/// Reads a number as PTX writes it, without a sign.
///
/// Integers are decimal, hexadecimal (`0x`), binary (`0b`) or octal (`0`), each with an optional
/// `U`. `0f` and `0d` give the bits of a float; a point or an exponent makes a decimal float.
pub(super) fn literal(text: &str) -> Result<Kind, Fault> {
    let prefix = text.get(..2).unwrap_or("").to_ascii_lowercase();
    match prefix.as_str() {
        "0f" => float_bits(text, 8).map(|bits| Kind::F32(bits as u32)),
        "0d" => float_bits(text, 16).map(Kind::F64),
        "0x" => integer(text, &text[2..], 16),
        "0b" => integer(text, &text[2..], 2),
        _ if text.contains(['.', 'e', 'E']) => decimal(text),
        _ if text.len() > 1 && text.starts_with('0') => integer(text, &text[1..], 8),
        _ => integer(text, text, 10),
    }
}

fn integer(text: &str, digits: &str, radix: u32) -> Result<Kind, Fault> {
    let digits = digits.strip_suffix('U').unwrap_or(digits);
    // `0U` is octal by its first digit, and that digit is the whole value.
    let digits = if digits.is_empty() && radix == 8 { "0" } else { digits };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        let hint = match radix {
            16 => "a hexadecimal number reads `0x1F` or `0x1FU`",
            8 => "a leading 0 makes a number octal: only digits 0 to 7 may follow",
            2 => "a binary number reads `0b101` or `0b101U`",
            _ => "a decimal number reads `12` or `12U`",
        };
        return Err((format!("`{text}` is not a number"), hint));
    }
    match u64::from_str_radix(digits, radix) {
        Ok(value) => Ok(Kind::Integer(value)),
        Err(_) => Err((format!("`{text}` does not fit in 64 bits"), "PTX has no wider integers")),
    }
}

fn float_bits(text: &str, digits: usize) -> Result<u64, Fault> {
    let hex = &text[2..];
    match u64::from_str_radix(hex, 16) {
        Ok(bits) if hex.len() == digits => Ok(bits),
        _ => Err((
            format!("`{text}` is not a float, expected {digits} hexadecimal digits"),
            "1.0 is `0f3F800000` as .f32 and `0d3FF0000000000000` as .f64",
        )),
    }
}

fn decimal(text: &str) -> Result<Kind, Fault> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Kind::Decimal(value)),
        Ok(_) => Err((
            format!("`{text}` is beyond the range of .f64"),
            "infinity is `0f7F800000` as .f32 and `0d7FF0000000000000` as .f64",
        )),
        Err(_) => Err((
            format!("`{text}` is not a number"),
            "a decimal float reads `1.5`, `1e5` or `1.5e-3`",
        )),
    }
}
