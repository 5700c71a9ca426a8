//! Who may do what: `auth.tokens` and `auth.users` as they are written.
//!
//! What is secret here, or a hash of it, is never shown: not in messages, not in the printed configuration, not by `Debug`.

use super::codec;
use super::nearest::nearest;
use super::tree::{Fault, Node, Value};
use std::fmt;
use std::path::PathBuf;
use strandline_api::access::Scope;
use strandline_model::TenantId;

/// The scope of older settings for all that `delete`, `rules`, `operate` and `metrics` are now.
const ADMIN: &str = "admin";
/// What stands in place of a hash.
const MASK: &str = "********";

/// `auth.*`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthConfig {
    /// Whether every request must name its tenant in `X-Scope-OrgID`; off, everything belongs to tenant `fake`.
    pub enabled: bool,
    /// Whether a read may name several tenants.
    pub multi_tenant_queries: bool,
    /// Those who come with a token.
    pub tokens: Vec<TokenConfig>,
    /// Those who come with a name and a password.
    pub users: Vec<UserConfig>,
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GrantConfig {
    /// What it is called in messages; a user's name.
    pub name: String,
    /// Kinds of requests.
    pub scopes: Vec<Scope>,
    /// Whether some of them were written as `admin`, which older settings have.
    pub was_admin: bool,
    /// Whose data; `None` is everybody's.
    pub tenants: Option<Vec<TenantId>>,
    /// LogQL selector of the streams that are theirs; whoever sets up the API compiles it.
    pub filter: Option<String>,
}

impl GrantConfig {
    /// Whether it is for some tenants or streams alone.
    fn is_confined(&self) -> bool {
        self.tenants.is_some() || self.filter.is_some()
    }
}

/// Something to compare credentials with.
#[derive(Clone, PartialEq, Default)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// How a token is known.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenSource {
    /// By the SHA-256 of its text.
    Hash(Secret<[u8; 32]>),
    /// It is the text of a file, read at the start.
    File(PathBuf),
}

/// An entry of `auth.tokens`.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenConfig {
    /// What whoever holds it may do.
    pub grant: GrantConfig,
    /// How it is known.
    pub source: TokenSource,
}

/// An entry of `auth.users`.
#[derive(Debug, Clone, PartialEq)]
pub struct UserConfig {
    /// What the user may do.
    pub grant: GrantConfig,
    /// argon2 hash of the password, in PHC's form.
    pub password_hash: Secret<String>,
}

/// An entry while it is read: what is missing is found at its end.
#[derive(Default)]
struct Raw {
    grant: GrantConfig,
    hash: Option<[u8; 32]>,
    file: Option<PathBuf>,
    password_hash: Option<String>,
}

/// Applies one field of an entry.
type SetField = fn(&mut Raw, &Node) -> Result<(), Fault>;

const GRANT_FIELDS: [(&str, SetField); 4] = [
    ("name", |raw, node| {
        let name = codec::text(node)?.trim();
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == ':' || c == '"') {
            return Err(Fault::new(node.at, "a name has neither colons nor quotes nor control characters"));
        }
        raw.grant.name = name.to_owned();
        Ok(())
    }),
    ("scopes", |raw, node| {
        for node in list(node)? {
            let word = codec::text(node)?.trim();
            match Scope::ALL.into_iter().find(|scope| scope.as_str() == word) {
                Some(scope) => raw.grant.scopes.push(scope),
                None if word == ADMIN => raw.grant.was_admin = true,
                None => {
                    let known = Scope::ALL.map(Scope::as_str).join(", ");
                    return Err(Fault::new(node.at, format!("\"{word}\" is none of {known}")));
                }
            }
        }
        Ok(())
    }),
    ("tenants", |raw, node| {
        if matches!(&node.value, Value::Text(text) if text.trim() == "*") {
            raw.grant.tenants = None;
            return Ok(());
        }
        let tenant = |node: &Node| {
            TenantId::new(codec::text(node)?.trim()).map_err(|e| Fault::new(node.at, e.to_string()))
        };
        let tenants: Vec<TenantId> = list(node)?.into_iter().map(tenant).collect::<Result<_, _>>()?;
        if tenants.is_empty() {
            return Err(Fault::new(node.at, "names no tenant; write \"*\" for all of them"));
        }
        raw.grant.tenants = Some(tenants);
        Ok(())
    }),
    ("filter", |raw, node| {
        let text = codec::text(node)?.trim();
        if !(text.starts_with('{') && text.ends_with('}')) {
            return Err(Fault::new(node.at, "is not a stream selector; write '{team=\"a\"}'"));
        }
        raw.grant.filter = Some(text.to_owned());
        Ok(())
    }),
];

const TOKEN_FIELDS: [(&str, SetField); 2] = [
    ("token_sha256", |raw, node| {
        // Not quoted back: somebody may have put the token itself here.
        let hash = from_hex(codec::text(node)?.trim());
        raw.hash = Some(hash.ok_or_else(|| {
            Fault::new(
                node.at,
                "is not the SHA-256 of a token, 64 digits of hex; `strandline token hash` makes it",
            )
        })?);
        Ok(())
    }),
    ("token_file", |raw, node| {
        raw.file = Some(codec::path::parse(codec::text(node)?).map_err(|e| Fault::new(node.at, e))?);
        Ok(())
    }),
];

