//! Whose data is a request about? It says so itself, as far as the grant and the settings let it.

use super::caller::{NamedTenant, TENANT_HEADER as HEADER};
use super::grant::Grant;
use crate::http::failure::Failure;
use axum::http::StatusCode;
use strandline_model::{TenantError, TenantId};
use strandline_query::reader::MAX_TENANTS;

/// Between tenants.
const BAR: char = '|';

/// What the settings say of tenants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantRules {
    /// `auth.enabled`: every request names its tenant; off, all is one tenant.
    pub(crate) auth_enabled: bool,
    /// `auth.multi_tenant_queries`: a read may name several tenants.
    pub(crate) multi_tenant_queries: bool,
}

/// The tenants of a read, at least one.
pub(super) fn for_read(
    grant: &Grant,
    asked: &NamedTenant,
    rules: TenantRules,
) -> Result<Vec<TenantId>, Failure> {
    let Some(text) = named(asked)?.filter(|_| is_asked(grant, rules)) else {
        return default(grant, rules).map(|tenant| vec![tenant]);
    };
    if text.contains(BAR) && !rules.multi_tenant_queries {
        // Loki's status, for clients that look at it.
        return Err(Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "multiple org IDs present (reading several tenants at once is off: auth.multi_tenant_queries)",
        ));
    }
    if text.matches(BAR).count() >= MAX_TENANTS {
        return Err(Failure::bad_request(format_args!("more than {MAX_TENANTS} tenants in {HEADER}")));
    }
    text.split(BAR).map(|name| allowed(grant, name)).collect()
}

/// The tenant of a push.
pub(super) fn for_write(grant: &Grant, asked: &NamedTenant, rules: TenantRules) -> Result<TenantId, Failure> {
    match named(asked)?.filter(|_| is_asked(grant, rules)) {
        None => default(grant, rules),
        Some(text) if text.contains(BAR) => Err(Failure::bad_request("multiple org IDs present")),
        Some(text) => allowed(grant, text),
    }
}

/// Whether the header is looked at. With everything under one name it means nothing, whatever it says (as Loki).
fn is_asked(grant: &Grant, rules: TenantRules) -> bool {
    rules.auth_enabled || grant.tenants.is_some()
}

/// The text that names tenants, if there is one.
fn named(asked: &NamedTenant) -> Result<Option<&str>, Failure> {
    match asked {
        NamedTenant::None => Ok(None),
        NamedTenant::Named(text) => Ok(Some(text)),
        NamedTenant::Twice => Err(Failure::bad_request(format_args!("{HEADER} is given twice"))),
        NamedTenant::Unreadable => Err(Failure::bad_request("tenant ID is not plain ASCII")),
    }
}

/// The tenant of a request that names none.
fn default(grant: &Grant, rules: TenantRules) -> Result<TenantId, Failure> {
    match grant.tenants.as_deref() {
        Some([one]) => Ok(one.clone()),
        None if !rules.auth_enabled => Ok(TenantId::default_tenant()),
        _ => Err(Failure::new(StatusCode::UNAUTHORIZED, "no org id").with_newline()),
    }
}

