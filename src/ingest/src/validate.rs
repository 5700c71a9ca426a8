//! May this stream, may this entry be stored? Loki's checks and messages, each naming the setting to change.

use crate::enrich::SERVICE_NAME;
use crate::metadata::EntryMetadata;
use crate::rejections::Reason;
use strandline_model::time::Rfc3339;
use strandline_model::{Labels, Limits};

/// The rule that a stream or an entry breaks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenRule<'a> {
    #[error("entry for stream '{0}' has {1} label names; limit {2} (limits.max_label_names)")]
    MaxLabelNames(&'a Labels, usize, usize),
    #[error("stream '{0}' has label name too long: '{1}' (limits.max_label_name_bytes is {2})")]
    LabelNameTooLong(&'a Labels, &'a str, usize),
    #[error("stream '{0}' has label value too long: '{1}' (limits.max_label_value_bytes is {2})")]
    LabelValueTooLong(&'a Labels, &'a str, usize),
    #[error(
        "entry for stream '{0}' has timestamp too old: {1}, oldest acceptable timestamp is: {2} \
         (limits.reject_older_than)"
    )]
    TooOld(&'a Labels, Rfc3339, Rfc3339),
    #[error("entry for stream '{0}' has timestamp too new: {1} (limits.reject_newer_than)")]
    TooNew(&'a Labels, Rfc3339),
    #[error("entry for stream '{0}' has no usable timestamp")]
    NoTimestamp(&'a Labels),
    #[error("entry for stream '{0}' has no usable timestamp: {1} is no time of a log")]
    BeforeTime(&'a Labels, Rfc3339),
    #[error(
        "max entry size '{1}' bytes exceeded for stream '{0}' while adding an entry with length '{2}' bytes \
         (limits.max_line_bytes)"
    )]
    LineTooLong(&'a Labels, usize, usize),
    #[error(
        "stream '{0}' has structured metadata too large: '{1}' bytes, limit: '{2}' bytes \
         (limits.max_metadata_bytes; Loki: limits_config.max_structured_metadata_size)"
    )]
    MetadataTooLarge(&'a Labels, usize, usize),
    #[error(
        "stream '{0}' has too many structured metadata labels: '{1}', limit: '{2}' \
         (limits.max_metadata_pairs; Loki: limits_config.max_structured_metadata_entries_count)"
    )]
    MetadataTooMany(&'a Labels, usize, usize),
    #[error("stream '{0}' has an entry with structured metadata of no usable name: '{1}'")]
    MetadataName(&'a Labels, &'a str),
}

impl BrokenRule<'_> {
    /// The reason to count it under.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::MaxLabelNames(..) => Reason::MaxLabelNames,
            Self::LabelNameTooLong(..) => Reason::LabelNameTooLong,
            Self::LabelValueTooLong(..) => Reason::LabelValueTooLong,
            Self::TooOld(..) => Reason::TooOld,
            Self::TooNew(..) => Reason::TooNew,
            Self::NoTimestamp(..) | Self::BeforeTime(..) => Reason::NoTimestamp,
            Self::LineTooLong(..) => Reason::LineTooLong,
            Self::MetadataTooLarge(..) => Reason::MetadataTooLarge,
            Self::MetadataTooMany(..) => Reason::MetadataTooMany,
            Self::MetadataName(..) => Reason::MetadataName,
        }
    }
}

/// Checks a stream's labels; `service_name` does not count, for it may be of our making.
pub(crate) fn check_labels<'a>(labels: &'a Labels, limits: &Limits) -> Result<(), BrokenRule<'a>> {
    let own = labels.iter().filter(|(name, _)| *name != SERVICE_NAME).count();
    if own > limits.max_label_names {
        return Err(BrokenRule::MaxLabelNames(labels, own, limits.max_label_names));
    }
    for (name, value) in labels.iter() {
        if name.len() > limits.max_label_name_bytes && name != SERVICE_NAME {
            return Err(BrokenRule::LabelNameTooLong(labels, name, limits.max_label_name_bytes));
        }
        if value.len() > limits.max_label_value_bytes {
            return Err(BrokenRule::LabelValueTooLong(labels, value, limits.max_label_value_bytes));
        }
    }
    Ok(())
}

/// Checks one entry of the stream `labels`, in Loki's order: time, line, metadata.
pub(crate) fn check_entry<'a>(
    limits: &Limits,
    now_ns: i64,
    labels: &'a Labels,
    (ts, line): (i64, &[u8]),
    metadata: &'a EntryMetadata,
) -> Result<(), BrokenRule<'a>> {
    // A clock that was never set, or a field that was never filled in: nobody would find such a line again.
    if ts <= 0 {
        return Err(BrokenRule::BeforeTime(labels, Rfc3339(ts)));
    }
    // `saturating`: a limit of centuries is no limit, not an overflow.
    let oldest = now_ns.saturating_sub(limits.reject_older_than_ns);
    if limits.reject_older_than_ns > 0 && ts < oldest {
        return Err(BrokenRule::TooOld(labels, Rfc3339(ts), Rfc3339(oldest)));
    }
    if limits.reject_newer_than_ns > 0 && ts > now_ns.saturating_add(limits.reject_newer_than_ns) {
        return Err(BrokenRule::TooNew(labels, Rfc3339(ts)));
    }
    if line.len() > limits.max_line_bytes {
        return Err(BrokenRule::LineTooLong(labels, limits.max_line_bytes, line.len()));
    }
    if metadata.bytes() > limits.max_metadata_bytes {
        return Err(BrokenRule::MetadataTooLarge(labels, metadata.bytes(), limits.max_metadata_bytes));
    }
    if metadata.count() > limits.max_metadata_pairs {
        return Err(BrokenRule::MetadataTooMany(labels, metadata.count(), limits.max_metadata_pairs));
    }
    match metadata.bad_name() {
        Some(name) => Err(BrokenRule::MetadataName(labels, name)),
        None => Ok(()),
    }
}
