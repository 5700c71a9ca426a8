//! Is it who they say? Tokens and passwords of requests, compared with what the settings know of them.
//!
//! Only hashes are known here. Tokens are long and random, so one round of SHA-256 is enough and fast; passwords are what
//! people make up, so theirs is argon2 (see [`super::password`]). Nothing here is ever logged or shown.

use super::grant::Grant;
use super::password::Passwords;
use crate::http::failure::Failure;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Most tokens and users together: each request is compared with all tokens.
pub const MAX_CREDENTIALS: usize = 4096;
/// Longest user name and password of a request.
const MAX_NAME_BYTES: usize = 256;
const MAX_PASSWORD_BYTES: usize = 4 << 10;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// More than a request can be compared with.
    #[error("more than {MAX_CREDENTIALS} tokens and users")]
    TooMany,
    /// Not a hash that can be checked.
    #[error(
        "user {0}: the password hash is not argon2's ($argon2id$v=19$...); `strandline token password` makes one"
    )]
    PasswordHash(String),
    /// The system gives no random numbers.
    #[error("no random numbers can be had from the system: {0}")]
    Random(getrandom::Error),
}

/// All tokens and users.
pub struct Credentials {
    tokens: Vec<([u8; 32], Arc<Grant>)>,
    passwords: Passwords,
    open: Arc<Grant>,
}

/// What a request brings.
enum Presented {
    Token(String),
    /// A name and a password; the password may be a token.
    Pair(String, String),
}

impl Credentials {
    /// Tokens by the SHA-256 of their text, users by the argon2 hash of their password. With neither, nobody has to prove
    /// anything.
    pub fn new(tokens: Vec<([u8; 32], Grant)>, users: Vec<(Grant, String)>) -> Result<Self, AccessError> {
        if tokens.len() + users.len() > MAX_CREDENTIALS {
            return Err(AccessError::TooMany);
        }
        Ok(Self {
            tokens: tokens.into_iter().map(|(hash, grant)| (hash, Arc::new(grant))).collect(),
            passwords: Passwords::new(users)?,
            ..Self::default()
        })
    }

    /// Whether a request needs any.
    pub fn are_needed(&self) -> bool {
        !self.tokens.is_empty() || !self.passwords.is_empty()
    }

    /// What the sender of these headers may do, who comes from `peer`.
    pub(super) async fn grant(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Arc<Grant>, Failure> {
        if !self.are_needed() {
            return Ok(Arc::clone(&self.open));
        }
        let found = match presented(headers) {
            None => return Err(refused("missing", "credentials are needed")),
            Some(Presented::Token(token)) => self.by_token(&token),
            Some(Presented::Pair(name, password)) => match self.by_token(&password) {
                None => self.passwords.check(&name, &password, peer).await?,
                found => found,
            },
        };
        found.ok_or_else(|| refused("wrong", "these credentials are not known"))
    }

    /// Looks at all tokens, found or not, so that the time tells nothing.
    fn by_token(&self, token: &str) -> Option<Arc<Grant>> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for (known, grant) in &self.tokens {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(grant);
            }
        }
        found.cloned()
    }
}

