//! How does a JSON answer leave the server? Packed if the client can unpack it and it is worth it.

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
    body: Vec<u8>,
    gzip: bool,
}

impl Answer {
    pub(crate) fn json(body: Vec<u8>) -> Self {
        Self { body, gzip: false }
    }

    /// Packs the body if `headers` say that the client takes it.
    pub(crate) fn packed_for(self, headers: &HeaderMap) -> Self {
        self.packed_if(takes_gzip(headers))
    }

    /// Packs the body if it is long enough for that.
    pub(crate) fn packed_if(self, takes_gzip: bool) -> Self {
        if !takes_gzip || self.gzip || self.body.len() < MIN_PACKED_BYTES {
            return self;
        }
        strandline_model::polling::assert_none("packing an answer");
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::fast());
        // Writing to memory does not fail; if it did, the plain body would still be right.
        match encoder.write_all(&self.body).and_then(|()| encoder.finish()) {
            Ok(body) => Self { body, gzip: true },
            Err(_) => self,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
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
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, long);
        assert!(!Answer::json(long).packed_if(false).gzip);
        assert!(!Answer::json(vec![b'x'; 100]).packed_if(true).gzip);
    }
}
