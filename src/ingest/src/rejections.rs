//! What was refused in a push, and how is the client told without the answer growing with the damage?

/// Most distinct messages that one answer carries.
const MAX_MESSAGES: usize = 10;
/// Longest single message in bytes; a label value of a megabyte must not come back as one, and agents log no more than
/// the first KiB.
const MAX_MESSAGE_BYTES: usize = 1000;
/// Bytes of a longer message that are kept of its end, where the reason stands behind the labels.
const MESSAGE_TAIL_BYTES: usize = 350;
/// Most messages that are made at all: with large labels, making the same one for every line would cost more than
/// storing the lines.
const MAX_ATTEMPTS: u32 = 256;

/// Why an entry was refused; the name is the `reason` of the discard counters, as in Loki.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// More labels than `limits.max_label_names`.
    MaxLabelNames,
    /// A label name longer than `limits.max_label_name_bytes`.
    LabelNameTooLong,
    /// A label value longer than `limits.max_label_value_bytes`.
    LabelValueTooLong,
    /// A label name twice in one stream.
    DuplicateLabelName,
    /// Older than `limits.reject_older_than`.
    TooOld,
    /// Newer than `limits.reject_newer_than`.
    TooNew,
    /// No timestamp, or one that no 64-bit number of nanoseconds can say.
    NoTimestamp,
    /// A line longer than `limits.max_line_bytes`.
    LineTooLong,
    /// More metadata bytes than `limits.max_metadata_bytes`.
    MetadataTooLarge,
    /// More metadata pairs than `limits.max_metadata_pairs`.
    MetadataTooMany,
    /// A metadata name of which nothing is left.
    MetadataName,
    /// A stream that the sender's label filter does not match.
    LabelFilter,
}

impl Reason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 12] = [
        Self::MaxLabelNames,
        Self::LabelNameTooLong,
        Self::LabelValueTooLong,
        Self::DuplicateLabelName,
        Self::TooOld,
        Self::TooNew,
        Self::NoTimestamp,
        Self::LineTooLong,
        Self::MetadataTooLarge,
        Self::MetadataTooMany,
        Self::MetadataName,
        Self::LabelFilter,
    ];

    /// The name that counters use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxLabelNames => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::DuplicateLabelName => "duplicate_label_names",
            Self::TooOld => "greater_than_max_sample_age",
            Self::TooNew => "too_far_in_future",
            Self::NoTimestamp => "no_timestamp",
            Self::LineTooLong => "line_too_long",
            Self::MetadataTooLarge => "structured_metadata_too_large",
            Self::MetadataTooMany => "structured_metadata_too_many",
            Self::MetadataName => "invalid_structured_metadata",
            Self::LabelFilter => "label_filter",
        }
    }
}

/// The refused entries of one push: counts by reason, and a few messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    messages: Vec<String>,
    attempts: u32,
    counts: [u64; Reason::ALL.len()],
}

impl Rejections {
    /// Counts one refused entry; `message` is only asked for while there is room.
    pub(crate) fn add(&mut self, reason: Reason, message: impl FnOnce() -> String) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += 1;
        }
        if self.messages.len() < MAX_MESSAGES && self.attempts < MAX_ATTEMPTS {
            self.attempts += 1;
            let message = shortened(message());
            if !self.messages.contains(&message) {
                self.messages.push(message);
            }
        }
    }

    /// Distinct messages, at most ten.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Refused entries by reason, those that occurred.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.counts).filter(|(_, n)| *n > 0)
    }

    /// All refused entries.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// The messages as the body of an answer, one a line.
    pub fn text(&self) -> String {
        self.messages.join("\n")
    }
}

/// `message`, cut in the middle to a length that an answer can carry.
pub fn shortened(mut message: String) -> String {
    const GAP: &str = " ... ";
    if message.len() > MAX_MESSAGE_BYTES {
        let boundary = |at: &usize| message.is_char_boundary(*at);
        let head = (0..=MAX_MESSAGE_BYTES - MESSAGE_TAIL_BYTES - GAP.len()).rev().find(boundary).unwrap_or(0);
        let tail =
            (message.len() - MESSAGE_TAIL_BYTES..message.len()).find(boundary).unwrap_or(message.len());
        message.replace_range(head..tail, GAP);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_stays_small_however_much_is_refused() {
        let mut rejections = Rejections::default();
        assert!(rejections.is_empty());
        for i in 0..1000 {
            rejections.add(Reason::LineTooLong, || format!("{}{}", i / 2, "é".repeat(5000)));
        }
        rejections.add(Reason::TooOld, || unreachable!("no room for it"));
        assert_eq!(rejections.messages().len(), 10);
        assert_eq!(
            rejections.counts().collect::<Vec<_>>(),
            [(Reason::TooOld, 1), (Reason::LineTooLong, 1000)]
        );
        assert!(rejections.text().len() < 10_100);
        let long = shortened(format!("stream '{}' has no time", "é".repeat(5000)));
        assert!(
            long.len() <= MAX_MESSAGE_BYTES
                && long.starts_with("stream 'é")
                && long.ends_with("é' has no time")
        );
        assert_eq!(rejections.total(), 1001);
    }

    #[test]
    fn the_same_message_is_not_made_for_ever() {
        let mut rejections = Rejections::default();
        let mut made = 0;
        for _ in 0..10_000 {
            rejections.add(Reason::TooOld, || {
                made += 1;
                "same".to_owned()
            });
        }
        assert_eq!((made, rejections.total(), rejections.text().as_str()), (256, 10_000, "same"));
    }

    #[test]
    fn counters_and_reasons_stand_in_the_same_order() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
