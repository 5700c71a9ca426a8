//! What would the engine find after a power cut, a failed sync or a full disk? A disk in memory that can be told.
//!
//! It keeps two images of everything: the *live* one, which processes see, and the *durable* one, which a crash
//! leaves. [`SimDisk::crash`] decides for each write since a file's last sync whether it is there, gone or torn, and
//! for each change of names since the folder's last sync whether it is there. All chances come from one seed: the
//! same calls in the same order give the same run.

mod content;
mod local;
mod names;
mod rng;
#[cfg(test)]
mod tests;

use super::{Disk, DiskFile};
use content::{Content, CrashOdds, Inode};
use local::Local;
use names::Names;
use parking_lot::{Mutex, MutexGuard};
use rng::Rng;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`SimDisk::free_bytes`](Disk::free_bytes) says of a disk without a capacity.
const UNLIMITED_BYTES: u64 = 1 << 50;

/// What goes wrong without a crash. The default is a sound disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// How often `sync` and `sync_dir` fail (EIO).
    pub sync_error_per_mille: u16,
    /// How often a write or a change of names fails (EIO); of a write some first bytes may have arrived.
    pub write_error_per_mille: u16,
    /// How often `read_at` fails (EIO).
    pub read_error_per_mille: u16,
    /// Room for the bytes of all files; growth beyond it is `StorageFull`.
    pub capacity_bytes: Option<u64>,
    /// The errno with which every call that needs a descriptor fails: `open`, `create`, `list` and `sync_dir` (EMFILE: none are
    /// left).
    pub open_errno: Option<i32>,
    /// After a failed sync the file's unsynced writes stay visible and never reach the disk, though later syncs
    /// report success (what Linux does).
    pub lying_after_failed_sync: bool,
}

/// A simulated disk. Clones are handles of the same disk; a lock belongs to the clone that took it.
#[derive(Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Locks taken through this handle, with the boot that they were taken in.
    held: Mutex<Vec<(u64, String)>>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    names: Names,
    faults: Faults,
    failing_syncs: u32,
    locks: BTreeSet<String>,
    /// Counts crashes; handles of an earlier boot are dead.
    boot: u64,
    ops: u64,
    halt_at: Option<u64>,
    halted: bool,
    outage: Option<Outage>,
    local: Option<Local>,
}

