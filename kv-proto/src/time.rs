//! Two clocks that must not be mixed: [`Instant`] is the embedder's monotonic
//! clock, which drives deadlines; [`Timestamp`] is the server's wall clock,
//! which only labels data.
//!
//! The core never reads either. The embedder passes an [`Instant`] into every
//! call; timestamps arrive inside server messages.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point on the embedder's monotonic clock, in nanoseconds since an origin
/// that the embedder chose (a `u64` lasts 584 years).
///
/// ```
/// use kv_proto::Instant;
/// use std::time::Duration;
///
/// let t = Instant::ORIGIN + Duration::from_millis(2);
/// assert_eq!(t.saturating_duration_since(Instant::ORIGIN), Duration::from_millis(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The embedder's time zero.
    pub const ORIGIN: Self = Self(0);

    /// The end of time, which stands for "never".
    pub const END: Self = Self(u64::MAX);

    /// Makes an instant from nanoseconds since the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Adds a duration; saturates at the end of time instead of overflowing.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.0))
    }
}

/// A time on the server's wall clock, in nanoseconds since the Unix epoch.
///
/// ```
/// use kv_proto::Timestamp;
///
/// let t = Timestamp::parse_rfc3339("2026-11-23T18:48:30.59781313Z").ok_or("bad")?;
/// assert_eq!(t.to_string(), "2026-11-23T18:48:30.597813130Z");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// Makes a timestamp from nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_unix_nanos(self) -> i64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        if nanos < 0 {
            Duration::ZERO
        } else {
            Duration::from_nanos(nanos.unsigned_abs())
        }
    }

    /// Reads the RFC 3339 form that nats-server writes: `T` between date and
    /// time, up to nine fractional digits, and `Z` or a numeric offset.
    ///
    /// Returns `None` for anything else, and for years outside 1678 to 2261
    /// (the range of `i64` nanoseconds); the server's zero time
    /// `0001-01-01T00:00:00Z` is one of those.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        Self::parse_rfc3339_bytes(text.as_bytes())
    }

    /// The same of what may not be text.
    pub(crate) fn parse_rfc3339_bytes(text: &[u8]) -> Option<Self> {
        parse_rfc3339(text)
    }
}

fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let [b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = time else {
        return None;
    };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let month = number(&[*m1, *m2])?;
    let day = number(&[*d1, *d2])?;
    let (hour, minute, second) = (
        number(&[*h1, *h2])?,
        number(&[*n1, *n2])?,
        number(&[*s1, *s2])?,
    );
    let valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !valid {
        return None;
    }
    let (fraction, zone) = split_fraction(rest)?;
    let seconds = days_from_civil(year, month, day)
        .checked_mul(SECONDS_PER_DAY)?
        .checked_add(hour * 3_600 + minute * 60 + second)?
        .checked_sub(zone_offset(zone)?)?;
    seconds
        .checked_mul(NANOS_PER_SECOND)?
        .checked_add(fraction)
        .map(Timestamp)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Splits `.123Z` into nanoseconds and the zone.
fn split_fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 || count > 9 {
        return None;
    }
    let (digits, zone) = digits.split_at_checked(count)?;
    let scale = 10_i64.pow(9 - u32::try_from(count).ok()?);
    Some((number(digits)? * scale, zone))
}

/// Returns the seconds that the zone is ahead of UTC.
fn zone_offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = number(&[*h1, *h2])? * 3_600 + number(&[*m1, *m2])? * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let nanos = self.0.rem_euclid(NANOS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The embedder's monotonic clock, for code that cannot pass `now` by hand
/// (the handles of the `driver` feature).
pub trait Clock: Send + Sync {
    /// Returns the current instant; never smaller than an earlier answer.
    fn now(&self) -> Instant;
}

impl<F: Fn() -> Instant + Send + Sync> Clock for F {
    fn now(&self) -> Instant {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn rfc3339_reads_what_the_server_writes() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1969-12-31T23:59:59.5Z", -500_000_000),
            ("2026-11-23T18:48:30.59781313Z", 1_795_459_710_597_813_130),
            (
                "2026-11-23T19:48:30.59781313+01:00",
                1_795_459_710_597_813_130,
            ),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000_000_000),
        ];
        for (text, nanos) in cases {
            assert_eq!(
                Timestamp::parse_rfc3339(text),
                Some(Timestamp::from_unix_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn rfc3339_refuses_what_it_cannot_hold() {
        for text in [
            "",
            "0001-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23 18:48:30Z",
            "2026-11-23T18:48:30",
            "2026-11-23T18:48:30.Z",
            "2026-11-23T18:48:30.0123456789Z",
            "2026-11-23T18:48:30+0100",
            "9999-12-31T23:59:59Z",
            "ü026-11-23T18:48:30Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn display_is_the_inverse_of_parse() {
        let mut nanos = i64::MIN;
        while nanos < i64::MAX - 97_777_777_777_777_777 {
            let t = Timestamp::from_unix_nanos(nanos);
            let text = t.to_string();
            // The first instants of the i64 range lie before the first whole second.
            if nanos > i64::MIN + NANOS_PER_SECOND {
                assert_eq!(Timestamp::parse_rfc3339(&text), Some(t), "{text}");
            }
            nanos += 97_777_777_777_777_777;
        }
    }

    #[test]
    fn instants_saturate() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(
            Instant::ORIGIN.saturating_duration_since(end),
            Duration::ZERO
        );
    }
}
