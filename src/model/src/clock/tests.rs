//! Is everybody woken whose time has come, in order, and nobody else? The system's clock is only asked for what must be there
//! in the end; how long it took is nobody's business here.

use super::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;

/// Notes in a list that it was woken.
struct Note(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[derive(Default)]
struct Notes(Arc<Mutex<Vec<usize>>>);

impl Notes {
    fn waker(&self, n: usize) -> Waker {
        Arc::new(Note(n, Arc::clone(&self.0))).into()
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn alarms_ring_in_the_order_of_their_times_and_once() {
    let (clock, notes) = (ManualClock::at(100), Notes::default());
    let times = [150, 130, 170, 130, 100, 50, 400];
    let alarms: Vec<Alarm> =
        times.iter().enumerate().map(|(n, at)| clock.wake_at(*at, notes.waker(n))).collect();
    assert_eq!(notes.take(), [4, 5], "due already");
    assert_eq!(clock.next_alarm_ns(), Some(130));
    clock.advance(29);
    assert_eq!(notes.take(), []);
    clock.advance(71);
    assert_eq!(notes.take(), [1, 3, 0, 2]);
    clock.advance(100);
    assert_eq!((notes.take(), clock.alarms()), (vec![], 1));
    drop(alarms);
    assert_eq!((clock.next_alarm_ns(), clock.alarms()), (None, 0));
    clock.advance(1000);
    assert_eq!(notes.take(), [], "dropped alarms are forgotten");
}

/// A waker that has a fault of its own.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("a broken waker, as the test wants it");
    }
}

#[test]
fn a_waker_that_panics_takes_nobody_with_it() {
    let (clock, notes) = (ManualClock::at(0), Notes::default());
    let _alarms = [clock.wake_at(1, Waker::from(Arc::new(Broken))), clock.wake_at(2, notes.waker(2))];
    clock.advance(2);
    assert_eq!(notes.take(), [2]);
    // Nor the system clock's thread: it rings the next one.
    let (clock, signal) = (SystemClock::default(), Signal::default());
    let broken = clock.wake_at(clock.monotonic_ns() + 1_000_000, Waker::from(Arc::new(Broken)));
    while broken.is_set() {
        std::thread::yield_now();
    }
    assert_eq!(signal.wait(&clock, clock.monotonic_ns() + 1_000_000).block(), Woke::Due);
}

#[test]
fn alarms_are_bounded() {
    let (clock, notes) = (ManualClock::at(0), Notes::default());
    let waker = notes.waker(1);
    let alarms: Vec<Alarm> = (0..MAX_ALARMS as i64).map(|n| clock.wake_at(n + 1, waker.clone())).collect();
    assert_eq!(notes.take(), []);
    let _more = clock.wake_at(5, notes.waker(2));
    assert_eq!((notes.take(), clock.alarms()), (vec![2], MAX_ALARMS));
    drop(alarms);
}

#[test]
fn a_wait_ends_for_the_first_reason() {
    let (clock, signal, notes) = (ManualClock::at(0), Signal::default(), Notes::default());
    let waker = notes.waker(1);
    let mut due = pin!(signal.wait(&clock, 10));
    assert!(poll(due.as_mut(), &waker).is_pending());
    assert!(poll(due.as_mut(), &waker).is_pending(), "a poll for no reason");
    assert_eq!(clock.alarms(), 1);
    clock.advance(10);
    assert_eq!(notes.take(), [1]);
    assert_eq!(poll(due.as_mut(), &waker), Poll::Ready(Woke::Due));

    let mut told = pin!(signal.wait(&clock, 20));
    assert!(poll(told.as_mut(), &waker).is_pending());
    signal.notify();
    assert_eq!(notes.take(), [1]);
    assert_eq!(poll(told.as_mut(), &waker), Poll::Ready(Woke::Notified));

    // One that comes while nobody waits is kept, several are one.
    signal.notify();
    signal.notify();
    assert_eq!(signal.wait(&clock, i64::MAX).block(), Woke::Notified);
    assert_eq!(signal.wait(&clock, 0).block(), Woke::Due);

    let mut stopped = pin!(signal.wait(&clock, i64::MAX));
    assert!(poll(stopped.as_mut(), &waker).is_pending());
    assert!(!signal.is_stopped());
    signal.stop();
    signal.notify();
    assert_eq!(poll(stopped.as_mut(), &waker), Poll::Ready(Woke::Stopped));
    assert_eq!(signal.wait(&clock, 0).block(), Woke::Stopped);
}

#[test]
fn a_wait_that_is_dropped_leaves_nothing_and_takes_no_notification() {
    let (clock, signal, notes) = (ManualClock::at(0), Signal::default(), Notes::default());
    {
        let mut wait = Box::pin(signal.wait(&clock, 10));
        assert!(poll(wait.as_mut(), &notes.waker(1)).is_pending());
        // The task moved: the new waker counts.
        assert!(poll(wait.as_mut(), &notes.waker(2)).is_pending());
        assert_eq!(clock.alarms(), 1);
        let mut other = Box::pin(signal.wait(&clock, i64::MAX));
        assert!(poll(other.as_mut(), &notes.waker(3)).is_pending());
        signal.notify();
        assert_eq!(notes.take(), [2, 3]);
        // Given up although it was woken: the other one gets what it was woken for.
        drop(wait);
        assert_eq!(poll(other.as_mut(), &notes.waker(3)), Poll::Ready(Woke::Notified));
    }
    assert_eq!((clock.alarms(), signal.waiting()), (0, 0));
    clock.advance(100);
    signal.notify();
    assert_eq!(notes.take(), []);
}

#[test]
fn threads_wait_for_a_clock_that_is_moved() {
    let (clock, signal) = (ManualClock::at(0), Signal::default());
    let woken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for due in 1..=4 {
            let (clock, signal, woken) = (&clock, &signal, &woken);
            scope.spawn(move || {
                assert_eq!(signal.wait(clock, due * SECOND).block(), Woke::Due);
                woken.fetch_add(1, Ordering::SeqCst);
            });
        }
        for due in 1..=4 {
            while clock.next_alarm_ns() != Some(due * SECOND) {
                std::thread::yield_now();
            }
            clock.advance(SECOND);
            while woken.load(Ordering::SeqCst) < due as usize {
                std::thread::yield_now();
            }
            assert_eq!(woken.load(Ordering::SeqCst), due as usize, "nobody is woken early");
        }
    });
}