/// Changing calls of a range fail.
#[derive(Debug)]
struct Outage {
    calls: Range<u64>,
    errno: i32,
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: Arc<Inode>,
    boot: u64,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

fn disk_full() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl State {
    fn alive(&self) -> io::Result<()> {
        if self.halted { Err(io::Error::other("crashed (simulated disk)")) } else { Ok(()) }
    }

    /// Every call that changes something passes here first.
    fn count_op(&mut self) -> io::Result<()> {
        self.alive()?;
        self.ops += 1;
        if self.halt_at.is_some_and(|at| self.ops >= at) {
            self.halt();
        }
        self.alive()?;
        match &self.outage {
            Some(outage) if outage.calls.contains(&self.ops) => {
                Err(io::Error::from_raw_os_error(outage.errno))
            }
            _ => Ok(()),
        }
    }

    fn halt(&mut self) {
        if !self.halted
            && let Some(local) = &self.local
        {
            local.note_crash();
        }
        self.halted = true;
    }

    /// After the end of a process.
    fn start_anew(&mut self) {
        self.locks.clear();
        self.faults = Faults::default();
        self.failing_syncs = 0;
        self.outage = None;
        if self.halted
            && let Some(local) = &self.local
        {
            local.restore();
        }
        self.halt_at = None;
        self.halted = false;
        self.boot += 1;
    }

    fn openable(&self) -> io::Result<()> {
        self.alive()?;
        self.faults.open_errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn count_change(&mut self) -> io::Result<()> {
        self.count_op()?;
        if self.rng.chance(self.faults.write_error_per_mille) { Err(eio()) } else { Ok(()) }
    }

    fn used_bytes(&self) -> u64 {
        self.names.files().map(|(_, inode)| inode.0.lock().live().len() as u64).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.faults.capacity_bytes.map_or(UNLIMITED_BYTES, |room| room.saturating_sub(self.used_bytes()))
    }

    /// How long a file of `len` bytes can become on its way to `wanted`.
    fn reachable_len(&self, len: usize, wanted: usize) -> usize {
        let room = usize::try_from(self.free_bytes()).unwrap_or(usize::MAX);
        wanted.min(len.saturating_add(room))
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: Rng::new(seed),
            names: Names::default(),
            faults: Faults::default(),
            failing_syncs: 0,
            locks: BTreeSet::new(),
            boot: 0,
            ops: 0,
            halt_at: None,
            halted: false,
            outage: None,
            local: None,
        };
        Self { state: Arc::new(Mutex::new(state)), held: Mutex::default() }
    }

    /// Cuts the power: what was not synced is kept, lost or torn, open files are dead, locks and faults are gone.
    /// Afterwards the disk can be used anew. Threads of the engine before must have ended.
    pub fn crash(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let odds = CrashOdds::draw(&mut state.rng);
        state.names.crash(&mut state.rng, odds);
        state.start_anew();
    }

    /// Ends the process: open files are dead, locks and faults are gone, and what was not synced is all there, until a crash.
    /// The disk can be used anew. Threads of the engine before must have ended.
    pub fn kill(&self) {
        self.state.lock().start_anew();
    }

    /// From the `n`-th changing call from now on every call fails, until [`SimDisk::crash`].
    pub fn halt_after(&self, n: u64) {
        let mut state = self.state.lock();
        state.halt_at = Some(state.ops + n);
        if n == 0 {
            state.halt();
        }
    }

    /// Of the changing calls from now on, `after` go well, then `calls` fail with this errno, then all is well again.
    pub fn outage_after(&self, after: u64, calls: u64, errno: i32) {
        let mut state = self.state.lock();
        let first = state.ops + after + 1;
        state.outage = Some(Outage { calls: first..first + calls, errno });
    }

    /// Whether an outage is under way or still to come.
    pub fn has_outage(&self) -> bool {
        let state = self.state.lock();
        state.outage.as_ref().is_some_and(|outage| state.ops + 1 < outage.calls.end)
    }

    /// Gives the disk a folder of the machine's own for what cannot be simulated ([`Disk::local_path`]). A crash leaves
    /// it as it was at the moment of [`SimDisk::halt_after`].
    pub fn set_local(&self, folder: &Path) {
        self.state.lock().local = Some(Local::new(folder));
    }

    /// Whether the point set by [`SimDisk::halt_after`] was reached.
    pub fn is_halted(&self) -> bool {
        self.state.lock().halted
    }

    /// Calls so far that changed or synced something, or tried to.
    pub fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// The next `n` syncs of files fail.
    pub fn fail_next_sync(&self, n: u32) {
        self.state.lock().failing_syncs = n;
    }

    /// All files, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.state.lock().names.files().map(|(path, _)| path.to_owned()).collect()
    }

    /// Bytes of memory that the contents of files take: for tests that count what the engine takes.
    pub fn memory_bytes(&self) -> usize {
        self.state.lock().names.memory_bytes()
    }

