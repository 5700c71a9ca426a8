//! Why can credentials of the settings not be used?

/// Most tokens and users together: each request is compared with all tokens.
pub const MAX_CREDENTIALS: usize = 4096;

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
