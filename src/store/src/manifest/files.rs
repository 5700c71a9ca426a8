//! Where the manifest's files lie, what they are called, and which kinds of frames are in them.

/// The folder of the manifest.
pub(crate) const DIR: &str = "manifest";
/// The folder of its copy.
pub(crate) const COPY_DIR: &str = "manifest-copy";

/// The kind of a frame with the whole state.
pub(super) const KIND_SNAPSHOT: u8 = 1;
/// The kind of a frame with one edit.
pub(super) const KIND_EDIT: u8 = 2;
/// Largest file that is read.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 32;
/// Where the files lie. A new file is begun in the copy's folder first: a file in the other one whose number the copy
/// never reached was written by a program that knew no copies.
pub(super) const FOLDERS: [&str; 2] = [COPY_DIR, DIR];

/// The path of the file with a number.
pub(super) fn file_path(folder: &str, number: u64) -> String {
    format!("{folder}/{number:016x}.log")
}

/// The number of a file of this name, if it is one.
pub(super) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