const USER_FIELDS: [(&str, SetField); 1] = [("password_hash", |raw, node| {
    let text = codec::text(node)?.trim();
    if !text.starts_with("$argon2") {
        return Err(Fault::new(
            node.at,
            "is not an argon2 hash ($argon2id$...); `strandline token password` makes one",
        ));
    }
    raw.password_hash = Some(text.to_owned());
    Ok(())
})];

/// Reads `auth.tokens`.
pub fn parse_tokens(node: &Node) -> Result<Vec<TokenConfig>, Fault> {
    each(node, &TOKEN_FIELDS, |raw, at| {
        let source = match (raw.hash, raw.file) {
            (Some(hash), None) => TokenSource::Hash(Secret(hash)),
            (None, Some(file)) => TokenSource::File(file),
            _ => return Err(Fault::new(at.at, "takes one of \"token_sha256\" and \"token_file\"")),
        };
        Ok(TokenConfig { grant: raw.grant, source })
    })
}

/// Reads `auth.users`.
pub fn parse_users(node: &Node) -> Result<Vec<UserConfig>, Fault> {
    each(node, &USER_FIELDS, |raw, at| {
        let lacks = || Fault::new(at.at, "the user lacks \"password_hash\"");
        Ok(UserConfig { grant: raw.grant, password_hash: Secret(raw.password_hash.ok_or_else(lacks)?) })
    })
}

