//! What did the client ask for? Parameters of the URL and of a form in the body, merged as Go merges them.

use crate::http::blocking;
use crate::http::body::{self, BodyError, BodyRules, body_rules};
use crate::http::failure::Failure;
use crate::state::AppState;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use strandline_model::{Lease, MemoryClass, TenantId};

/// Largest form.
const MAX_FORM_BYTES: usize = 4 << 20;
/// Larger forms are decoded on a blocking thread.
const MAX_INLINE_BYTES: usize = 64 << 10;
/// Most parameters of one request: each takes more memory than it takes bytes of a form.
const MAX_PARAMS: usize = 10_000;

/// What a parameter takes beside its bytes.
const PARAM_BYTES: usize = size_of::<(String, String)>();

/// Names and values, those of the body before those of the URL.
#[derive(Debug, Default)]
pub(crate) struct Params {
    all: Vec<(String, String)>,
    /// What those of a body hold.
    _lease: Option<Lease>,
}

impl Params {
    /// Reads the parameters of a request of `tenant`; its headers come back with them.
    pub(crate) async fn of(
        state: &AppState,
        tenant: &TenantId,
        request: Request,
    ) -> Result<(Self, HeaderMap), Failure> {
        let (parts, body) = request.into_parts();
        let mut params = Self::default();
        if parts.method == Method::POST && is_form(&parts.headers) {
            let rules = BodyRules { max_bytes: MAX_FORM_BYTES, setting: None, ..body_rules(state) };
            let lease = state.config.memory.lease(MemoryClass::Query, tenant);
            let crowded = || lease.is_in_the_way();
            let clock = state.admission.clock().as_ref();
            let form = body::read(body, &parts.headers, &rules, &lease, clock, crowded).await;
            let form = form.map_err(|error| unread(&error))?;
            params = match form.len() {
                0..=MAX_INLINE_BYTES => params.with(&form)?,
                _ => blocking::read(state, move |_| params.with(&form)).await?,
            };
            lease.try_grow(params.all.len() * PARAM_BYTES).map_err(Failure::busy)?;
            params._lease = Some(lease);
        }
        let params = params.with(parts.uri.query().unwrap_or("").as_bytes())?;
        Ok((params, parts.headers))
    }

    fn with(mut self, encoded: &[u8]) -> Result<Self, Failure> {
        self.add(encoded);
        match self.all.len() {
            0..=MAX_PARAMS => Ok(self),
            _ => Err(Failure::bad_request(format_args!("more than {MAX_PARAMS} parameters"))),
        }
    }

    /// Adds what is encoded; one more than the most, so that the excess shows.
    fn add(&mut self, encoded: &[u8]) {
        let left = (MAX_PARAMS + 1).saturating_sub(self.all.len());
        let pairs = form_urlencoded::parse(encoded).take(left);
        self.all.extend(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())));
    }

    /// The first value of `name`; an empty one counts as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.all.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        value.filter(|v| !v.is_empty())
    }

    /// Makes `value` the only one of `name`.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.all.retain(|(n, _)| n != name);
        self.all.push((name.to_owned(), value));
    }

    /// The whole number in the parameter `name`, if there is one; the error is in Go's words.
    pub(crate) fn whole_number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let wrong = |text: &str, e: std::num::ParseIntError| {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let too_large = matches!(e.kind(), PosOverflow | NegOverflow);
            let why = if too_large { "value out of range" } else { "invalid syntax" };
            Failure::bad_request(format!("strconv.Atoi: parsing {text:?}: {why}"))
        };
        self.get(name).map(|text| text.parse().map_err(|e| wrong(text, e))).transpose()
    }

    /// All values of any of `names`.
    pub(crate) fn all<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter(|(n, _)| names.contains(&n.as_str())).map(|(_, v)| v.as_str())
    }

    /// Reads the parameters of a URL.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut params = Self::default();
        params.add(query.as_bytes());
        params
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let media_type = media_type.split(';').next().unwrap_or("").trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn unread(error: &BodyError) -> Failure {
    match error {
        BodyError::TooLarge(..) => Failure::new(StatusCode::PAYLOAD_TOO_LARGE, error),
        BodyError::Paused(_) | BodyError::Slow(_) | BodyError::Overdue(_) => {
            Failure::new(StatusCode::REQUEST_TIMEOUT, error)
        }
        BodyError::Cut => Failure::bad_request(error),
        BodyError::NoMemory(_) | BodyError::GaveWay => Failure::busy(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bounded_in_number() {
        let all = |n: usize| Params::default().with("a&".repeat(n).as_bytes()).map(|params| params.all.len());
        assert_eq!(all(MAX_PARAMS), Ok(MAX_PARAMS));
        assert_eq!(all(2 * MAX_PARAMS).unwrap_err().text(), "more than 10000 parameters");
        let first = Params::default().with("a&".repeat(MAX_PARAMS).as_bytes()).unwrap();
        assert!(first.with(b"b").is_err());
    }

    #[test]
    fn forms_are_decoded_and_the_first_value_counts() {
        let params = Params::from_query(
            "query=%7Ba%3D%22b+c%22%7D&match[]=1&match%5B%5D=2&match=3&&empty=&end&q=%zz%4&u=%ff",
        );
        assert_eq!(params.get("query"), Some("{a=\"b c\"}"));
        assert_eq!(params.all(&["match[]", "match"]).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(params.get("match[]"), Some("1"));
        assert_eq!((params.get("empty"), params.get("end"), params.get("absent")), (None, None, None));
        assert_eq!(params.get("q"), Some("%zz%4"));
        assert_eq!(params.get("u"), Some("\u{fffd}"));
    }
}
