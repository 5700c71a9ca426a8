//! Which thread runs next? Under [`explore`] one at a time, and whenever one is about to take a lock, chance decides
//! which of them goes on: the same seed gives the same run. Elsewhere these locks are parking_lot's.
//!
//! The simulated disk takes a lock in each of its calls, so each of them is such a point too. A lock that another
//! thread holds is tried again after that one had its turn; when nobody gets any further, that is a deadlock.

pub use parking_lot::{
    Condvar, MappedMutexGuard, MappedRwLockReadGuard, MutexGuard, RwLockReadGuard, RwLockUpgradableReadGuard,
    RwLockWriteGuard, WaitTimeoutResult,
};
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar as Signal, Mutex as Plain, PoisonError};

/// Fruitless attempts in a row, of all threads, after which nobody will get any further.
const DEADLOCK: u32 = 20_000;

/// What a thread of an exploration does.
pub type Body<'a> = Box<dyn FnOnce() + Send + 'a>;

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// A thread's place in an exploration.
#[derive(Clone)]
struct Turn {
    table: Arc<Table>,
    me: usize,
}

struct Table {
    state: Plain<State>,
    signals: Vec<Signal>,
}

struct State {
    random: u64,
    /// Who runs.
    running: usize,
    alive: Vec<bool>,
    /// A point changes the thread once in so many cases.
    change_one_in: u64,
    fruitless: u32,
    points: u64,
}

impl State {
    fn roll(&mut self, sides: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides.max(1)
    }

    /// Another thread that has not ended, if there is one.
    fn another(&mut self, me: usize) -> Option<usize> {
        let others: Vec<usize> = (0..self.alive.len()).filter(|i| *i != me && self.alive[*i]).collect();
        (!others.is_empty()).then(|| others[self.roll(others.len() as u64) as usize])
    }
}

impl Turn {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.table.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over to `next` and comes back when it is this thread's turn again.
    fn hand_over(&self, mut state: std::sync::MutexGuard<'_, State>, next: usize) {
        state.running = next;
        self.table.signals[next].notify_one();
        self.wait(state);
    }

    fn wait(&self, mut state: std::sync::MutexGuard<'_, State>) {
        while state.running != self.me {
            state = self.table.signals[self.me].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn point(&self) {
        let mut state = self.state();
        state.points += 1;
        state.fruitless = 0;
        let one_in = state.change_one_in;
        if state.roll(one_in) == 0
            && let Some(next) = state.another(self.me)
        {
            self.hand_over(state, next);
        }
    }

    fn blocked(&self) {
        let mut state = self.state();
        state.fruitless += 1;
        if state.fruitless > DEADLOCK {
            eprintln!("deadlock: no thread of the exploration gets any further");
            std::process::abort();
        }
        if let Some(next) = state.another(self.me) {
            self.hand_over(state, next);
        }
    }

    fn end(&self) {
        let mut state = self.state();
        state.alive[self.me] = false;
        if let Some(next) = state.another(self.me) {
            state.running = next;
            self.table.signals[next].notify_one();
        }
    }
}

/// Runs `bodies` in threads of their own, one at a time, changing between them by chance. Returns how many points they
/// passed, or what the first one that panicked said. Bugs planted in the calling thread are planted in all.
pub fn explore(seed: u64, bodies: Vec<Body<'_>>) -> Result<u64, String> {
    let mut state = State {
        random: seed ^ 0x5EED_0F5C_4ED0_1E55,
        running: 0,
        alive: vec![true; bodies.len()],
        change_one_in: 1,
        fruitless: 0,
        points: 0,
    };
    // Some bugs need many changes, some a long run between two of them.
    state.change_one_in = [2, 4, 16, 64][state.roll(4) as usize];
    state.running = state.roll(bodies.len() as u64) as usize;
    let signals = bodies.iter().map(|_| Signal::new()).collect();
    let table = Arc::new(Table { state: Plain::new(state), signals });
    let bug = crate::planted::planted();
    let results: Vec<_> = std::thread::scope(|scope| {
        let spawn = |(me, body)| {
            let turn = Turn { table: Arc::clone(&table), me };
            scope.spawn(move || {
                crate::planted::plant(bug);
                TURN.set(Some(turn.clone()));
                turn.wait(turn.state());
                let result = catch_unwind(AssertUnwindSafe(body));
                TURN.set(None);
                turn.end();
                result.map_err(|panic| message(panic.as_ref()))
            })
        };
        let threads: Vec<_> = bodies.into_iter().enumerate().map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(Err("ended".to_owned()))).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    let points = table.state.lock().unwrap_or_else(PoisonError::into_inner).points;
    Ok(points)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panicked").to_owned()
}

/// A moment at which another thread may go on.
pub fn point() {
    if let Some(turn) = TURN.with_borrow(Option::clone) {
        turn.point();
    }
}

fn take<G>(attempt: impl Fn() -> Option<G>, wait: impl FnOnce() -> G) -> G {
    let Some(turn) = TURN.with_borrow(Option::clone) else { return wait() };
    turn.point();
    loop {
        if let Some(guard) = attempt() {
            return guard;
        }
        turn.blocked();
    }
}

/// [`parking_lot::Mutex`] with a point before it is locked.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    pub fn lock(&self) -> MutexGuard<'_, T> {
        take(|| self.0.try_lock(), || self.0.lock())
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        point();
        self.0.try_lock()
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`parking_lot::RwLock`] with a point before it is locked.
#[derive(Default)]
pub struct RwLock<T: ?Sized>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        take(|| self.0.try_read(), || self.0.read())
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        take(|| self.0.try_write(), || self.0.write())
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