#[test]
fn a_thread_that_waits_for_ever_is_stopped() {
    let (clock, signal) = (SystemClock::default(), Signal::default());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| signal.wait(&clock, i64::MAX).block());
        let until = scope.spawn(|| signal.wait(&clock, clock.monotonic_ns() + 3_600 * SECOND).block());
        while signal.waiting() < 2 {
            std::thread::yield_now();
        }
        signal.stop();
        assert_eq!((waiting.join().unwrap(), until.join().unwrap()), (Woke::Stopped, Woke::Stopped));
    });
}

#[test]
fn the_systems_clock_rings_what_is_set_late_for_an_earlier_time() {
    let (clock, signal) = (SystemClock::default(), Signal::default());
    let (notes, begun) = (Notes::default(), clock.monotonic_ns());
    let far = clock.wake_at(begun + 3_600 * SECOND, notes.waker(9));
    for n in [3, 1, 2] {
        let due = clock.monotonic_ns() + n * 1_000_000;
        assert_eq!(signal.wait(&clock, due).block(), Woke::Due);
        assert!(clock.monotonic_ns() >= due);
    }
    assert_eq!((notes.take(), clock.bell.timers.len()), (vec![], 1));
    drop(clock);
    assert_eq!(notes.take(), [9], "nobody waits for a clock that is gone");
    drop(far);
}

