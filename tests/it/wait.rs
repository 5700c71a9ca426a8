//! Waiting until something has come about: the one place where a test sleeps, and never as a proof.

use std::time::{Duration, Instant};

/// What has not come about by then will not: long, since machines can be slow, and only a failing test takes it all.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until `find` finds something. When that takes too long, the test fails with what `why` says then.
pub fn until_some<T>(why: impl Fn() -> String, mut find: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?}: {}", why());
        std::thread::sleep(PAUSE);
    }
}

/// Asks until the answer is yes. When that takes too long, the test fails with what `why` says then.
pub fn until(why: impl Fn() -> String, mut wanted: impl FnMut() -> bool) {
    until_some(why, || wanted().then_some(()));
}

/// Lets others work for a while, for a fault that comes at a moment chosen by chance. Whatever a test finds out must hold
/// after any other while too.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}
