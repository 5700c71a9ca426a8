//! Does a password belong to its user? argon2 is slow on purpose, so it runs off the runtime, few at a time, and what has
//! been found right is remembered.

use super::check_queue::{Busy, CheckQueue};
use super::error::AccessError;
use super::grant::Grant;
use crate::http::failure::Failure;
use argon2::password_hash::{PasswordHashString, PasswordVerifier};
use argon2::{Algorithm, Argon2};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Passwords that are checked at a time, at most, and no more than half the cores: each takes a core, and memory by the
/// parameters of its hash.
const MAX_CHECKS: usize = 2;

/// All users.
pub(super) struct Passwords {
    users: HashMap<String, Arc<User>>,
    /// Takes as long as a user of that name would, when there is none.
    decoy: Option<Arc<User>>,
    /// Keeps what is remembered from being worth anything elsewhere.
    key: [u8; 32],
    checks: Arc<CheckQueue>,
}

struct User {
    grant: Arc<Grant>,
    hash: PasswordHashString,
    /// A keyed hash of the password, once it has been found right. One for each user: the memory is bounded.
    right: Mutex<Option<[u8; 32]>>,
}

impl Default for Passwords {
    /// No users.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from).min(2 * MAX_CHECKS);
        Self { users: HashMap::new(), decoy: None, key: [0; 32], checks: CheckQueue::new(cores / 2) }
    }
}

impl Passwords {
    /// Users by their names, with the hashes of their passwords in PHC's form.
    pub(super) fn new(users: Vec<(Grant, String)>) -> Result<Self, AccessError> {
        let mut by_name = HashMap::new();
        for (grant, hash) in users {
            let unusable = || AccessError::PasswordHash(grant.name.clone());
            let hash = PasswordHashString::new(&hash).map_err(|_| unusable())?;
            if Algorithm::try_from(hash.algorithm()).is_err() || hash.password_hash().hash.is_none() {
                return Err(unusable());
            }
            let name = grant.name.clone();
            let user = User { grant: Arc::new(grant), hash, right: Mutex::default() };
            by_name.insert(name, Arc::new(user));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(AccessError::Random)?;
        Ok(Self { decoy: by_name.values().next().cloned(), users: by_name, key, ..Self::default() })
    }

    /// Whether there is no user.
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// What the user `name` may do, if this is their password; `peer` sent it. What was right before needs no check, and
    /// waits for none.
    pub(super) async fn check(
        &self,
        name: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Option<Arc<Grant>>, Failure> {
        let Some(user) = self.users.get(name).or(self.decoy.as_ref()) else { return Ok(None) };
        let is_decoy = user.grant.name != name;
        let seen = self.keyed(password);
        let remembered = *user.right.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_decoy && remembered.is_some_and(|right| bool::from(right.ct_eq(&seen))) {
            return Ok(Some(Arc::clone(&user.grant)));
        }
        let busy = |Busy| Failure::busy("too many passwords are being checked; retry after a moment");
        let slot = self.checks.slot(peer, name).await.map_err(busy)?;
        let (checked, password) = (Arc::clone(user), password.as_bytes().to_vec());
        let check = tokio::task::spawn_blocking(move || {
            strandline_model::polling::assert_none("checking a password");
            let is_right =
                Argon2::default().verify_password(&password, &checked.hash.password_hash()).is_ok();
            // Not before, even if the client has gone: the thread is busy until now.
            drop(slot);
            is_right
        });
        if !check.await.map_err(|_| Failure::internal())? || is_decoy {
            return Ok(None);
        }
        *user.right.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(Some(Arc::clone(&user.grant)))
    }

    fn keyed(&self, password: &str) -> [u8; 32] {
        // The result never leaves the process: nobody can lengthen what they cannot see.
        Sha256::new().chain_update(self.key).chain_update(password.as_bytes()).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scopes;
    use argon2::password_hash::{PasswordHasher, SaltString};
    use argon2::{Params, Version};
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn known_passwords_wait_for_no_check_and_unknown_names_are_not_told_apart() {
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let hash = cheap.hash_password(b"right", &salt).unwrap().to_string();
        let ann = Grant { name: "ann".to_owned(), scopes: Scopes::all(), tenants: None, filter: None };
        let checks = CheckQueue::new(1);
        let passwords =
            Passwords { checks: Arc::clone(&checks), ..Passwords::new(vec![(ann, hash)]).unwrap() };
        let (flood, home) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert!(passwords.check("ann", "right", home).await.unwrap().is_some());
            let slot = checks.slot(flood, "x").await.unwrap();
            assert!(passwords.check("ann", "right", flood).await.unwrap().is_some(), "remembered");
            let mut wrong = pin!(passwords.check("ann", "wrong", home));
            let mut nobody = pin!(passwords.check("nobody", "right", home));
            let mut context = Context::from_waker(Waker::noop());
            assert!(wrong.as_mut().poll(&mut context).is_pending());
            assert!(nobody.as_mut().poll(&mut context).is_pending());
            drop(slot);
            assert!(wrong.await.unwrap().is_none() && nobody.await.unwrap().is_none());
        });
    }
}
