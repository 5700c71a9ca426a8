//! What an entry gives to a template.

/// What a template may ask for.
pub trait Source {
    /// The value of a label.
    fn get(&self, name: &str) -> Option<&str>;
    /// All labels.
    fn for_each(&self, each: &mut dyn FnMut(&str, &str));
    /// The line.
    fn line(&self) -> &[u8];
    /// When the entry was logged.
    fn timestamp_ns(&self) -> i64;
    /// The time.
    fn now_ns(&self) -> i64;
}
