//! Finds pasted secrets: recognized by shape, named by kind, never repeated.

use std::ops::Range;

use super::Fault;

/// A secret found in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pasted {
    /// Where it stands, in bytes. Of a private key it spans all lines.
    pub(crate) span: Range<usize>,
    /// What it is: `a GitLab token`.
    pub(crate) what: &'static str,
    /// Where it belongs instead.
    pub(crate) belongs: &'static str,
}

struct Shape {
    prefix: &'static str,
    /// How many token characters must follow for it to be one, so that a text may speak of the prefix.
    least: usize,
    what: &'static str,
    belongs: &'static str,
}

const GITLAB: &str =
    "revoke it; pass a new one in FACTORYUP_GITLAB_TOKEN, in a file (FACTORYUP_GITLAB_TOKEN_FILE), or at the prompt";
const RUNNER: &str = "revoke it; factoryup creates runner tokens itself and keeps them on the host";
const AGE: &str = "keep it off the host and out of the repo; put the public half into `secrets.owner_recipient`";
const CLOUDFLARE: &str = "roll it; store the new one as the protected CI/CD variable CLOUDFLARE_API_TOKEN";
const PRIVATE_KEY: &str = "keep it where ssh finds it; use the public half, from the .pub file";
const ELSEWHERE: &str = "revoke it; store the new one in the secrets provider";

/// Prefixes by which issuers make their secrets recognisable. GitLab: <https://docs.gitlab.com/security/tokens/#token-prefixes>;
/// Cloudflare: <https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/>.
const SHAPES: [Shape; 22] = [
    Shape { prefix: "glpat-", least: 6, what: "a GitLab token", belongs: GITLAB },
    Shape { prefix: "gldt-", least: 6, what: "a GitLab deploy token", belongs: GITLAB },
    Shape { prefix: "gloas-", least: 6, what: "a GitLab OAuth secret", belongs: GITLAB },
    Shape { prefix: "glptt-", least: 6, what: "a GitLab trigger token", belongs: GITLAB },
    Shape { prefix: "glft-", least: 6, what: "a GitLab feed token", belongs: GITLAB },
    Shape { prefix: "glcbt-", least: 6, what: "a GitLab job token", belongs: GITLAB },
    Shape { prefix: "glagent-", least: 6, what: "a GitLab agent token", belongs: GITLAB },
    Shape { prefix: "glsoat-", least: 6, what: "a GitLab SCIM token", belongs: GITLAB },
    Shape { prefix: "glrt-", least: 6, what: "a GitLab runner token", belongs: RUNNER },
    Shape { prefix: "glrtr-", least: 6, what: "a GitLab runner token", belongs: RUNNER },
    Shape { prefix: "GR1348941", least: 10, what: "a GitLab runner token", belongs: RUNNER },
    Shape { prefix: "AGE-SECRET-KEY-", least: 6, what: "an age secret key", belongs: AGE },
    Shape { prefix: "AGE-PLUGIN-", least: 6, what: "an age identity", belongs: AGE },
    Shape { prefix: "cfk_", least: 20, what: "a Cloudflare API key", belongs: CLOUDFLARE },
    Shape { prefix: "cfut_", least: 20, what: "a Cloudflare API token", belongs: CLOUDFLARE },
    Shape { prefix: "cfat_", least: 20, what: "a Cloudflare API token", belongs: CLOUDFLARE },
    Shape { prefix: "sk-ant-", least: 10, what: "an Anthropic API key", belongs: ELSEWHERE },
    Shape { prefix: "sk-proj-", least: 10, what: "an OpenAI API key", belongs: ELSEWHERE },
    Shape { prefix: "ghp_", least: 20, what: "a GitHub token", belongs: ELSEWHERE },
    Shape { prefix: "github_pat_", least: 20, what: "a GitHub token", belongs: ELSEWHERE },
    Shape { prefix: "ops_", least: 40, what: "a 1Password token", belongs: ELSEWHERE },
    Shape { prefix: "hvs.", least: 20, what: "a Vault token", belongs: ELSEWHERE },
];

/// Every secret in a text, in order.
pub(crate) fn find_secrets(text: &str) -> Vec<Pasted> {
    let mut found: Vec<Pasted> = SHAPES
        .iter()
        .flat_map(|shape| tokens(text, shape))
        .chain(private_keys(text))
        .chain(url_passwords(text))
        .collect();
    found.sort_by_key(|pasted| (pasted.span.start, std::cmp::Reverse(pasted.span.end)));
    let mut end = 0;
    found.retain(|pasted| {
        let apart = pasted.span.start >= end;
        end = end.max(pasted.span.end);
        apart
    });
    found
}

