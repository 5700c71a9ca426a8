//! May they do it, and with whose data? The one check, of callers however they came.

use super::accounts::Accounts;
use super::allowed::{DeleteAccess, Identity, MetricsAccess, OperatorAccess, PushAccess, QueryAccess};
use super::caller::Caller;
use super::grant::{Grant, Scope};
use super::tenants::{self, TenantRules};
use crate::http::failure::Failure;
use axum::http::StatusCode;
use std::sync::Arc;
use strandline_ingest::Sender;
use strandline_model::{DeletionMode, TenantLimits};
use strandline_query::{ReadRules, Reader};

/// What is needed to say what somebody may do, and nothing else of the server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Access(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    accounts: Arc<Accounts>,
    tenants: TenantRules,
    /// `query.loki_strict`.
    strict: bool,
    limits: Arc<TenantLimits>,
}

impl Access {
    /// The check by these accounts and settings.
    pub(crate) fn new(
        accounts: Arc<Accounts>,
        tenants: TenantRules,
        strict: bool,
        limits: Arc<TenantLimits>,
    ) -> Self {
        Self(Arc::new(Rules { accounts, tenants, strict, limits }))
    }

    /// Whether nobody has to prove anything.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.accounts.are_needed()
    }

    /// May they read?
    pub(crate) async fn query(&self, caller: &Caller) -> Result<QueryAccess, Failure> {
        let grant = self.granted(caller, Scope::Query).await?;
        let tenants = tenants::for_read(&grant, &caller.tenant, self.0.tenants)?;
        let limits = tenants.iter().map(|tenant| self.0.limits.of(tenant));
        let limits = limits.reduce(|a, b| Arc::new(a.tightest_for_reads(&b)));
        let limits = limits.unwrap_or_else(|| Arc::clone(self.0.limits.defaults()));
        let rules = ReadRules { strict: self.0.strict, limits };
        Ok(QueryAccess(Reader::granted(tenants, grant.filter.clone(), rules)))
    }

    /// May they push?
    pub(crate) async fn push(&self, caller: &Caller) -> Result<PushAccess, Failure> {
        let grant = self.granted(caller, Scope::Push).await?;
        let tenant = tenants::for_write(&grant, &caller.tenant, self.0.tenants)?;
        let limits = self.0.limits.of(&tenant);
        let sender = Sender::new(tenant, limits);
        Ok(PushAccess(match &grant.filter {
            Some(filter) => sender.confined_to(filter.selector().clone(), filter.text()),
            None => sender,
        }))
    }

    /// May they delete?
    pub(crate) async fn delete(&self, caller: &Caller) -> Result<DeleteAccess, Failure> {
        let grant = self.granted(caller, Scope::Delete).await?;
        let tenant = tenants::for_write(&grant, &caller.tenant, self.0.tenants)?;
        let forbidden = |why: String| Err(Failure::new(StatusCode::FORBIDDEN, why));
        if let Some(filter) = &grant.filter {
            return forbidden(format!(
                "\"{}\" may not delete: it is confined to {} (auth.tokens, auth.users: filter)",
                grant.name,
                filter.text()
            ));
        }
        match self.0.limits.of(&tenant).deletion_mode {
            DeletionMode::FilterAndDelete => Ok(DeleteAccess(tenant)),
            DeletionMode::Disabled => forbidden("deletion is not available for this tenant".to_owned()),
        }
    }

    /// May they operate the server?
    pub(crate) async fn operate(&self, caller: &Caller) -> Result<OperatorAccess, Failure> {
        self.granted(caller, Scope::Operate).await.map(|_| OperatorAccess)
    }

    /// May they read the server's metrics?
    pub(crate) async fn metrics(&self, caller: &Caller) -> Result<MetricsAccess, Failure> {
        self.granted(caller, Scope::Metrics).await.map(|_| MetricsAccess)
    }

    /// Are they anybody?
    pub(crate) async fn identity(&self, caller: &Caller) -> Result<Identity, Failure> {
        self.grant(caller).await.map(|_| Identity)
    }

    async fn grant(&self, caller: &Caller) -> Result<Arc<Grant>, Failure> {
        self.0.accounts.grant(caller.credentials.as_ref(), caller.peer).await
    }

    /// What they may do, if that includes `scope`.
    async fn granted(&self, caller: &Caller, scope: Scope) -> Result<Arc<Grant>, Failure> {
        let grant = self.grant(caller).await?;
        if grant.scopes.has(scope) {
            return Ok(grant);
        }
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            format_args!(
                "\"{}\" may not do this: it needs the scope {} (auth.tokens, auth.users)",
                grant.name,
                scope.as_str()
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Credentials, NamedTenant};
    use super::super::grant::Scopes;
    use super::*;
    use sha2::{Digest, Sha256};
    use std::collections::HashMap;
    use std::net::IpAddr;
    use strandline_model::{Limits, TenantId};

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A check that knows one token, which may read the tenant `a`.
    fn access() -> Access {
        let grant = Grant {
            name: "reader".to_owned(),
            scopes: [Scope::Query].into_iter().collect::<Scopes>(),
            tenants: Some(vec![TenantId::new("a").unwrap()]),
            filter: None,
        };
        let tokens = vec![(Sha256::digest(b"t-one").into(), grant)];
        let accounts = Arc::new(Accounts::new(tokens, Vec::new()).unwrap());
        let rules = TenantRules { auth_enabled: true, multi_tenant_queries: false };
        Access::new(accounts, rules, false, Arc::new(TenantLimits::new(Limits::default())))
    }

    fn caller(credentials: Option<Credentials>) -> Caller {
        Caller { credentials, tenant: NamedTenant::None, peer: HOME }
    }

    fn run<T>(check: impl Future<Output = Result<T, Failure>>) -> Result<T, u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check).map_err(|failure| failure.status())
    }

    #[test]
    fn a_caller_is_checked_without_a_request() {
        let access = access();
        let known = caller(Some(Credentials::Bearer("t-one".to_owned())));
        let tenants = run(access.query(&known)).unwrap().0.tenants().to_vec();
        assert_eq!(tenants, [TenantId::new("a").unwrap()]);
        assert_eq!(run(access.push(&known)).unwrap_err(), 403);
        assert!(run(access.identity(&known)).is_ok());
        let elsewhere = Caller { tenant: NamedTenant::Named("b".to_owned()), ..known };
        assert_eq!(run(access.query(&elsewhere)).unwrap_err(), 403);
        assert_eq!(run(access.query(&caller(None))).unwrap_err(), 401);
        let wrong = Credentials::Basic { name: "reader".to_owned(), password: "t-two".to_owned() };
        assert_eq!(run(access.identity(&caller(Some(wrong)))).unwrap_err(), 401);
    }

    #[test]
    fn another_place_for_credentials_is_an_addition() {
        /// Sessions of a page, made up: what a cookie names stands for what its owner signed in with.
        struct Sessions(HashMap<&'static str, Credentials>);

        impl Sessions {
            fn caller(&self, cookies: &str) -> Caller {
                let mut cookies = cookies.split("; ").filter_map(|cookie| cookie.split_once('='));
                let session = cookies.find(|(name, _)| *name == "session").map(|(_, id)| id);
                caller(session.and_then(|id| self.0.get(id)).cloned())
            }
        }

        let sessions = Sessions(HashMap::from([("s-1", Credentials::Bearer("t-one".to_owned()))]));
        let access = access();
        assert!(run(access.query(&sessions.caller("theme=dark; session=s-1"))).is_ok());
        for cookies in ["", "session=s-2", "session", "t-one"] {
            assert_eq!(run(access.query(&sessions.caller(cookies))).unwrap_err(), 401, "{cookies}");
        }
    }
}
