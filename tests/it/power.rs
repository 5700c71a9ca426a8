//! Power cuts: a loop-mounted ext4 loses everything that was not synced.
//!
//! Needs root, `mkfs.ext4` and loop devices. `STRANDLINE_CUT_CYCLES` sets the number of cuts (4 by default).

use crate::kill::{BUSY, rounds};
use crate::load::{Sent, under_load};
use crate::rig::Rig;
use crate::sim::Dice;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A small ext4 in a file.
struct LoopDisk {
    image: PathBuf,
    mount: PathBuf,
    mounted: bool,
}

fn run(command: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(command).args(args).output().map_err(|e| format!("{command}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command} {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl LoopDisk {
    fn make(folder: &Path) -> Result<Self, String> {
        let (image, mount) = (folder.join("disk.img"), folder.join("mnt"));
        let file = std::fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(1 << 30).map_err(|e| e.to_string())?;
        std::fs::create_dir_all(&mount).map_err(|e| e.to_string())?;
        run("mkfs.ext4", &["-q", "-F", &image.to_string_lossy()])?;
        let mut disk = Self { image, mount, mounted: false };
        disk.mount()?;
        // Or the first cut eats the file system's own start.
        run("sync", &["-f", &disk.mount.to_string_lossy()])?;
        Ok(disk)
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.image.to_string_lossy(), &self.mount.to_string_lossy()])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        self.mounted = false;
        run("umount", &[&self.mount.to_string_lossy()])
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = self.unmount();
        }
    }
}

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from here on nothing reaches the disk any more.
#[expect(unsafe_code, reason = "ioctl has no safe wrapper")]
fn cut(mount: &Path) {
    const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
    let folder = std::fs::File::open(mount).unwrap();
    let no_log_flush: u32 = 2;
    // SAFETY: the descriptor is open, and the argument points to a u32 that outlives the call, which reads it only.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const no_log_flush) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn no_acknowledged_line_is_lost_to_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    if let Err(reason) = LoopDisk::make(folder.path()) {
        assert!(std::env::var("STRANDLINE_TEST_PEERS").is_err(), "no loop-mounted disk: {reason}");
        println!("skipped, no loop-mounted disk: {reason}");
        return;
    }
    let cycles = rounds("STRANDLINE_CUT_CYCLES", 4);
    let mut dice = Dice::new(rounds("STRANDLINE_CUT_SEED", 1));
    let mut total = 0;
    for cycle in 0..cycles {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = LoopDisk::make(folder.path()).unwrap();
        let mut rig = Rig::new(&disk.mount.join("data"), BUSY);
        rig.log_beside(folder.path());
        let sent = Arc::new(Sent::default());
        rig.start();
        let time = Duration::from_millis(150 + dice.roll(3000));
        let mount = disk.mount.clone();
        let began = under_load(&sent, &mut rig, time, |_| cut(&mount));
        disk.unmount().unwrap();
        disk.mount().unwrap();
        let (clean, report) = rig.verify();
        assert!(clean, "cut {cycle}: {report}");
        rig.start();
        total += sent.check(&rig, began).0;
        assert!(rig.stop().success(), "{}", rig.log_tail());
        disk.unmount().unwrap();
    }
    println!("{cycles} power cuts, {total} acknowledged lines, none lost");
}
