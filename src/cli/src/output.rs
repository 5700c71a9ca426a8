//! How does a command write its answer, and what when nobody reads it any more?

use std::io::{self, Write};

/// Gives `write` a buffered, locked standard output. A reader that went away (`strandline query ... | head`) ends
/// the output, and that is no error.
pub fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = write(&mut out).and_then(|()| out.flush());
    // What is still in the buffer must not be tried again on drop.
    let (_stdout, _unwritten) = out.into_parts();
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Tells the user what went wrong, one fault per line, safe for a terminal. When standard error is gone too there
/// is nobody left to tell.
pub fn complain(message: &str) {
    let mut err = io::stderr().lock();
    for line in message.lines() {
        let _ = writeln!(err, "{}", crate::terminal::escape(line));
    }
}
