//! What does a request say of who sends it? Gathered once, by whoever knows how requests of its kind say it; what is made of
//! it knows neither headers nor HTTP.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use std::net::IpAddr;

/// The header that names a tenant.
pub(super) const TENANT_HEADER: &str = "x-scope-orgid";
/// Longest user name and password of a request: what waits for its check is kept.
const MAX_NAME_BYTES: usize = 256;
const MAX_PASSWORD_BYTES: usize = 4 << 10;

/// Where the connection of a request comes from. What a proxy says of it is not believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The sender of a request, as far as the request says who that is.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// What it proves itself with.
    pub(crate) credentials: Option<Credentials>,
    /// Whose data it asks for.
    pub(crate) tenant: NamedTenant,
    /// Where it comes from.
    pub(crate) peer: IpAddr,
}

/// What somebody proves with who they are. A new kind (a session's cookie, a ticket) is a variant here, a place that reads it,
/// and what [`super::Access`] makes of it.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// A token.
    Bearer(String),
    /// A user's name and password; the password may be a token, for clients that know no other way to send one.
    Basic {
        /// Whose.
        name: String,
        /// The password, or a token.
        password: String,
    },
}

/// Secrets are nobody's to see.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
        })
    }
}

/// The tenant, or tenants, that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedTenant {
    /// None, or an empty name.
    None,
    /// As written: a name, or several between bars.
    Named(String),
    /// More than one header names some. Which one holds would be a guess, and a proxy in between may have guessed otherwise.
    Twice,
    /// Not plain ASCII.
    Unreadable,
}

impl Caller {
    /// What the head of a request says.
    pub(crate) fn of(parts: &Parts) -> Self {
        Self {
            credentials: credentials(&parts.headers),
            tenant: NamedTenant::of(&parts.headers),
            peer: peer(parts),
        }
    }
}

/// The address that a request comes from.
pub(crate) fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

impl NamedTenant {
    fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(TENANT_HEADER).iter();
        let first = all.next();
        match (first.map(HeaderValue::to_str), all.next()) {
            (None, _) => Self::None,
            (Some(_), Some(_)) => Self::Twice,
            (Some(Ok("")), None) => Self::None,
            (Some(Ok(text)), None) => Self::Named(text.to_owned()),
            (Some(Err(_)), None) => Self::Unreadable,
        }
    }
}

/// Those of the `Authorization` header. One that cannot be read counts as none.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (kind, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if kind.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Bearer(rest.to_owned()));
    }
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).or_else(|_| STANDARD_NO_PAD.decode(rest)).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    let fits = name.len() <= MAX_NAME_BYTES && password.len() <= MAX_PASSWORD_BYTES;
    fits.then(|| Credentials::Basic { name: name.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    /// Credentials in one line, for a test.
    fn shown(values: &[&str]) -> String {
        match credentials(&headers(values)) {
            None => "none".to_owned(),
            Some(Credentials::Bearer(token)) => format!("token {token}"),
            Some(Credentials::Basic { name, password }) => format!("{name} with {password}"),
        }
    }

    #[test]
    fn tokens_and_passwords_as_clients_write_them() {
        for (value, wanted) in [
            ("Bearer t-one".to_owned(), "token t-one"),
            ("bearer  t-two".to_owned(), "token t-two"),
            ("Bearer ".to_owned(), "none"),
            (basic("bob:p:w"), "bob with p:w"),
            (basic(":t-one"), " with t-one"),
            (basic("ann:secret").trim_end_matches('=').to_owned(), "ann with secret"),
            (basic("t-one"), "none"),
            ("Basic ***".to_owned(), "none"),
            ("Digest t-one".to_owned(), "none"),
            ("t-one".to_owned(), "none"),
        ] {
            assert_eq!(shown(&[&value]), wanted, "{value}");
        }
        assert_eq!(shown(&[]), "none");
        assert_eq!(shown(&["Bearer t-one", "Bearer t-one"]), "none");
        let secret = Credentials::Basic { name: "ann".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{secret:?}").contains("secret"));
    }

    #[test]
    fn names_and_passwords_that_nobody_has_are_not_kept() {
        let is_kept = |name: usize, password: usize| {
            let value = basic(&format!("{}:{}", "n".repeat(name), "p".repeat(password)));
            credentials(&headers(&[&value])).is_some()
        };
        assert!(is_kept(MAX_NAME_BYTES, MAX_PASSWORD_BYTES));
        assert!(!is_kept(MAX_NAME_BYTES + 1, 1) && !is_kept(1, MAX_PASSWORD_BYTES + 1));
    }

    #[test]
    fn a_tenant_is_named_once_and_readably() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TENANT_HEADER, HeaderValue::from_bytes(value).unwrap());
            }
            NamedTenant::of(&headers)
        };
        assert_eq!(of(&[]), NamedTenant::None);
        assert_eq!(of(&[b""]), NamedTenant::None);
        assert_eq!(of(&[b"a|b"]), NamedTenant::Named("a|b".to_owned()));
        assert_eq!(of(&[b"a", b"b"]), NamedTenant::Twice);
        assert_eq!(of(&[b"a", b""]), NamedTenant::Twice);
        assert_eq!(of(&["é".as_bytes()]), NamedTenant::Unreadable);
    }
}
