//! Reading the log back at start: every sound frame behind the low-water mark, whatever stands between them.

use super::record::{KIND_BATCH, KIND_WITNESS, decode_batch};
use super::writer::OldFile;
use super::{DIR, file_number, file_path};
use crate::disk::{Disk, read_all};
use crate::error::{AtPath, Corruption, StoreError};
use crate::frame::{ALIGN, Found, Frame, MAX_PAYLOAD, read_frame};
use std::collections::{BTreeMap, BTreeSet};
use strandline_model::Batch;

/// What a replay found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// Frames that were handed on.
    pub frames: u64,
    /// Lines in them.
    pub lines: u64,
    /// Sequences that were durable once and are not there any more: acknowledged pushes that are lost.
    pub lost: u64,
    /// Where damage was found.
    pub damage: Vec<Corruption>,
}

/// What stands in one file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) last_seq: u64,
    /// Ranges of sequences that a process saw synced, per process.
    pub(crate) durable: BTreeMap<u64, u64>,
    pub(crate) seqs: BTreeSet<u64>,
    /// Offsets at which something stood that is neither a frame nor empty, before or between sound frames.
    pub(crate) damaged_at: Vec<usize>,
}

/// Hands every sound frame of this file's epoch to `each`, in order, resyncing behind damage.
pub(crate) fn scan_file(number: u64, bytes: &[u8], mut each: impl FnMut(&Frame<'_>)) -> Scan {
    let mut scan = Scan::default();
    let (mut at, mut suspect) = (0, None);
    while at < bytes.len() {
        match read_frame(bytes.get(at..).unwrap_or_default()) {
            Found::Frame(frame) if frame.place.epoch == number => {
                scan.damaged_at.extend(suspect.take());
                vouch(&mut scan.durable, frame.place.base, frame.place.durable);
                if frame.kind != KIND_WITNESS {
                    scan.last_seq = scan.last_seq.max(frame.place.seq);
                    scan.seqs.insert(frame.place.seq);
                }
                at += frame.padded_len();
                each(&frame);
            }
            // A frame of the file's former use: the end of this use, or a lost write. Sequences tell which. It is whole,
            // so nothing newer lies inside, and what clients wrote into it is not to be looked at as frames.
            Found::Frame(old) => at += old.padded_len(),
            Found::Nothing => at += ALIGN,
            Found::Damaged => {
                suspect.get_or_insert(at);
                at += ALIGN;
            }
        }
    }
    scan
}

/// Notes that everything from `base` to `durable` was synced.
fn vouch(ranges: &mut BTreeMap<u64, u64>, base: u64, durable: u64) {
    let known = ranges.entry(base).or_insert(durable);
    *known = (*known).max(durable);
}

/// Replays all files. Batches with a sequence above `low_water` go to `apply`, oldest first.
pub(crate) fn replay(
    disk: &dyn Disk,
    low_water: u64,
    mut apply: impl FnMut(u64, Batch),
) -> Result<(ReplayReport, Vec<OldFile>, u64), StoreError> {
    let mut report = ReplayReport::default();
    let (mut files, mut seen, mut durable) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    let mut damaged = Vec::new();
    for name in disk.list(DIR).at(DIR)? {
        let Some(number) = file_number(&name) else { continue };
        let path = file_path(number);
        let bytes = read_all(disk, &path, MAX_PAYLOAD as u64 * 2).at(&path)?;
        let scan = scan_file(number, &bytes, |frame| {
            if frame.place.seq <= low_water || frame.kind != KIND_BATCH {
                return;
            }
            match frame.raw().as_deref().and_then(decode_batch) {
                Some(batch) => {
                    report.frames += 1;
                    report.lines += batch.entries.len() as u64;
                    apply(frame.place.seq, batch);
                }
                None => {
                    let what = format!("frame {} does not decode", frame.place.seq);
                    report.damage.push(Corruption::new(&path, "frame", what));
                    report.lost += 1;
                }
            }
        });
        scan.durable.iter().for_each(|(base, to)| vouch(&mut durable, *base, *to));
        damaged.extend(scan.damaged_at.iter().map(|at| (path.clone(), *at)));
        seen.extend(scan.seqs.into_iter().filter(|seq| *seq > low_water));
        files.push(OldFile { number, last_seq: scan.last_seq });
    }
    // A torn frame that was never acknowledged is no loss: only sequences up to the last durable one count.
    let missing: u64 = durable
        .iter()
        .map(|(base, to)| ((*base).max(low_water.saturating_add(1)), *to))
        .filter(|(from, to)| from <= to)
        .map(|(from, to)| (to - from + 1) - seen.range(from..=to).count() as u64)
        .fold(0, u64::saturating_add);
    if missing > 0 {
        report.lost = report.lost.saturating_add(missing);
        for (path, at) in damaged {
            report.damage.push(Corruption::new(
                &path,
                format!("frame at byte {at}"),
                "checksum does not hold",
            ));
        }
        if report.damage.is_empty() {
            report.damage.push(Corruption::new(DIR, "sequence", format!("{missing} frames are gone")));
        }
    }
    let last_seq = seen.last().copied().unwrap_or(0).max(low_water);
    Ok((report, files, last_seq))
}
