//! What has to be done for every request, whatever it asks?

pub(crate) mod answer;
pub(crate) mod answer_body;
pub(crate) mod answers;
pub(crate) mod blocking;
pub(crate) mod body;
pub(crate) mod connections;
pub(crate) mod failure;
pub(crate) mod params;
pub(crate) mod pieces;
pub(crate) mod polling;
pub(crate) mod respond;
pub(crate) mod serve;
pub(crate) mod shared;
pub(crate) mod sites;
pub(crate) mod tls;
pub(crate) mod watch;
pub(crate) mod write_timeout;
