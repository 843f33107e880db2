//! Points in time: read from ISO 8601 text or a number of seconds, written as ISO 8601 or as a mail date.

use super::coercion;
use super::field::FieldType;
use super::schema::{Definitions, literal};
use super::violation::{Refusal, Report};
use serde_json::Value;

/// A date and a time of day, with the offset from UTC if one was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// 1 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// 0 to 999 999.
    pub microsecond: i64,
    /// Minutes east of UTC; none if it was not said.
    pub offset: Option<i64>,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Timestamp {
    /// `2024-05-01T12:00:00+02:00`, with six digits after the second if it is not a whole one.
    pub fn to_iso(&self) -> String {
        let mut text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        );
        if self.microsecond != 0 {
            text += &format!(".{:06}", self.microsecond);
        }
        if let Some(offset) = self.offset {
            text += &offset_text(offset, ":");
        }
        text
    }

    /// `Wed, 01 May 2024 12:00:00 +0200` (RFC 5322); an unknown offset is `-0000`.
    pub fn to_rfc5322(&self) -> String {
        let days = days_since_1970(self.year, self.month, self.day);
        // 1 January 1970 was a Thursday.
        let weekday = DAYS[(days + 3).rem_euclid(7) as usize];
        let offset = self
            .offset
            .map_or("-0000".into(), |offset| offset_text(offset, ""));
        format!(
            "{weekday}, {:02} {} {:04} {:02}:{:02}:{:02} {offset}",
            self.day,
            MONTHS[self.month as usize - 1],
            self.year,
            self.hour,
            self.minute,
            self.second
        )
    }

    /// Reads `YYYY-MM-DD`, `T` or a blank, `HH:MM[:SS[.ffffff]]` and perhaps `Z` or an offset; parts may lack a leading zero.
    pub fn parse_iso(text: &str) -> Option<Self> {
        let mut scan = Scanner(text.strip_suffix('\n').unwrap_or(text));
        let year = scan.number(4, 4)?;
        let month = scan.after('-')?.number(1, 2)?;
        let day = scan.after('-')?.number(1, 2)?;
        if scan.after('T').is_none() {
            scan.after(' ')?;
        }
        let hour = scan.number(1, 2)?;
        let minute = scan.after(':')?.number(1, 2)?;
        let (mut second, mut microsecond) = (0, 0);
        if scan.after(':').is_some() {
            second = scan.number(1, 2)?;
            if scan.after('.').is_some() {
                microsecond = scan.fraction()?;
            }
        }
        let offset = scan.offset()?;
        let stamp = Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
            offset,
        };
        stamp.is_possible().then_some(stamp)
    }

    fn is_possible(&self) -> bool {
        self.year >= 1
            && (1..=12).contains(&self.month)
            && (1..=days_in(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.offset.is_none_or(|offset| offset.abs() < 24 * 60)
    }

    /// Reads seconds since 1970, in UTC; numbers too large for seconds are milliseconds, or smaller parts of a second.
    pub fn from_unix(number: f64) -> Option<Self> {
        const LARGEST_SECONDS: f64 = 2e10;
        const LARGEST: f64 = 3e20;
        if number.is_nan() {
            return None;
        }
        if number > LARGEST {
            return Some(Self::bound(9999, 12, 31, (23, 59, 59, 999_999)));
        }
        if number < -LARGEST {
            return Some(Self::bound(1, 1, 1, (0, 0, 0, 0)));
        }
        let mut seconds = number;
        while seconds.abs() > LARGEST_SECONDS {
            seconds /= 1000.0;
        }
        // Whole seconds apart, so that the fraction loses no digits; ties go to the even microsecond.
        let whole = seconds.trunc();
        let micros = whole as i64 * 1_000_000 + ((seconds - whole) * 1e6).round_ties_even() as i64;
        let (days, rest) = (
            micros.div_euclid(86_400_000_000),
            micros.rem_euclid(86_400_000_000),
        );
        let (year, month, day) = date_of(days);
        Some(Self {
            year,
            month,
            day,
            hour: rest / 3_600_000_000,
            minute: rest / 60_000_000 % 60,
            second: rest / 1_000_000 % 60,
            microsecond: rest % 1_000_000,
            offset: Some(0),
        })
    }

    /// An end of the calendar, which has no offset.
    fn bound(year: i64, month: i64, day: i64, time: (i64, i64, i64, i64)) -> Self {
        let (hour, minute, second, microsecond) = time;
        Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
            offset: None,
        }
    }
}

fn offset_text(offset: i64, separator: &str) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs();
    format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1 January 1970; years are counted from March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

