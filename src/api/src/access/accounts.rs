//! Is it who they say? Tokens and passwords of callers, compared with what the settings know of them.
//!
//! Only hashes are known here. Tokens are long and random, so one round of SHA-256 is enough and fast; passwords are what
//! people make up, so theirs is argon2 (see [`super::password`]). Nothing here is ever logged or shown.

use super::caller::Credentials;
use super::error::{AccessError, MAX_CREDENTIALS};
use super::grant::Grant;
use super::password::Passwords;
use crate::http::failure::Failure;
use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// All tokens and users.
pub struct Accounts {
    tokens: Vec<([u8; 32], Arc<Grant>)>,
    passwords: Passwords,
    open: Arc<Grant>,
}

impl Accounts {
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

    /// What whoever presents these credentials may do, who comes from `peer`.
    pub(super) async fn grant(
        &self,
        presented: Option<&Credentials>,
        peer: IpAddr,
    ) -> Result<Arc<Grant>, Failure> {
        if !self.are_needed() {
            return Ok(Arc::clone(&self.open));
        }
        let known = match presented {
            None => return Err(refused("missing", "credentials are needed")),
            Some(Credentials::Bearer(token)) => self.by_token(token),
            Some(Credentials::Basic { name, password }) => match self.by_token(password) {
                None => self.passwords.check(name, password, peer).await?,
                known => known,
            },
        };
        known.ok_or_else(|| refused("wrong", "these credentials are not known"))
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

impl Default for Accounts {
    /// None: everybody may do everything.
    fn default() -> Self {
        Self { tokens: Vec::new(), passwords: Passwords::default(), open: Arc::new(Grant::open()) }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("tokens", &self.tokens.len()).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Scope, Scopes};
    use argon2::password_hash::{PasswordHasher, SaltString};
    use argon2::{Algorithm, Argon2, Params, Version};

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

    fn token(token: &str) -> Option<Credentials> {
        Some(Credentials::Bearer(token.to_owned()))
    }

    fn pair(name: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Basic { name: name.to_owned(), password: password.to_owned() })
    }

    fn ask(accounts: &Accounts, presented: Option<Credentials>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(accounts.grant(presented.as_ref(), IpAddr::from([10, 0, 0, 1]))) {
            Ok(grant) => grant.name.clone(),
            Err(failure) => failure.status().to_string(),
        }
    }

    #[test]
    fn tokens_and_passwords_lead_to_their_grants_and_all_else_to_nobody() {
        let digest = |token: &str| -> [u8; 32] { Sha256::digest(token.as_bytes()).into() };
        let tokens = vec![(digest("t-one"), grant("one")), (digest("t-two"), grant("two"))];
        let users = vec![(grant("ann"), hash_of("secret")), (grant("bob"), hash_of("p:w"))];
        let known = Accounts::new(tokens, users).unwrap();
        for (presented, wanted) in [
            (token("t-one"), "one"),
            (token("t-two"), "two"),
            (pair("anything", "t-two"), "two"),
            (pair("", "t-one"), "one"),
            (pair("ann", "secret"), "ann"),
            // The second time from memory.
            (pair("ann", "secret"), "ann"),
            (pair("bob", "p:w"), "bob"),
            (None, "401"),
            (token("t-three"), "401"),
            (token(""), "401"),
            (token("secret"), "401"),
            (pair("ann", "Secret"), "401"),
            (pair("bob", "secret"), "401"),
            (pair("nobody", "secret"), "401"),
            (pair("t-one", ""), "401"),
        ] {
            assert_eq!(ask(&known, presented.clone()), wanted, "{presented:?}");
        }
        assert!(!format!("{known:?}").contains("ann"));
    }

    #[test]
    fn without_accounts_everybody_may_and_credentials_mean_nothing() {
        let none = Accounts::default();
        assert_eq!(ask(&none, None), "anybody");
        assert_eq!(ask(&none, token("whatever")), "anybody");
    }

    #[test]
    fn a_hash_that_could_never_match_is_told_at_once() {
        for hash in ["secret", "$2b$12$abc", "", "$argon2id$v=19$m=8"] {
            assert!(Accounts::new(vec![], vec![(grant("ann"), hash.to_owned())]).is_err(), "{hash}");
        }
    }
}
