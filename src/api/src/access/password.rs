//! Does a password belong to its user? argon2 is slow on purpose, so it runs off the runtime, few at a time, and what has
//! been found right is remembered.

use super::credentials::AccessError;
use super::grant::Grant;
use crate::http::failure::Failure;
use argon2::password_hash::{PasswordHashString, PasswordVerifier};
use argon2::{Algorithm, Argon2};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Passwords that are checked at a time: each takes a core, and memory by the parameters of its hash.
const MAX_CHECKS: usize = 2;
/// Requests that wait for a check at most; guessing passwords must not pile up work.
const MAX_WAITING: usize = 64;

/// All users.
pub(super) struct Passwords {
    users: HashMap<String, Arc<User>>,
    /// Takes as long as a user of that name would, when there is none.
    decoy: Option<Arc<User>>,
    /// Keeps what is remembered from being worth anything elsewhere.
    key: [u8; 32],
    waiting: Arc<Semaphore>,
    turns: Arc<Semaphore>,
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
        Self {
            users: HashMap::new(),
            decoy: None,
            key: [0; 32],
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            turns: Arc::new(Semaphore::new(MAX_CHECKS)),
        }
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

    /// What the user `name` may do, if this is their password.
    pub(super) async fn check(&self, name: &str, password: &str) -> Result<Option<Arc<Grant>>, Failure> {
        let Some(user) = self.users.get(name).or(self.decoy.as_ref()) else { return Ok(None) };
        let is_decoy = user.grant.name != name;
        let seen = self.keyed(password);
        let remembered = *user.right.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_decoy && remembered.is_some_and(|right| bool::from(right.ct_eq(&seen))) {
            return Ok(Some(Arc::clone(&user.grant)));
        }
        let busy = |_| Failure::busy("too many passwords are being checked; retry after a moment");
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Failure::internal())?;
        let (checked, password) = (Arc::clone(user), password.as_bytes().to_vec());
        let check = tokio::task::spawn_blocking(move || {
            strandline_model::polling::assert_none("checking a password");
            let is_right =
                Argon2::default().verify_password(&password, &checked.hash.password_hash()).is_ok();
            // Not before, even if the client has gone: the thread is busy until now.
            drop((place, turn));
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