impl Default for Credentials {
    /// None: everybody may do everything.
    fn default() -> Self {
        Self { tokens: Vec::new(), passwords: Passwords::default(), open: Arc::new(Grant::open()) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

fn refused(kind: &'static str, what: &str) -> Failure {
    metrics::counter!("strandline_auth_refused_total", "reason" => kind).increment(1);
    let text = format!(
        "{what}: send `Authorization: Bearer TOKEN`, or basic auth with a user of auth.users or with a token as the \
         password"
    );
    Failure::new(StatusCode::UNAUTHORIZED, text).with_newline().asking_for_credentials()
}

fn presented(headers: &HeaderMap) -> Option<Presented> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let (kind, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if kind.eq_ignore_ascii_case("bearer") {
        return Some(Presented::Token(rest.to_owned()));
    }
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest).or_else(|_| STANDARD_NO_PAD.decode(rest)).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    // What waits for its check is kept.
    let fits = name.len() <= MAX_NAME_BYTES && password.len() <= MAX_PASSWORD_BYTES;
    fits.then(|| Presented::Pair(name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Scope, Scopes};
    use argon2::password_hash::{PasswordHasher, SaltString};
    use argon2::{Algorithm, Argon2, Params, Version};
    use axum::http::HeaderValue;

    fn grant(name: &str) -> Grant {
        Grant {
            name: name.to_owned(),
            scopes: [Scope::Query].into_iter().collect::<Scopes>(),
            ..Grant::open()
        }
    }

    fn hash_of(password: &str) -> String {
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let cheap = Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
        argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
    }

    fn ask(credentials: &Credentials, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(credentials.grant(&headers, IpAddr::from([10, 0, 0, 1]))) {
            Ok(grant) => grant.name.clone(),
            Err(failure) => failure.status().to_string(),
        }
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn tokens_and_passwords_lead_to_their_grants_and_all_else_to_nobody() {
        let digest = |token: &str| -> [u8; 32] { Sha256::digest(token.as_bytes()).into() };
        let tokens = vec![(digest("t-one"), grant("one")), (digest("t-two"), grant("two"))];
        let users = vec![(grant("ann"), hash_of("secret")), (grant("bob"), hash_of("p:w"))];
        let known = Credentials::new(tokens, users).unwrap();
        for (values, wanted) in [
            (vec!["Bearer t-one".to_owned()], "one"),
            (vec!["bearer  t-two".to_owned()], "two"),
            (vec![basic("anything:t-two")], "two"),
            (vec![basic(":t-one")], "one"),
            (vec![basic("ann:secret")], "ann"),
            // The second time from memory.
            (vec![basic("ann:secret")], "ann"),
            (vec![basic("bob:p:w")], "bob"),
            (vec![basic("ann:secret").trim_end_matches('=').to_owned()], "ann"),
            (vec![], "401"),
            (vec!["Bearer t-three".to_owned()], "401"),
            (vec!["Bearer ".to_owned()], "401"),
            (vec!["Bearer secret".to_owned()], "401"),
            (vec!["t-one".to_owned()], "401"),
            (vec!["Digest t-one".to_owned()], "401"),
            (vec![basic("ann:Secret")], "401"),
            (vec![basic("bob:secret")], "401"),
            (vec![basic("nobody:secret")], "401"),
            (vec![basic("t-one")], "401"),
            (vec!["Basic ***".to_owned()], "401"),
            (vec!["Bearer t-one".to_owned(), "Bearer t-one".to_owned()], "401"),
        ] {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert_eq!(ask(&known, &values), wanted, "{values:?}");
        }
        assert!(!format!("{known:?}").contains("ann"));
    }

    #[test]
    fn names_and_passwords_that_nobody_has_are_not_kept() {
        let is_kept = |name: usize, password: usize| {
            let value = basic(&format!("{}:{}", "n".repeat(name), "p".repeat(password)));
            let headers = [(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect();
            presented(&headers).is_some()
        };
        assert!(is_kept(MAX_NAME_BYTES, MAX_PASSWORD_BYTES));
        assert!(!is_kept(MAX_NAME_BYTES + 1, 1) && !is_kept(1, MAX_PASSWORD_BYTES + 1));
    }

    #[test]
    fn without_credentials_everybody_may_and_headers_mean_nothing() {
        let none = Credentials::default();
        assert_eq!(ask(&none, &[]), "anybody");
        assert_eq!(ask(&none, &["Bearer whatever"]), "anybody");
    }

    #[test]
    fn a_hash_that_could_never_match_is_told_at_once() {
        for hash in ["secret", "$2b$12$abc", "", "$argon2id$v=19$m=8"] {
            assert!(Credentials::new(vec![], vec![(grant("ann"), hash.to_owned())]).is_err(), "{hash}");
        }
    }
}
