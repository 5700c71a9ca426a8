//! Whose password is checked next? Checks are slow on purpose and few run at a time; those that wait are taken in turn, client by
//! client, and those of one client by user name: a flood from one address holds up nobody else, and one of guesses for one name
//! none of the other users behind that address. Each client and each of its names has a bounded number of places.
//!
//! Names that exist are not told from names that do not: whoever asks must not learn it from how long it takes.

use crate::http::connections::client_network;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Checks that wait, of all clients.
const MAX_WAITING: usize = 1024;
/// Checks of one client that wait: they take seconds, which those behind one proxy can wait for.
const MAX_WAITING_OF_CLIENT: usize = 256;
/// Checks of one client for one user name that wait.
const MAX_WAITING_OF_NAME: usize = 64;

/// The checks that run and those that wait.
#[derive(Debug)]
pub(super) struct CheckQueue {
    max_running: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// Clients with waiting checks; the first is next.
    clients: VecDeque<Client>,
}

#[derive(Debug)]
struct Client {
    network: IpAddr,
    /// Names with waiting checks; the first is next.
    names: VecDeque<Name>,
}

#[derive(Debug)]
struct Name {
    name: String,
    waiting: VecDeque<oneshot::Sender<CheckSlot>>,
}

/// The right to run one check; given on when dropped.
#[derive(Debug)]
pub(super) struct CheckSlot(Option<Arc<CheckQueue>>);

/// Too many checks wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// The part of an address that one site has: all of an IPv4 address, the /48 network of an IPv6 address. A flood from all
/// the networks of one site is one client's.
fn site_of(address: IpAddr) -> IpAddr {
    match client_network(address) {
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network) & (u128::MAX << 80))),
        v4 => v4,
    }
}

impl CheckQueue {
    /// A queue of which `max_running` checks run at a time.
    pub(super) fn new(max_running: usize) -> Arc<Self> {
        Arc::new(Self { max_running: max_running.max(1), state: Mutex::default() })
    }

    /// Waits for the slot of a check for the user `name`, sent from `address`.
    pub(super) async fn slot(self: &Arc<Self>, address: IpAddr, name: &str) -> Result<CheckSlot, Busy> {
        let told = {
            let mut state = self.state.lock();
            if state.running < self.max_running {
                state.running += 1;
                return Ok(CheckSlot(Some(Arc::clone(self))));
            }
            state.enter(site_of(address), name)?
        };
        // Whoever is put out of the queue learns it by the end of the channel.
        told.await.map_err(|_| Busy)
    }

    /// Gives the slot to the next, or notes that it is free.
    fn give_on(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some(tell) = next else { return };
            match tell.send(CheckSlot(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                // The client has gone: the slot is the next one's, not to be given on once more.
                Err(mut slot) => slot.0 = None,
            }
        }
    }
}

impl State {
    /// A place at the end of the queue of this client's checks for `name`.
    fn enter(&mut self, network: IpAddr, name: &str) -> Result<oneshot::Receiver<CheckSlot>, Busy> {
        self.clients.retain_mut(Client::drop_gone);
        let client = self.clients.iter().position(|client| client.network == network);
        let client = client.unwrap_or_else(|| {
            self.clients.push_back(Client { network, names: VecDeque::new() });
            self.clients.len() - 1
        });
        let is_full = self.clients.iter().map(Client::len).sum::<usize>() >= MAX_WAITING;
        let client = self.clients.get_mut(client).ok_or(Busy)?;
        let (held, of_name) = (client.len(), client.len_of(name));
        let mut fits = of_name < MAX_WAITING_OF_NAME;
        if fits && held >= MAX_WAITING_OF_CLIENT {
            fits = client.put_out_newest(of_name + 1);
        } else if fits && is_full {
            fits = self.put_out_newest(held + 1);
        }
        let client = self.clients.iter_mut().find(|client| client.network == network);
        match client.filter(|_| fits) {
            Some(client) => Ok(client.push(name)),
            None => {
                self.clients.retain(|client| !client.names.is_empty());
                Err(Busy)
            }
        }
    }

