//! Integers in look-ups, as lax as the reference reads them (`tasks.md`, validation dialect of pydantic 1).

use serde_json::Value;

/// The integer that a look-up value stands for: a number (cut towards zero), a bool, or text such as `" 12 "`, `"+4"` or `"1_000"`.
pub(super) fn from_value(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(yes) => Some(i64::from(*yes)),
        Value::Number(number) => number.as_i64().or_else(|| {
            number
                .as_f64()
                .filter(|float| float.is_finite())
                .map(|float| float as i64)
        }),
        Value::String(text) => from_text(text),
        _ => None,
    }
}

/// Digits with single `_` between them, a sign before and blanks around.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty()
        && digits
            .split('_')
            .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_number {
        return None;
    }
    // More than 64 bits exist as an integer, but as no id: keep it one that nothing has.
    Some(text.replace('_', "").parse().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_that_python_takes_for_an_integer_is_one() {
        let taken = [
            ("1_000", 1000),
            ("+4", 4),
            (" 12 ", 12),
            ("-3", -3),
            ("007", 7),
        ];
        for (text, integer) in taken {
            assert_eq!(from_text(text), Some(integer), "{text:?}");
        }
    }

    #[test]
    fn text_that_python_refuses_is_a_name() {
        for text in ["", "5.0", "_1", "1_", "1__0", "+", "0x10", "1 2", "--1"] {
            assert_eq!(from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_and_bools_are_integers_too() {
        assert_eq!(from_value(&json!(true)), Some(1));
        assert_eq!(from_value(&json!(5.7)), Some(5));
        assert_eq!(from_value(&json!(-3)), Some(-3));
        assert_eq!(from_value(&json!(null)), None);
    }
}
