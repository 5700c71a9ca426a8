//! Does an answer that several share hold what was acknowledged before each of them asked?

use super::rig::{Rig, T0};
use std::sync::Arc;

const CLIENTS: usize = 6;
const ROUNDS: usize = 20;

#[test]
fn equal_questions_under_ingest_see_what_was_acknowledged_before_they_were_asked() {
    let rig = Arc::new(Rig::start());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let rig = Arc::clone(&rig);
            std::thread::spawn(move || {
                for round in 0..ROUNDS {
                    let line = format!("line {round} of {client}.");
                    rig.push_lines("{\"a\":\"b\"}", &[(round as i64, &line)]);
                    let end = T0 + 60_000_000_000;
                    let path = "/loki/api/v1/query_range?query={a=\"b\"}";
                    let reply = rig.get(&format!("{path}&start={T0}&end={end}&limit=1000"), &[]);
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    assert!(reply.text().contains(&line), "{line} is not there");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(rig.query.sharing(), 0);
}