fn date_of(days_since_epoch: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days_since_epoch / 366;
    while days_since_1970(year + 1, 1, 1) <= days_since_epoch {
        year += 1;
    }
    while days_since_1970(year, 1, 1) > days_since_epoch {
        year -= 1;
    }
    let mut day = days_since_epoch - days_since_1970(year, 1, 1) + 1;
    let mut month = 1;
    while day > days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    (year, month, day)
}

/// Takes a text apart from the left.
struct Scanner<'a>(&'a str);

impl Scanner<'_> {
    /// Steps over a character that must come next.
    fn after(&mut self, character: char) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(character)?;
        Some(self)
    }

    /// As many digits as there are, at most `most`.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self
            .0
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        if digits < least {
            return None;
        }
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().ok()
    }

    /// Microseconds from 1 to 12 digits, of which six count.
    fn fraction(&mut self) -> Option<i64> {
        let before = self.0.len();
        let number = self.number(1, 6)?;
        let digits = before - self.0.len();
        if digits == 6 {
            self.number(0, 6);
        }
        Some(number * 10_i64.pow(6 - digits as u32))
    }

    /// The end: nothing, `Z`, or a sign with hours and perhaps minutes. The outer `None` is a fault.
    fn offset(&mut self) -> Option<Option<i64>> {
        let sign = match self.0.chars().next() {
            None => return Some(None),
            Some('Z') if self.0.len() == 1 => return Some(Some(0)),
            Some('+') => 1,
            Some('-') => -1,
            Some(_) => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.number(2, 2)?;
        let mut minutes = 0;
        if !self.0.is_empty() {
            self.after(':');
            minutes = self.number(2, 2)?;
        }
        self.0
            .is_empty()
            .then_some(Some(sign * (60 * hours + minutes)))
    }
}

impl FieldType for Timestamp {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let number = match value {
            Value::String(text) => coercion::float_of_text(text),
            Value::Number(number) => number.as_f64(),
            Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
            _ => {
                report.refuse(
                    "type_error",
                    "not a time: give ISO 8601 text, or seconds since 1970",
                );
                return None;
            }
        };
        let stamp = match number {
            Some(number) => Self::from_unix(number).ok_or("value_error"),
            None => value
                .as_str()
                .and_then(Self::parse_iso)
                .ok_or("value_error.datetime"),
        };
        stamp
            .map_err(|kind| {
                report.add(Refusal::new(
                    kind,
                    "not a time: write it like 2024-05-01T12:00:00Z, or as seconds since 1970",
                ));
            })
            .ok()
    }

    fn to_json(&self) -> Value {
        self.to_iso().into()
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "string", "format": "date-time"}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn iso(value: Value) -> Option<String> {
        let stamp = Timestamp::read(&value, &mut Report::default());
        stamp.map(|stamp| stamp.to_iso())
    }

    #[test]
    fn text_and_numbers_are_read() {
        for (value, expected) in [
            (json!("2024-05-01T12:00:00Z"), "2024-05-01T12:00:00+00:00"),
            (json!("2024-5-1 1:2"), "2024-05-01T01:02:00"),
            (
                json!("2024-05-01T12:00:00.12-0530"),
                "2024-05-01T12:00:00.120000-05:30",
            ),
            (json!(1_700_000_000), "2023-11-14T22:13:20+00:00"),
            (json!(1_700_000_000_000_i64), "2023-11-14T22:13:20+00:00"),
            (json!("1700000000.5"), "2023-11-14T22:13:20.500000+00:00"),
            (json!(-1), "1969-12-31T23:59:59+00:00"),
            (json!(true), "1970-01-01T00:00:01+00:00"),
            (json!(1e21), "9999-12-31T23:59:59.999999"),
        ] {
            assert_eq!(iso(value.clone()).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn impossible_times_are_refused() {
        for text in [
            "2024-05-01",
            "2023-02-29T00:00",
            "2024-01-01T24:00",
            "2024-01-01T00:00+24:00",
            "nan",
            "x",
        ] {
            assert_eq!(iso(json!(text)), None, "{text}");
        }
    }

    #[test]
    fn a_mail_date_has_weekday_and_offset() {
        let mail_date = |text| Timestamp::parse_iso(text).unwrap().to_rfc5322();
        assert_eq!(
            mail_date("2024-02-29T01:02:03-05:30"),
            "Thu, 29 Feb 2024 01:02:03 -0530"
        );
        assert_eq!(
            mail_date("2024-12-31T23:59:59.999"),
            "Tue, 31 Dec 2024 23:59:59 -0000"
        );
    }
}
