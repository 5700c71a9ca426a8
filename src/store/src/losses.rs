//! What has been lost, as far as the store knows? Each loss is kept on the disk, and answers that it could matter to say
//! so, until an operator accepts it. Format: `schema/losses.md`.

use crate::codec::{Compression, compress};
use crate::disk::{Disk, is_medium_error, read_all, replace_file};
use crate::error::{AtPath, StoreError};
use crate::frame::{FrameRead, Payload, Position, put_frame, read_frame};
use crate::sequences::Sequences;
use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use std::fmt;
use std::io;
use strandline_model::time::Rfc3339;
use strandline_model::{Day, TenantId, TimeRange};

/// The file.
pub(crate) const PATH: &str = "LOSSES";
const KIND_LOSSES: u8 = 1;
/// Most losses that are listed; of more, some are let go of ([`Losses::make_room`]).
const MAX_LOSSES: usize = 200;
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// One loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Wall clock when it was found (ns).
    pub found_ns: i64,
    /// Whether an operator has accepted it: answers do not mention it any more.
    pub accepted: bool,
    /// What is gone.
    pub what: Lost,
}

/// What is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Acknowledged pushes, by their sequences in the log. Nobody knows whose lines and which times they held.
    Pushes(Sequences),
    /// The manifest and its copy: with them the deletes that were pending, so that deleted lines may be seen again.
    Deletes,
    /// A segment that no manifest listed any more and that could not be read.
    Segment {
        /// Whose lines.
        tenant: TenantId,
        /// Of which day.
        day: Day,
        /// Where it lay, relative to the data directory.
        path: String,
    },
    /// The list of losses itself was damaged.
    Unknown,
}

impl Loss {
    /// The loss in words that name no tenant, for those who may not know of any.
    pub fn without_names(&self) -> String {
        match &self.what {
            Lost::Segment { .. } => {
                format!("lines of a segment were lost (found {})", Rfc3339(self.found_ns))
            }
            _ => self.to_string(),
        }
    }

    /// Whether lines of `tenant` with timestamps in `range` may be missing, or seen though they are deleted.
    fn matters_to(&self, tenant: &TenantId, range: TimeRange) -> bool {
        match &self.what {
            Lost::Segment { tenant: own, day, .. } => {
                own == tenant && range.overlaps(day.start_ns(), day.end_ns())
            }
            Lost::Pushes(_) | Lost::Deletes | Lost::Unknown => true,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Lost::Pushes(runs) => write!(
                f,
                "{} acknowledged pushes were lost with a damaged write-ahead log; whose lines and which times they held \
                 is not known",
                runs.len()
            ),
            Lost::Deletes => f.write_str(
                "the manifest was lost together with its copy: lines that were deleted by request may be seen again",
            ),
            Lost::Segment { tenant, day, path } => {
                write!(f, "lines of tenant {tenant} of {day} were lost with {path}, which could not be read")
            }
            Lost::Unknown => f.write_str("the list of losses was damaged: something that was lost is not known any more"),
        }?;
        write!(f, " (found {}; `strandline verify --accept-loss` accepts it)", Rfc3339(self.found_ns))
    }
}

/// All that are listed, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    list: Vec<Loss>,
}

