//! Live tail: who is shown a line the moment it is acknowledged, and how does that cost ingest nothing?
//!
//! The engine tells the [`batch_queue`] of committed batches, a bounded queue. The thread of the [`hub`] takes what waits as one
//! round, finds the matchers of each stream ([`routes`]), and runs each matcher once, however many tails share it. What
//! passed is written once for each form ([`Encoder`]), and the same bytes go into the [`queue`] of every tail. A tail that
//! does not keep up loses its oldest frames and is told so; nobody waits for it.
//!
//! A tail begins with history. Where that ends and live entries begin is in [`seam`].

mod batch_queue;
mod entry;
mod frame;
mod history;
mod hub;
mod matcher;
mod queue;
mod routes;
mod seam;

pub use entry::{Apart, TailEntry};
pub use frame::{Encoder, Frame};
pub use hub::Tail;
pub(crate) use hub::{Hub, HubThread};
pub use queue::{Delivery, Lost};
pub use seam::History;
