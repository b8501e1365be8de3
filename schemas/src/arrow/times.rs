//! Times as readers of the lake can read them: from 0001-01-01 to 9999-12-31. What lies outside, which a clock that is
//! off or a log that takes its producers' word can give, is clamped.

/// Days from the Unix epoch to 0001-01-01 and to 9999-12-31 (proleptic Gregorian calendar).
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const DAY_US: i64 = DAY_MS * 1_000;

/// The UTC day of a time in milliseconds since the Unix epoch, as days since it.
#[must_use]
pub fn utc_day(unix_ms: i64) -> i32 {
    let day = unix_ms.div_euclid(DAY_MS).clamp(FIRST_DAY, LAST_DAY);
    i32::try_from(day).unwrap_or_default()
}

/// A time in microseconds since the Unix epoch, within those days.
#[must_use]
pub fn micros(unix_us: i64) -> i64 {
    unix_us.clamp(FIRST_DAY * DAY_US, (LAST_DAY + 1) * DAY_US - 1)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn every_day_has_four_digits_for_its_year() {
        let epoch = date(1970, 1, 1);
        let day = |ms| epoch + jiff::Span::new().days(utc_day(ms));
        assert_eq!(day(0), epoch);
        assert_eq!(day(-1), date(1969, 12, 31));
        assert_eq!(day(1_790_000_000_000), date(2026, 9, 21));
        for (ms, last) in [(i64::MIN, date(1, 1, 1)), (i64::MAX, date(9999, 12, 31))] {
            assert_eq!(day(ms), last);
        }
    }

    #[test]
    fn what_lies_within_stays_as_it_is() {
        for us in [0, -1, 1_790_000_000_123_456] {
            assert_eq!(micros(us), us);
        }
        for us in [i64::MIN, i64::MAX] {
            assert_eq!(micros(us).div_euclid(DAY_US), i64::from(utc_day(us)));
        }
    }
}