impl Losses {
    /// Reads the list; `None` when it is damaged, which is a loss of its own ([`Lost::Unknown`]).
    pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Self>, StoreError> {
        let bytes = match read_all(disk, PATH, MAX_FILE_BYTES) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Self::default())),
            Err(e) if e.kind() == io::ErrorKind::InvalidData || is_medium_error(&e) => Vec::new(),
            Err(e) => return Err(e).at(PATH),
        };
        let decoded = match read_frame(&bytes) {
            FrameRead::Frame(frame) if frame.kind == KIND_LOSSES => frame.raw().as_deref().and_then(decode),
            _ => None,
        };
        Ok(decoded.map(|list| Self { list }))
    }

    /// Makes the list durable.
    pub(crate) fn save(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let mut raw = Vec::new();
        put_varint(&mut raw, self.list.len() as u64);
        self.list.iter().for_each(|loss| encode(loss, &mut raw));
        let mut stored = Vec::new();
        let codec = compress(&mut stored, &raw, Compression::Zstd(1));
        let payload = Payload { kind: KIND_LOSSES, codec, raw_len: raw.len() as u32, stored };
        let mut frame = Vec::new();
        put_frame(&mut frame, Position { epoch: 0, seq: 0, base: 0, durable: 0 }, &payload);
        replace_file(disk, PATH, &frame).at(PATH)
    }

    /// Adds a loss, unless it is listed and not accepted yet.
    pub(crate) fn note(&mut self, now_ns: i64, what: Lost) {
        if self.open().any(|loss| loss.what == what) {
            return;
        }
        // One way to make room takes some.
        for _ in 0..2 {
            if self.list.len() >= MAX_LOSSES {
                self.make_room(now_ns);
            }
        }
        self.list.push(Loss { found_ns: now_ns, accepted: false, what });
    }

    /// Lets go of the one that matters least. Accepted ones have been seen; of segments it is told that there were more;
    /// but sequences that are known to be lost must stay known.
    fn make_room(&mut self, now_ns: i64) {
        let is_pushes = |loss: &Loss| matches!(loss.what, Lost::Pushes(_));
        if let Some(seen) = self.list.iter().position(|loss| loss.accepted && !is_pushes(loss)) {
            self.list.remove(seen);
        } else if let Some(segment) = self.list.iter().position(|l| matches!(l.what, Lost::Segment { .. })) {
            self.list.remove(segment);
            if !self.open().any(|loss| loss.what == Lost::Unknown) {
                self.list.push(Loss { found_ns: now_ns, accepted: false, what: Lost::Unknown });
            }
        } else {
            self.join_pushes();
        }
    }

    /// Makes one of two losses of pushes. What nobody has accepted does not become accepted, nor the reverse.
    fn join_pushes(&mut self) {
        for accepted in [true, false] {
            let of_kind = |loss: &Loss| matches!(loss.what, Lost::Pushes(_)) && loss.accepted == accepted;
            let mut places = (0..self.list.len()).filter(|i| self.list.get(*i).is_some_and(of_kind));
            let (Some(first), Some(_)) = (places.next(), places.next()) else { continue };
            let first = self.list.remove(first);
            let second = self.list.iter_mut().find(|loss| of_kind(loss)).map(|loss| &mut loss.what);
            if let (Some(Lost::Pushes(runs)), Lost::Pushes(more)) = (second, &first.what) {
                more.iter().for_each(|(from, to)| runs.add(from, to));
            }
            return;
        }
    }

    /// Whether deletes were lost with the manifest.
    pub(crate) fn names_deletes(&self) -> bool {
        self.list.iter().any(|loss| loss.what == Lost::Deletes)
    }

    /// Accepts all. Returns those that were not accepted before.
    pub(crate) fn accept(&mut self) -> Vec<Loss> {
        let open: Vec<Loss> = self.open().cloned().collect();
        self.list.iter_mut().for_each(|loss| loss.accepted = true);
        open
    }

    /// Those that nobody has accepted.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter().filter(|loss| !loss.accepted)
    }

    /// Sequences of the log that are known to be lost.
    pub(crate) fn pushes(&self) -> Sequences {
        let mut all = Sequences::default();
        for loss in &self.list {
            if let Lost::Pushes(runs) = &loss.what {
                runs.iter().for_each(|(from, to)| all.add(from, to));
            }
        }
        all
    }

    /// Forgets accepted losses of pushes up to `low_water`: the log is not asked for these any more.
    pub(crate) fn forget_below(&mut self, low_water: u64) {
        self.list.retain(|loss| match &loss.what {
            Lost::Pushes(runs) if loss.accepted => runs.last().is_some_and(|last| last > low_water),
            _ => true,
        });
    }

    /// What an answer over `range` has to say.
    pub(crate) fn warnings(&self, tenant: &TenantId, range: TimeRange) -> Vec<String> {
        self.open().filter(|loss| loss.matters_to(tenant, range)).map(ToString::to_string).collect()
    }
}

