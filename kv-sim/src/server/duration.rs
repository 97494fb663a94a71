//! Durations as Go writes and reads them.

/// A duration such as `1h30m` or `1500ms`, in nanoseconds.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..number)?.parse().ok()?;
        rest = rest.get(number..)?;
        let length = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match rest.get(..length)? {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += value * unit;
        rest = rest.get(length..)?;
    }
    let nanos = total as i64;
    Some(if negative { -nanos } else { nanos })
}

/// Nanoseconds as Go prints them: `1h30m0s`, `1.5s`, `250ms`.
pub(crate) fn print(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (unit, name) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..SECOND => (1_000_000, "ms"),
        SECOND.. => (SECOND, "s"),
    };
    let minutes = nanos / (60 * SECOND);
    let (whole, rest) = match minutes {
        0 => (nanos, String::new()),
        1..60 => (nanos % (60 * SECOND), format!("{minutes}m")),
        60.. => (
            nanos % (60 * SECOND),
            format!("{}h{}m", minutes / 60, minutes % 60),
        ),
    };
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", whole % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if unit == 1 || fraction.is_empty() {
        String::new()
    } else {
        format!(".{fraction}")
    };
    format!("{sign}{rest}{}{point}{name}", whole / unit)
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (5_400_000_000_000, "1h30m0s"),
            (3_661_000_000_001, "1h1m1.000000001s"),
            (-2_000_000_000, "-2s"),
        ] {
            assert_eq!(print(nanos), text);
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
    }
}
