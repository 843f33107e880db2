//! The lax coercions of the dialect: which JSON values pass for text, integers, truth values and objects.
//!
//! They follow pydantic 1 on Python, because task data is written for that: `5` passes for text, `"1_000"` for an integer,
//! `"yes"` for a truth value. Integers beyond 64 bits are refused, where Python knows no bound.

use super::digits::decimal;
use super::violation::Refusal;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// Text, or a number or truth value as Python writes it (`5.0`, `1e+16`, `True`).
pub fn text(value: &Value) -> Result<Cow<'_, str>, Refusal> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Bool(true) => Ok(Cow::Borrowed("True")),
        Value::Bool(false) => Ok(Cow::Borrowed("False")),
        Value::Number(number) => Ok(Cow::Owned(number_text(number))),
        _ => Err(Refusal::new(
            "type_error.str",
            "not text: give a string, or a number to be written as one",
        )),
    }
}

/// A number as Python's `repr` writes it: an exponent below 1e-4 and from 1e16, otherwise a float has a point.
///
/// The digits come from the JSON writer, which a component carries anyway; the float formatting of `core` weighs 10 KB.
fn number_text(number: &Number) -> String {
    let written = number.to_string();
    if !number.is_f64() {
        return written;
    }
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let leading_zeros = (all.len() - digits.len()) as i32;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return format!("{sign}0.0");
    }
    // The value is 0.DIGITS times ten to the power of `point`.
    let point = whole.len() as i32 + exponent.parse().unwrap_or(0) - leading_zeros;
    match usize::try_from(point) {
        Ok(point @ 1..=16) if point < digits.len() => {
            format!("{sign}{}.{}", &digits[..point], &digits[point..])
        }
        Ok(point @ 1..=16) => {
            format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()))
        }
        _ if (-3..=0).contains(&point) => {
            format!(
                "{sign}0.{}{digits}",
                "0".repeat(point.unsigned_abs() as usize)
            )
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let direction = if point < 1 { '-' } else { '+' };
            format!(
                "{sign}{first}{dot}{rest}e{direction}{:02}",
                (point - 1).abs()
            )
        }
    }
}

/// An integer, a float without its fraction, a truth value as 1 or 0, or text that is a decimal integer.
pub fn integer(value: &Value) -> Result<i64, Refusal> {
    let found = match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().and_then(truncated)),
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::String(text) => integer_of_text(text),
        _ => None,
    };
    found.ok_or_else(|| {
        Refusal::new(
            "type_error.integer",
            "not an integer: give a whole number of at most 64 bits",
        )
    })
}

fn truncated(float: f64) -> Option<i64> {
    // The bounds are exact in floating point; i64::MAX itself is not.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&float)
        .then_some(float as i64)
}

/// Python's `int(text)`: blanks around it, a sign, and single `_` between digits are allowed; digits are those of any script.
pub fn integer_of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let mut number: i64 = 0;
    let mut after_digit = false;
    for character in digits.chars() {
        if character == '_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = decimal(character)?;
        let shifted = number.checked_mul(10)?;
        number = if negative {
            shifted.checked_sub(digit)?
        } else {
            shifted.checked_add(digit)?
        };
        after_digit = true;
    }
    after_digit.then_some(number)
}

/// What Python's `str.strip` takes away, and `\s` of its patterns matches: four control characters more than Unicode's white space.
pub fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// true, false, 1, 0 and the words for them.
pub fn truth(value: &Value) -> Result<bool, Refusal> {
    let found = match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => truth_of_word(text),
        _ => None,
    };
    found.ok_or_else(|| {
        Refusal::new(
            "type_error.bool",
            "neither true nor false: give one of these",
        )
    })
}

fn truth_of_word(word: &str) -> Option<bool> {
    let is = |known: &&str| word.eq_ignore_ascii_case(known);
    if ["1", "on", "t", "true", "y", "yes"].iter().any(is) {
        Some(true)
    } else if ["0", "off", "f", "false", "n", "no"].iter().any(is) {
        Some(false)
    } else {
        None
    }
}

/// A finite number: a JSON number, a truth value as 1 or 0, or text that is a number.
pub fn float(value: &Value) -> Result<f64, Refusal> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => float_of_text(text),
        _ => None,
    };
    found
        .filter(|float| float.is_finite())
        .ok_or_else(|| Refusal::new("type_error.float", "not a number: give a finite number"))
}

