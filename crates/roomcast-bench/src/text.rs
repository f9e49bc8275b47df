//! Numbers for people: thousands apart, units that fit.

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    separated(&number.to_string())
}

/// The nearest whole number, as [`count`] writes it.
pub(crate) fn whole(number: f64) -> String {
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", separated(&format!("{:.0}", number.abs())))
}

fn separated(digits: &str) -> String {
    let separated = digits.bytes().enumerate().flat_map(|(at, digit)| {
        let comma = at > 0 && (digits.len() - at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([char::from(digit)])
    });
    separated.collect()
}

/// A duration with three digits or so.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..=999 => format!("{micros} µs"),
        1_000..=999_999 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// An amount of memory, which may have shrunk.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes.abs() {
        0.0..1024.0 => format!("{bytes:.0} B"),
        1024.0..1_048_576.0 => format!("{:.2} KiB", bytes / 1024.0),
        _ => format!("{:.2} MiB", bytes / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let check = |number, expected: &str| assert_eq!(count(number), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
        assert_eq!([5, 1_500, 2_000_000].map(micros), ["5 µs", "1.50 ms", "2.00 s"]);
        assert_eq!([512.0, 1_536.0, -2_097_152.0].map(bytes), ["512 B", "1.50 KiB", "-2.00 MiB"]);
    }
}
