//! When does the server stop? SIGTERM or SIGINT begins a graceful stop, a second one ends the process at once.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

/// How long a graceful stop may take: requests drained, head sealed, everything synced.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Tells any number of listeners that a stop has begun.
#[derive(Debug, Clone)]
pub struct Shutdown {
    begun: watch::Receiver<bool>,
    asked: Arc<Notify>,
}

impl Shutdown {
    /// Listens for signals from here on; needs a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (sender, begun) = watch::channel(false);
        let asked = Arc::new(Notify::new());
        tokio::spawn(watch_signals(terminate, interrupt, Arc::clone(&asked), sender));
        Ok(Self { begun, asked })
    }

    /// Begins a stop as a signal would.
    pub fn begin(&self) {
        self.asked.notify_one();
    }

    /// A stop that the holder of the sender begins by sending `true` or dropping it.
    #[cfg(test)]
    pub fn by_hand() -> (watch::Sender<bool>, Self) {
        let (sender, begun) = watch::channel(false);
        (sender, Self { begun, asked: Arc::default() })
    }

    /// Resolves once a stop has begun; at once when it has already.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut begun = self.begun.clone();
        async move {
            // A sender that is gone can begin no stop any more; going on for ever would be worse than stopping.
            let _ = begun.wait_for(|begun| *begun).await;
        }
    }
}

async fn watch_signals(
    mut terminate: Signal,
    mut interrupt: Signal,
    asked: Arc<Notify>,
    sender: watch::Sender<bool>,
) {
    let reason = tokio::select! {
        signal = next(&mut terminate, &mut interrupt) => signal.0,
        () = asked.notified() => "a request",
    };
    tracing::info!(reason, deadline_s = DEADLINE.as_secs(), "stopping; a second signal stops at once");
    sender.send_replace(true);
    let (name, number) = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name, "stopped at once; the write-ahead log is replayed at the next start");
    // The exit code that shells give a process ended by this signal.
    std::process::exit(128 + number);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn every_listener_early_or_late_learns_of_the_stop() {
        runtime().block_on(async {
            let (sender, shutdown) = Shutdown::by_hand();
            let early = shutdown.begun();
            sender.send_replace(true);
            early.await;
            shutdown.clone().begun().await;
        });
    }

    #[test]
    fn a_lost_sender_stops_rather_than_hangs() {
        runtime().block_on(async {
            let (sender, shutdown) = Shutdown::by_hand();
            drop(sender);
            shutdown.begun().await;
        });
    }
}
