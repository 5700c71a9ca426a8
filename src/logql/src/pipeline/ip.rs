//! Is an address in a range? (`ip("10.0.0.0/8")` over lines and labels)

use memchr::memchr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of one family, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IpRange {
    V4(u32, u32),
    V6(u128, u128),
}

impl IpRange {
    /// Reads `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`, or the same of IPv6.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("ip: invalid pattern: {text:?}");
        let address = |text: &str| text.parse::<IpAddr>().ok();
        if let Some((first, last)) = text.split_once('-') {
            return match (address(first), address(last)) {
                (Some(IpAddr::V4(first)), Some(IpAddr::V4(last))) if first <= last => {
                    Ok(Self::V4(first.to_bits(), last.to_bits()))
                }
                (Some(IpAddr::V6(first)), Some(IpAddr::V6(last))) if first <= last => {
                    Ok(Self::V6(first.to_bits(), last.to_bits()))
                }
                _ => Err(invalid()),
            };
        }
        let (base, length) = match text.split_once('/') {
            Some((base, length)) => (base, Some(length.parse::<u32>().map_err(|_| invalid())?)),
            None => (text, None),
        };
        match address(base).ok_or_else(invalid)? {
            IpAddr::V4(ip) => {
                let free = 32u32.checked_sub(length.unwrap_or(32)).ok_or_else(invalid)?;
                let mask = u32::MAX.checked_shl(free).unwrap_or(0);
                Ok(Self::V4(ip.to_bits() & mask, ip.to_bits() | !mask))
            }
            IpAddr::V6(ip) => {
                let free = 128u32.checked_sub(length.unwrap_or(128)).ok_or_else(invalid)?;
                let mask = u128::MAX.checked_shl(free).unwrap_or(0);
                Ok(Self::V6(ip.to_bits() & mask, ip.to_bits() | !mask))
            }
        }
    }

    fn has_v4(&self, text: &[u8]) -> bool {
        let Self::V4(first, last) = self else { return false };
        let ip = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
        ip.is_some_and(|ip| (*first..=*last).contains(&ip.to_bits()))
    }

    fn has_v6(&self, text: &[u8]) -> bool {
        let Self::V6(first, last) = self else { return false };
        let ip = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        ip.is_some_and(|ip| (*first..=*last).contains(&ip.to_bits()))
    }

    /// Whether any address that stands in `text` is in the range. An address is a run of its characters, without the
    /// points and colons of the sentence around it.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::V4(..) => runs(text, |from| memchr(b'.', from), |b| b.is_ascii_digit() || b == b'.')
                .any(|run| self.has_v4(trim(run, b'.'))),
            Self::V6(..) => {
                let inside = |b: u8| b.is_ascii_hexdigit() || b == b':' || b == b'.';
                runs(text, |from| memchr(b':', from), inside).any(|run| {
                    let run = trim(run, b'.');
                    self.has_v6(run) || self.has_v6(single_colons_trimmed(run))
                })
            }
        }
    }
}

/// The maximal runs of characters that are `inside` and hold one that `next` finds.
fn runs(
    text: &[u8],
    next: impl Fn(&[u8]) -> Option<usize>,
    inside: impl Fn(u8) -> bool,
) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let hit = from + next(text.get(from..)?)?;
        let before = text.get(from..hit)?.iter().rev().take_while(|b| inside(**b)).count();
        let behind = text.get(hit..)?.iter().take_while(|b| inside(**b)).count();
        from = hit + behind.max(1);
        text.get(hit - before..hit + behind)
    })
}

fn trim(mut run: &[u8], byte: u8) -> &[u8] {
    while let Some(rest) = run.strip_prefix(&[byte]) {
        run = rest;
    }
    while let Some(rest) = run.strip_suffix(&[byte]) {
        run = rest;
    }
    run
}

/// Without a colon at either end that is not one of two.
fn single_colons_trimmed(run: &[u8]) -> &[u8] {
    let run = if run.starts_with(b"::") { run } else { run.strip_prefix(b":").unwrap_or(run) };
    if run.ends_with(b"::") { run } else { run.strip_suffix(b":").unwrap_or(run) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_lines() {
        for (range, line, wanted) in [
            ("10.0.0.0/24", "from 10.0.0.1 to 10.0.0.255", true),
            ("10.0.0.9", "ip=10.0.0.9,10.9.9.9", true),
            ("10.0.0.0/24", "x10.0.0.7y", true),
            ("10.0.0.0/24", "10.0.0.128/25 cidr", true),
            ("10.0.0.0/24", "client 10.0.0.77:8080, ok", true),
            ("10.0.0.0/24", "it was 10.0.0.7.", true),
            ("0.0.0.0/0", "1.2.3.4.5", false),
            ("0.0.0.0/0", "bad 999.1.2.3 addr", false),
            ("0.0.0.0/0", "almost 10.0.0", false),
            ("0.0.0.0/0", "ip-10-77-20-248 sshd", false),
            ("10.0.0.1-10.0.0.9", "a 10.0.0.9", true),
            ("10.0.0.1-10.0.0.9", "a 10.0.0.10", false),
            ("2001:db8::/32", "v6 2001:db8::1 hello", true),
            ("2001:db8::/32", "addr=2001:db8:1::2 n=2", true),
            ("2001:db8::1-2001:db8::9", "2001:db8::a", false),
            ("fe80::/10", "v6 [fe80::1]:443 hi", true),
            ("::1", "::1 loopback", true),
            ("2001:db8::/32", "peer:2001:db8::1:", true),
            ("2001:db8::1", "at 2001:db8::1: no", true),
            ("::/0", "12:30:00 x", false),
        ] {
            assert_eq!(IpRange::parse(range).unwrap().is_in(line.as_bytes()), wanted, "{range} {line}");
        }
    }

    #[test]
    fn ranges_that_are_none() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.1 - 10.0.0.9",
            "10.0.0.1 -10.0.0.9",
            " 10.0.0.1",
            "10.0.0.0/24 ",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1-::1",
            "a-b",
            "10.0.0.0/-1",
            "x",
        ] {
            assert!(IpRange::parse(text).is_err(), "{text}");
        }
    }
}