/// Python's `float(text)`: blanks around it and single `_` between digits are allowed; digits are those of any script.
///
/// The digits are read by the JSON reader, which a component carries anyway; the float parser of `core` weighs 16 KB.
pub fn float_of_text(text: &str) -> Option<f64> {
    let to_ascii = |c: char| decimal(c).map_or(c, |digit| char::from(b'0' + digit as u8));
    let text: String = text.trim().chars().map(to_ascii).collect();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if ["inf", "infinity"]
        .iter()
        .any(|word| unsigned.eq_ignore_ascii_case(word))
    {
        return Some(sign * f64::INFINITY);
    }
    if unsigned.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if (whole.is_empty() && fraction.is_empty()) || exponent_digits.is_empty() {
        return None;
    }
    if ![whole, fraction, exponent_digits]
        .into_iter()
        .all(is_digits)
    {
        return None;
    }
    let whole = whole.trim_start_matches(['0', '_']);
    let json = ["0", whole, ".", fraction, "0e", exponent]
        .concat()
        .replace('_', "");
    let json = if whole.is_empty() { &json } else { &json[1..] };
    match json.parse::<Number>() {
        Ok(number) => number.as_f64().map(|float| sign * float),
        // Well formed, so it is out of range.
        Err(_) => Some(sign * f64::INFINITY),
    }
}

/// Nothing, or digits with single `_` between them.
fn is_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit_at = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    (0..bytes.len()).all(|at| {
        digit_at(at) || (bytes[at] == b'_' && at > 0 && digit_at(at - 1) && digit_at(at + 1))
    })
}

/// What passed for an object.
#[derive(Debug)]
pub struct Entries<'a> {
    /// The keys and values, in order.
    pub map: Cow<'a, Map<String, Value>>,
    /// Whether each key was text; a map of anything takes others, a model does not.
    pub keys_are_text: bool,
}

/// An object, or an array of pairs; a pair is an array of two, or text of two characters. Empty text is an object without keys.
pub fn object(value: &Value) -> Result<Entries<'_>, Refusal> {
    if let Value::Object(map) = value {
        return Ok(Entries {
            map: Cow::Borrowed(map),
            keys_are_text: true,
        });
    }
    pairs(value).ok_or_else(|| {
        Refusal::new(
            "type_error.dict",
            "not an object: give keys and values in braces",
        )
    })
}

fn pairs(value: &Value) -> Option<Entries<'static>> {
    let items: &[Value] = match value {
        Value::Array(items) => items,
        Value::String(text) if text.is_empty() => &[],
        _ => return None,
    };
    let mut map = Map::new();
    let mut keys_are_text = true;
    for item in items {
        let (key, value) = pair(item).ok()?;
        keys_are_text &= key.is_string();
        map.insert(text(&key).ok()?.into_owned(), value);
    }
    Some(Entries {
        map: Cow::Owned(map),
        keys_are_text,
    })
}

/// A key and its value, as Python's `dict()` takes them: two items, in whatever has items. Else the kind of the error.
pub(crate) fn pair(item: &Value) -> Result<(Value, Value), &'static str> {
    let items: Vec<Value> = match item {
        Value::Array(items) => items.clone(),
        Value::Object(map) => map.keys().map(|key| Value::from(key.as_str())).collect(),
        Value::String(text) => text.chars().map(|one| Value::String(one.into())).collect(),
        _ => return Err("type_error"),
    };
    let [key, value] = <[Value; 2]>::try_from(items).map_err(|_| "value_error")?;
    match key {
        Value::Array(_) | Value::Object(_) => Err("type_error"),
        _ => Ok((key, value)),
    }
}

/// Python's `==` between JSON values: 1, 1.0 and true are equal; the order of keys does not count.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| equal(a, b))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, a)| right.get(key).is_some_and(|b| equal(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if !a.is_f64() && !b.is_f64() => a == b,
        _ => match (quantity(left), quantity(right)) {
            (Some(left), Some(right)) => left == right,
            _ => left == right,
        },
    }
}

fn quantity(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// Python's idea of a true value: not null, false, zero or empty.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}
