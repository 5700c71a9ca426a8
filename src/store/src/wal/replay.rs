//! Reading the log back at start: every sound frame behind the low-water mark, whatever stands between them.

use super::record::{KIND_BATCH, KIND_WITNESS, decode_batch};
use super::writer::OldFile;
use super::{DIR, file_number, file_path, mark};
use crate::disk::{Disk, read_what_is_readable};
use crate::error::{AtPath, Corruption, StoreError};
use crate::frame::{ALIGN, Frame, FrameRead, MAX_PAYLOAD, read_frame};
use crate::sequences::Sequences;
use strandline_model::Batch;

/// What a replay found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// Frames that were handed on.
    pub frames: u64,
    /// Lines in them.
    pub lines: u64,
    /// Sequences that were durable once and are not there any more: acknowledged pushes that are lost, but for those
    /// whose loss was known before.
    pub lost: u64,
    /// Where damage was found.
    pub damage: Vec<Corruption>,
}

/// Where a replay begins, and what it need not look for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplayFrom {
    /// The manifest's low-water mark: frames up to it are in segments.
    pub(crate) low_water: u64,
    /// The highest sequence of any segment. It is above the mark where the manifest was lost, and its mark with it: what
    /// is not in the log any more reached segments.
    pub(crate) in_segments: u64,
    /// What is known to be lost.
    pub(crate) known_lost: Sequences,
}

/// What a replay leaves to go on with.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) report: ReplayReport,
    pub(crate) files: Vec<OldFile>,
    /// The highest sequence that was ever used, as far as the log knows.
    pub(crate) last_seq: u64,
    /// Sequences above the low-water mark that were found.
    pub(crate) found: Sequences,
    /// Sequences that were acknowledged and are lost, and were not known to be.
    pub(crate) lost: Sequences,
}

/// What stands in one file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) last_seq: u64,
    /// Sequences that a process saw synced.
    pub(crate) durable: Sequences,
    /// Offsets at which something stood that is neither a frame nor empty, before or between sound frames.
    pub(crate) damaged_at: Vec<usize>,
    /// The same behind the last sound frame, if anything stood there.
    pub(crate) damaged_end: Option<usize>,
}

/// Hands every sound frame of this file's epoch to `each`, in order, resyncing behind damage.
pub(crate) fn scan_file(number: u64, bytes: &[u8], mut each: impl FnMut(&Frame<'_>)) -> Scan {
    let mut scan = Scan::default();
    let (mut at, mut suspect) = (0, None);
    while at < bytes.len() {
        match read_frame(bytes.get(at..).unwrap_or_default()) {
            FrameRead::Frame(frame) if frame.position.epoch == number => {
                scan.damaged_at.extend(suspect.take());
                scan.durable.add(frame.position.base, frame.position.durable);
                if frame.kind != KIND_WITNESS {
                    scan.last_seq = scan.last_seq.max(frame.position.seq);
                }
                at += frame.padded_len();
                each(&frame);
            }
            // A frame of the file's former use: the end of this use, or a lost write. Sequences tell which. It is whole,
            // so nothing newer lies inside, and what clients wrote into it is not to be looked at as frames.
            FrameRead::Frame(old) => at += old.padded_len(),
            FrameRead::Nothing => at += ALIGN,
            FrameRead::Damaged => {
                suspect.get_or_insert(at);
                at += ALIGN;
            }
        }
    }
    scan.damaged_end = suspect;
    scan
}

/// Replays all files. Batches with a sequence above the low-water mark go to `apply`, oldest first.
pub(crate) fn replay(
    disk: &dyn Disk,
    from: &ReplayFrom,
    mut apply: impl FnMut(u64, Batch),
) -> Result<Replayed, StoreError> {
    let low_water = from.low_water;
    let mut report = ReplayReport::default();
    let vouched = mark::read(disk)?;
    let (mut files, mut found, mut broken) = (Vec::new(), Sequences::default(), Sequences::default());
    let (mut durable, mut damaged) = (vouched.synced, Vec::new());
    for name in disk.list(DIR).at(DIR)? {
        let Some(number) = file_number(&name) else { continue };
        let path = file_path(number);
        let bytes = read_what_is_readable(disk, &path, MAX_PAYLOAD as u64 * 2).at(&path)?;
        let scan = scan_file(number, &bytes, |frame| {
            if frame.position.seq <= low_water || frame.kind != KIND_BATCH {
                return;
            }
            let seq = frame.position.seq;
            match frame.raw().as_deref().and_then(decode_batch) {
                Some(batch) => {
                    report.frames += 1;
                    report.lines += batch.entries.len() as u64;
                    found.add(seq, seq);
                    apply(seq, batch);
                }
                None => {
                    broken.add(seq, seq);
                    if !from.known_lost.contains(seq) {
                        let what = format!("frame {seq} does not decode");
                        report.damage.push(Corruption::new(&path, "frame", what));
                    }
                }
            }
        });
        scan.durable.iter().for_each(|(first, last)| durable.add(first, last));
        damaged.extend(scan.damaged_at.iter().chain(&scan.damaged_end).map(|at| (path.clone(), *at)));
        files.push(OldFile { number, last_seq: scan.last_seq });
    }
    // A torn frame that was never acknowledged is no loss: only sequences that were durable count. A whole one that does
    // not decode was written so, or its checksum would not hold.
    let counted_above = low_water.max(from.in_segments).max(vouched.low_water);
    let mut missing = durable.above(counted_above);
    broken.iter().for_each(|(first, last)| missing.add(first, last));
    let lost = missing.without(&found).without(&from.known_lost);
    report.lost = lost.len();
    if !lost.is_empty() {
        for (path, at) in damaged {
            let part = format!("frame at byte {at}");
            report.damage.push(Corruption::new(&path, part, "checksum does not hold"));
        }
        if report.damage.is_empty() {
            report.damage.push(Corruption::new(DIR, "sequence", format!("{} frames are gone", lost.len())));
        }
    }
    // What was vouched for is used up, found or not: given again, it could not be told from what is lost.
    let used = [found.last(), durable.last(), broken.last()].into_iter().flatten();
    let last_seq = used.fold(low_water, u64::max);
    Ok(Replayed { report, files, last_seq, found, lost })
}
