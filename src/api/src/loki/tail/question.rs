//! What does a tail ask for, once its request is read?

use super::frames::Form;
use strandline_query::{LogQuery, Reader};

/// What a tail asks for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) reader: Reader,
    /// `None`: numbers, which have no tail.
    pub(super) query: Option<LogQuery>,
    pub(super) start: i64,
    pub(super) limit: usize,
    pub(super) form: Form,
}
