//! What does a check come to: all is well, or what is wrong, why it matters, and what puts it right?

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Clients will notice, or the server will not start.
    Problem,
    /// It works, and could be faster or steadier.
    Advice,
    /// The machine does not say.
    Unknown,
    /// Nothing to do.
    Ok,
}

impl Verdict {
    /// All, the worst first.
    pub(super) const ALL: [Self; 4] = [Self::Problem, Self::Advice, Self::Unknown, Self::Ok];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Advice => "advice",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
        }
    }
}

/// What one look at the machine came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at, in a few words.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// How it is.
    pub(super) found: String,
    /// Why that matters; empty when all is well.
    pub(super) why: String,
    /// Commands that put it right until the next start of the machine, to be run as root.
    pub(super) fixes: Vec<String>,
    /// The file in `packaging/tuning/` that does so for good.
    pub(super) preset: Option<&'static str>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>, why: &str) -> Self {
        Self { check, verdict, found: found.into(), why: why.to_owned(), fixes: Vec::new(), preset: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found, "")
    }

    pub(super) fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, found, "")
    }

    pub(super) fn advice(check: &'static str, found: impl Into<String>, why: &str) -> Self {
        Self::new(check, Verdict::Advice, found, why)
    }

    pub(super) fn problem(check: &'static str, found: impl Into<String>, why: &str) -> Self {
        Self::new(check, Verdict::Problem, found, why)
    }

    /// With a command that puts it right.
    pub(super) fn fix(mut self, command: impl Into<String>) -> Self {
        self.fixes.push(command.into());
        self
    }

    /// With the file that does so for good.
    pub(super) fn preset(mut self, file: &'static str) -> Self {
        self.preset = Some(file);
        self
    }
}

/// `1,048,576`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `8 MiB`: a unit that leaves a whole number, or else rounded down to up to four digits.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_048_576), "1,048,576");
        assert_eq!(size(4096), "4096 bytes");
        assert_eq!(size(8 << 20), "8 MiB");
        assert_eq!(size((64 << 20) + 1), "64 MiB");
    }
}
