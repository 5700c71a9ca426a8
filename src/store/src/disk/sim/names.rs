//! Which names does the simulated folder tree hold now, and which would it hold after a crash?
//!
//! Files have an identity of their own (the inode); a name only points at one. Changes of names are durable once the
//! folders that they touch were synced. Changes that share a name keep their order, as every journal keeps it: a
//! later one is never there without the earlier one, so a rename shows the old name or the new one and never
//! neither.

use super::content::{CrashOdds, Inode};
use super::rng::Rng;
use crate::disk::parent;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Node {
    Folder,
    File(Arc<Inode>),
}

type Tree = BTreeMap<String, Node>;

#[derive(Debug, Default)]
pub(super) struct Names {
    live: Tree,
    durable: Tree,
    /// In order.
    unsynced: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    kind: Kind,
    /// Folders that must be synced before the change is durable.
    waits_for: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Create { path: String, inode: Arc<Inode> },
    Rename { from: String, to: String, inode: Arc<Inode> },
    Remove { path: String },
    RemoveFolder { path: String },
}

fn not_found(path: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{path}: no such file or folder"))
}

fn inside(dir: &str, path: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

fn has_children(tree: &Tree, dir: &str) -> bool {
    tree.keys().any(|path| inside(dir, path))
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &str> {
        let (one, two) = match &self.kind {
            Kind::Create { path, .. } | Kind::Remove { path } | Kind::RemoveFolder { path } => (path, None),
            Kind::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(one).chain(two).map(String::as_str)
    }

    /// Whether the order of this change and of one of `path` matters; a folder and what is in it belong together.
    fn touches(&self, path: &str) -> bool {
        self.paths().any(|own| own == path || inside(own, path) || inside(path, own))
    }

    fn apply(&self, tree: &mut Tree) {
        match &self.kind {
            Kind::Create { path, inode } => {
                tree.insert(path.clone(), Node::File(inode.clone()));
            }
            Kind::Rename { from, to, inode } => {
                tree.remove(from);
                tree.insert(to.clone(), Node::File(inode.clone()));
            }
            Kind::Remove { path } => {
                tree.remove(path);
            }
            Kind::RemoveFolder { path } => {
                if !has_children(tree, path) {
                    tree.remove(path);
                }
            }
        }
    }
}

impl Names {
    /// The file that `path` names.
    pub(super) fn file(&self, path: &str) -> Result<Arc<Inode>> {
        match self.live.get(path) {
            Some(Node::File(inode)) => Ok(inode.clone()),
            Some(Node::Folder) => Err(Error::new(ErrorKind::IsADirectory, format!("{path}: is a folder"))),
            None => Err(not_found(path)),
        }
    }

    /// All files, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Arc<Inode>)> {
        self.live.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.as_str(), inode)),
            Node::Folder => None,
        })
    }

    /// Bytes of memory that the contents of all files take, of those too that a crash would bring back.
    pub(super) fn memory_bytes(&self) -> usize {
        let nodes = self.live.values().chain(self.durable.values()).filter_map(|node| match node {
            Node::File(inode) => Some(inode),
            Node::Folder => None,
        });
        let unsynced = self.unsynced.iter().filter_map(|change| match &change.kind {
            Kind::Create { inode, .. } | Kind::Rename { inode, .. } => Some(inode),
            Kind::Remove { .. } | Kind::RemoveFolder { .. } => None,
        });
        let inodes: BTreeMap<*const Inode, &Arc<Inode>> =
            nodes.chain(unsynced).map(|inode| (Arc::as_ptr(inode), inode)).collect();
        inodes.values().map(|inode| inode.0.lock().memory_bytes()).sum()
    }

    fn need_folder(&self, dir: &str) -> Result<()> {
        match self.live.get(dir) {
            _ if dir.is_empty() => Ok(()),
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(Error::new(ErrorKind::NotADirectory, format!("{dir}: is a file"))),
            None => Err(not_found(dir)),
        }
    }

    fn change(&mut self, kind: Kind) {
        let mut change = Change { kind, waits_for: Vec::new() };
        let mut waits_for: Vec<String> = change.paths().map(|path| parent(path).to_owned()).collect();
        waits_for.dedup();
        change.waits_for = waits_for;
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    /// Names a new file, or finds the one that is there.
    pub(super) fn create(&mut self, path: &str) -> Result<Arc<Inode>> {
        self.need_folder(parent(path))?;
        match self.file(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let inode = Arc::new(Inode::default());
                self.change(Kind::Create { path: path.to_owned(), inode: inode.clone() });
                Ok(inode)
            }
            other => other,
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let inode = self.file(from)?;
        self.need_folder(parent(to))?;
        if matches!(self.live.get(to), Some(Node::Folder)) {
            return Err(Error::new(ErrorKind::IsADirectory, format!("{to}: is a folder")));
        }
        if from != to {
            self.change(Kind::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<()> {
        self.file(path)?;
        self.change(Kind::Remove { path: path.to_owned() });
        Ok(())
    }

    /// Names in a folder, sorted; folders end in `/`.
    pub(super) fn list(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .live
            .iter()
            .filter(|(path, _)| parent(path) == dir)
            .map(|(path, node)| {
                let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name);
                let mark = if matches!(node, Node::Folder) { "/" } else { "" };
                format!("{name}{mark}")
            })
            .collect();
        names.sort_unstable();
        names
    }

    /// Creates a folder and its parents, durable at once (the trait's promise).
    pub(super) fn create_dir(&mut self, dir: &str) -> Result<()> {
        if dir.is_empty() {
            return Ok(());
        }
        self.create_dir(parent(dir))?;
        match self.live.get(dir) {
            Some(Node::Folder) => return Ok(()),
            Some(Node::File(_)) => return self.need_folder(dir),
            None => {}
        }
        self.make_durable(|change| change.touches(dir));
        self.live.insert(dir.to_owned(), Node::Folder);
        self.durable.insert(dir.to_owned(), Node::Folder);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, dir: &str) -> Result<()> {
        self.need_folder(dir)?;
        if dir.is_empty() || has_children(&self.live, dir) {
            return Err(Error::new(ErrorKind::DirectoryNotEmpty, format!("{dir}: not empty")));
        }
        self.change(Kind::RemoveFolder { path: dir.to_owned() });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &str) -> Result<()> {
        self.need_folder(dir)?;
        for change in &mut self.unsynced {
            change.waits_for.retain(|waiting| waiting != dir);
        }
        self.make_durable(|change| change.waits_for.is_empty());
        Ok(())
    }

    /// Makes the chosen changes durable, and with them those that must come before.
    fn make_durable(&mut self, chosen: impl Fn(&Change) -> bool) {
        let mut pulled: Vec<String> = Vec::new();
        let mut pulled_in = vec![false; self.unsynced.len()];
        for (change, pulled_in) in self.unsynced.iter().zip(&mut pulled_in).rev() {
            if chosen(change) || pulled.iter().any(|path| change.touches(path)) {
                pulled.extend(change.paths().map(str::to_owned));
                *pulled_in = true;
            }
        }
        let mut pulled_in = pulled_in.into_iter();
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let now = pulled_in.next().unwrap_or(false);
            if now {
                change.apply(durable);
            }
            !now
        });
    }

    /// Puts a durable file with these bytes at `path`, its folders too.
    pub(super) fn plant(&mut self, path: &str, inode: Arc<Inode>) -> Result<()> {
        self.create_dir(parent(path))?;
        self.make_durable(|change| change.touches(path));
        for tree in [&mut self.live, &mut self.durable] {
            tree.insert(path.to_owned(), Node::File(inode.clone()));
        }
        Ok(())
    }

    /// What is left after a crash: of the names, and of the files that still have one.
    pub(super) fn crash(&mut self, rng: &mut Rng, odds: CrashOdds) {
        let mut lost: Vec<String> = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            let follows_lost = lost.iter().any(|path| change.touches(path));
            if !follows_lost && rng.chance(odds.keep_per_mille) {
                change.apply(&mut self.durable);
            } else {
                lost.extend(change.paths().map(str::to_owned));
            }
        }
        self.live = self.durable.clone();
        for (_, inode) in self.files() {
            inode.0.lock().crash(rng, odds);
        }
    }
}
