//! `strandline token`: how does somebody get credentials, and the server their hash?

use crate::args::{GrantArgs, ScopeArg, TokenArgs, TokenCommand};
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// What tokens of ours begin with, so that scanners for leaked secrets can tell them.
const PREFIX: &str = "slt_";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Longest secret that is read.
const MAX_SECRET_BYTES: u64 = 4096;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system gives no random numbers.
    #[error("no random numbers can be had from the system: {0}")]
    Random(getrandom::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// There is nothing in it.
    #[error("standard input is empty; write the secret into it: strandline token hash NAME < file")]
    Empty,
    /// What was asked for is refused by the settings.
    #[error("the scope {0} reaches all tenants; leave out --tenant or the scope")]
    Confined(&'static str),
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// What is to be printed: a secret if one was made, and an entry for the settings.
pub fn make(args: &TokenArgs) -> Result<String, TokenError> {
    let (TokenCommand::New(grant) | TokenCommand::Hash(grant) | TokenCommand::Password(grant)) =
        &args.command;
    let of_process = |scope: &&ScopeArg| matches!(scope, ScopeArg::Operate | ScopeArg::Metrics);
    if let Some(scope) = grant.scopes.iter().find(of_process).filter(|_| !grant.tenants.is_empty()) {
        return Err(TokenError::Confined(scope.as_str()));
    }
    match &args.command {
        TokenCommand::New(grant) => {
            let token = format!("{PREFIX}{}", hex(&random::<TOKEN_BYTES>()?));
            Ok(format!("{token}\n\n{}", token_entry(grant, &token)))
        }
        TokenCommand::Hash(grant) => Ok(token_entry(grant, &secret()?)),
        TokenCommand::Password(grant) => {
            let salt = SaltString::encode_b64(&random::<SALT_BYTES>()?).map_err(TokenError::Hash)?;
            let hash =
                Argon2::default().hash_password(secret()?.as_bytes(), &salt).map_err(TokenError::Hash)?;
            Ok(entry(grant, "users", &format!("password_hash: \"{hash}\"")))
        }
    }
}

fn token_entry(grant: &GrantArgs, token: &str) -> String {
    let hash = hex(&Sha256::digest(token.as_bytes()));
    entry(grant, "tokens", &format!("token_sha256: \"{hash}\""))
}

fn entry(grant: &GrantArgs, list: &str, secret: &str) -> String {
    let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    let scopes: Vec<&str> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
    let tenants = match grant.tenants.as_slice() {
        [] => "\"*\"".to_owned(),
        some => format!("[{}]", some.iter().map(quoted).collect::<Vec<_>>().join(", ")),
    };
    let (name, scopes) = (quoted(&grant.name), scopes.join(", "));
    format!("auth:\n  {list}:\n    - {{name: {name}, {secret}, scopes: [{scopes}], tenants: {tenants}}}\n")
}

/// The secret on standard input, without the line break that ends it.
fn secret() -> Result<String, TokenError> {
    let mut text = String::new();
    io::stdin().lock().take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(TokenError::Input)?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() { Err(TokenError::Empty) } else { Ok(secret.to_owned()) }
}

fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_the_settings_take() {
        let grant = GrantArgs {
            name: "ci \"x\"".to_owned(),
            scopes: vec![ScopeArg::Push, ScopeArg::Query],
            tenants: vec!["a".to_owned()],
        };
        let text = make(&TokenArgs { command: TokenCommand::New(grant) }).unwrap();
        let (token, settings) = text.split_once("\n\n").unwrap();
        assert!(token.starts_with(PREFIX) && token.len() == PREFIX.len() + 2 * TOKEN_BYTES);
        assert!(settings.contains(&hex(&Sha256::digest(token.as_bytes()))));
        assert!(!settings.contains(token));
        assert!(settings.contains("scopes: [push, query], tenants: [\"a\"]}"), "{settings}");
        let other = GrantArgs { name: "b".into(), scopes: vec![ScopeArg::Operate], tenants: vec![] };
        let again = make(&TokenArgs { command: TokenCommand::New(other) }).unwrap();
        assert!(!again.starts_with(token) && again.contains("tenants: \"*\""));
        let both = GrantArgs { name: "c".into(), scopes: vec![ScopeArg::Metrics], tenants: vec!["a".into()] };
        assert!(matches!(
            make(&TokenArgs { command: TokenCommand::New(both) }),
            Err(TokenError::Confined("metrics"))
        ));
    }
}
