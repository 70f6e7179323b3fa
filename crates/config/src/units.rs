//! Durations and sizes as people write them.

use ironmaster_model::Duration;

/// Parses `90s`, `20m`, `2h`, `1h30m`, `500ms`, `7d`. The error says what is wrong.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const HOW: &str = "a duration is written `90s`, `20m`, `2h`, `1h30m` or `7d`";
    let mut micros: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(HOW.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit_len = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + unit_len]);
        let factor: i64 = match unit {
            "ms" => 1000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "" if digits == text.trim().len() => {
                return Err(format!("`{text}` has no unit; {HOW}"));
            }
            _ => return Err(format!("`{text}` is not a duration; {HOW}")),
        };
        let part = number
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .ok_or_else(|| format!("`{text}` is not a duration; {HOW}"))?;
        micros = micros
            .checked_add(part)
            .ok_or_else(|| format!("`{text}` is too long"))?;
        rest = rest[digits + unit_len..].trim_start();
    }
    Ok(Duration(micros))
}

/// Writes a duration as [`duration`] reads it.
pub(crate) fn duration_text(duration: Duration) -> String {
    for (factor, unit) in [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
    ] {
        if duration.0 != 0 && duration.0 % factor == 0 {
            return format!("{}{unit}", duration.0 / factor);
        }
    }
    if duration.0 == 0 {
        return "0s".to_owned();
    }
    format!("{}ms", duration.as_millis())
}

/// Parses `512`, `512B`, `64KiB`, `10MiB`, `1GiB` into bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; a size is written `512KiB`, `10MiB` or `1GiB`");
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let factor: u64 = match trimmed[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    trimmed[..digits]
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, micros) in [
            ("0s", 0),
            ("90s", 90_000_000),
            ("20m", 1_200_000_000),
            ("1h30m", 5_400_000_000),
            ("1h 30m", 5_400_000_000),
            ("500ms", 500_000),
            ("7d", 604_800_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration(micros)), "{text}");
        }
        for text in [
            "",
            " ",
            "s",
            "5",
            "5 s",
            "-5s",
            "5x",
            "5sx",
            "1.5h",
            "99999999999999999999s",
            "9999999999999d",
            "5é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["0s", "90s", "20m", "500ms", "7d", "25h"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65536),
            ("10 MiB", 10_485_760),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1MB", "-1", "99999999999GiB", "1.5MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
