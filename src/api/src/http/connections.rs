//! Which connections are open, whose are they, and which one gives way when there are too many?
//!
//! A connection is idle while no request is under way on it, from its first moment on: whoever opens connections and asks
//! nothing has nothing to lose. When a bound is reached, the longest idle one of those that hold most is closed for the
//! new one. If none is idle, the new one comes into a small reserve, where `/ready` and `/metrics` are answered and nothing
//! else.

use crate::http::answers::Answers;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use strandline_model::Clock;
use tokio::sync::Notify;

/// Connections beyond `server.max_connections` that are answered, for `/ready` and `/metrics`.
pub(crate) const RESERVED: usize = 32;

/// All connections of the server's ports.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    max_of_address: usize,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// The number of the next connection.
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
    reserve: HashMap<u64, Arc<Activity>>,
    of_address: HashMap<IpAddr, usize>,
}

/// What a new connection may do.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Everything.
    Open(Slot),
    /// Ask how the server is.
    Reserved(Slot),
    /// Nothing.
    Refused,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    connections: Arc<Connections>,
    activity: Arc<Activity>,
}

/// What a connection does.
#[derive(Debug)]
pub(crate) struct Activity {
    address: IpAddr,
    clock: Arc<dyn Clock>,
    under_way: AtomicUsize,
    /// Monotonic time (ns) of its last change to idle.
    idle_since_ns: AtomicI64,
    has_asked: AtomicBool,
    answers: Answers,
    close: Notify,
}

/// A request under way, up to the end of its answer.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Activity>);

/// The part of an address that one client has: all of an IPv4 address, the /64 network of an IPv6 address.
pub(crate) fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)))
        }
        other => other,
    }
}

impl Connections {
    /// At most `max` connections, and `max_of_address` of one client.
    pub(crate) fn new(max: usize, max_of_address: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            max_of_address: max_of_address.max(1),
            clock,
            table: Mutex::default(),
        })
    }

    /// Takes a new connection in, if need be in place of an idle one, which is asked to end.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let address = client_network(address);
        let mut table = self.table.lock();
        let of_address = table.of_address.get(&address).copied().unwrap_or(0);
        let has_room = if of_address >= self.max_of_address {
            table.close_idle(|activity| activity.address == address)
        } else if table.open.len() >= self.max {
            table.close_idle(|_| true)
        } else {
            true
        };
        let activity = Arc::new(Activity {
            address,
            clock: Arc::clone(&self.clock),
            under_way: AtomicUsize::new(0),
            idle_since_ns: AtomicI64::new(self.clock.monotonic_ns()),
            has_asked: AtomicBool::new(false),
            answers: Answers::default(),
            close: Notify::new(),
        });
        let number = table.next;
        table.next += 1;
        let slot = || Slot { number, connections: Arc::clone(self), activity: Arc::clone(&activity) };
        if has_room {
            table.open.insert(number, Arc::clone(&activity));
            *table.of_address.entry(address).or_default() += 1;
            metrics::gauge!("strandline_connections_open").set(table.open.len() as f64);
            return Admission::Open(slot());
        }
        let reason = if of_address >= self.max_of_address { "address" } else { "all" };
        metrics::counter!("strandline_connections_refused_total", "limit" => reason).increment(1);
        if table.reserve.len() >= RESERVED && !table.close_silent_in_reserve() {
            return Admission::Refused;
        }
        table.reserve.insert(number, Arc::clone(&activity));
        Admission::Reserved(slot())
    }

    /// Connections that may do everything.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.table.lock().open.len()
    }
}

impl Table {
    /// Closes the longest idle connection of those clients that hold most of what is `meant`; whether there was one.
    fn close_idle(&mut self, meant: impl Fn(&Activity) -> bool) -> bool {
        let idle = self.open.iter().filter(|(_, activity)| activity.is_idle() && meant(activity));
        let held = |activity: &Activity| self.of_address.get(&activity.address).copied().unwrap_or(0);
        let victim = idle.max_by_key(|(number, activity)| {
            (held(activity), std::cmp::Reverse((activity.idle_since_ns.load(Ordering::Relaxed), **number)))
        });
        let Some(number) = victim.map(|(number, _)| *number) else { return false };
        if let Some(activity) = self.remove(number) {
            activity.close.notify_one();
            metrics::counter!("strandline_connections_closed_idle_total").increment(1);
        }
        true
    }

    /// Closes the oldest connection of the reserve that has not asked anything; whether there was one.
    fn close_silent_in_reserve(&mut self) -> bool {
        let silent = self.reserve.iter().filter(|(_, activity)| activity.is_idle());
        let Some(number) = silent.map(|(number, _)| *number).min() else { return false };
        if let Some(activity) = self.reserve.remove(&number) {
            activity.close.notify_one();
        }
        true
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Activity>> {
        let activity = self.open.remove(&number)?;
        if let Some(held) = self.of_address.get_mut(&activity.address) {
            *held -= 1;
            if *held == 0 {
                self.of_address.remove(&activity.address);
            }
        }
        metrics::gauge!("strandline_connections_open").set(self.open.len() as f64);
        Some(activity)
    }
}

impl Slot {
    /// What the connection does.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.connections.table.lock();
        if table.remove(self.number).is_none() {
            table.reserve.remove(&self.number);
        }
    }
}