/// A clock whose thread the system does not give rings early; who waits looks again.
#[test]
fn a_wait_goes_on_when_the_alarm_was_early() {
    #[derive(Debug, Default)]
    struct Early(ManualClock, AtomicUsize);
    impl Clock for Early {
        fn now_ns(&self) -> i64 {
            self.0.now_ns()
        }
        fn monotonic_ns(&self) -> i64 {
            self.0.monotonic_ns()
        }
        fn wake_at(&self, monotonic_ns: i64, waker: Waker) -> Alarm {
            let alarm = self.0.wake_at(monotonic_ns, waker);
            alarm.ring();
            if self.1.fetch_add(1, Ordering::SeqCst) == 3 {
                self.0.advance(SECOND);
            }
            alarm
        }
    }
    let (clock, signal) = (Early::default(), Signal::default());
    assert_eq!(signal.wait(&clock, SECOND).block(), Woke::Due);
    assert_eq!(clock.1.load(Ordering::SeqCst), 4);
}

/// Lets the time pass in steps until something is due: what, and after how long.
fn next(ticks: &mut WallTicks, clock: &ManualClock) -> (Tick, i64) {
    let begun = clock.monotonic_ns();
    for _ in 0..100_000 {
        match ticks.look(clock) {
            Ok(tick) => return (tick, clock.monotonic_ns() - begun),
            Err(until) => {
                let step = until - clock.monotonic_ns();
                assert!(step > 0 && step <= SECOND, "looks neither without end nor too late: {step}");
                clock.advance(step);
            }
        }
    }
    panic!("it hangs");
}

#[test]
fn ticks_are_at_multiples_of_the_wall_clock() {
    let clock = ManualClock::at(1_000 * MINUTE + 7 * SECOND);
    clock.jump(12 * SECOND);
    let mut ticks = WallTicks::new(&clock, MINUTE, 5 * SECOND);
    let tick = |minute: i64| Tick { at_ns: minute * MINUTE + 5 * SECOND, missed: 0 };
    assert_eq!(next(&mut ticks, &clock), (tick(1_001), 46 * SECOND));
    assert_eq!(next(&mut ticks, &clock), (tick(1_002), MINUTE));
    // Work that takes a while does not move them.
    clock.advance(20 * SECOND);
    assert_eq!(next(&mut ticks, &clock), (tick(1_003), 40 * SECOND));
    // On the very time there is one, and no second.
    assert_eq!(next(&mut ticks, &clock), (tick(1_004), MINUTE));
    assert!(ticks.look(&clock).is_err());
}

#[test]
fn what_was_passed_over_is_one_tick() {
    let clock = ManualClock::at(1_000 * MINUTE);
    let mut ticks = WallTicks::new(&clock, MINUTE, 0);
    next(&mut ticks, &clock);
    // Eight hours of suspension: the wall clock goes on, the monotonic one does not.
    clock.jump(480 * MINUTE);
    let (tick, after) = next(&mut ticks, &clock);
    assert_eq!(tick, Tick { at_ns: 1_481 * MINUTE, missed: 479 });
    assert_eq!(after, MINUTE / 2, "half an interval behind the last one");
    assert_eq!(next(&mut ticks, &clock).0, Tick { at_ns: 1_482 * MINUTE, missed: 0 });
    // Work that takes longer than the interval.
    clock.advance(3 * MINUTE + SECOND);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 1_485 * MINUTE, missed: 2 }, 0));
    assert_eq!(next(&mut ticks, &clock).0, Tick { at_ns: 1_486 * MINUTE, missed: 0 });
}

#[test]
fn a_clock_that_is_set_back_hangs_nothing() {
    let clock = ManualClock::at(10_000 * MINUTE);
    let mut ticks = WallTicks::new(&clock, MINUTE, 0);
    next(&mut ticks, &clock);
    clock.jump(-5_000 * MINUTE);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 5_002 * MINUTE, missed: 0 }, MINUTE));
    // A little, in the middle of a wait.
    clock.advance(50 * SECOND);
    clock.jump(-20 * SECOND);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 5_003 * MINUTE, missed: 0 }, 30 * SECOND));
}