/// Whether a text has the beginning of a secret in it, even if the rest is not there yet.
pub(crate) fn begins_secret(text: &str) -> bool {
    let begins = |shape: &Shape| text.match_indices(shape.prefix).any(|(at, _)| !text[..at].ends_with(is_token));
    SHAPES.iter().any(begins) || text.contains("-----BEGIN ") || url_passwords(text).next().is_some()
}

/// The secret in a field's value, as a fault. In `[cloudflare]` also tokens and keys of the old form, which have no prefix: 40 of
/// `A-Za-z0-9_-`, or 37 hexadecimal digits.
pub(crate) fn pasted_secret(key: &str, text: &str) -> Option<Fault> {
    let found = find_secrets(text).first().map(|pasted| (format!("contains {}", pasted.what), pasted.belongs));
    let old_token = text.len() == 40 && text.chars().all(is_token);
    let old_key = text.len() == 37 && text.chars().all(|c| c.is_ascii_hexdigit());
    let cloudflare = (key.starts_with("cloudflare.") && (old_token || old_key))
        .then(|| ("contains what looks like a Cloudflare API token".to_owned(), CLOUDFLARE));
    found.or(cloudflare).map(|(reason, belongs)| Fault::new(reason, belongs).about_a_secret())
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn tokens(text: &str, shape: &'static Shape) -> Vec<Pasted> {
    text.match_indices(shape.prefix)
        .filter(|(at, _)| !text[..*at].ends_with(is_token))
        .filter_map(|(at, prefix)| {
            let rest = &text[at + prefix.len()..];
            let length = rest.find(|c| !is_token(c) && c != '.').unwrap_or(rest.len());
            let span = at..at + prefix.len() + length;
            (length >= shape.least).then_some(Pasted { span, what: shape.what, belongs: shape.belongs })
        })
        .collect()
}

/// PEM and OpenSSH private keys: from `-----BEGIN … PRIVATE KEY` to the end of the line that ends it, or of the text.
fn private_keys(text: &str) -> Vec<Pasted> {
    text.match_indices("-----BEGIN ")
        .filter(|(at, _)| text[*at..].lines().next().is_some_and(|line| line.contains("PRIVATE KEY")))
        .map(|(at, _)| {
            let end = text[at..].find("-----END ").map_or(text.len(), |end| {
                let end = at + end;
                let line = text[end..].lines().next().unwrap_or_default();
                end + line.rfind("-----").map_or(line.len(), |dashes| dashes + 5)
            });
            Pasted { span: at..end, what: "a private key", belongs: PRIVATE_KEY }
        })
        .collect()
}

/// Passwords in URLs: what stands between `:` and `@` before the host.
fn url_passwords(text: &str) -> impl Iterator<Item = Pasted> {
    text.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let rest = &text[start..];
        let authority = &rest[..rest.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(rest.len())];
        let (account, _) = authority.rsplit_once('@')?;
        let (user, password) = account.split_once(':')?;
        let begin = start + user.len() + 1;
        let span = begin..begin + password.len();
        (!password.is_empty()).then_some(Pasted { span, what: "a password in a URL", belongs: ELSEWHERE })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let text = "# glpat-abcdefgh1234\nkey = \"glrt-t1_abcdefgh\"\n";
        let found: Vec<_> = find_secrets(text).into_iter().map(|pasted| (&text[pasted.span], pasted.what)).collect();
        assert_eq!(found, [("glpat-abcdefgh1234", "a GitLab token"), ("glrt-t1_abcdefgh", "a GitLab runner token")]);
    }

    #[test]
    fn a_text_may_speak_of_a_prefix() {
        assert!(begins_secret("glpat-") && !begins_secret("glpat") && !begins_secret("https://gitlab.com"));
        assert_eq!(find_secrets("tokens begin with glpat- and keys with AGE-SECRET-KEY-"), []);
        assert_eq!(find_secrets("ssh-ed25519 AAAAglpat-abcdefgh"), []);
    }

    #[test]
    fn a_private_key_is_found_whole() {
        let text = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\nb";
        let found = find_secrets(text);
        assert_eq!(&text[found[0].span.clone()], &text[2..text.len() - 2]);
        assert_eq!(find_secrets("-----BEGIN PUBLIC KEY-----"), []);
    }

    #[test]
    fn a_password_in_a_url_is_found() {
        let text = "remote = \"https://oauth2:hunter2@gitlab.com/x\"";
        assert_eq!(&text[find_secrets(text)[0].span.clone()], "hunter2");
        assert_eq!(find_secrets("https://gitlab.com:443/a:b@c ssh://git@host:22/x"), []);
    }

    #[test]
    fn an_old_cloudflare_token_is_known_by_its_place() {
        let token = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-ab";
        assert!(pasted_secret("cloudflare.zone_id", token).is_some());
        assert!(pasted_secret("gitlab.group", token).is_none());
    }
}
