//! Whose password is checked next? Checks are slow on purpose and few run at a time; those that wait take turns by client,
//! so that a flood from one address holds up nobody else, and each client has a bounded number of places, fewer for one
//! user name.

use crate::http::connections::client_network;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Checks that wait, of all clients.
const MAX_WAITING: usize = 256;
/// Checks of one client that wait.
const MAX_WAITING_OF_CLIENT: usize = 8;
/// Checks of one client for one user name that wait.
const MAX_WAITING_OF_NAME: usize = 4;

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
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    name: String,
    tell: oneshot::Sender<Turn>,
}

/// The right to run one check; given on when dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Arc<CheckQueue>>);

/// Too many checks wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl CheckQueue {
    /// A queue of which `max_running` checks run at a time.
    pub(super) fn new(max_running: usize) -> Arc<Self> {
        Arc::new(Self { max_running: max_running.max(1), state: Mutex::default() })
    }

    /// Waits for the turn of a check for the user `name`, sent from `address`.
    pub(super) async fn turn(self: &Arc<Self>, address: IpAddr, name: &str) -> Result<Turn, Busy> {
        let told = {
            let mut state = self.state.lock();
            if state.running < self.max_running {
                state.running += 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            state.enter(client_network(address), name)?
        };
        // Whoever is put out of the queue learns it by the end of the channel.
        told.await.map_err(|_| Busy)
    }

    /// Gives a turn to the next, or notes that there is none.
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
            let Some(waiter) = next else { return };
            match waiter.tell.send(Turn(Some(Arc::clone(&self)))) {
                Ok(()) => return,
                // The client has gone: the turn is the next one's, not to be given on once more.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl State {
    /// A place at the end of the client's queue.
    fn enter(&mut self, network: IpAddr, name: &str) -> Result<oneshot::Receiver<Turn>, Busy> {
        for client in &mut self.clients {
            client.waiting.retain(|waiter| !waiter.tell.is_closed());
        }
        self.clients.retain(|client| !client.waiting.is_empty());
        let own = self.clients.iter().position(|client| client.network == network);
        let held = own.and_then(|at| self.clients.get(at)).map_or(0, |client| client.waiting.len());
        let of_name = own.and_then(|at| self.clients.get(at));
        let of_name = of_name.map_or(0, |client| client.waiting.iter().filter(|w| w.name == name).count());
        if held >= MAX_WAITING_OF_CLIENT || of_name >= MAX_WAITING_OF_NAME {
            return Err(Busy);
        }
        if self.clients.iter().map(|client| client.waiting.len()).sum::<usize>() >= MAX_WAITING {
            let largest = self.clients.iter_mut().max_by_key(|client| client.waiting.len());
            // Its newest gives way, unless the one that comes would hold as many.
            let largest = largest.filter(|client| client.waiting.len() > held + 1).ok_or(Busy)?;
            largest.waiting.pop_back();
        }
        let (tell, told) = oneshot::channel();
        let waiter = Waiter { name: name.to_owned(), tell };
        match own.and_then(|at| self.clients.get_mut(at)) {
            Some(client) => client.waiting.push_back(waiter),
            None => self.clients.push_back(Client { network, waiting: VecDeque::from([waiter]) }),
        }
        Ok(told)
    }

    /// The first of the next client, who then comes after all others.
    fn next(&mut self) -> Option<Waiter> {
        loop {
            let mut client = self.clients.pop_front()?;
            let waiter = client.waiting.pop_front();
            if !client.waiting.is_empty() {
                self.clients.push_back(client);
            }
            if waiter.is_some() {
                return waiter;
            }
        }
    }
}

impl Drop for Turn {
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

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn, Busy>>>>;

    fn poll(waiting: &mut Waiting) -> Poll<Result<Turn, Busy>> {
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Enters the queue; the outcome if it is known at once.
    fn enter(queue: &Arc<CheckQueue>, last: u8, name: &str) -> Result<Waiting, Busy> {
        let (queue, name) = (Arc::clone(queue), name.to_owned());
        let address = IpAddr::from([10, 0, (last >= 250).into(), last]);
        let mut waiting: Waiting = Box::pin(async move { queue.turn(address, &name).await });
        match poll(&mut waiting) {
            Poll::Pending => Ok(waiting),
            Poll::Ready(Err(busy)) => Err(busy),
            Poll::Ready(Ok(_)) => panic!("a turn came at once"),
        }
    }

    fn busy_queue() -> (Arc<CheckQueue>, Turn) {
        let queue = CheckQueue::new(1);
        let mut first: Waiting = Box::pin({
            let queue = Arc::clone(&queue);
            async move { queue.turn(IpAddr::from([10, 0, 0, 1]), "first").await }
        });
        let Poll::Ready(Ok(turn)) = poll(&mut first) else { panic!("no turn") };
        (queue, turn)
    }

    #[test]
    fn a_flood_from_one_address_holds_up_nobody_else() {
        let (queue, turn) = busy_queue();
        let mut flood: Vec<Waiting> =
            (0..100).filter_map(|i| enter(&queue, 1, &format!("guess-{i}")).ok()).collect();
        assert_eq!(flood.len(), MAX_WAITING_OF_CLIENT);
        let mut other = enter(&queue, 2, "ann").unwrap();
        drop(turn);
        let Poll::Ready(Ok(turn)) = poll(&mut flood[0]) else { panic!("the first was there first") };
        assert!(poll(&mut other).is_pending());
        drop(turn);
        let Poll::Ready(Ok(turn)) = poll(&mut other) else { panic!("the other address comes second") };
        drop((turn, flood));
        let queue_is_free = queue.state.lock().running == 0;
        assert!(queue_is_free, "turns of those who have gone come back");
    }

    #[test]
    fn one_name_does_not_take_all_places_of_an_address() {
        let (queue, _turn) = busy_queue();
        let ann: Vec<Waiting> = (0..10).filter_map(|_| enter(&queue, 1, "ann").ok()).collect();
        assert_eq!(ann.len(), MAX_WAITING_OF_NAME);
        assert!(enter(&queue, 1, "bob").is_ok());
    }

    #[test]
    fn a_full_queue_takes_from_those_who_hold_most() {
        let (queue, _turn) = busy_queue();
        let mut flood = Vec::new();
        for last in 0..32 {
            flood.extend((0..8).map(|i| enter(&queue, 100 + last, &format!("{i}")).unwrap()));
        }
        assert_eq!(flood.len(), MAX_WAITING);
        let mut new = enter(&queue, 2, "ann").unwrap();
        let put_out = flood.iter_mut().filter_map(|waiting| match poll(waiting) {
            Poll::Ready(outcome) => Some(outcome.unwrap_err()),
            Poll::Pending => None,
        });
        assert_eq!(put_out.collect::<Vec<_>>(), [Busy]);
        assert!(poll(&mut new).is_pending());
    }

    #[test]
    fn those_who_have_gone_hold_no_places() {
        let (queue, turn) = busy_queue();
        let gone: Vec<Waiting> = (0..4).map(|_| enter(&queue, 1, "ann").unwrap()).collect();
        drop(gone);
        let mut next = enter(&queue, 1, "ann").unwrap();
        drop(turn);
        assert!(matches!(poll(&mut next), Poll::Ready(Ok(_))));
    }
}
