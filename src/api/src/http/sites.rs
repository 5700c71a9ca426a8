//! Which web pages may use the server through the browser of somebody who may reach it?
//!
//! A browser sends requests for every page that is open in it, and with them the reach of its machine: the loopback
//! address, the company's network. The page cannot read the answers, but it need not. So requests that change something
//! are refused when a browser says that they come from a page of another origin (`Origin`; `Sec-Fetch-Site` of the Fetch
//! Metadata specification), and forms, which need no permission of the server's, are no way to send them. Websockets know
//! no same-origin policy at all: their `Origin` is checked as well. A page that gets a name of its own to mean this
//! address (DNS rebinding) counts as the same origin; it is told by the `Host`.

use crate::http::failure::Failure;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// Stands for everything in `server.allowed_origins` and `server.allowed_hosts`.
const ANY: &str = "*";
/// Longest name that is logged.
const MAX_LOGGED_CHARS: usize = 100;
/// What a page may send anywhere without asking (the Fetch specification's safelisted content types).
const FORM_TYPES: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Lets a push through unless it comes from a foreign page. Its content type is not looked at: agents send any.
pub(crate) async fn guard_push(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match check_origin(&state.config.allowed_origins, request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// Lets a request that only looks through; one that changes something, unless it comes from a foreign page or is a form.
pub(crate) async fn guard_change(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let checked = match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ => check_origin(&state.config.allowed_origins, request.headers(), request.uri())
            .and_then(|()| check_is_no_form(request.headers())),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// What [`guard_host`] has to know.
#[derive(Clone)]
pub(crate) struct HostRule {
    pub(crate) state: AppState,
    /// Whether the server listens on the loopback address alone. There every name but `localhost` is somebody's trick; on
    /// other addresses the server cannot know its names unless it is told.
    pub(crate) is_loopback: bool,
    /// Whether agents send their lines to a path.
    pub(crate) is_pushed_to: fn(&str) -> bool,
}

/// Refuses requests that ask for the server by a name that is not its own.
pub(crate) async fn guard_host(State(rule): State<HostRule>, request: Request, next: Next) -> Response {
    let config = &rule.state.config;
    let is_checked = rule.is_loopback || !config.allowed_hosts.is_empty();
    let path = request.uri().path();
    let path = path.strip_prefix(config.path_prefix.as_str()).unwrap_or(path);
    // Load balancers ask these by whatever name; they tell nothing.
    if !is_checked || matches!(path, "/ready" | "/health") {
        return next.run(request).await;
    }
    // Agents drop what is answered with 403, and send to whatever name a proxy in front has. A page can only push through a
    // browser, which says so.
    if (rule.is_pushed_to)(path) && !is_of_a_browser(request.headers()) {
        return next.run(request).await;
    }
    let host = authority(request.headers(), request.uri());
    let Some(host) = host.filter(|host| !is_own_host(host, &config.allowed_hosts)) else {
        return next.run(request).await;
    };
    if !rule.state.has_refused_a_host.swap(true, Ordering::Relaxed) {
        let host: String = host.chars().take(MAX_LOGGED_CHARS).collect();
        tracing::warn!(
            ?host,
            "requests that ask for the server by this name are refused; if it is one of its names, list it in \
             server.allowed_hosts. Said once"
        );
    }
    let text = "this server is not known by the name in Host; server.allowed_hosts lists its names besides localhost";
    Failure::new(StatusCode::FORBIDDEN, text).with_newline().into_response()
}

/// Whether a browser sent a request of another method than GET: those of today send one of these with each.
fn is_of_a_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// Refuses what a browser sends for a page of another origin that is not in `allowed` (`server.allowed_origins`).
pub(crate) fn check_origin(allowed: &[String], headers: &HeaderMap, uri: &Uri) -> Result<(), Failure> {
    let refused = |what: &str| {
        Err(Failure::new(
            StatusCode::FORBIDDEN,
            format_args!(
                "requests of other web pages are refused ({what}); server.allowed_origins lists exceptions"
            ),
        )
        .with_newline())
    };
    let own = authority(headers, uri);
    let is_allowed = |origin: &str| allowed.iter().any(|a| a == ANY || a.eq_ignore_ascii_case(origin));
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    if origins.peek().is_none() {
        let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
        return match site {
            Some(b"cross-site") if !is_allowed(ANY) => refused("Sec-Fetch-Site: cross-site"),
            Some(b"same-site") if !is_allowed(ANY) => refused("Sec-Fetch-Site: same-site"),
            _ => Ok(()),
        };
    }
    for origin in origins {
        let origin = origin.to_str().unwrap_or("");
        if !is_allowed(origin) && !own.is_some_and(|own| is_same_host(origin, own)) {
            return refused(&format!("Origin: {origin}"));
        }
    }
    Ok(())
}

fn check_is_no_form(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    match FORM_TYPES.iter().find(|form| form.eq_ignore_ascii_case(kind)) {
        None => Ok(()),
        Some(form) => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format_args!("{form} is refused here, for any web page can send it; parameters go into the URL"),
        )
        .with_newline()),
    }
}

/// What the request calls the server: the authority of HTTP/2, or the `Host` of HTTP/1.
fn authority<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let named = uri.authority().map(Authority::as_str);
    // What is no text is no name of the server's.
    named.or_else(|| headers.get(HOST).map(|host| host.to_str().unwrap_or("")))
}

