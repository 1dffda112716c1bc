//! What the messages of the system's ssh client mean.

use super::Status;
use super::auth::said;
use super::error::TransportError;
use super::fingerprint::Fingerprint;

/// ssh's exit code for a failure of its own. A command that ends with it, or by a signal, looks the same but for the messages.
pub(super) const CLIENT_FAILED: Status = Status::Code(255);

/// How ssh begins what it says of a connection that it shares.
pub(super) const SHARING: &str = "mux_client_";

/// How ssh's own messages begin, as far as they end a connection.
const CLIENT_MESSAGES: [&str; 16] = [
    "ssh: ",
    "Connection to ",
    "Shared connection to ",
    SHARING,
    "Connection closed by",
    "Connection reset by",
    "client_loop: ",
    "Timeout, server ",
    "kex_exchange_identification: ",
    "ssh_dispatch_run_fatal: ",
    "ssh_packet_",
    "packet_write_wait: ",
    "Received disconnect from ",
    "Disconnected from ",
    "Host key verification failed",
    "stdio forwarding failed",
];

/// What ssh's messages mean when nobody was logged in.
pub(super) fn failure(host: &str, address: &str, stderr: &str) -> TransportError {
    let (address, reason) = (address.to_owned(), last_message(stderr));
    let says = |text: &str| stderr.contains(text);
    if says("REMOTE HOST IDENTIFICATION HAS CHANGED")
        && let Some(changed) = changed(host, stderr)
    {
        return changed;
    }
    if says("Could not resolve hostname") {
        return TransportError::Resolve { host: host.to_owned(), reason };
    }
    if says("no matching ") || says("Unable to negotiate") {
        return TransportError::KeyExchange { address, reason };
    }
    if says("kex_exchange_identification") || says("banner exchange") {
        return TransportError::Handshake { address, reason };
    }
    let refused = says("Connection refused");
    if refused || says("timed out") || says("No route to host") || says("Network is unreachable") {
        return TransportError::Connect { address, reason, refused };
    }
    TransportError::Client { address: host.to_owned(), reason }
}

/// `Offending ED25519 key in FILE:LINE`, and the new key's fingerprint on a line of its own.
fn changed(host: &str, stderr: &str) -> Option<TransportError> {
    let offending = stderr.lines().find_map(|line| line.trim().strip_prefix("Offending "))?;
    let (kind, place) = offending.split_once(" key in ")?;
    let (file, line) = place.rsplit_once(':')?;
    let fingerprint = stderr.lines().find_map(|line| line.trim().trim_end_matches('.').parse().ok())?;
    Some(TransportError::KeyChanged {
        host: host.to_owned(),
        kind: kind.to_owned(),
        fingerprint,
        file: file.into(),
        line: line.trim().parse().ok()?,
    })
}

/// Whether the client itself failed, and not the command that it ran.
pub(super) fn is_of_client(status: &Status, stderr: &str) -> bool {
    let message = stderr.lines().last().unwrap_or_default();
    *status == CLIENT_FAILED
        && (CLIENT_MESSAGES.iter().any(|own| message.starts_with(own)) || refused(message).is_some())
}

/// The methods in `Permission denied (publickey,password).`, if that is how it ended.
pub(super) fn refused(stderr: &str) -> Option<&str> {
    if stderr.contains("Too many authentication failures") {
        return Some("fewer keys than were tried");
    }
    stderr.lines().rev().find_map(|line| line.split_once("Permission denied (")?.1.split(')').next())
}

/// The last of ssh's own messages.
pub(super) fn last_message(stderr: &str) -> String {
    let mut lines = stderr.lines().rev().filter(|line| !line.trim().is_empty());
    lines.next().unwrap_or("it gave no reason").trim_start_matches("ssh: ").to_owned()
}

/// The last key that the host accepted, of the client's debugging messages.
pub(super) fn accepted(log: &str) -> Option<Fingerprint> {
    let line = log.lines().rev().find(|line| line.contains("Server accepts key: "))?;
    line.split(' ').find(|word| word.starts_with("SHA256:"))?.parse().ok()
}

/// Whether the host closed the connection, which it had made.
pub(super) fn is_closed(stderr: &str) -> bool {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    ["Connection closed by", "Connection reset by", "Received disconnect from", "Disconnected from"]
        .iter()
        .any(|begin| last.starts_with(begin))
}

/// What the host said before the login: all that is none of ssh's own messages.
pub(super) fn of_host(stderr: &str) -> Vec<String> {
    let of_ssh = |line: &str| {
        let own = ["Warning: ", "WARNING: ", "debug", "Load key ", "sign_and_send_pubkey: ", "**", "Permission denied"];
        CLIENT_MESSAGES.iter().chain(&own).any(|begin| line.starts_with(begin)) || refused(line).is_some()
    };
    said(&stderr.lines().filter(|line| !of_ssh(line.trim())).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{TransportError, accepted, failure, of_host, refused};

    #[test]
    fn ssh_messages_get_a_class() {
        let class = |text: &str| failure("alias", "alias:22", text);
        assert!(matches!(
            class("ssh: Could not resolve hostname alias: Name or service not known"),
            TransportError::Resolve { .. }
        ));
        assert!(matches!(
            class("ssh: connect to host alias port 22: Connection refused"),
            TransportError::Connect { refused: true, .. }
        ));
        assert!(matches!(
            class("Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x"),
            TransportError::KeyExchange { .. }
        ));
        assert!(matches!(class("something new"), TransportError::Client { .. }));
        assert_eq!(refused("me@alias: Permission denied (publickey,password)."), Some("publickey,password"));
        assert_eq!(refused("Connection closed"), None);
        let key = "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE";
        let log = format!("debug1: Server accepts key: /a b ED25519 {key} agent\r\ndebug1: x");
        assert_eq!(accepted(&log).map(|key| key.to_string()).as_deref(), Some(key));
        let text = "Your account has expired; ask ops\nConnection closed by 10.0.0.1 port 22";
        assert_eq!(of_host(text), ["Your account has expired; ask ops"]);
        assert_eq!(of_host("me@alias: Permission denied (publickey)."), [""; 0]);
    }

    #[test]
    fn a_changed_key_is_found_in_its_message() {
        // As OpenSSH 9.2 prints it.
        let text = "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\nIT IS POSSIBLE ...\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE.\n\
            Please contact your system administrator.\nAdd correct host key in /own to get rid of this message.\n\
            Offending ED25519 key in /own:3\n  remove with:\nHost key verification failed.";
        let TransportError::KeyChanged { file, line, .. } = failure("alias", "alias:22", text) else {
            panic!("another class")
        };
        assert_eq!((file.to_str().unwrap(), line), ("/own", 3));
    }
}