    /// The client with the most checks loses its newest, of the name with the most, if they are more than `least`.
    fn put_out_newest(&mut self, least: usize) -> bool {
        let largest = self.clients.iter_mut().max_by_key(|client| client.len());
        largest.filter(|client| client.len() > least).is_some_and(|client| client.put_out_newest(0))
    }

    /// The first of the next name of the next client, who then comes after all others.
    fn next(&mut self) -> Option<oneshot::Sender<CheckSlot>> {
        loop {
            let mut client = self.clients.pop_front()?;
            let next = client.next();
            if !client.names.is_empty() {
                self.clients.push_back(client);
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

impl Client {
    fn len(&self) -> usize {
        self.names.iter().map(|name| name.waiting.len()).sum()
    }

    fn len_of(&self, name: &str) -> usize {
        self.names.iter().find(|n| n.name == name).map_or(0, |n| n.waiting.len())
    }

    /// Forgets checks nobody waits for; whether any are left.
    fn drop_gone(&mut self) -> bool {
        self.names.retain_mut(|name| {
            name.waiting.retain(|tell| !tell.is_closed());
            !name.waiting.is_empty()
        });
        !self.names.is_empty()
    }

    fn push(&mut self, name: &str) -> oneshot::Receiver<CheckSlot> {
        let (tell, told) = oneshot::channel();
        match self.names.iter_mut().find(|n| n.name == name) {
            Some(name) => name.waiting.push_back(tell),
            None => {
                self.names.push_back(Name { name: name.to_owned(), waiting: VecDeque::from([tell]) });
            }
        }
        told
    }

    /// The name with the most checks loses its newest, if they are more than `least`.
    fn put_out_newest(&mut self, least: usize) -> bool {
        let largest = self.names.iter_mut().max_by_key(|name| name.waiting.len());
        let Some(largest) = largest.filter(|name| name.waiting.len() > least) else { return false };
        largest.waiting.pop_back();
        self.names.retain(|name| !name.waiting.is_empty());
        true
    }

    fn next(&mut self) -> Option<oneshot::Sender<CheckSlot>> {
        let mut name = self.names.pop_front()?;
        let next = name.waiting.pop_front();
        if !name.waiting.is_empty() {
            self.names.push_back(name);
        }
        next
    }
}

impl Drop for CheckSlot {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.give_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Waiting = Pin<Box<dyn Future<Output = Result<CheckSlot, Busy>>>>;

    fn poll(waiting: &mut Waiting) -> Poll<Result<CheckSlot, Busy>> {
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Enters the queue; the outcome if it is known at once.
    fn enter(queue: &Arc<CheckQueue>, last: u8, name: &str) -> Result<Waiting, Busy> {
        let (queue, name) = (Arc::clone(queue), name.to_owned());
        let address = IpAddr::from([10, 0, (last >= 250).into(), last]);
        let mut waiting: Waiting = Box::pin(async move { queue.slot(address, &name).await });
        match poll(&mut waiting) {
            Poll::Pending => Ok(waiting),
            Poll::Ready(Err(busy)) => Err(busy),
            Poll::Ready(Ok(_)) => panic!("a slot came at once"),
        }
    }

    fn busy_queue() -> (Arc<CheckQueue>, CheckSlot) {
        let queue = CheckQueue::new(1);
        let mut first: Waiting = Box::pin({
            let queue = Arc::clone(&queue);
            async move { queue.slot(IpAddr::from([10, 0, 0, 1]), "first").await }
        });
        let Poll::Ready(Ok(slot)) = poll(&mut first) else { panic!("no slot") };
        (queue, slot)
    }

    /// The outcomes of those that have been put out of the queue.
    fn put_out(flood: &mut [Waiting]) -> Vec<Busy> {
        let outcomes = flood.iter_mut().filter_map(|waiting| match poll(waiting) {
            Poll::Ready(outcome) => Some(outcome.unwrap_err()),
            Poll::Pending => None,
        });
        outcomes.collect()
    }

    #[test]
    fn a_flood_from_one_address_holds_up_nobody_else() {
        let (queue, slot) = busy_queue();
        let mut flood: Vec<Waiting> =
            (0..300).filter_map(|i| enter(&queue, 1, &format!("guess-{i}")).ok()).collect();
        assert_eq!(flood.len(), MAX_WAITING_OF_CLIENT);
        let mut other = enter(&queue, 2, "ann").unwrap();
        drop(slot);
        let Poll::Ready(Ok(slot)) = poll(&mut flood[0]) else { panic!("the first was there first") };
        assert!(poll(&mut other).is_pending());
        drop(slot);
        let Poll::Ready(Ok(slot)) = poll(&mut other) else { panic!("the other address comes second") };
        drop((slot, flood));
        let queue_is_free = queue.state.lock().running == 0;
        assert!(queue_is_free, "slots of those who have gone come back");
    }

    #[test]
    fn all_networks_of_a_site_are_one_client() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(site_of(address("2001:db8:1:2::3")), site_of(address("2001:db8:1:ffff::4")));
        assert_ne!(site_of(address("2001:db8:1::3")), site_of(address("2001:db8:2::3")));
        assert_ne!(site_of(address("10.0.0.1")), site_of(address("::ffff:10.0.0.2")));
        assert_eq!(site_of(address("10.0.0.1")), site_of(address("::ffff:10.0.0.1")));
    }

    #[test]
    fn guesses_for_one_name_do_not_hold_up_others_of_the_same_address() {
        let (queue, slot) = busy_queue();
        let mut guesses: Vec<Waiting> = (0..100).filter_map(|_| enter(&queue, 1, "ann").ok()).collect();
        assert_eq!(guesses.len(), MAX_WAITING_OF_NAME);
        let mut bob = enter(&queue, 1, "bob").unwrap();
        drop(slot);
        let Poll::Ready(Ok(slot)) = poll(&mut guesses[0]) else { panic!("the first was there first") };
        drop(slot);
        assert!(matches!(poll(&mut bob), Poll::Ready(Ok(_))), "another name comes second");
    }

    #[test]
    fn as_many_clients_as_a_proxy_has_wait_for_each_other() {
        let (queue, slot) = busy_queue();
        let mut guesses: Vec<Waiting> =
            (0..40).map(|i| enter(&queue, 1, &format!("guess-{i}")).unwrap()).collect();
        let mut ann = enter(&queue, 1, "ann").unwrap();
        let mut slots = vec![slot];
        for guess in &mut guesses {
            slots.clear();
            let Poll::Ready(Ok(slot)) = poll(guess) else { panic!("each in its order") };
            slots.push(slot);
        }
        slots.clear();
        assert!(matches!(poll(&mut ann), Poll::Ready(Ok(_))));
    }

    #[test]
    fn an_address_without_places_takes_one_from_its_name_with_most() {
        let (queue, _turn) = busy_queue();
        let names = (0..MAX_WAITING_OF_CLIENT / 2).map(|i| format!("guess-{i}"));
        let mut flood: Vec<Waiting> = names
            .flat_map(|name| [enter(&queue, 1, &name), enter(&queue, 1, &name)])
            .map(Result::unwrap)
            .collect();
        let mut ann = enter(&queue, 1, "ann").unwrap();
        assert_eq!(put_out(&mut flood), [Busy]);
        assert!(poll(&mut ann).is_pending());
        assert!(enter(&queue, 1, "ann").is_err(), "none holds more than she would");
    }

    #[test]
    fn a_full_queue_takes_from_those_who_hold_most() {
        let (queue, _turn) = busy_queue();
        let mut flood = Vec::new();
        for last in 0..4 {
            let names = (0..MAX_WAITING_OF_CLIENT).map(|i| format!("{i}"));
            flood.extend(names.map(|name| enter(&queue, 100 + last, &name).unwrap()));
        }
        assert_eq!(flood.len(), MAX_WAITING);
        let mut new = enter(&queue, 2, "ann").unwrap();
        assert_eq!(put_out(&mut flood), [Busy]);
        assert!(poll(&mut new).is_pending());
    }

    #[test]
    fn those_who_have_gone_hold_no_places() {
        let (queue, slot) = busy_queue();
        let gone: Vec<Waiting> = (0..4).map(|_| enter(&queue, 1, "ann").unwrap()).collect();
        drop(gone);
        let mut next = enter(&queue, 1, "ann").unwrap();
        drop(slot);
        assert!(matches!(poll(&mut next), Poll::Ready(Ok(_))));
    }
}
