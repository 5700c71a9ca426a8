//! Which bugs are planted, and where? Each is an edit of the store's source that a test switches on by name.
//!
//! `build.rs` applies them to a copy. An edit whose text is not found, or is found twice, leaves its whole mutation out
//! and is reported: `STALE` names it, and a test fails. Then the text here is to be brought up to date, so that the same
//! bug is planted in the code as it is now.

/// A bug that the crash tests must catch.
#[derive(Debug, Clone, Copy)]
pub struct Mutation {
    /// What `planted::is` is asked for.
    pub name: &'static str,
    /// Whether it shows only when threads meet.
    pub race: bool,
    /// All are applied, or none.
    pub edits: &'static [Edit],
}

/// A replacement in one file.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// Below `src/store/src`.
    pub file: &'static str,
    /// Stands there exactly once.
    pub find: &'static str,
    /// `PLANTED` stands for the question whether the bug is switched on.
    pub replace: &'static str,
}

pub const MUTATIONS: &[Mutation] = &[
    // Acknowledge before the log is synced.
    Mutation {
        name: "ack-before-sync",
        race: false,
        edits: &[Edit {
            file: "engine/commit.rs",
            find: "self.config.sync.before_ack()",
            replace: "(self.config.sync.before_ack() && !PLANTED)",
        }],
    },
    // Publish segments whose names are not durable.
    Mutation {
        name: "no-folder-sync",
        race: false,
        edits: &[Edit {
            file: "engine/flush.rs",
            find: "fn sync_dirs(&self, segments: &[SegmentMeta]) -> Result<(), StoreError> {",
            replace: "fn sync_dirs(&self, segments: &[SegmentMeta]) -> Result<(), StoreError> { if PLANTED { return Ok(()); }",
        }],
    },
    // Recycle the log before the segments hold what it holds. (Between the segments and the manifest it would do no harm:
    // a start takes up segments that the manifest does not list.)
    Mutation {
        name: "recycle-before-manifest",
        race: false,
        edits: &[Edit {
            file: "engine/flush.rs",
            find: "for (tenant, day) in head.partitions() {",
            replace: "if PLANTED { let _ = self.wal.lock().retire(seq.1); } for (tenant, day) in head.partitions() {",
        }],
    },
    // Publish a merge and keep what it replaces.
    Mutation {
        name: "merge-without-drop",
        race: false,
        edits: &[Edit {
            file: "engine/compaction.rs",
            find: "if !self.publish_merge(&edit,",
            replace: "if PLANTED { edit.drop.clear(); } if !self.publish_merge(&edit,",
        }],
    },
    // Answer a delete before the manifest has it.
    Mutation {
        name: "delete-before-manifest",
        race: false,
        edits: &[Edit {
            file: "engine/delete.rs",
            find: "let deletes = DeleteChanges { add: vec![record]",
            replace: "if PLANTED { \
                      let delete = Delete::new(record.clone(), self.config.delete_language.as_ref()); \
                      Arc::make_mut(&mut self.state.write().deletes).push(delete); \
                      return Ok(number); } \
                      let deletes = DeleteChanges { add: vec![record]",
        }],
    },
    // Take a delete without sealing the head.
    Mutation {
        name: "delete-without-seal",
        race: false,
        edits: &[Edit {
            file: "engine/delete.rs",
            find: "self.seal_locked();",
            replace: "if !PLANTED { self.seal_locked(); }",
        }],
    },
    // Say of a merge's outputs that they are free of deleted lines, which they are not.
    Mutation {
        name: "clean-without-erasing",
        race: false,
        edits: &[Edit {
            file: "engine/erase.rs",
            find: "let hidden = |s: &Arc<SegmentHandle>| deletes::of_segment(&due, s.meta(), s.clean_of());",
            replace: "let hidden = |s: &Arc<SegmentHandle>| if PLANTED { Hiding::default() } else { \
                      deletes::of_segment(&due, s.meta(), s.clean_of()) };",
        }],
    },
    // Readers show a line again that was pushed again behind its flush.
    Mutation {
        name: "repeats-are-shown",
        race: false,
        edits: &[Edit {
            file: "engine/flush.rs",
            find: ".filter(|(s, earlier)| (!covered || **earlier) && overlaps(s))",
            replace: ".filter(|(s, earlier)| !PLANTED && (!covered || **earlier) && overlaps(s))",
        }],
    },
    // Save the label index under a generation that it has not seen.
    Mutation {
        name: "label-image-ahead",
        race: false,
        edits: &[Edit {
            file: "engine/mod.rs",
            find: "labels.commit(generation);",
            replace: "labels.commit(generation + u64::from(PLANTED));",
        }],
    },
    // Acknowledge a document whose bytes are not synced.
    Mutation {
        name: "document-without-sync",
        race: false,
        edits: &[Edit {
            file: "documents/store.rs",
            find: "file.write_at(bytes, 0)?;\n            file.sync()",
            replace: "file.write_at(bytes, 0)?; if PLANTED { return Ok(()); }\n            file.sync()",
        }],
    },
    // Acknowledge a document, or that one is gone, before the names in its folder are synced.
    Mutation {
        name: "document-without-folder-sync",
        race: false,
        edits: &[Edit {
            file: "documents/store.rs",
            find: "let synced = self.disk.sync_dir(&folder.path);",
            replace: "let synced = if PLANTED { Ok(()) } else { self.disk.sync_dir(&folder.path) };",
        }],
    },
    // Put a document into its place before its bytes are synced.
    Mutation {
        name: "document-renamed-before-sync",
        race: false,
        edits: &[Edit {
            file: "documents/store.rs",
            find: "let written = write();",
            replace: "if PLANTED { let early = || { let file = disk.create(&temporary)?; \
                      file.write_at(bytes, 0)?; disk.rename(&temporary, &path)?; file.sync() }; \
                      early().at(&path)?; self.sync_names(folder, writing)?; \
                      folder.index.write().entries.insert(name.to_owned(), entry); return Ok(()); } \
                      let written = write();",
        }],
    },
    // Write a document in place.
    Mutation {
        name: "document-in-place",
        race: false,
        edits: &[Edit {
            file: "documents/folder.rs",
            find: "format!(\"{}/{}\", self.path, temporary_name(name))",
            replace: "if PLANTED { return self.file(name); } format!(\"{}/{}\", self.path, temporary_name(name))",
        }],
    },
    // Take the head before the log is locked: it can be sealed and flushed before the batch gets into it.
    Mutation {
        name: "head-before-log-lock",
        race: true,
        edits: &[
            Edit {
                file: "engine/commit.rs",
                find: "let mut wal = self.wal.lock();\n        let payloads",
                replace: "let early = Arc::clone(&self.state.read().active);\n\
                          let mut wal = self.wal.lock();\n        let payloads",
            },
            Edit {
                file: "engine/commit.rs",
                find: "let active = Arc::clone(&self.state.read().active);",
                replace: "let active = if PLANTED { early } else { Arc::clone(&self.state.read().active) };",
            },
        ],
    },
    // Put a document into a folder that was given up with its last document meanwhile.
    Mutation {
        name: "document-in-retired-folder",
        race: true,
        edits: &[Edit {
            file: "documents/store.rs",
            find: "since it was looked up.\n            if folder.index.read().is_retired {",
            replace: "since it was looked up.\n            if !PLANTED && folder.index.read().is_retired {",
        }],
    },
    // Delete in a folder that was given up meanwhile, and give up the one that has its name now.
    Mutation {
        name: "document-deleted-in-retired-folder",
        race: true,
        edits: &[
            Edit {
                file: "documents/store.rs",
                find: "makes another folder.\n            if folder.index.read().is_retired {",
                replace: "makes another folder.\n            if !PLANTED && folder.index.read().is_retired {",
            },
            Edit {
                file: "documents/store.rs",
                find: "if index.is_retired || folder.may_have",
                replace: "if !PLANTED && index.is_retired || folder.may_have",
            },
            Edit {
                file: "documents/store.rs",
                find: ".is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), folder))",
                replace: ".is_some_and(|known| PLANTED || std::ptr::eq(Arc::as_ptr(known), folder))",
            },
        ],
    },
    // Look whether a document is the expected one before others are kept from changing it.
    Mutation {
        name: "document-expected-too-early",
        race: true,
        edits: &[Edit {
            file: "documents/store.rs",
            find: "let mut writing = folder.writing.lock();\n            // Deleted with",
            replace: "let early = folder.index.read().entries.get(name).cloned();\n\
                          let expect = if PLANTED && self.check(&folder, name, early, expect).is_ok() \
                          { Expect::Anything } else { expect };\n\
                          let mut writing = folder.writing.lock();\n            // Deleted with",
        }],
    },
    // Show readers the end of a head before the segment that takes its place.
    Mutation {
        name: "head-gone-before-segment",
        race: true,
        edits: &[Edit {
            file: "engine/mod.rs",
            find: "let mut state = self.state.write();",
            replace: "if PLANTED && let Some(head) = flushed { \
                      self.state.write().sealed.retain(|h| !Arc::ptr_eq(h, head)); } \
                      let mut state = self.state.write();",
        }],
    },
    // Show readers the end of a merge's inputs before its outputs.
    Mutation {
        name: "inputs-gone-before-outputs",
        race: true,
        edits: &[Edit {
            file: "engine/mod.rs",
            find: "let next = Arc::new(before.with(&added, &edit.drop));",
            replace: "if PLANTED { self.state.write().catalog = Arc::new(before.with(&[], &edit.drop)); } \
                      let next = Arc::new(before.with(&added, &edit.drop));",
        }],
    },
    // Build the next catalog from one that was read before the manifest was locked: what another thread published
    // meanwhile is lost.
    Mutation {
        name: "catalog-before-manifest-lock",
        race: true,
        edits: &[
            Edit {
                file: "engine/mod.rs",
                find: "mod removals;",
                replace: "mod removals;\n\
                          std::thread_local! { static EARLY: std::cell::RefCell<Option<Arc<Catalog>>> = \
                          const { std::cell::RefCell::new(None) }; }",
            },
            Edit {
                file: "engine/mod.rs",
                find: "let mut manifest = self.manifest.lock();",
                replace: "let early = Arc::clone(&self.state.read().catalog);\n\
                          EARLY.with(|slot| *slot.borrow_mut() = Some(early));\n\
                          let mut manifest = self.manifest.lock();",
            },
            Edit {
                file: "engine/mod.rs",
                find: "let before = Arc::clone(&self.state.read().catalog);",
                replace: "let early = EARLY.with(|slot| slot.borrow_mut().take()).filter(|_| PLANTED);\n\
                          let before = early.unwrap_or_else(|| Arc::clone(&self.state.read().catalog));",
            },
        ],
    },
    // Say of a merge's outputs that they are free of a delete that was taken while they were made.
    Mutation {
        name: "merge-vouches-for-later-delete",
        race: true,
        edits: &[Edit {
            file: "engine/compaction.rs",
            find: "if let Some(number) = erasing.clean_of {",
            replace: "let latest = self.state.read().deletes.last().map(|delete| delete.record().number);\n\
                      if let Some(number) = if PLANTED { latest } else { erasing.clean_of } {",
        }],
    },
    // Look for the segments of an expired day before the manifest is locked: a flush into that day comes between, and the
    // label index forgets its streams.
    Mutation {
        name: "retention-straddles-flush",
        race: true,
        edits: &[
            Edit {
                file: "engine/retain.rs",
                find: "let mut manifest = self.manifest.lock();\n        let catalog",
                replace: "let early = Arc::clone(&self.state.read().catalog);\n\
                          let mut manifest = self.manifest.lock();\n        let catalog",
            },
            Edit {
                file: "engine/retain.rs",
                find: "let partitions = choose(&catalog);",
                replace: "let catalog = if PLANTED { early } else { catalog };\n\
                          let partitions = choose(&catalog);",
            },
        ],
    },
];