fn allowed(grant: &Grant, text: &str) -> Result<TenantId, Failure> {
    // Loki takes `tenant:key=value` and leaves off what stands behind the name, which says nothing of whose data it is.
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    let tenant = TenantId::new(name).map_err(|error| match error {
        TenantError::Empty => Failure::bad_request("a tenant ID is empty"),
        other => Failure::bad_request(other),
    })?;
    match &grant.tenants {
        Some(own) if !own.contains(&tenant) => Err(Failure::new(
            StatusCode::FORBIDDEN,
            format_args!(
                "\"{}\" may not use tenant '{tenant}' (auth.tokens, auth.users: tenants)",
                grant.name
            ),
        )),
        _ => Ok(tenant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scopes;

    const OPEN: Option<&[&str]> = None;

    fn grant(tenants: Option<&[&str]>) -> Grant {
        let tenants = tenants.map(|all| all.iter().map(|name| TenantId::new(name).unwrap()).collect());
        Grant { name: "g".to_owned(), scopes: Scopes::all(), tenants, filter: None }
    }

    fn ask(header: Option<&str>, own: Option<&[&str]>, auth: bool, many: bool) -> (String, String) {
        let asked = match header {
            None | Some("") => NamedTenant::None,
            Some(text) if !text.is_ascii() => NamedTenant::Unreadable,
            Some(text) => NamedTenant::Named(text.to_owned()),
        };
        let rules = TenantRules { auth_enabled: auth, multi_tenant_queries: many };
        let told = |failure: Failure| format!("{} {}", failure.status(), failure.text().trim_end());
        let read = for_read(&grant(own), &asked, rules)
            .map_or_else(told, |all| all.iter().map(TenantId::as_str).collect::<Vec<_>>().join(","));
        (read, for_write(&grant(own), &asked, rules).map_or_else(told, |tenant| tenant.to_string()))
    }

    fn both(text: &str) -> (String, String) {
        (text.to_owned(), text.to_owned())
    }

    #[test]
    fn off_is_one_tenant_and_the_header_means_nothing() {
        for header in [None, Some("a"), Some("a|b"), Some("../x")] {
            assert_eq!(ask(header, OPEN, false, true), both("fake"), "{header:?}");
        }
    }

    #[test]
    fn on_requires_a_usable_name() {
        assert_eq!(ask(Some("team-a"), OPEN, true, false), both("team-a"));
        assert_eq!(ask(None, OPEN, true, false), both("401 no org id"));
        assert_eq!(ask(Some(""), OPEN, true, false), both("401 no org id"));
        assert_eq!(ask(Some("team-a:product=x"), OPEN, true, false), both("team-a"));
        for header in [".", "..", "a b", "a/b", "é", ":", "..:a", ":a", "a/b:c"] {
            assert!(ask(Some(header), OPEN, true, false).0.starts_with("400 "), "{header}");
        }
    }

    #[test]
    fn several_tenants_are_for_reads_and_only_where_that_is_on() {
        assert_eq!(
            ask(Some("a|b|a"), OPEN, true, true),
            ("a,b,a".into(), "400 multiple org IDs present".into())
        );
        assert!(ask(Some("a|b"), OPEN, true, false).0.starts_with("500 multiple org IDs present"));
        assert!(ask(Some("a|"), OPEN, true, true).0.starts_with("400 "));
        assert!(ask(Some("a|b:.."), OPEN, true, true).0.starts_with("a,b"));
        assert!(ask(Some("a|.."), OPEN, true, true).0.starts_with("400 "));
        assert!(ask(Some(&"a|".repeat(500)), OPEN, true, true).0.contains("more than 128 tenants"));
    }

    #[test]
    fn a_grant_for_one_tenant_names_it_and_no_grant_reaches_further() {
        for auth in [false, true] {
            assert_eq!(ask(None, Some(&["a"]), auth, true), both("a"));
            assert_eq!(ask(Some("a"), Some(&["a"]), auth, true), both("a"));
            assert!(
                ask(Some("b"), Some(&["a"]), auth, true).0.starts_with("403 \"g\" may not use tenant 'b'")
            );
            assert!(ask(Some("b"), Some(&["a"]), auth, true).1.starts_with("403 "));
            assert!(ask(Some("b:a"), Some(&["a"]), auth, true).1.starts_with("403 "));
            assert!(ask(Some("a|b"), Some(&["a"]), auth, true).0.starts_with("403 "));
            assert_eq!(ask(None, Some(&["a", "b"]), auth, true), both("401 no org id"));
            assert_eq!(ask(Some("a|b"), Some(&["a", "b"]), auth, true).0, "a,b");
        }
    }

    #[test]
    fn a_tenant_named_twice_is_nobodys() {
        for auth_enabled in [false, true] {
            let rules = TenantRules { auth_enabled, multi_tenant_queries: true };
            assert_eq!(for_read(&grant(OPEN), &NamedTenant::Twice, rules).unwrap_err().status(), 400);
            assert_eq!(for_write(&grant(OPEN), &NamedTenant::Twice, rules).unwrap_err().status(), 400);
        }
    }
}
