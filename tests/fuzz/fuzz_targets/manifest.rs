//! The manifest's reader on foreign bytes, also behind checksums that hold: what it takes it can write and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strandline_fuzz::disk::disk_with;
use strandline_store::fuzzing::{MANIFEST_PATH, check_manifest, edit_manifest, frames, open_manifest};

fuzz_target!(init: strandline_fuzz::seeds::plant("manifest"), |data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let file = if *choice == 0 { rest.to_vec() } else { frames(rest) };
    let (sim, disk) = disk_with(MANIFEST_PATH, &file);
    let looked = check_manifest(&sim).unwrap();
    let Some(state) = open_manifest(&disk).unwrap() else {
        assert_eq!(looked, None, "a look finds no less damage than opening");
        return;
    };
    if let Some(segments) = looked {
        assert_eq!(segments, state.2);
    }
    // Opening has written it anew.
    assert_eq!(open_manifest(&disk).unwrap().as_ref(), Some(&state));
    assert_eq!(check_manifest(&sim).unwrap().as_ref(), Some(&state.2));
    let gone: Vec<_> = state.2.first().map(|meta| meta.id).into_iter().collect();
    let edited = edit_manifest(&disk, gone.clone(), 5).unwrap().unwrap();
    assert_eq!((edited.0, edited.1), (state.0 + 1, state.1.max(5)));
    assert_eq!(edited.2, state.2[gone.len()..]);
    assert_eq!(open_manifest(&disk).unwrap(), Some(edited));
});