    /// The whole of a file, past all faults.
    pub fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        Ok(self.state.lock().names.file(path)?.0.lock().live().to_vec())
    }

    /// Puts a durable file with these bytes at `path`, with the folders it needs, past all faults.
    pub fn write_file(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let inode = Arc::new(Inode(Mutex::new(Content::synced(bytes.to_vec()))));
        self.state.lock().names.plant(path, inode)
    }

    /// Flips one bit of a file, live and durable; the rest of its bytes becomes durable as it is.
    pub fn flip_bit(&self, path: &str, bit: u64) -> io::Result<()> {
        let at = position(bit / 8)?;
        let inode = self.state.lock().names.file(path)?;
        let mut content = inode.0.lock();
        if at >= content.live().len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.tamper(|bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        });
        Ok(())
    }

    /// Cuts a file off at `len` bytes, live and durable; the rest of its bytes becomes durable as it is.
    pub fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        let len = position(len)?;
        let inode = self.state.lock().names.file(path)?;
        inode.0.lock().tamper(|bytes| bytes.truncate(len));
        Ok(())
    }
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), held: Mutex::default() }
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        for (boot, path) in self.held.get_mut().drain(..) {
            if boot == state.boot {
                state.locks.remove(&path);
            }
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.openable()?;
        let inode = state.names.file(path)?;
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, boot: state.boot }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.openable()?;
        state.count_change()?;
        let inode = state.names.create(path)?;
        inode.0.lock().set_len(0);
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, boot: state.boot }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_change()?;
        state.names.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_change()?;
        state.names.remove(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.openable()?;
        Ok(state.names.list(dir))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_change()?;
        state.names.create_dir(dir)
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.count_change()?;
        state.names.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.openable()?;
        state.count_op()?;
        if state.rng.chance(state.faults.sync_error_per_mille) {
            return Err(eio());
        }
        state.names.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.alive()?;
        Ok(state.free_bytes())
    }

    fn lock(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.alive()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.names.file(path).is_err() {
            state.names.plant(path, Arc::new(Inode::default()))?;
        }
        self.held.lock().push((state.boot, path.to_owned()));
        Ok(())
    }

    fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.state.lock().local.as_ref().map(|local| local.path(path))
    }
}

impl SimFile {
    /// The disk, unless it went down since the file was opened.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        state.alive()?;
        if state.boot != self.boot {
            return Err(io::Error::other("crashed since the file was opened (simulated disk)"));
        }
        Ok(state)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut guard = self.state()?;
        let state = &mut *guard;
        if state.rng.chance(state.faults.read_error_per_mille) {
            return Err(eio());
        }
        let start = position(offset)?;
        let content = self.inode.0.lock();
        let bytes = start.checked_add(buf.len()).and_then(|end| content.live().get(start..end));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let failed = state.count_change();
        if state.halted {
            return failed;
        }
        let start = position(offset)?;
        let len = self.inode.0.lock().live().len();
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let reachable = state.reachable_len(len, end.max(len));
        let mut fits = buf.len().min(reachable.saturating_sub(start));
        if failed.is_err() {
            fits = state.rng.below(fits + 1);
        }
        // A write that fails may have begun: of a large one the kernel reports a short count first.
        if let Some(arrived) = buf.get(..fits).filter(|b| !b.is_empty()) {
            self.inode.0.lock().write(start, arrived);
        }
        failed?;
        if fits < buf.len() { Err(disk_full()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut guard = self.state()?;
        let state = &mut *guard;
        let refused = state.count_op();
        if state.halted {
            return refused;
        }
        let ordered = state.failing_syncs > 0;
        state.failing_syncs = state.failing_syncs.saturating_sub(1);
        let failed = ordered || state.rng.chance(state.faults.sync_error_per_mille);
        let mut content = self.inode.0.lock();
        if !failed && refused.is_ok() {
            content.sync();
            return Ok(());
        }
        if state.faults.lying_after_failed_sync {
            content.forget_unsynced();
        }
        refused.and_then(|()| Err(eio()))
    }

    fn len(&self) -> io::Result<u64> {
        let _state = self.state()?;
        Ok(self.inode.0.lock().live().len() as u64)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.count_change()?;
        let wanted = position(len)?;
        let old_len = self.inode.0.lock().live().len();
        let reached = state.reachable_len(old_len, wanted.max(old_len));
        self.inode.0.lock().set_len(reached);
        if reached < wanted { Err(disk_full()) } else { Ok(()) }
    }
}