impl Activity {
    /// Notes that a request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.has_asked.store(true, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// Whether a request ever came.
    pub(crate) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// How long it has been idle (ns); 0 if it is not.
    pub(crate) fn idle_ns(&self) -> i64 {
        let since = self.idle_since_ns.load(Ordering::Relaxed);
        if self.is_idle() { self.now_ns().saturating_sub(since) } else { 0 }
    }

    /// The answers that are being taken.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// For how long (ns) the client has taken nothing of some answer.
    pub(crate) fn stalled_ns(&self) -> i64 {
        self.answers.stalled_ns(self.now_ns())
    }

    /// Monotonic time.
    pub(crate) fn now_ns(&self) -> i64 {
        self.clock.monotonic_ns()
    }

    /// Resolves when the connection is asked to end, so that another may be opened.
    pub(crate) async fn asked_to_close(&self) {
        self.close.notified().await;
    }
}

impl UnderWay {
    /// Of the connection that the request came on.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.idle_since_ns.store(self.0.clock.monotonic_ns(), Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;
    use strandline_model::ManualClock;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn connections(max: usize, of_address: usize) -> (Arc<Connections>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(0));
        (Connections::new(max, of_address, Arc::clone(&clock) as _), clock)
    }

    fn open(connections: &Arc<Connections>, last: u8) -> Slot {
        match connections.admit(address(last)) {
            Admission::Open(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the connection was asked to end.
    fn is_closed(slot: &Slot) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(slot.activity.asked_to_close()).poll(&mut context).is_ready()
    }

    #[test]
    fn the_longest_idle_of_the_greediest_gives_way() {
        let (connections, clock) = connections(4, 3);
        let modest = open(&connections, 1);
        let greedy: Vec<Slot> = (0..3)
            .map(|_| {
                clock.advance(1);
                open(&connections, 2)
            })
            .collect();
        // The first of them has something to do, the second was idle for longer than the third.
        let _busy = greedy[0].activity.begin();
        let new = open(&connections, 3);
        assert_eq!(connections.open(), 4);
        assert!(
            is_closed(&greedy[1]) && !is_closed(&greedy[0]) && !is_closed(&greedy[2]) && !is_closed(&modest)
        );
        drop((greedy, modest, new));
        assert_eq!((connections.open(), connections.table.lock().of_address.len()), (0, 0));
    }

    #[test]
    fn one_address_makes_room_for_itself_alone() {
        let (connections, _) = connections(10, 2);
        let (first, second, other) = (open(&connections, 1), open(&connections, 1), open(&connections, 2));
        let third = open(&connections, 1);
        assert!(is_closed(&first) && !is_closed(&second) && !is_closed(&other));
        let busy = [second.activity.begin(), third.activity.begin()];
        assert!(matches!(connections.admit(address(1)), Admission::Reserved(_)));
        let _open = open(&connections, 2);
        drop(busy);
        let _again = open(&connections, 1);
    }

    #[test]
    fn the_reserve_lets_the_newest_in() {
        let (connections, _) = connections(1, 1);
        let only = open(&connections, 1);
        let _busy = only.activity.begin();
        let reserved = |last: u8| match connections.admit(address(last)) {
            Admission::Reserved(slot) => Some(slot),
            _ => None,
        };
        let silent: Vec<Slot> = (0..RESERVED).map(|_| reserved(2).unwrap()).collect();
        let new = reserved(3).unwrap();
        assert!(is_closed(&silent[0]) && !is_closed(&silent[1]));
        let asking: Vec<UnderWay> =
            silent[1..].iter().chain([&new]).map(|slot| slot.activity.begin()).collect();
        assert!(matches!(connections.admit(address(4)), Admission::Refused));
        drop(asking);
        assert!(reserved(4).is_some());
    }

    #[test]
    fn idle_time_begins_with_the_last_answer() {
        let (connections, clock) = connections(1, 1);
        let slot = open(&connections, 1);
        clock.advance(5);
        assert_eq!((slot.activity.idle_ns(), slot.activity.has_asked()), (5, false));
        let (one, other) = (slot.activity.begin(), slot.activity.begin());
        clock.advance(5);
        drop(one);
        assert_eq!((slot.activity.idle_ns(), slot.activity.is_idle()), (0, false));
        drop(other);
        clock.advance(7);
        assert_eq!((slot.activity.idle_ns(), slot.activity.has_asked()), (7, true));
    }

    #[test]
    fn networks_of_clients() {
        let network = |text: &str| client_network(text.parse().unwrap()).to_string();
        assert_eq!(network("10.1.2.3"), "10.1.2.3");
        assert_eq!(network("::ffff:10.1.2.3"), "10.1.2.3");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::1"), "::1");
    }
}
