//! How does a JSON answer leave the server? Packed if the client can unpack it and it is worth it; whole if it is small, in
//! pieces else.
//!
//! A large answer is written while it is sent, piece by piece as the client takes them: what is in memory of its text is one
//! piece that waits and one that is being sent, whatever its length. Pieces are written on blocking threads.

use crate::http::pieces::{Pieces, Streamed};
use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Smaller bodies are sent as they are.
const MIN_PACKED_BYTES: usize = 1024;

/// A JSON body, perhaps packed. Packing is CPU work: for anything large do it on a blocking thread.
#[derive(Debug)]
pub(crate) struct Answer {
    /// All of it, or the first piece.
    body: Vec<u8>,
    gzip: bool,
    rest: Option<Pieces>,
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self { body, gzip: false, rest: None }
    }

    /// A body of `head`, items and `tail`. `item` appends the next item, with what separates it from the one before, and
    /// returns `false` when there is none. It is called as far as the client takes what it writes, now for the first piece.
    pub(crate) fn of_items(
        head: Vec<u8>,
        item: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static,
        tail: Vec<u8>,
        takes_gzip: bool,
    ) -> Self {
        strandline_model::polling::assert_none("writing an answer");
        let mut pieces = Pieces::new(head, Box::new(item), tail);
        let body = pieces.next_plain();
        if pieces.is_done() {
            return Self::json(body).packed_if(takes_gzip);
        }
        if !takes_gzip {
            return Self { body, gzip: false, rest: Some(pieces) };
        }
        let body = pieces.pack_from(body);
        Self { body, gzip: true, rest: Some(pieces) }
    }

    /// Packs the body if `headers` say that the client takes it.
    pub(crate) fn packed_for(self, headers: &HeaderMap) -> Self {
        self.packed_if(takes_gzip(headers))
    }

    /// Packs a whole body if it is long enough for that.
    pub(crate) fn packed_if(self, takes_gzip: bool) -> Self {
        if !takes_gzip || self.gzip || self.rest.is_some() || self.body.len() < MIN_PACKED_BYTES {
            return self;
        }
        strandline_model::polling::assert_none("packing an answer");
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::fast());
        // Writing to memory does not fail; if it did, the plain body would still be right.
        match encoder.write_all(&self.body).and_then(|()| encoder.finish()) {
            Ok(body) => Self { body, gzip: true, rest: None },
            Err(_) => self,
        }
    }

    /// The whole body, unpacked.
    #[cfg(test)]
    pub(crate) fn into_text(self) -> String {
        assert!(!self.gzip);
        let mut body = self.body;
        let mut rest = self.rest;
        while let Some(piece) = rest.as_mut().and_then(Pieces::next) {
            body.extend_from_slice(&piece);
        }
        String::from_utf8(body).unwrap()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.rest {
            None => Response::new(Body::from(self.body)),
            Some(rest) => {
                let streamed = Streamed::new(self.body, rest);
                let stall = streamed.stall();
                let mut response = Response::new(Body::new(streamed));
                response.extensions_mut().insert(stall);
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether the client says that it takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING);
    values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|choice| {
        let (name, weight) = choice.split_once(';').unwrap_or((choice, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pieces::PIECE_BYTES;
    use std::io::Read;

    #[test]
    fn gzip_only_for_those_who_take_it() {
        for (header, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("deflate, br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(header));
            assert_eq!(takes_gzip(&headers), wanted, "{header}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn long_bodies_are_packed_and_short_ones_are_not() {
        let long = vec![b'x'; 5000];
        let packed = Answer::json(long.clone()).packed_if(true);
        assert!(packed.gzip && packed.body.len() < 100);
        assert_eq!(unpacked(&packed.body), long);
        assert!(!Answer::json(long).packed_if(false).gzip);
        assert!(!Answer::json(vec![b'x'; 100]).packed_if(true).gzip);
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut back).unwrap();
        back
    }

    /// An answer of `n` items of 1,000 bytes.
    fn of(n: usize, takes_gzip: bool) -> Answer {
        let mut left = n;
        let item = move |out: &mut Vec<u8>| {
            let more = left > 0;
            left = left.saturating_sub(1);
            out.resize(out.len() + if more { 1000 } else { 0 }, b'x');
            more
        };
        Answer::of_items(b"<".to_vec(), item, b">".to_vec(), takes_gzip)
    }

    #[test]
    fn small_answers_are_whole_and_large_ones_come_in_pieces_of_a_bounded_size() {
        let wanted = |n: usize| format!("<{}>", "x".repeat(n * 1000));
        for n in [0, 1, 200, 10_000] {
            let answer = of(n, false);
            assert_eq!(answer.rest.is_some(), n == 10_000);
            assert!(answer.body.len() <= PIECE_BYTES + 1000);
            assert!(answer.into_text() == wanted(n), "{n}");
            let packed = of(n, true);
            assert_eq!(packed.gzip, n > 1);
            let mut rest = packed.rest;
            let mut body = packed.body;
            while let Some(piece) = rest.as_mut().and_then(Pieces::next) {
                assert!(piece.len() <= PIECE_BYTES);
                body.extend_from_slice(&piece);
            }
            let text = if n > 1 { unpacked(&body) } else { body };
            assert!(text == wanted(n).into_bytes(), "{n}");
        }
    }
}
