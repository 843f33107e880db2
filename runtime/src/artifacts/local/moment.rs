//! Points in time as the database keeps them: whole microseconds since 1970 (UTC).

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time; clocks before 1970 are taken for 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since_1970.map_or(0, |elapsed| elapsed.as_micros() as i64))
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> Self {
        UNIX_EPOCH + Duration::from_micros(moment.0.max(0) as u64)
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(value.as_i64()?))
    }
}
