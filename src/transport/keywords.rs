//! Which keywords of an ssh configuration factoryup can follow by itself. All others are left to the system's ssh client.

use crate::dialog::plain;

/// Keywords that factoryup follows.
const FOLLOWED: [&str; 13] = [
    "host",
    "user",
    "hostname",
    "port",
    "addressfamily",
    "identityfile",
    "identitiesonly",
    "identityagent",
    "hostkeyalias",
    "userknownhostsfile",
    "globalknownhostsfile",
    "stricthostkeychecking",
    "batchmode",
];

/// Keywords that decide neither whether a login works nor whether the host is the right one. factoryup has its own values for some.
const WITHOUT_EFFECT: [&str; 59] = [
    "addkeystoagent",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "channeltimeout",
    "clearallforwardings",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    // A login that only Kerberos makes is refused to libssh2, and then the client tries it.
    "gssapiauthentication",
    "gssapidelegatecredentials",
    "gssapikexalgorithms",
    "gssapikeyexchange",
    "gssapirenewalforcesrekey",
    "gssapitrustdns",
    "hashknownhosts",
    "hostbasedacceptedalgorithms",
    "ignoreunknown",
    "ipqos",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "nohostauthenticationforlocalhost",
    "numberofpasswordprompts",
    "passwordauthentication",
    "permitlocalcommand",
    "permitremoteopen",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "sessiontype",
    "setenv",
    "stdinnull",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunnel",
    "updatehostkeys",
    "visualhostkey",
];

/// Families of keywords without effect.
const PREFIXES: [&str; 4] = ["streamlocal", "tunnel", "xauth", "obscurekeystroke"];

/// How people write the keywords that the client is used for most.
const SPELLED: [&str; 17] = [
    "ProxyJump",
    "ProxyCommand",
    "CertificateFile",
    "IdentityAgent",
    "IdentityFile",
    "PKCS11Provider",
    "SecurityKeyProvider",
    "BindAddress",
    "BindInterface",
    "KnownHostsCommand",
    "RevokedHostKeys",
    "CanonicalizeHostname",
    "HostKeyAlgorithms",
    "KexAlgorithms",
    "PubkeyAcceptedAlgorithms",
    "PreferredAuthentications",
    "PubkeyAuthentication",
];

/// The first keyword, with its value, that `pairs` has other than `usual` and that factoryup cannot follow.
pub(super) fn not_followed(pairs: &[(&str, &str)], usual: &[(&str, &str)]) -> Option<String> {
    let differs = |&&(key, value): &&(&str, &str)| {
        let known = |all: &[&str]| all.contains(&key);
        // Old clients print some keywords only when they are set.
        let unset = !usual.iter().any(|(other, _)| *other == key) && ["none", "no", "false"].contains(&value.trim());
        let without_effect = known(&WITHOUT_EFFECT) || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        let without_effect = without_effect || key == "preferredauthentications" && value.starts_with("publickey");
        !known(&FOLLOWED) && !without_effect && !unset && !usual.contains(&(key, value))
    };
    pairs.iter().find(differs).map(|(key, value)| named(key, value))
}

/// A keyword as people write it, and its value, short enough for a message.
pub(super) fn named(key: &str, value: &str) -> String {
    let spelled = SPELLED.iter().find(|spelled| spelled.eq_ignore_ascii_case(key)).copied();
    let text = plain(&format!("{} {}", spelled.unwrap_or(key), value.trim()));
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::not_followed;

    #[test]
    fn what_differs_from_the_usual_and_is_not_followed_is_named() {
        let usual = [("port", "22"), ("ciphers", "a,b"), ("checkhostip", "no"), ("canonicalizehostname", "false")];
        let named = |key, value| not_followed(&[(key, value)], &usual);
        for (key, value) in [
            ("port", "2222"),
            ("ciphers", "a,b"),
            ("sessiontype", "none"),
            ("localforward", "1 [::1]:2"),
            ("proxyjump", "none"),
            ("proxyusefdpass", "no"),
            ("streamlocalbindmask", "0111"),
        ] {
            assert_eq!(named(key, value), None, "{key}");
        }
        assert_eq!(named("ciphers", "a").as_deref(), Some("ciphers a"));
        assert_eq!(named("proxyjump", "a,b").as_deref(), Some("ProxyJump a,b"));
        assert_eq!(named("a-word-of-tomorrow", "yes").as_deref(), Some("a-word-of-tomorrow yes"));
        assert!(named("ciphers", &"x".repeat(200)).unwrap_or_default().len() < 100);
    }
}
