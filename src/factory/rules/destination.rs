//! A destination of ssh, as providers show it.

use super::names::account;
use super::places::{address, is_ip};

/// The login, the address and the port of a destination as providers show it, such as `root@203.0.113.7:2222`, `ssh root@forge` or
/// `ssh://root@forge:2222`; none of a mere address, and of what is no destination.
pub(crate) fn destination(text: &str) -> Option<(Option<&str>, &str, Option<u16>)> {
    let text = text.trim();
    let rest = text.strip_prefix("ssh ").unwrap_or(text).trim_start();
    let rest = rest.strip_prefix("ssh://").map_or(rest, |rest| rest.trim_end_matches('/'));
    let (login, place) = rest.split_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let (host, port) = match place.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((host, after))) => (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) }),
        Some(None) => return None,
        None if is_ip(place) => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().ok().filter(|port| *port > 0)).map_or(Some(None), |port| port.map(Some))?;
    address(host).ok()?;
    login.map_or(Ok(()), account).ok()?;
    (host != text).then_some((login, host, port))
}
