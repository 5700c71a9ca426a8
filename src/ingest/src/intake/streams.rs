//! Which stream do the entries that follow belong to? Its labels looked up or parsed, checked, and within what the sender may
//! write.

use super::{Current, Intake, IntakeError};
use crate::label_cache::KnownStream;
use crate::rejections::{Reason, shortened};
use crate::validate::check_labels;
use std::collections::HashMap;
use std::sync::Arc;
use strandline_model::{LabelError, Labels};

/// Longest label text that is parsed at all: far above what the label limits leave, and far below what would cost
/// memory.
const MAX_LABEL_TEXT_BYTES: usize = 1 << 20;

impl Intake<'_> {
    /// Begins the stream with these labels (`{name="value", ...}`); the entries that follow are its own. An error
    /// means that the whole push is to be refused.
    pub fn begin_stream(&mut self, labels: &str) -> Result<(), IntakeError> {
        self.count_stream()?;
        if labels.len() > MAX_LABEL_TEXT_BYTES {
            let message = format!("stream '{labels}' has labels of {} bytes", labels.len());
            self.refuse_stream(Reason::MaxLabelNames, message);
            return Ok(());
        }
        // Loki takes an empty text for an empty label set.
        let parse = || if labels.is_empty() { Labels::parse("{}") } else { Labels::parse(labels) };
        match self.cache.get_or_parse(self.cache_seed, labels.as_bytes(), parse) {
            Ok(known) => self.open(known),
            // In Loki a name given twice costs the stream, not the push.
            Err(LabelError::Duplicate(name)) => {
                let message = format!("stream '{labels}' has duplicate label name: '{name}'");
                self.refuse_stream(Reason::DuplicateLabelName, message);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// As [`Self::begin_stream`] for labels that come as pairs; the last of equal names wins.
    pub fn begin_stream_pairs<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        pairs: &[(N, V)],
    ) -> Result<(), IntakeError> {
        self.count_stream()?;
        self.key.clear();
        for piece in pairs.iter().flat_map(|(n, v)| [n.as_ref(), v.as_ref()]) {
            // Lengths first, so that no two sets of pairs share a key.
            self.key.extend_from_slice(&piece.len().to_le_bytes());
            self.key.extend_from_slice(piece.as_bytes());
        }
        if self.key.len() > MAX_LABEL_TEXT_BYTES {
            let message = format!("a stream has labels of {} bytes", self.key.len());
            self.refuse_stream(Reason::MaxLabelNames, message);
            return Ok(());
        }
        let last_of_equal = || {
            let by_name: HashMap<&str, &str> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
            Labels::from_pairs(&by_name.into_iter().collect::<Vec<_>>())
        };
        // A seed of their own keeps these keys apart from the label texts.
        let seed = self.cache_seed.wrapping_add(1);
        let known = self.cache.get_or_parse(seed, &self.key, last_of_equal)?;
        self.open(known);
        Ok(())
    }

    fn count_stream(&mut self) -> Result<(), IntakeError> {
        self.streams += 1;
        if self.streams > self.limits.max_streams_per_push {
            return Err(IntakeError::TooManyStreams(self.limits.max_streams_per_push));
        }
        Ok(())
    }

    fn open(&mut self, known: Arc<KnownStream>) {
        if let Some((selector, text)) = self.confined
            && !selector.matches(&known.labels)
        {
            let message = format!(
                "stream '{}' is outside of what these credentials may write: {text} (auth.tokens, auth.users: filter)",
                known.labels
            );
            return self.refuse_stream(Reason::LabelFilter, message);
        }
        match check_labels(&known.labels, &self.limits) {
            Ok(()) => self.stream = Some(Current::Open(known)),
            Err(broken) => self.refuse_stream(broken.reason(), broken.to_string()),
        }
    }

    /// Lets the entries that follow be dropped and told about; a stream without entries stays unmentioned.
    fn refuse_stream(&mut self, reason: Reason, message: String) {
        self.stream = Some(Current::Refused { reason, message: shortened(message) });
    }
}