fn encode(loss: &Loss, out: &mut Vec<u8>) {
    put_signed(out, loss.found_ns);
    out.push(u8::from(loss.accepted));
    match &loss.what {
        Lost::Unknown => out.push(0),
        Lost::Pushes(runs) => {
            out.push(1);
            runs.encode(out);
        }
        Lost::Deletes => out.push(2),
        Lost::Segment { tenant, day, path } => {
            out.push(3);
            put_bytes(out, tenant.as_str().as_bytes());
            put_signed(out, i64::from(day.0));
            put_bytes(out, path.as_bytes());
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Vec<Loss>> {
    let mut reader = Reader::new(bytes);
    let mut list = Vec::new();
    for _ in 0..reader.count(3)? {
        let (found_ns, accepted) = (reader.signed()?, reader.byte()? != 0);
        let what = match reader.byte()? {
            0 => Lost::Unknown,
            1 => Lost::Pushes(Sequences::decode(&mut reader)?),
            2 => Lost::Deletes,
            3 => Lost::Segment {
                tenant: TenantId::new(reader.text()?).ok()?,
                day: Day(i32::try_from(reader.signed()?).ok()?),
                path: reader.text()?.to_owned(),
            },
            _ => return None,
        };
        list.push(Loss { found_ns, accepted, what });
    }
    reader.end()?;
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn listed() -> Losses {
        let mut losses = Losses::default();
        let mut runs = Sequences::default();
        runs.add(3, 7);
        runs.add(12, 12);
        losses.note(5, Lost::Pushes(runs));
        losses.accept();
        let (tenant, path) = (TenantId::new("t").unwrap(), "tenants/t/x.seg".to_owned());
        losses.note(6, Lost::Segment { tenant, day: Day(20_000), path });
        losses.note(7, Lost::Deletes);
        losses
    }

    #[test]
    fn the_list_round_trips_and_damage_shows() {
        let disk = SimDisk::new(1);
        assert_eq!(Losses::load(&disk).unwrap(), Some(Losses::default()));
        listed().save(&disk).unwrap();
        assert_eq!(Losses::load(&disk).unwrap(), Some(listed()));
        disk.flip_bit(PATH, 8 * 60).unwrap();
        assert_eq!(Losses::load(&disk).unwrap(), None);
    }

    #[test]
    fn answers_are_told_of_what_can_matter_to_them_until_it_is_accepted() {
        let mut losses = listed();
        let (own, other) = (TenantId::new("t").unwrap(), TenantId::new("u").unwrap());
        let day = TimeRange::new(Day(20_000).start_ns(), Day(20_000).end_ns());
        let told = |losses: &Losses, tenant, range| losses.warnings(tenant, range).len();
        assert_eq!((told(&losses, &own, day), told(&losses, &other, day)), (2, 1));
        assert_eq!(told(&losses, &own, TimeRange::new(0, 1)), 1);
        assert_eq!(losses.accept().len(), 2);
        assert_eq!(told(&losses, &own, day), 0);
        assert_eq!(losses.pushes().len(), 6);
        losses.forget_below(11);
        assert_eq!(losses.pushes().len(), 6);
        losses.forget_below(12);
        assert_eq!(losses.pushes().len(), 0);
    }

    #[test]
    fn the_list_stays_short() {
        let mut losses = Losses::default();
        let lost =
            |n: i64| Lost::Segment { tenant: TenantId::new("t").unwrap(), day: Day(1), path: n.to_string() };
        (0..500).for_each(|n| losses.note(n, lost(n)));
        (0..9).for_each(|_| losses.note(500, lost(499)));
        assert_eq!((losses.list.len(), losses.list[199].found_ns), (MAX_LOSSES, 499));
    }

    #[test]
    fn a_full_list_lets_go_of_segments_and_never_of_what_concerns_everybody() {
        let mut losses = Losses::default();
        let tenant = TenantId::new("t").unwrap();
        losses.note(1, Lost::Deletes);
        let mut runs = Sequences::default();
        runs.add(3, 7);
        losses.note(2, Lost::Pushes(runs));
        for n in 0..MAX_LOSSES + 50 {
            losses.note(3, Lost::Segment { tenant: tenant.clone(), day: Day(1), path: n.to_string() });
        }
        assert!(losses.list.len() <= MAX_LOSSES + 1);
        let open = |what: &dyn Fn(&Lost) -> bool| losses.open().filter(|loss| what(&loss.what)).count();
        assert_eq!(open(&|what| *what == Lost::Deletes), 1);
        assert_eq!(open(&|what| *what == Lost::Unknown), 1, "it is told that there were more");
        assert!(losses.pushes().contains(5));
    }

    #[test]
    fn sequences_that_are_known_to_be_lost_stay_known() {
        let mut losses = Losses::default();
        for n in 0..MAX_LOSSES as u64 * 2 {
            let mut runs = Sequences::default();
            runs.add(n * 10, n * 10);
            losses.note(1, Lost::Pushes(runs));
            if n == 50 {
                losses.accept();
            }
        }
        assert!(losses.list.len() <= MAX_LOSSES);
        assert_eq!(losses.pushes().len(), MAX_LOSSES as u64 * 2);
        let open: u64 =
            losses.open().map(|l| if let Lost::Pushes(runs) = &l.what { runs.len() } else { 0 }).sum();
        assert_eq!(open, MAX_LOSSES as u64 * 2 - 51);
    }
}
