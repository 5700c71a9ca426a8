//! Whose request is it?

use crate::http::failure::Failure;
use axum::http::{HeaderMap, StatusCode};
use strandline_model::{TenantError, TenantId};

const HEADER: &str = "x-scope-orgid";

/// What the request does; Loki says differently that it takes one tenant only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// The tenant that `headers` name; the default one while authentication is off.
pub(crate) fn of(headers: &HeaderMap, auth_enabled: bool, access: Access) -> Result<TenantId, Failure> {
    if !auth_enabled {
        return Ok(TenantId::default_tenant());
    }
    let missing = || Failure::new(StatusCode::UNAUTHORIZED, "no org id").with_newline();
    let name = headers.get(HEADER).ok_or_else(missing)?;
    let name = name.to_str().map_err(|_| Failure::bad_request("tenant ID is not plain ASCII"))?;
    if name.contains('|') {
        let status = match access {
            Access::Read => StatusCode::INTERNAL_SERVER_ERROR,
            Access::Write => StatusCode::BAD_REQUEST,
        };
        return Err(Failure::new(status, "multiple org IDs present"));
    }
    TenantId::new(name).map_err(|error| match error {
        TenantError::Empty => missing(),
        other => Failure::bad_request(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn tenants_as_loki_takes_them() {
        let with = |value: Option<&'static str>, auth, access| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(HEADER, HeaderValue::from_static(value));
            }
            of(&headers, auth, access)
                .map(|t| t.as_str().to_owned())
                .map_err(|f| (f.status(), f.text().to_owned()))
        };
        assert_eq!(with(None, false, Access::Read), Ok("fake".to_owned()));
        assert_eq!(with(Some("a|b"), false, Access::Read), Ok("fake".to_owned()));
        assert_eq!(with(None, true, Access::Read), Err((401, "no org id\n".to_owned())));
        assert_eq!(with(Some(""), true, Access::Read), Err((401, "no org id\n".to_owned())));
        assert_eq!(with(Some("team-a"), true, Access::Write), Ok("team-a".to_owned()));
        assert_eq!(with(Some("a|b"), true, Access::Read).unwrap_err().0, 500);
        assert_eq!(with(Some("a|b"), true, Access::Write).unwrap_err().0, 400);
        assert_eq!(with(Some("a/b"), true, Access::Write).unwrap_err().0, 400);
    }
}