/// Whether `authority` is `localhost`, an address (nobody can rebind these) or one of `allowed`.
fn is_own_host(authority: &str, allowed: &[String]) -> bool {
    if allowed.iter().any(|name| name == ANY) {
        return true;
    }
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || allowed.iter().any(|own| own.eq_ignore_ascii_case(&name))
}

/// Whether a page of `origin` was loaded from `own`. The schemes may differ: a proxy in front may speak TLS.
fn is_same_host(origin: &str, own: &str) -> bool {
    let (Ok(origin), Ok(own)) = (origin.parse::<Uri>(), own.parse::<Authority>()) else { return false };
    let (Some(theirs), Some(scheme)) = (origin.authority(), origin.scheme_str()) else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    theirs.host().eq_ignore_ascii_case(own.host()) && port(theirs) == port(&own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn allows(allowed: &[&str], headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let allowed: Vec<String> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        check_origin(&allowed, &map, &Uri::from_static("/flush")).is_ok()
    }

    #[test]
    fn pages_of_other_origins_are_told_by_what_browsers_send() {
        let own = ("host", "logs:3100");
        for (headers, wanted) in [
            (vec![own], true),
            (vec![own, ("origin", "http://logs:3100")], true),
            (vec![own, ("origin", "HTTP://LOGS:3100")], true),
            (vec![("host", "logs"), ("origin", "https://logs")], true),
            (vec![("host", "logs:443"), ("origin", "https://logs")], true),
            (vec![own, ("sec-fetch-site", "same-origin")], true),
            (vec![own, ("sec-fetch-site", "none")], true),
            (vec![own, ("origin", "http://logs:3000")], false),
            (vec![own, ("origin", "http://logs")], false),
            (vec![own, ("origin", "http://evil")], false),
            (vec![own, ("origin", "http://logs:3100.evil")], false),
            (vec![own, ("origin", "null")], false),
            (vec![own, ("origin", "")], false),
            (vec![own, ("origin", "http://logs:3100"), ("origin", "http://evil")], false),
            (vec![("origin", "http://logs:3100")], false),
            (vec![own, ("sec-fetch-site", "cross-site")], false),
            (vec![own, ("sec-fetch-site", "same-site")], false),
        ] {
            assert_eq!(allows(&[], &headers), wanted, "{headers:?}");
        }
        assert!(allows(&["http://app"], &[own, ("origin", "http://app"), ("sec-fetch-site", "cross-site")]));
        assert!(!allows(&["http://app"], &[own, ("origin", "http://app.evil")]));
        assert!(
            allows(&["*"], &[own, ("origin", "null")]) && allows(&["*"], &[("sec-fetch-site", "cross-site")])
        );
    }

    #[test]
    fn names_of_the_server() {
        let own = ["logs.example.com".to_owned()];
        for host in [
            "localhost",
            "localhost:3100",
            "LOCALHOST.:1",
            "a.localhost",
            "127.0.0.1:3100",
            "[::1]:3100",
            "[::1]",
            "192.168.1.5",
            "logs.example.com:80",
            "Logs.Example.com",
        ] {
            assert!(is_own_host(host, &own), "{host}");
        }
        for host in ["", "evil", "evil:3100", "localhost.evil", "127.0.0.1.evil", "a b", "x.logs.example.com"]
        {
            assert!(!is_own_host(host, &own), "{host}");
        }
        assert!(is_own_host("evil", &["*".to_owned()]));
    }
}