#[test]
fn a_small_correction_right_behind_a_tick_does_not_repeat_it() {
    let clock = ManualClock::at(10_000 * MINUTE - SECOND);
    let mut ticks = WallTicks::new(&clock, MINUTE, 0);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 10_000 * MINUTE, missed: 0 }, SECOND));
    clock.advance(5 * SECOND);
    clock.jump(-20 * SECOND);
    let following = Tick { at_ns: 10_001 * MINUTE, missed: 0 };
    assert_eq!(next(&mut ticks, &clock), (following, 75 * SECOND));
    // By more than an interval, that time is meant twice.
    clock.advance(5 * SECOND);
    clock.jump(-80 * SECOND);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 10_000 * MINUTE, missed: 0 }, 25 * SECOND));
    assert_eq!(next(&mut ticks, &clock), (following, 50 * SECOND));
}

#[test]
fn a_daily_tick_behind_a_suspension_is_not_hours_late() {
    let day = 1_440 * MINUTE;
    let clock = ManualClock::at(20_000 * day - SECOND);
    let mut ticks = WallTicks::new(&clock, day, 0);
    next(&mut ticks, &clock);
    clock.jump(day - 2 * SECOND);
    assert_eq!(next(&mut ticks, &clock), (Tick { at_ns: 20_001 * day, missed: 0 }, 30 * SECOND));
}

#[test]
fn a_clock_that_jumps_all_the_time_fires_neither_without_end_nor_never() {
    let clock = ManualClock::at(10_000 * MINUTE);
    let mut ticks = WallTicks::new(&clock, MINUTE, 0);
    let (begun, mut fired) = (clock.monotonic_ns(), 0);
    for n in 0..36_000 {
        clock.advance(SECOND / 10);
        clock.jump(if n % 2 == 0 { 90 * MINUTE } else { -90 * MINUTE });
        fired += i64::from(ticks.look(&clock).is_ok());
    }
    let most = (clock.monotonic_ns() - begun) / (MINUTE / 2);
    assert!(fired <= most && fired >= most / 4, "{fired} in an hour");
    // Times at the ends of what numbers can say.
    for (now, interval, offset) in
        [(i64::MAX - 1, MINUTE, 0), (0, i64::MAX, i64::MAX), (0, 0, -5), (5, -1, 7)]
    {
        let clock = ManualClock::at(now);
        let mut ticks = WallTicks::new(&clock, interval, offset);
        let _ = ticks.look(&clock);
    }
}

#[test]
fn ticks_are_waited_for_by_threads_and_by_tasks() {
    let (clock, signal, notes) = (ManualClock::at(MINUTE + SECOND), Signal::default(), Notes::default());
    let mut ticks = WallTicks::new(&clock, MINUTE, 0);
    let mut of_task = ticks.clone();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let first = ticks.block(&clock, &signal);
            (first, ticks.block(&clock, &signal))
        });
        for _ in 0..59 {
            while clock.alarms() == 0 {
                std::thread::yield_now();
            }
            clock.advance(SECOND);
        }
        while clock.alarms() == 0 {
            std::thread::yield_now();
        }
        signal.stop();
        let tick = Tick { at_ns: 2 * MINUTE, missed: 0 };
        assert_eq!(thread.join().unwrap(), (Ok(tick), Err(Woke::Stopped)));
    });
    let signal = Signal::default();
    {
        let mut task = pin!(of_task.wait(&clock, &signal));
        let tick = Tick { at_ns: 2 * MINUTE, missed: 0 };
        assert_eq!(poll(task.as_mut(), &notes.waker(1)), Poll::Ready(Ok(tick)));
    }
    let mut task = pin!(of_task.wait(&clock, &signal));
    assert!(poll(task.as_mut(), &notes.waker(1)).is_pending());
    signal.notify();
    assert_eq!(
        (notes.take(), poll(task.as_mut(), &notes.waker(1))),
        (vec![1], Poll::Ready(Err(Woke::Notified)))
    );
}