fn each<T>(
    node: &Node,
    own_fields: &[(&'static str, SetField)],
    finish: fn(Raw, &Node) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut names = std::collections::BTreeSet::new();
    let entry = |node: &Node| {
        let mut raw = Raw::default();
        set_fields(&mut raw, node, own_fields)?;
        set_admin(&mut raw.grant);
        for (lacking, field) in [(raw.grant.name.is_empty(), "name"), (raw.grant.scopes.is_empty(), "scopes")]
        {
            if lacking {
                return Err(Fault::new(node.at, format!("the entry lacks \"{field}\"")));
            }
        }
        if let Some(scope) = out_of_reach(&raw.grant) {
            return Err(Fault::new(
                node.at,
                format!(
                    "\"{}\" is confined by \"tenants\" or \"filter\", so it cannot have the scope {}: that reaches all \
                     tenants",
                    raw.grant.name,
                    scope.as_str()
                ),
            ));
        }
        if !names.insert(raw.grant.name.clone()) {
            return Err(Fault::new(node.at, format!("the name \"{}\" is given twice", raw.grant.name)));
        }
        finish(raw, node)
    };
    list(node)?.into_iter().map(entry).collect()
}

/// Gives what `admin` stands for: to those who are confined, what does not reach beyond that.
fn set_admin(grant: &mut GrantConfig) {
    if grant.was_admin {
        let own = Scope::ADMIN.into_iter().filter(|scope| !grant.is_confined() || !scope.is_of_the_process());
        let own: Vec<Scope> = own.filter(|scope| !grant.scopes.contains(scope)).collect();
        grant.scopes.extend(own);
    }
}

/// A scope of the whole process in a grant that is confined.
fn out_of_reach(grant: &GrantConfig) -> Option<Scope> {
    let scopes = grant.scopes.iter().copied();
    scopes.filter(|_| grant.is_confined()).find(|scope| scope.is_of_the_process())
}

fn set_fields(raw: &mut Raw, node: &Node, own: &[(&'static str, SetField)]) -> Result<(), Fault> {
    let Value::Map(entries) = &node.value else {
        return Err(Fault::new(node.at, format!("takes a mapping of fields, not {}", node.kind())));
    };
    let fields = || GRANT_FIELDS.iter().chain(own);
    for (key, value) in entries {
        let Some((_, set)) = fields().find(|(name, _)| *name == key.name) else {
            let hint = match nearest(&key.name, fields().map(|(name, _)| *name)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => {
                    format!("known are {}", fields().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
                }
            };
            return Err(Fault::new(key.at, format!("unknown key \"{}\"; {hint}", key.name)));
        };
        set(raw, value)?;
    }
    Ok(())
}

fn list(node: &Node) -> Result<Vec<&Node>, Fault> {
    match &node.value {
        Value::List(items) => Ok(items.iter().collect()),
        Value::Null => Ok(Vec::new()),
        _ => Err(Fault::new(node.at, format!("takes a list, not {}", node.kind()))),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    // `from_str_radix` takes a sign.
    text.bytes().all(|b| b.is_ascii_hexdigit()).then_some(hash)
}

/// Writes `auth.tokens` as one line of YAML, without what they are compared with.
pub fn show_tokens(tokens: &[TokenConfig]) -> String {
    let shown = tokens.iter().map(|token| {
        let source = match &token.source {
            TokenSource::Hash(_) => format!("token_sha256: \"{MASK}\""),
            TokenSource::File(path) => format!("token_file: {}", quoted(&path.to_string_lossy())),
        };
        show(&token.grant, &source)
    });
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}

/// Writes `auth.users` as one line of YAML, without the hashes of passwords.
pub fn show_users(users: &[UserConfig]) -> String {
    let shown = users.iter().map(|user| show(&user.grant, &format!("password_hash: \"{MASK}\"")));
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}

fn show(grant: &GrantConfig, secret: &str) -> String {
    let scopes: Vec<&str> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
    let tenants = match &grant.tenants {
        None => "\"*\"".to_owned(),
        Some(all) => format!("[{}]", all.iter().map(|t| quoted(t.as_str())).collect::<Vec<_>>().join(", ")),
    };
    let filter = grant.filter.as_ref().map(|text| format!(", filter: {}", quoted(text))).unwrap_or_default();
    let (name, scopes) = (quoted(&grant.name), scopes.join(", "));
    format!("{{name: {name}, {secret}, scopes: [{scopes}], tenants: {tenants}{filter}}}")
}

/// JSON's strings are YAML's double-quoted ones.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn tokens(text: &str) -> Result<Vec<TokenConfig>, String> {
        parse_tokens(&parse(text).unwrap()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn entries_are_read_and_shown_without_their_secrets() {
        let text = format!(
            "- {{name: ci, token_sha256: {HASH}, scopes: [push], tenants: [a, b], filter: '{{team=\"x\"}}'}}\n\
             - {{name: ops, token_file: /run/secrets/ops, scopes: [query, operate], tenants: \"*\"}}\n"
        );
        let read = tokens(&text).unwrap();
        assert_eq!(read[0].grant.tenants.as_ref().unwrap().len(), 2);
        assert_eq!(read[1].grant.tenants, None);
        let shown = show_tokens(&read);
        assert_eq!(
            shown,
            "[{name: \"ci\", token_sha256: \"********\", scopes: [push], tenants: [\"a\", \"b\"], filter: \"{team=\\\"x\\\"}\"}, \
             {name: \"ops\", token_file: \"/run/secrets/ops\", scopes: [query, operate], tenants: \"*\"}]"
        );
        assert!(!format!("{read:?}").contains("9f86") && !format!("{read:?}").contains("159"));
        let users =
            parse_users(&parse("[{name: ann, password_hash: $argon2id$x, scopes: [query]}]").unwrap())
                .unwrap();
        assert!(!show_users(&users).contains("argon2") && !format!("{users:?}").contains("argon2"));
    }

    #[test]
    fn admin_is_what_it_was_as_far_as_it_reaches() {
        let scopes = |more: &str| {
            let text = format!("[{{name: a, token_file: x, scopes: [query, admin, delete]{more}}}]");
            let read = tokens(&text).unwrap().remove(0).grant;
            assert!(read.was_admin);
            read.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(scopes(""), "query delete rules operate metrics");
        assert_eq!(scopes(", tenants: \"*\""), "query delete rules operate metrics");
        assert_eq!(scopes(", tenants: [b]"), "query delete rules");
        assert_eq!(scopes(", filter: '{b=\"c\"}'"), "query delete rules");
    }

    #[test]
    fn faults_say_what_is_wrong_and_quote_no_secret() {
        for (text, said) in [
            ("[{name: a, token_sha256: my-plain-token, scopes: [push]}]", "is not the SHA-256 of a token"),
            ("[{name: a, scopes: [push]}]", "takes one of \"token_sha256\" and \"token_file\""),
            ("[{token_file: x, scopes: [push]}]", "lacks \"name\""),
            ("[{name: a, token_file: x}]", "lacks \"scopes\""),
            (
                "[{name: a, token_file: x, scopes: [write]}]",
                "\"write\" is none of push, query, delete, rules, operate, metrics",
            ),
            (
                "[{name: a, token_file: x, scopes: [push, operate], tenants: [b]}]",
                "\"a\" is confined by \"tenants\" or \"filter\", so it cannot have the scope operate",
            ),
            (
                "[{name: a, token_file: x, scopes: [metrics], filter: '{b=\"c\"}'}]",
                "cannot have the scope metrics",
            ),
            ("[{name: a, token_file: x, scopes: [push], tenants: []}]", "names no tenant"),
            ("[{name: a, token_file: x, scopes: [push], tenants: [../x]}]", "unsupported character"),
            ("[{name: a, token_file: x, scopes: [push], filter: team}]", "is not a stream selector"),
            ("[{name: a, token_file: x, scope: [push]}]", "did you mean \"scopes\"?"),
            ("[{name: 'a:b', token_file: x, scopes: [push]}]", "neither colons"),
            (
                "[{name: a, token_file: x, scopes: [push]}, {name: a, token_file: y, scopes: [push]}]",
                "given twice",
            ),
            ("{name: a}", "takes a list"),
        ] {
            let fault = tokens(text).unwrap_err();
            assert!(fault.contains(said), "{text}: {fault}");
            assert!(!fault.contains("my-plain-token"), "{fault}");
        }
        let sign = format!("[{{name: a, scopes: [push], token_sha256: \"+{}\"}}]", &HASH[1..]);
        assert!(tokens(&sign).is_err());
    }
}
